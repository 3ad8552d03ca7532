"""The firmware's commands on pages: launch, reclaim, move, swap, debug. Guards as `sev_mcmd.c` of ASPFW checks them."""

from __future__ import annotations

from hostproof.managers.engine import Caller, ModelBuilder, Name, OperationBuilder, Term, implies
from hostproof.managers.models.sev_snp.state import Content, MetadataEntry, Owner, Phase, State, SystemPage, Use

__all__ = ["commands", "write"]

_STATE = "INVALID_PAGE_STATE"
_STILL = "a command is one step here; that the entry is immutable matters between the steps of a real one"
_OTHER_KEY = "bytes under this guest's key are garbage to another owner, and a change of owner clears validated"
_LOST = "what stood there before is lost, which the host may do anyway"


def commands(m: ModelBuilder, x: State) -> None:
    """Adds the commands."""
    _launch(m, x)
    _firmware_pages(m, x)
    _move(m, x)
    _swap_out(m, x)
    _swap_in(m, x)
    _debug(m, x)


def _launch(m: ModelBuilder, x: State) -> None:
    sentence = "Firmware encrypts a page of the image into place and measures its address and content."
    with m.operation("LAUNCH_UPDATE", Caller.HOST, sentence, "ASPFW: snp_mcmd_launch_update") as op:
        s = op.parameter("s", SystemPage)
        g = x.gpa[s]
        op.guard("LAUNCH_UPDATE.launch", x.phase == Phase.LAUNCH, "INVALID_GUEST_STATE", "ASPFW: guest state is LAUNCH")
        _pre_guest(op, x, s, "LAUNCH_UPDATE.pre-guest")
        op.guard("LAUNCH_UPDATE.measured", implies(x.measured, ~x.accepted[g]), source="duty of the verifier")
        write(op, x, s, g)
        op.set(x.content[s], Content.HOST, when=x.phase != Phase.LAUNCH)
        op.set(x.validated[s], True)
        op.set(x.immutable[s], False)
        op.set(x.accepted[g], True)
    with m.operation("LAUNCH_FINISH", Caller.HOST, "The guest may run.", "ASPFW: snp_mcmd_launch_finish") as op:
        again = "a halted guest that ran again would still hold its pages"
        launching = x.phase == Phase.LAUNCH
        op.guard("LAUNCH_FINISH.launch", launching, "INVALID_GUEST_STATE", "ASPFW", redundant=again)
        op.set(x.phase, Phase.RUNNING)


def _firmware_pages(m: ModelBuilder, x: State) -> None:
    plain = "firmware's pages hold nothing of the guest's memory"
    for name, use in (("GCTX_CREATE", Use.CONTEXT), ("MD_INIT", Use.METADATA)):
        with m.operation(name, Caller.HOST, "Firmware takes a page for itself.", "ASPFW: snp_mcmd_page_md_init") as op:
            s = op.parameter("s", SystemPage)
            op.guard(f"{name}.firmware", x.in_state(s, Owner.FIRMWARE, True), _STATE, "ASPFW")
            op.guard(f"{name}.unused", x.use[s] == Use.NONE, _STATE, "ASPFW", redundant=plain)
            op.set(x.use[s], use)
            op.set(x.content[s], Content.GARBAGE)
    sentence = "Firmware gives a page back: metadata, firmware, pre-guest or pre-swap."
    with m.operation("PAGE_RECLAIM", Caller.HOST, sentence, "ASPFW: snp_mcmd_page_reclaim") as op:
        s = op.parameter("s", SystemPage)
        op.guard("PAGE_RECLAIM.immutable", x.immutable[s], "success, nothing changes", "ASPFW", redundant="no change")
        assigned = x.owner[s] != Owner.HYPERVISOR
        op.guard("PAGE_RECLAIM.assigned", assigned, _STATE, "ASPFW", redundant="a fixed page is the hypervisor's own")
        op.guard("PAGE_RECLAIM.context", x.use[s] != Use.CONTEXT, _STATE, "ASPFW", redundant=plain)
        op.set(x.immutable[s], False)
        op.set(x.use[s], Use.NONE)


def _move(m: ModelBuilder, x: State) -> None:
    sentence = "Firmware moves a guest page to another system page."
    with m.operation("PAGE_MOVE", Caller.HOST, sentence, "ASPFW: snp_mcmd_page_move") as op:
        s, t = op.parameter("s", SystemPage), op.parameter("t", SystemPage)
        source = x.in_state(s, Owner.GUEST, True)
        op.guard("PAGE_MOVE.source", source, _STATE, "ASPFW: source pre-swap or pre-guest", _STILL)
        _pre_guest(op, x, t, "PAGE_MOVE.target")
        op.guard("PAGE_MOVE.different", s != t, "INVALID_PARAM", "ASPFW", redundant="s would be pre-guest already")
        for variable in (x.content, x.origin, x.fresh, x.gpa, x.validated, x.wrote):
            op.set(variable[t], variable[s])
        op.set(x.immutable[t], False)
        op.set(x.validated[s], False)
        op.set(x.wrote[s], False)
        op.set(x.immutable[s], False)


def _swap_out(m: ModelBuilder, x: State) -> None:
    sentence = "Firmware seals a guest page and remembers address, validation and tag in a metadata entry."
    with m.operation("SWAP_OUT", Caller.HOST, sentence, "ASPFW: snp_mcmd_swap_out") as op:
        s, e = op.parameter("s", SystemPage), op.parameter("m", MetadataEntry)
        _swapping(op, x, "SWAP_OUT")
        source = x.in_state(s, Owner.GUEST, True)
        op.guard("SWAP_OUT.source", source, _STATE, "ASPFW: source pre-swap or pre-guest", _STILL)
        op.set(x.full[e], True)
        op.set(x.entry_gpa[e], x.gpa[s])
        op.set(x.entry_validated[e], x.validated[s])
        op.set(x.entry_content[e], x.content[s])
        op.set(x.entry_origin[e], x.origin[s])
        op.set(x.entry_fresh[e], x.fresh[s])
        op.set(x.entry_wrote[e], x.wrote[s])
        op.set(x.validated[s], False)
        op.set(x.wrote[s], False)


def _swap_in(m: ModelBuilder, x: State) -> None:
    sentence = "Firmware checks the tag of a swapped page against its metadata entry, once, and puts it back."
    with m.operation("SWAP_IN", Caller.HOST, sentence, "ASPFW: snp_mcmd_swap_in") as op:
        s, e = op.parameter("s", SystemPage), op.parameter("m", MetadataEntry)
        _swapping(op, x, "SWAP_IN")
        op.guard("SWAP_IN.valid", x.full[e], "INVALID_MDATA_ENTRY", "ASPFW: the entry's valid bit")
        _pre_guest(op, x, s, "SWAP_IN.target")
        op.set(x.content[s], x.entry_content[e])
        op.set(x.origin[s], x.entry_origin[e])
        op.set(x.fresh[s], x.entry_fresh[e])
        op.set(x.gpa[s], x.entry_gpa[e])
        op.set(x.validated[s], x.entry_validated[e])
        op.set(x.wrote[s], x.entry_wrote[e])
        op.set(x.full[e], False)


def _debug(m: ModelBuilder, x: State) -> None:
    for name, sentence in (
        ("DBG_DECRYPT", "Firmware gives out the plaintext of a guest page."),
        ("DBG_ENCRYPT", "Firmware puts the host's plaintext into a guest page."),
    ):
        with m.operation(name, Caller.HOST, sentence, f"ASPFW: snp_mcmd_{name.lower()}", "the policy forbids it") as op:
            s = op.parameter("s", SystemPage)
            op.guard(f"{name}.policy", x.debug | False, "POLICY_FAILURE", "ASPFW: policy DEBUG")
            owner = x.owner[s] == Owner.GUEST
            op.guard(
                f"{name}.owner", owner, "INVALID_PAGE_OWNER", "ASPFW", redundant="without the policy nothing is left"
            )
            if name == "DBG_DECRYPT":
                op.set(x.disclosed, True, when=x.content[s] == Content.DATA)
            else:
                op.set(x.content[s], Content.HOST)


def _swapping(op: OperationBuilder, x: State, where: str) -> None:
    op.guard(f"{where}.policy", ~x.no_swap, "POLICY_FAILURE", "SNPV: PAGE_SWAP_DISABLE", redundant="swapping is safe")
    started = x.phase.is_in(Phase.LAUNCH, Phase.RUNNING)
    op.guard(f"{where}.state", started, "INVALID_GUEST_STATE", "ASPFW", redundant="a halted guest reads nothing")


def _pre_guest(op: OperationBuilder, x: State, s: Name, where: str) -> None:
    """Three guards: the page is this guest's, immutable, and not validated."""
    owned = x.owner[s] == Owner.GUEST
    op.guard(f"{where}.owner", owned, "INVALID_PAGE_OWNER", "ASPFW: RMP.ASID is the guest's", _OTHER_KEY)
    op.guard(f"{where}.immutable", x.immutable[s], _STATE, "ASPFW: pre-guest", _STILL)
    op.guard(f"{where}.invalid", ~x.validated[s], _STATE, "ASPFW: pre-guest", _LOST)


def write(op: OperationBuilder, x: State, s: Name, g: Term) -> None:
    """Page s holds what the guest wrote last at g; copies of that address elsewhere are old from now on."""
    t, e = SystemPage.names("t")[0], MetadataEntry.names("e")[0]
    op.set(x.fresh[t], False, when=x.origin[t] == g, each=[t])
    op.set(x.saved_fresh[t], False, when=x.saved_origin[t] == g, each=[t])
    op.set(x.entry_fresh[e], False, when=x.entry_origin[e] == g, each=[e])
    op.set(x.content[s], Content.DATA)
    op.set(x.origin[s], g)
    op.set(x.fresh[s], True)
    op.set(x.wrote[s], True)
    op.set(x.used[g], True)
