"""What the hypervisor and devices do to system pages: RMPUPDATE, plain writes, ciphertext kept and put back, DMA."""

from __future__ import annotations

from hostproof.managers.engine import BOOL, Caller, ModelBuilder, Name, OperationBuilder, all_of, choose, implies
from hostproof.managers.models.sev_snp.state import Content, GuestPage, Owner, Phase, State, SystemPage

__all__ = ["host"]

_ACCESS = "APM: 15.36.10, RMP checks of host writes"


def host(m: ModelBuilder, x: State) -> None:
    """Adds the operations of the host."""
    _rmpupdate(m, x)
    with m.operation("write", Caller.HOST, "The host writes a page; the guest decrypts it to garbage.", _ACCESS) as op:
        s = _page(op)
        _hypervisor_owned(op, x, s, "write")
        op.set(x.content[s], Content.GARBAGE)
    with m.operation(
        "save", Caller.HOST, "The host keeps the ciphertext of a page: reads are not checked.", _ACCESS
    ) as op:
        s = _page(op)
        op.guard(
            "save.hiding",
            implies(x.hiding, (x.owner[s] != Owner.GUEST)),
            "reads a constant",
            "SNPV: ciphertext hiding",
            redundant="M2 is broken without the policy; with it, the guard is what keeps it",
        )
        op.set(x.saved[s], x.content[s])
        op.set(x.saved_origin[s], x.origin[s])
        op.set(x.saved_fresh[s], x.fresh[s])
        op.set(x.observed, True, when=all_of(x.live(s), x.content[s] == Content.DATA))
    with m.operation("restore", Caller.HOST, "The host writes kept ciphertext back to its page.", _ACCESS) as op:
        s = _page(op)
        _hypervisor_owned(op, x, s, "restore")
        op.set(x.content[s], x.saved[s])
        op.set(x.origin[s], x.saved_origin[s])
        op.set(x.fresh[s], x.saved_fresh[s])
    with m.operation(
        "device write", Caller.DMA, "A device writes a page.", "APM: 15.36.10, IOMMU checks of the RMP"
    ) as op:
        s = _page(op)
        _hypervisor_owned(op, x, s, "dma")
        op.set(x.content[s], Content.GARBAGE)
        op.set(x.dma_hit, True, when=x.live(s))
    sentence = "The host leaves an address unmapped; the guest that touches it waits for ever."
    with m.operation("unmap", Caller.HOST, sentence, "APM: 15.25, nested paging") as op:
        g = op.parameter("g", GuestPage)
        op.guard("unmap.used", all_of(x.phase == Phase.RUNNING, x.used[g]), redundant="makes the trace a loss")
        op.set(x.phase, Phase.STALLED)
    with m.operation(
        "other guest write", Caller.HOST, "Another guest, the host's own, writes its page.", _ACCESS
    ) as op:
        s = _page(op)
        owned = (x.owner[s] == Owner.OTHER) | ~x.rmp
        op.guard("other.asid", owned, "#VMEXIT(NPF)", "APM: 15.36.10, ASID check")
        op.guard("other.mutable", ~x.immutable[s], "#VMEXIT(NPF)", _ACCESS, redundant="the page is not this guest's")
        op.set(x.content[s], Content.GARBAGE)


def _rmpupdate(m: ModelBuilder, x: State) -> None:
    """RMPUPDATE with every entry that the host may ask for."""
    sentence = "The hypervisor rewrites an RMP entry; a new owner or address takes the validation away."
    with m.operation("RMPUPDATE", Caller.HOST, sentence, "APM: 15.36.5, RMPUPDATE; RMPS: inv_hvupdate_rel") as op:
        s = _page(op)
        owner, g = op.parameter("owner", Owner), op.parameter("g", GuestPage)
        immutable = op.parameter("immutable", BOOL)
        op.guard("RMPUPDATE.rmp", x.rmp | False, "#UD", "SNP is on", redundant="a switch of the model")
        still = "a command of firmware is one step here; a still entry matters between the steps of a real one"
        op.guard("RMPUPDATE.mutable", ~x.immutable[s], "FAIL_PERMISSION", "APM: RMPUPDATE, old entry immutable", still)
        op.guard(
            "RMPUPDATE.input",
            implies(owner == Owner.HYPERVISOR, ~immutable),
            "FAIL_INPUT",
            "APM: RMPUPDATE, not assigned with immutable",
            redundant="a page of the hypervisor that nobody may reassign takes only the hypervisor's memory away",
        )
        address = owner.is_in(Owner.GUEST, Owner.OTHER)
        same = all_of(owner == x.owner[s], implies(address, g == x.gpa[s]))
        op.set(x.owner[s], owner)
        op.set(x.immutable[s], immutable)
        op.set(x.gpa[s], choose(address, g, x.gpa[s]))
        op.set(x.use[s], "NONE")
        op.set(x.validated[s], False, when=~same)
        op.set(x.wrote[s], False, when=~same)
    sentence = "A page of the hypervisor is fixed until reset."
    with m.operation("PAGE_SET_STATE", Caller.HOST, sentence, "ASPFW: page_set_hv_fixed") as op:
        s = _page(op)
        lost = "a guest page that is made immutable is lost, which the host may do anyway"
        mine = x.in_state(s, Owner.HYPERVISOR, False)
        op.guard("PAGE_SET_STATE.hypervisor", mine, "INVALID_PAGE_STATE", "ASPFW", lost)
        op.set(x.immutable[s], True)


def _page(op: OperationBuilder) -> Name:
    return op.parameter("s", SystemPage)


def _hypervisor_owned(op: OperationBuilder, x: State, s: Name, where: str) -> None:
    owned = (x.owner[s] == Owner.HYPERVISOR) | ~x.rmp
    op.guard(f"{where}.hypervisor-owned", owned, "#PF(RMP)", _ACCESS)
