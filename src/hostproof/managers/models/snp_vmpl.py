"""AMD SEV-SNP: privilege levels inside one guest (VMPLs), RMPADJUST, VMSA pages, and the host that runs them.

Software at VMPL0 (a paravisor or SVSM) is trusted and keeps duties; VMPL1 and below may do whatever the processor lets them
do, together with the host. VMPL2 stands for everything below VMPL1. Any number of system pages and addresses. A system page
carries the fields of its RMP entry that matter here and what the guest's key makes of its bytes: `GARBAGE`, `ZERO`, `MONITOR`
(what VMPL0 put there: its data, or a VMSA that it filled in or checked), `LOWER` (what a lower level wrote, or a launch that
nobody checked).

RMPADJUST compares masks bit by bit and R, W, Xu, Xs and SSS obey the same rule; a step here moves one bit, and reading and
writing stand for the five.

Sources: APM (15.36, as the catalogue says), RMPS (`microsoft/verismo` `source/verismo/src/arch/rmp/access_s.rs` and
`entry_s.rs`, rmpadjust, pvalidate, fault_rmp_update), ASPFW (`amd/AMD-ASPFW` at 3ca6650dd35d, `sev_mcmd.c`), OVMF (edk2,
`SevSnpRmpAdjust`: what RMPADJUST does with the VMSA bit below VMPL0), SVSM (`coconut-svsm/svsm` at f4bc4bcdc2bd,
`kernel/src/protocols/core.rs`, `kernel/src/sev/utils.rs`), KVMSNP (kernel list, answer on VMSA pages in use, citing APM
15.36.12).

Not here: freshness (`sev-snp`), registers over #VMEXIT (`sev-snp-vcpu`), page sizes (`sev-snp-page-size`), swapping, and
translations that outlive a permission, which is an assumption.
"""

from __future__ import annotations

from hostproof.managers.engine import (
    BOOL,
    TRUE,
    Caller,
    Model,
    ModelBuilder,
    Name,
    OperationBuilder,
    Term,
    all_of,
    any_of,
    choose,
    implies,
)
from hostproof.managers.models.snp_vmpl_claims import claims
from hostproof.managers.models.snp_vmpl_state import Content, GuestPage, Level, Owner, Permission, State, SystemPage

__all__ = ["SIZES", "model"]

SIZES = {"SystemPage": 2, "GuestPage": 2}
_NPF = "#VMEXIT(NPF)"
_CHECK = "APM: 15.36.10, RMP checks of guest accesses; RMPS: check_guest_reverse_mut_size"
_LOWER = (Level.VMPL1, Level.VMPL2)


def model() -> Model:
    """Levels and VMSA pages, with all duties as switches."""
    m = ModelBuilder("sev-snp-vmpl", "1", "AMD SEV-SNP, privilege levels of a guest and VMSA pages")
    x = State(m)
    _host(m, x)
    _run(m, x)
    _launch(m, x)
    _validate(m, x)
    _adjust(m, x)
    _grant(m, x)
    _vmsa(m, x)
    _access(m, x)
    claims(m, x)
    return m.build()


def _host(m: ModelBuilder, x: State) -> None:
    sentence = "The hypervisor rewrites an RMP entry; what is new clears validated and VMSA and resets permissions."
    with m.operation("RMPUPDATE", Caller.HOST, sentence, "APM: 15.36.5, RMPUPDATE; RMPS: rmpupdate") as op:
        s, g = op.parameter("s", SystemPage), op.parameter("g", GuestPage)
        owner, immutable = op.parameter("owner", Owner), op.parameter("immutable", BOOL)
        still = "a command of firmware is one step here; a still entry matters between the steps of a real one"
        op.guard("RMPUPDATE.mutable", ~x.immutable[s], "FAIL_PERMISSION", "APM: RMPUPDATE, old entry immutable", still)
        op.guard("RMPUPDATE.in-use", ~x.running[s], "FAIL_INUSE", "KVMSNP: a VMSA in use; APM: 15.36.12")
        fixed = "a page of the hypervisor that nobody may reassign takes only the hypervisor's memory away"
        fits = implies(owner == Owner.HYPERVISOR, ~immutable)
        op.guard("RMPUPDATE.input", fits, "FAIL_INPUT", "APM: RMPUPDATE, not assigned with immutable", fixed)
        assigned = owner != Owner.HYPERVISOR
        changed = ~all_of(owner == x.owner[s], implies(assigned, g == x.gpa[s]))
        op.set(x.owner[s], owner)
        op.set(x.immutable[s], immutable)
        op.set(x.gpa[s], choose(assigned, g, x.gpa[s]))
        op.set(x.validated[s], False, when=changed)
        op.set(x.vmsa[s], False, when=changed)
        (kind,), (level,) = Permission.names("kind"), Level.names("level")
        op.set(x.may[s, level, kind], False, when=changed, each=[level, kind])
    with m.operation(
        "write", Caller.HOST, "The host writes a page; the guest decrypts it to garbage.", "APM: 15.36.10"
    ) as op:
        s = op.parameter("s", SystemPage)
        op.guard("write.not-the-guest's", x.owner[s] != Owner.GUEST, "#PF(RMP)", "APM: 15.36.10, host writes")
        op.set(x.content[s], Content.GARBAGE)
    sentence = "VMPL0 of another guest, the host's own, makes a VMSA of a page of its guest."
    with m.operation("other guest's VMSA", Caller.HOST, sentence, "APM: 15.36.7, RMPADJUST") as op:
        s = op.parameter("s", SystemPage)
        op.guard("other.asid", x.owner[s] == Owner.OTHER, _NPF, "APM: 15.36.10, ASID check")
        op.set(x.content[s], Content.GARBAGE)
        op.set(x.validated[s], True)
        op.set(x.vmsa[s], True)


def _run(m: ModelBuilder, x: State) -> None:
    sentence = "The host runs a virtual CPU of the guest from a page; the page is in use until #VMEXIT."
    with m.operation("VMRUN", Caller.HOST, sentence, "APM: 15.36.12, RMP checks of VMRUN") as op:
        s = op.parameter("s", SystemPage)
        clause = "APM: 15.36.12, VMSA page"
        op.guard("VMRUN.launched", x.launched | False, "INVALID_GUEST_STATE", "ASPFW: snp_mcmd_launch_finish", _EARLY)
        op.guard("VMRUN.asid", x.owner[s] == Owner.GUEST, "VMEXIT_INVALID", clause)
        op.guard("VMRUN.mutable", ~x.immutable[s], "VMEXIT_INVALID", clause, _STILL)
        op.guard("VMRUN.vmsa", x.vmsa[s], "VMEXIT_INVALID", clause)
        op.guard("VMRUN.free", ~x.running[s], "VMEXIT_BUSY", clause, _TWICE)
        op.set(x.running[s], True)
    with m.operation(
        "#VMEXIT", Caller.CPU, "The vCPU leaves and its page is no longer in use.", "KVMSNP; APM: 15.36.12"
    ) as op:
        s = op.parameter("s", SystemPage)
        op.guard("#VMEXIT.running", x.running[s], source="it runs", redundant="nothing changes otherwise")
        op.set(x.running[s], False)


_EARLY = "what runs too early runs what was measured so far, and the digest says what is missing"
_TWICE = "two cores on one page would mix registers that are the guest's own"
_STILL = "the guest's own content stands in an immutable page too"


def _launch(m: ModelBuilder, x: State) -> None:
    sentence = "Firmware puts a page of the image in place: type and permissions of levels are measured with it."
    with m.operation("LAUNCH_UPDATE", Caller.HOST, sentence, "ASPFW: snp_mcmd_launch_update") as op:
        s = op.parameter("s", SystemPage)
        vmsa, own = op.parameter("vmsa", BOOL), op.parameter("as_measured", BOOL)
        g = x.gpa[s]
        op.guard("LAUNCH_UPDATE.launch", ~x.launched, "INVALID_GUEST_STATE", "ASPFW: guest state is LAUNCH")
        pre = all_of(x.owner[s] == Owner.GUEST, x.immutable[s], ~x.validated[s])
        away = "a page of another owner is out of the guest's reach, and becoming the guest's clears validated"
        op.guard("LAUNCH_UPDATE.pre-guest", pre, "INVALID_PAGE_STATE", "ASPFW: page state Pre-guest", away)
        good = implies(x.measured, all_of(own, ~x.accepted[g]))
        op.guard("LAUNCH_UPDATE.measured", good, source="duty of the verifier")
        mine = all_of(own, ~x.launched)
        op.set(x.content[s], choose(mine, Content.MONITOR, Content.LOWER))
        op.set(x.origin[s], g)
        op.set(x.validated[s], True)
        op.set(x.immutable[s], False)
        op.set(x.vmsa[s], vmsa)
        op.set(x.accepted[g], True)
        op.set(x.holder[g], Level.VMPL0, when=~x.held[g])
        op.set(x.held[g], True)
    with m.operation("LAUNCH_FINISH", Caller.HOST, "The guest may run.", "ASPFW: snp_mcmd_launch_finish") as op:
        op.guard("LAUNCH_FINISH.launch", ~x.launched, "INVALID_GUEST_STATE", "ASPFW", redundant="nothing changes")
        op.set(x.launched, True)


def _validate(m: ModelBuilder, x: State) -> None:
    sentence = "VMPL0 validates an address, for itself or because a lower level asked for it."
    with m.operation("PVALIDATE 1", Caller.GUEST, sentence, "APM: 15.36.6, PVALIDATE; RMPS: pvalidate") as op:
        s, g = _mapped(op, x, "PVALIDATE")
        clause = "APM: PVALIDATE, VMPL not zero; RMPS: pvalidate, FAIL_PERMISSION"
        zero = _only_vmpl0(op, "PVALIDATE.vmpl0", clause)
        op.guard("PVALIDATE.once", implies(all_of(x.once, zero), ~x.accepted[g]), source="duty")
        op.guard("PVALIDATE.carry", implies(all_of(x.carry, zero), ~x.validated[s]), "CF=1", "duty")
        op.set(x.validated[s], True)
        op.set(x.accepted[g], True)
    sentence = "VMPL0 takes the validation of an address back, and what lower levels may do there."
    with m.operation("PVALIDATE 0", Caller.GUEST, sentence, "APM: 15.36.6, PVALIDATE") as op:
        s, g = _mapped(op, x, "PVALIDATE 0")
        fatal = "VMPL0 stops at a page that is no longer valid (#VC 0x404)"
        zero = _only_vmpl0(op, "PVALIDATE 0.vmpl0", "APM: PVALIDATE, VMPL not zero", redundant=fatal)
        op.guard("PVALIDATE 0.carry", implies(all_of(x.carry, zero), x.validated[s]), "CF=1", "duty")
        op.guard("PVALIDATE 0.stopped", implies(all_of(x.stopped, zero), ~x.vmsa[s]), source="duty")
        op.set(x.validated[s], False)
        op.set(x.accepted[g], False, when=zero)
        op.set(x.held[g], False, when=zero)
        _revoke(op, x, s, g, zero)


def _only_vmpl0(
    op: OperationBuilder, id: str, source: str, error: str = "FAIL_PERMISSION", redundant: str = ""
) -> Term:
    """The guard that VMPL0 executes this; whether it does, for the duties, which bind no other level."""
    zero = op.parameter("own", Level) == Level.VMPL0
    op.guard(id, zero, error, source, redundant)
    return zero


def _revoke(op: OperationBuilder, x: State, s: Name, g: Name, when: Term = TRUE) -> None:
    """VMPL0 takes every permission back: of all levels where it keeps its duty, else of VMPL1 only."""
    (kind,), (level,) = Permission.names("kind"), Level.names("level")
    reached = all_of(when, x.all_levels | (level == Level.VMPL1))
    op.set(x.may[s, level, kind], False, when=reached, each=[level, kind])
    op.set(x.granted[g, level, kind], False, when=when, each=[level, kind])


def _adjust(m: ModelBuilder, x: State) -> None:
    sentence = "A lower level changes what a level below it may do with a page."
    with m.operation("RMPADJUST", Caller.GUEST, sentence, "APM: 15.36.7, RMPADJUST; RMPS: rmpadjust") as op:
        s, _ = _mapped(op, x, "RMPADJUST", "permissions of a page that is another's are of no use")
        own, target = op.parameter("own", Level), op.parameter("target", Level)
        kind, on = op.parameter("kind", Permission), op.parameter("on", BOOL)
        op.guard("RMPADJUST.lower", own != Level.VMPL0, source="VMPL0 has operations of its own here", redundant=_OWN)
        above = all_of(own == Level.VMPL1, target == Level.VMPL2)
        op.guard("RMPADJUST.above", above, "FAIL_PERMISSION", "RMPS: rmpadjust, target not above the own level")
        valid = "without validation nobody gets through, and validating anew goes through VMPL0"
        op.guard("RMPADJUST.validated", x.validated[s], "#VC 0x404", "RMPS: rmpadjust, check_validated", valid)
        within = implies(on, x.may[s, own, kind])
        op.guard("RMPADJUST.within", within, "FAIL_PERMISSION", "RMPS: rmpadjust, subset of the own permissions")
        op.set(x.may[s, target, kind], on)


_OWN = "VMPL0 below means a level that may do everything, which above excludes"


def _grant(m: ModelBuilder, x: State) -> None:
    sentence = "VMPL0 clears a page and lets a lower level have it (RMPADJUST)."
    with m.operation("grant", Caller.GUEST, sentence, "SVSM: core_pvalidate_one, rmp_grant_guest_access") as op:
        s, g = _mapped(op, x, "grant")
        target, kind = op.parameter("target", Level), op.parameter("kind", Permission)
        op.guard("grant.below", target.is_in(*_LOWER), "FAIL_PERMISSION", "RMPS: rmpadjust", "it has everything itself")
        op.guard("grant.validated", all_of(x.validated[s], x.accepted[g]), "#VC 0x404", "RMPS: rmpadjust")
        op.guard("grant.apart", implies(x.apart, ~all_of(x.held[g], x.holder[g] == Level.VMPL0)), source="duty")
        op.guard("grant.vmsa", implies(x.hidden, ~x.vmsa[s]), source="duty")
        op.set(x.content[s], Content.ZERO, when=all_of(x.clears, x.unshared(g), ~x.held[g]))
        op.set(x.may[s, target, kind], True)
        op.set(x.granted[g, target, kind], True)
    sentence = "VMPL0 takes an address back from lower levels to keep it for itself (RMPADJUST)."
    with m.operation("revoke", Caller.GUEST, sentence, "SVSM: rmp_revoke_guest_access") as op:
        s, g = _mapped(op, x, "revoke")
        op.guard("revoke.validated", all_of(x.validated[s], x.accepted[g]), "#VC 0x404", "RMPS: rmpadjust")
        op.set(x.held[g], False, when=x.holder[g] != Level.VMPL0)
        _revoke(op, x, s, g)


def _vmsa(m: ModelBuilder, x: State) -> None:
    sentence = "VMPL0 checks the registers that a lower level put into a page, and keeps the page."
    with m.operation("check registers", Caller.GUEST, sentence, "SVSM: core_create_vcpu, check_vmsa") as op:
        s, g = _mapped(op, x, "check")
        op.guard("check.validated", all_of(x.validated[s], x.accepted[g]), "#VC 0x404", _CHECK)
        op.guard("check.hidden", implies(x.hidden, x.unshared(g)), source="duty")
        _keep(op, x, s, g)
    sentence = "A level makes a page a VMSA; VMPL0 sees to it first that the page is hidden and checked."
    with m.operation("RMPADJUST VMSA", Caller.GUEST, sentence, "APM: 15.36.7; SVSM: core_create_vcpu") as op:
        s, g = _mapped(op, x, "VMSA")
        zero = _only_vmpl0(op, "VMSA.vmpl0", "OVMF: SevSnpRmpAdjust; APM: RMPADJUST", "the bit stays as it is")
        op.guard("VMSA.validated", all_of(x.validated[s], x.accepted[g]), "#VC 0x404", "RMPS: rmpadjust")
        op.guard("VMSA.hidden", implies(all_of(x.hidden, zero), x.unshared(g)), source="duty")
        mine = all_of(x.content[s] == Content.MONITOR, x.held[g], x.holder[g] == Level.VMPL0)
        op.guard("VMSA.checked", implies(all_of(x.checked, zero), mine), source="duty")
        op.set(x.vmsa[s], True)
    sentence = "VMPL0 makes the VMSA of a lower level an ordinary page again, once its vCPU has stopped for good."
    with m.operation("RMPADJUST no VMSA", Caller.GUEST, sentence, "SVSM: core_delete_vcpu") as op:
        s, g = _mapped(op, x, "no VMSA")
        lost = "a vCPU without its VMSA does not run again, which the host may bring about anyway"
        source = "OVMF: SevSnpRmpAdjust; APM: RMPADJUST"
        zero = _only_vmpl0(op, "no VMSA.vmpl0", source, "the bit stays as it is", lost)
        op.guard("no VMSA.validated", all_of(x.validated[s], x.accepted[g]), "#VC 0x404", "RMPS: rmpadjust", _VALID)
        op.guard("no VMSA.stopped", implies(all_of(x.stopped, zero), ~x.running[s]), source="duty")
        op.guard(
            "no VMSA.one", x.vmsa[s], source="a VMSA", redundant="the bit is clear, and the page was given up before"
        )
        op.set(x.vmsa[s], False)
        # What is left are registers of the lower level, which may have them back.
        op.set(x.content[s], Content.LOWER, when=zero)
        op.set(x.origin[s], g, when=zero)
        op.set(x.held[g], False, when=zero)


def _keep(op: OperationBuilder, x: State, s: Name, g: Name) -> None:
    op.set(x.content[s], Content.MONITOR)
    op.set(x.origin[s], g)
    op.set(x.held[g], True)
    op.set(x.holder[g], Level.VMPL0)


def _access(m: ModelBuilder, x: State) -> None:
    with m.operation("VMPL0 writes", Caller.GUEST, "VMPL0 keeps data or registers at an address.", _CHECK) as op:
        s, g = _mapped(op, x, "access")
        op.guard("access.validated", all_of(x.validated[s], x.accepted[g]), "#VC 0x404", _CHECK)
        alone = all_of(x.unshared(g), any_of(~x.held[g], x.holder[g] == Level.VMPL0))
        op.guard("access.apart", implies(x.apart, alone), source="duty")
        _keep(op, x, s, g)
    for name, kind_wanted, sentence in (
        ("lower read", Permission.READ, "A lower level reads a page."),
        ("lower write", Permission.WRITE, "A lower level writes a page."),
    ):
        with m.operation(name, Caller.GUEST, sentence, _CHECK) as op:
            s, g = _mapped(op, x, "access", _FOREIGN if name == "lower read" else "")
            level = op.parameter("own", Level)
            op.guard("access.level", level.is_in(*_LOWER), source="a lower level", redundant=_OWN_LEVEL)
            op.guard("access.validated", x.validated[s], "#VC 0x404", _CHECK, _INVALID)
            op.guard("access.vmpl", x.may[s, level, kind_wanted], _NPF, "APM: 15.36.10, VMPL check; RMPS: check_vmpl")
            if name == "lower read":
                op.set(x.leaked, True, when=x.content[s] == Content.MONITOR)
                op.set(x.registers_read, True, when=x.vmsa[s])
            else:
                op.set(x.content[s], Content.LOWER)
                op.set(x.origin[s], g)
                op.set(x.holder[g], Level.VMPL1, when=~x.held[g])
                op.set(x.held[g], True)


_VALID = "a VMSA of the guest is valid as long as it is one"
_FOREIGN = "permissions are reset with owner and address, and immutable pages are the guest's own"
_OWN_LEVEL = "VMPL0 has no permissions of this kind in the model"
_INVALID = "a change of owner or address resets the permissions together with the validation"


def _mapped(op: OperationBuilder, x: State, where: str, redundant: str = "") -> tuple[Name, Name]:
    """A page that the host put at an address, under the checks that fail with #VMEXIT(NPF)."""
    s, g = op.parameter("s", SystemPage), op.parameter("g", GuestPage)
    op.guard(f"{where}.rmp", x.mapped(s, g), _NPF, _CHECK, redundant)
    return s, g
