"""The firmware's commands on a guest: launch, debug, migration. Guards as `sev_mcmd.c` of ASPFW checks them."""

from __future__ import annotations

from hostproof.managers.engine import BOOL, Caller, ModelBuilder, OperationBuilder, any_of, choose, implies
from hostproof.managers.models.sev.guest import put
from hostproof.managers.models.sev.state import (
    Asid,
    Content,
    GuestPage,
    Leak,
    Package,
    Phase,
    State,
    SystemPage,
    Target,
)

__all__ = ["commands"]

_GUEST_STATE = "INVALID_GUEST_STATE"


def commands(m: ModelBuilder, x: State) -> None:
    """Adds the commands."""
    _launch(m, x)
    _debug(m, x)
    _send(m, x)
    _receive(m, x)


def _launch(m: ModelBuilder, x: State) -> None:
    sentence = "Firmware measures plaintext of the host and encrypts it in place. It does not know at which address."
    with m.operation("LAUNCH_UPDATE_DATA", Caller.HOST, sentence, "ASPFW: launch_update_common") as op:
        s, g = op.parameter("s", SystemPage), op.parameter("g", GuestPage)
        op.guard("LAUNCH_UPDATE.state", x.phase == Phase.LUPDATE, _GUEST_STATE, "ASPFW: launch_update_common, LUPDATE")
        _active(op, x, "LAUNCH_UPDATE.active")
        measured = x.phase == Phase.LUPDATE
        put(op, x, s, g, choose(measured, Content.DATA, Content.HOST))
        op.set(x.used[g], True)
        op.set(x.wrote[s], True)
        op.set(x.injected, True, when=~measured)
    with m.operation(
        "LAUNCH_MEASURE", Caller.HOST, "Firmware closes the digest.", "ASPFW: sev_mcmd_launch_measure"
    ) as op:
        op.guard(
            "LAUNCH_MEASURE.state",
            x.phase == Phase.LUPDATE,
            _GUEST_STATE,
            "ASPFW: LUPDATE",
            redundant="a closed digest that is closed again lets only the owner's secret in",
        )
        op.set(x.phase, Phase.LSECRET)
    sentence = "Firmware opens the owner's packet and puts the secret where the host says."
    with m.operation("LAUNCH_SECRET", Caller.HOST, sentence, "ASPFW: sev_mcmd_launch_secret") as op:
        s, g = op.parameter("s", SystemPage), op.parameter("g", GuestPage)
        genuine = op.parameter("genuine", BOOL)
        op.guard(
            "LAUNCH_SECRET.state",
            x.phase == Phase.LSECRET,
            _GUEST_STATE,
            "ASPFW: LSECRET",
            redundant="the packet is the owner's in any state",
        )
        op.guard("LAUNCH_SECRET.mac", genuine, "BAD_MEASUREMENT", "ASPFW: sev_mcmd_launch_secret, HMAC with TIK")
        _active(op, x, "LAUNCH_SECRET.active")
        put(op, x, s, g, choose(genuine, Content.DATA, Content.HOST))
        op.set(x.used[g], True)
        op.set(x.wrote[s], True)
        op.set(x.injected, True, when=~genuine)
    with m.operation("LAUNCH_FINISH", Caller.HOST, "The guest may run.", "ASPFW: sev_mcmd_launch_finish") as op:
        op.guard(
            "LAUNCH_FINISH.state",
            x.phase == Phase.LSECRET,
            _GUEST_STATE,
            "ASPFW: LSECRET",
            redundant="what a digest left open is worth is asked of the launch model",
        )
        op.set(x.phase, Phase.RUNNING)


def _debug(m: ModelBuilder, x: State) -> None:
    never = "the policy forbids it by default"
    sentence = "Firmware gives out the plaintext of a page."
    with m.operation("DBG_DECRYPT", Caller.HOST, sentence, "ASPFW: sev_mcmd_dbg_decrypt", never) as op:
        s = op.parameter("s", SystemPage)
        op.guard("DBG_DECRYPT.policy", ~x.nodbg, "POLICY_FAILURE", "ASPFW: sev_mcmd_dbg_decrypt, NODBG")
        op.set(x.leak, "DEBUG", when=x.content[s] == Content.DATA)
    sentence = "Firmware encrypts the host's plaintext into a page."
    with m.operation("DBG_ENCRYPT", Caller.HOST, sentence, "ASPFW: sev_mcmd_dbg_encrypt", never) as op:
        s = op.parameter("s", SystemPage)
        op.guard("DBG_ENCRYPT.policy", ~x.nodbg, "POLICY_FAILURE", "ASPFW: sev_mcmd_dbg_encrypt, NODBG")
        op.set(x.content[s], Content.HOST)
        op.set(x.moved[s], False)
        op.set(x.injected, True)


def _send(m: ModelBuilder, x: State) -> None:
    sentence = "Firmware encrypts the guest for another platform, whose certificates the host hands in."
    with m.operation("SEND_START, SEND_UPDATE, SEND_FINISH", Caller.HOST, sentence, "ASPFW: sev_mcmd_send_start") as op:
        target = op.parameter("target", Target)
        op.guard(
            "SEND.state",
            x.phase == Phase.RUNNING,
            _GUEST_STATE,
            "ASPFW: RUNNING",
            redundant="a guest that does not run yet holds only its image",
        )
        op.guard(
            "SEND.policy",
            ~x.nosend,
            "POLICY_FAILURE",
            "ASPFW: sev_mcmd_send_start, NOSEND",
            redundant="S1 is lost without the policy; with it, this guard keeps it",
        )
        certified = implies(x.sev_only, target == Target.GENUINE)
        op.guard("SEND.certificate", certified, "INVALID_CERTIFICATE", "ASPFW: sev_mcmd_send_start, validate_platform")
        op.set(x.phase, Phase.SENT)
        op.set(x.package, Package.CURRENT)
        op.set(x.leak, Leak.SEND, when=target == Target.ROGUE)


def _receive(m: ModelBuilder, x: State) -> None:
    sentence = "Firmware, here or on another machine of the host, takes a sent guest and makes it run."
    with m.operation(
        "RECEIVE_START, RECEIVE_UPDATE, RECEIVE_FINISH", Caller.HOST, sentence, "ASPFW: sev_mcmd_receive_start"
    ) as op:
        genuine = op.parameter("genuine", BOOL)
        op.guard(
            "RECEIVE.package",
            x.package != Package.NONE,
            "BAD_MEASUREMENT",
            "ASPFW: sev_mcmd_receive_start, MAC of the session",
            redundant="a session that nobody sent fails its MAC",
        )
        op.guard("RECEIVE.mac", genuine, "BAD_MEASUREMENT", "ASPFW: sev_mcmd_receive_update, MAC with the TIK")
        op.set(x.phase, Phase.RUNNING)
        op.set(x.injected, True, when=~genuine)
        # Nothing in firmware remembers a package that was received: the session keys open it again.
        second = any_of(x.package == Package.STALE, x.phase == Phase.RUNNING)
        op.set(x.rolled_back, True, when=second)


def _active(op: OperationBuilder, x: State, id: str) -> None:
    """The guest holds its ASID: `guest_is_inactive` fails otherwise."""
    why = "without its key firmware has nothing to encrypt with"
    op.guard(id, x.asid == Asid.GUEST, "INACTIVE", "ASPFW: guest_is_inactive", redundant=why)
