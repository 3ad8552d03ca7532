"""AMD SEV-ES: the memory of SEV, and a second model: what crosses the guest-hypervisor communication block (GHCB).

Encrypted registers change nothing for memory: every objective that SEV loses, SEV-ES loses by the same steps. New is the
GHCB, a shared page: hardware never reads it, so whatever stands in it is the host's, at every moment; a SEV-SNP guest has the
same. How VMSAs are kept is the model `amd_vcpu`; which events reach the guest is `amd_events`.

Sources beside those of `sev`: GHCBSPEC (document 56421, 2.3 and 4, as the knowledge of this project quotes it), VCSHARED (Linux
7.3 `arch/x86/coco/sev/vc-shared.c`), KVMSEV.
"""

from __future__ import annotations

from hostproof.managers.engine import BOOL, Caller, Model, ModelBuilder, Read, Sort, Switch, all_of, any_of
from hostproof.managers.models.sev import build

__all__ = ["Ghcb", "exchange", "model"]

Ghcb = Sort("Ghcb", ("IDLE", "REQUEST", "ANSWERED", "CHECKED"))
"""How far an exchange is: nothing asked, asked, the host handed back, the guest checked the answer's form."""


class _Exchange:
    """The GHCB and what the guest made of it."""

    def __init__(self, m: ModelBuilder) -> None:
        self.stage: Read = m.scalar("ghcb", Ghcb, "IDLE", "how far the exchange is")
        self.formed: Read = m.scalar("formed", meaning="what stands in the GHCB has the form the guest checks for")
        self.copied: Read = m.scalar("copied", meaning="the guest checked a copy of its own")
        self.misled: Read = m.scalar("misled", meaning="the guest used an answer that fails its checks")
        self.exposed: Read = m.scalar("exposed", meaning="the guest put private data in the shared page unasked")
        self.once: Switch = m.duty(
            "read_answer_once",
            "the guest copies an answer before it checks it",
            "VCSHARED: verify_exception_info, a local copy of sw_exit_info_2",
        )
        self.valid: Switch = m.duty(
            "check_valid_bits",
            "the guest refuses an answer whose fields are not marked valid",
            "VCSHARED: ES_VMM_ERROR where ghcb_rax_is_valid fails",
        )
        self.needed: Switch = m.duty(
            "clear_ghcb",
            "the guest clears the GHCB and fills in what the exit needs only",
            "VCSHARED: vc_ghcb_invalidate",
        )


def model() -> Model:
    """SEV-ES: private memory and the firmware's commands."""
    m = ModelBuilder("sev-es", "firmware 1.55", "AMD SEV-ES, private memory and the firmware's commands")
    build(m)
    return m.build()


def exchange() -> Model:
    """The GHCB of a SEV-ES or SEV-SNP guest."""
    m = ModelBuilder("sev-es-ghcb", "GHCB 2", "What a guest and the host tell each other through the GHCB")
    m.assumption(
        "emulation-is-authorised",
        "The handler emulates for a program only I/O that the program may do.",
        ["vc-user-race"],
    )
    _ghcb(m, _Exchange(m))
    return m.build()


def _ghcb(m: ModelBuilder, e: _Exchange) -> None:
    with m.operation(
        "VMGEXIT", Caller.GUEST, "The guest asks the host through the shared page.", "GHCBSPEC: 2.3"
    ) as op:
        op.guard(
            "VMGEXIT.idle",
            e.stage == "IDLE",
            source="one exit at a time",
            redundant="a new exit starts the checks anew",
        )
        op.set(e.stage, "REQUEST")
        op.set(e.exposed, True, when=~e.needed)
    with m.operation(
        "fill GHCB",
        Caller.HOST,
        "The host writes the shared page, when and what it likes.",
        "GHCBSPEC: 2.3; hardware never reads it",
    ) as op:
        formed = op.parameter("formed", BOOL)
        op.set(e.formed, formed)
    with m.operation("VMRUN", Caller.HOST, "The host returns to the guest.", "GHCBSPEC: 2.3") as op:
        op.guard("VMRUN.request", e.stage == "REQUEST", source="the guest waits", redundant="it checks what it finds")
        op.set(e.stage, "ANSWERED")
    with m.operation(
        "check answer",
        Caller.GUEST,
        "The guest checks that the fields are marked valid.",
        "VCSHARED: __sev_cpuid_hv_ghcb, vc_handle_ioio",
    ) as op:
        op.guard(
            "check.answered", e.stage == "ANSWERED", source="the answer is there", redundant="it checks what it finds"
        )
        op.guard("check.valid", any_of(e.formed, ~e.valid), "ES_VMM_ERROR", "duty")
        op.set(e.stage, "CHECKED")
        op.set(e.copied, e.once)
        op.set(e.misled, True, when=~e.formed)
    with m.operation(
        "use answer", Caller.GUEST, "The guest goes on with the answer.", "VCSHARED: vc_handle_cpuid"
    ) as op:
        op.guard("use.checked", e.stage == "CHECKED", source="duty of check_valid_bits")
        op.set(e.stage, "IDLE")
        op.set(e.misled, True, when=all_of(~e.formed, ~e.copied))
    for part, never, sentence in (
        ("X2.form", e.misled, "the guest uses no answer that its checks refuse"),
        ("T1.ghcb", e.exposed, "the GHCB holds what the exit needs only"),
    ):
        m.objective(part, all_of(never), sentence, ("emulation-is-authorised",))
    m.invariant("form is checked", ~e.misled, "a copy cannot change after the check")
    m.invariant("checked is copied", any_of(e.stage != "CHECKED", e.copied), "the check works on the copy")
    m.invariant("only what is needed", ~e.exposed, "the page is cleared before each exit")
    m.witness("the guest used an answer", all_of(e.stage == "IDLE", e.copied))
