"""The guest: it validates addresses, gives them back, writes; and meets pages that are not validated."""

from __future__ import annotations

from hostproof.managers.engine import Caller, ModelBuilder, Name, OperationBuilder, any_of, implies
from hostproof.managers.models.sev_snp.commands import write
from hostproof.managers.models.sev_snp.state import GuestPage, Phase, State, SystemPage

__all__ = ["guest"]

_NPF = "#VMEXIT(NPF)"
_CHECK = "APM: 15.36.10, RMP checks of guest accesses; RMPS: check_guest_reverse_mut_size"


def guest(m: ModelBuilder, x: State) -> None:
    """Adds the operations of the guest. The host chooses which page the nested page table puts at the address."""
    sentence = "The guest validates the page that the host put at an address."
    with m.operation("PVALIDATE 1", Caller.GUEST, sentence, "APM: 15.36.6, PVALIDATE; RMPS: okay_with_pvalidate") as op:
        s, g = _access(op, x, "PVALIDATE")
        op.guard("PVALIDATE.once", implies(x.validate_once, ~x.accepted[g]), source="duty")
        changed = ~x.validated[s]
        op.set(x.phase, Phase.HALTED, when=~any_of(changed, ~x.carry))
        op.set(x.accepted[g], True, when=any_of(changed, ~x.carry))
        op.set(x.validated[s], True)
    sentence = "The guest takes the validation back, to share the address with the host."
    with m.operation("PVALIDATE 0", Caller.GUEST, sentence, "APM: 15.36.6, PVALIDATE") as op:
        s, g = _access(op, x, "PVALIDATE")
        op.guard(
            "PVALIDATE.accepted", x.accepted[g], source="a guest gives back what it has", redundant="carry says so"
        )
        changed = x.validated[s]
        op.set(x.phase, Phase.HALTED, when=~any_of(changed, ~x.carry))
        op.set(x.accepted[g], False, when=any_of(changed, ~x.carry))
        op.set(x.used[g], False, when=any_of(changed, ~x.carry))
        op.set(x.validated[s], False)
        op.set(x.wrote[s], False)
    with m.operation("write private", Caller.GUEST, "The guest writes its data at an address.", _CHECK) as op:
        s, g = _access(op, x, "access")
        op.guard("access.validated", x.validated[s] | ~x.rmp, "#VC 0x404", _CHECK)
        same = "a valid page is accepted"
        op.guard("access.accepted", x.accepted[g] | ~x.rmp, source="a guest uses what it validated", redundant=same)
        write(op, x, s, g)
    sentence = "The guest touches an address whose page is not validated."
    with m.operation("#VC page not validated", Caller.CPU, sentence, "APM: 15.36.10; SEVCORE: #VC 0x404") as op:
        s, g = _access(op, x, "#VC")
        stops = "the duty stops the guest here, whatever the page"
        op.guard("#VC.accepted", x.accepted[g], source="a guest touches what it validated", redundant=stops)
        op.guard("#VC.invalid", ~x.validated[s], "no exception", _CHECK, stops)
        op.set(x.phase, Phase.HALTED, when=x.fatal | False)
        op.set(x.validated[s], True, when=~x.fatal)


def _access(op: OperationBuilder, x: State, where: str) -> tuple[Name, Name]:
    """A page at an address, under the checks that a guest access makes."""
    s, g = op.parameter("s", SystemPage), op.parameter("g", GuestPage)
    op.guard(f"{where}.running", x.phase == Phase.RUNNING, source="the guest runs", redundant="objectives ask for it")
    why = "the duty stops the guest here, whatever the page" if where == "#VC" else ""
    op.guard(f"{where}.rmp", x.mapped(s, g), _NPF, _CHECK, why)
    return s, g
