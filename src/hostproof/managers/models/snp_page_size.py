"""AMD SEV-SNP: 4 KiB and 2 MiB entries of the RMP, PSMASH, PAGE_UNSMASH, and accesses of either size.

Any number of 2 MiB regions of system memory and of guest addresses. A region has two 4 KiB pages that stand for its 512: the
first, whose RMP entry speaks for the region where it is a 2 MiB entry, and one that stands for all others, which no rule tells
apart (`model(3)` has two of them; the tests compare). Under a 2 MiB entry the entries of the other pages say assigned, ASID 0:
`FIRMWARE` here, as every page that is assigned to no guest.

A guest's access comes through the nested page table, which the host fills: it chooses the system page and whether its
mapping is of 2 MiB. Processor and PVALIDATE then look at one entry: that of the page, or that of the region.

Sources: APM (15.36, as the catalogue says), RMPS (`microsoft/verismo` `source/verismo/src/arch/rmp/access_s.rs` and
`entry_s.rs`: pvalidate, fault_rmp_update, check_guest_reverse_mut_size), ASPFW (`amd/AMD-ASPFW` at 3ca6650dd35d,
`sev_mcmd.c`: snp_mcmd_page_unsmash with the number that its comments give a condition; snp_mcmd_page_reclaim), KVMSEV (Linux
`arch/x86/kvm/svm/sev.c`, snp_rmptable_psmash, sev_gmem_invalidate), SEVCORE (Linux `arch/x86/coco/sev`).

Not here: ciphertext put back, swapping, moving, launch, debugging (`sev-snp`), permissions of levels, which PSMASH copies and
PAGE_UNSMASH wants equal (condition 5), and VMSA pages, which are of 4 KiB (condition 3).
"""

from __future__ import annotations

from hostproof.managers.engine import (
    BOOL,
    Caller,
    Model,
    ModelBuilder,
    Name,
    OperationBuilder,
    Term,
    Variable,
    all_of,
    any_of,
    choose,
    implies,
)
from hostproof.managers.models.snp_page_size_claims import claims
from hostproof.managers.models.snp_page_size_state import Content, GuestRegion, Owner, Region, Saw, State

__all__ = ["SIZES", "model"]

SIZES = {"Region": 1, "GuestRegion": 1}
"""One region of each kind is enough for every trace: its pages trade places."""
_CHECK = "APM: 15.36.10, RMP checks of guest accesses; RMPS: check_guest_reverse_mut_size"
_NPF = "#VMEXIT(NPF)"
_STILL = "a command of firmware is one step here; a still entry matters between the steps of a real one"


def model(pages: int = 2) -> Model:
    """Regions of so many pages (2 or 3), with all duties as switches."""
    m = ModelBuilder("sev-snp-page-size", "1", "AMD SEV-SNP, 4 KiB and 2 MiB pages")
    x = State(m, pages)
    _rmpupdate(m, x)
    _split(m, x)
    _host(m, x)
    _pvalidate(m, x)
    _accesses(m, x)
    claims(m, x)
    return m.build()


def _rmpupdate(m: ModelBuilder, x: State) -> None:
    input_ = "a page of the hypervisor that nobody may reassign takes only the hypervisor's memory away"
    for large in (False, True):
        size = "2M" if large else "4K"
        where = f"RMPUPDATE {size}"
        sentence = f"The hypervisor rewrites the RMP entry of a {'region' if large else 'page'}."
        with m.operation(where, Caller.HOST, sentence, "APM: 15.36.5, RMPUPDATE; KVMSEV: sev_gmem_invalidate") as op:
            r, i = op.parameter("r", Region), x.first if large else op.parameter("i", x.Sub)
            owner, g = op.parameter("owner", Owner), op.parameter("g", GuestRegion)
            j = x.first if large else op.parameter("j", x.Sub)
            immutable = op.parameter("immutable", BOOL)
            (k,) = x.Sub.names("k")
            op.guard(f"{where}.mutable", ~x.immutable[r, i], "FAIL_PERMISSION", "APM: RMPUPDATE, old entry", _STILL)
            fits = implies(owner == Owner.HYPERVISOR, ~immutable)
            op.guard(f"{where}.input", fits, "FAIL_INPUT", "APM: RMPUPDATE, not assigned with immutable", input_)
            if large:
                empty = all_of(*(x.owner[r, page] == Owner.HYPERVISOR for page in _others(x)))
                clause = "APM: RMPUPDATE, a 4K page of the region is assigned"
                op.guard("RMPUPDATE 2M.overlap", any_of(x.large[r], empty), "FAIL_OVERLAP", clause, _OVER)
            else:
                op.guard("RMPUPDATE 4K.overlap", any_of(~x.large[r], i == x.first), "FAIL_OVERLAP", _INSIDE)
            assigned = owner != Owner.HYPERVISOR
            same = all_of(owner == x.owner[r, i], implies(assigned, all_of(g == x.gpa[r, i], j == x.sub[r, i])))
            still = x.large[r] if large else ~x.large[r]
            op.set(x.large[r], assigned if large else False, when=True if large else i == x.first)
            if large:
                covered = choose(assigned, Owner.FIRMWARE, Owner.HYPERVISOR)
                op.set(x.owner[r, k], covered, each=[k])
                op.set(x.immutable[r, k], False, each=[k])
                op.set(x.validated[r, k], False, when=k != x.first, each=[k])
            op.set(x.owner[r, i], owner)
            op.set(x.immutable[r, i], immutable)
            op.set(x.gpa[r, i], choose(assigned, g, x.gpa[r, i]))
            op.set(x.sub[r, i], choose(assigned, j, x.sub[r, i]))
            ended = ~all_of(same, still)
            op.set(x.validated[r, i], False, when=ended)
            each = True if large else any_of(k == i, x.large[r])
            op.set(x.wrote[r, k], False, when=all_of(ended, each), each=[k])


_OVER = "the entries inside are written over, and with them their validation"
_INSIDE = "APM: RMPUPDATE, the page is inside of a 2M entry"


def _others(x: State) -> list[Term]:
    """The pages of a region after the first."""
    return [getattr(x.Sub, name) for name in (x.Sub.values or ())[1:]]


def _split(m: ModelBuilder, x: State) -> None:
    (k,) = x.Sub.names("k")
    sentence = "The hypervisor splits a 2M entry into 4K entries that are the guest's and validated as it was."
    with m.operation("PSMASH", Caller.HOST, sentence, "APM: 15.36.11, PSMASH; KVMSEV: snp_rmptable_psmash") as op:
        r = op.parameter("r", Region)
        op.guard("PSMASH.large", x.large[r], "FAIL_BADADDR", "APM: PSMASH, a 2M entry")
        op.guard("PSMASH.mutable", ~x.immutable[r, x.first], "FAIL_PERMISSION", "APM: PSMASH", _STILL)
        for variable in (x.owner, x.immutable, x.validated, x.gpa):
            op.set(variable[r, k], variable[r, x.first], each=[k])
        op.set(x.sub[r, k], k, each=[k])
        op.set(x.large[r], False)
    sentence = "Firmware joins 4K entries of one region into a 2M entry."
    with m.operation("PAGE_UNSMASH", Caller.HOST, sentence, "ASPFW: snp_mcmd_page_unsmash") as op:
        r = op.parameter("r", Region)
        state, first = "INVALID_PAGE_STATE", x.first
        pages = [first, *_others(x)]

        def every(variable: Variable, value: Term) -> Term:
            return all_of(*(variable[r, page] == value for page in pages))

        joined = "joining what is joined already changes nothing that holds"
        op.guard("PAGE_UNSMASH.4K", ~x.large[r], state, "ASPFW: 1. each is a 4K page", joined)
        fixed = all_of(*(x.immutable[r, page] for page in pages))
        op.guard("PAGE_UNSMASH.immutable", fixed, state, "ASPFW: 2. each is immutable", _STILL)
        op.guard("PAGE_UNSMASH.state", every(x.validated, x.validated[r, first]), state, "ASPFW: 4. one page state")
        op.guard("PAGE_UNSMASH.asid", every(x.owner, Owner.GUEST), state, "ASPFW: 6. ASID not 0 and the same", _INVALID)
        op.guard("PAGE_UNSMASH.region", every(x.gpa, x.gpa[r, first]), state, "ASPFW: 7. consecutive addresses")
        row = all_of(*(x.sub[r, page] == page for page in pages))
        op.guard("PAGE_UNSMASH.row", row, state, "ASPFW: 7. aligned and consecutive addresses")
        op.set(x.large[r], True)
        op.set(x.owner[r, k], Owner.FIRMWARE, when=k != first, each=[k])
        op.set(x.immutable[r, k], False, when=k != first, each=[k])
        op.set(x.validated[r, k], False, when=k != first, each=[k])
    with m.operation(
        "PAGE_RECLAIM", Caller.HOST, "Firmware makes an entry mutable again.", "ASPFW: snp_mcmd_page_reclaim"
    ) as op:
        r, i = op.parameter("r", Region), op.parameter("i", x.Sub)
        op.guard("PAGE_RECLAIM.immutable", x.immutable[r, i], "success", "ASPFW", redundant="nothing changes otherwise")
        op.set(x.immutable[r, i], False)


_INVALID = "what is not the guest's is not validated, so that none of what is joined is"


def _host(m: ModelBuilder, x: State) -> None:
    sentence = "The host writes a page through a 4K mapping; the guest decrypts it to garbage."
    with m.operation("write", Caller.HOST, sentence, "APM: 15.36.10, RMP checks of host writes") as op:
        r, i = op.parameter("r", Region), op.parameter("i", x.Sub)
        owned = x.owner[r, i] == Owner.HYPERVISOR
        op.guard("write.hypervisor-owned", owned, "#PF(RMP)", "APM: 15.36.10, the page's entry")
        _garbage(op, x, r, i)
    sentence = "The host writes a region through a 2M mapping, at whichever page it likes."
    with m.operation("write 2M", Caller.HOST, sentence, "APM: 15.36.10, RMP checks of host writes") as op:
        r, i = op.parameter("r", Region), op.parameter("i", x.Sub)
        owned = all_of(*(x.owner[r, page] == Owner.HYPERVISOR for page in [x.first, *_others(x)]))
        op.guard("write 2M.hypervisor-owned", owned, "#PF(RMP)", "APM: 15.36.10, every page of the region")
        _garbage(op, x, r, i)


def _garbage(op: OperationBuilder, x: State, r: Name, i: Name) -> None:
    op.set(x.content[r, i], Content.GARBAGE)


def _pvalidate(m: ModelBuilder, x: State) -> None:
    (k,) = x.Sub.names("k")
    sentence = "The guest validates a page, or takes its validation back, with a request for 4K."
    with m.operation("PVALIDATE 4K", Caller.GUEST, sentence, "APM: 15.36.6, PVALIDATE; RMPS: pvalidate") as op:
        r, i, g, j = _page(op, x)
        value = op.parameter("v", BOOL)
        op.guard("PVALIDATE 4K.running", ~x.halted, source="the guest runs", redundant=_STOPPED)
        op.guard("PVALIDATE 4K.size", ~x.large[r], _NPF, "RMPS: fault_rmp_update, a 2M entry and a request for 4K")
        _check(op, x, r, i, g, j, "PVALIDATE 4K")
        op.guard("PVALIDATE 4K.once", implies(all_of(x.once, value), ~x.accepted[g, j]), source="duty")
        goes_on = any_of(x.validated[r, i] != value, ~x.carry)
        op.set(x.halted, True, when=~goes_on)
        op.set(x.validated[r, i], value)
        op.set(x.accepted[g, j], value, when=goes_on)
        op.set(x.used[g, j], False, when=all_of(goes_on, ~value))
        op.set(x.wrote[r, i], False, when=~value)
    sentence = "The guest validates a region, or takes its validation back, with a request for 2M."
    with m.operation("PVALIDATE 2M", Caller.GUEST, sentence, "APM: 15.36.6, PVALIDATE; RMPS: pvalidate") as op:
        r, g, value = op.parameter("r", Region), op.parameter("g", GuestRegion), op.parameter("v", BOOL)
        first = x.first
        op.guard("PVALIDATE 2M.running", ~x.halted, source="the guest runs", redundant=_STOPPED)
        mismatch = "RMPS: pvalidate, a 4K entry and a request for 2M"
        op.guard("PVALIDATE 2M.size", x.large[r], "FAIL_SIZEMISMATCH", mismatch)
        _check(op, x, r, first, g, first, "PVALIDATE 2M")
        free = all_of(*(~x.accepted[g, page] for page in [first, *_others(x)]))
        op.guard("PVALIDATE 2M.once", implies(all_of(x.once, value), free), source="duty")
        goes_on = any_of(x.validated[r, first] != value, ~x.carry)
        op.set(x.halted, True, when=~goes_on)
        op.set(x.validated[r, first], value)
        op.set(x.accepted[g, k], value, when=goes_on, each=[k])
        op.set(x.used[g, k], False, when=all_of(goes_on, ~value), each=[k])
        op.set(x.wrote[r, k], False, when=~value, each=[k])


_STOPPED = "a guest that stopped reads nothing"


def _accesses(m: ModelBuilder, x: State) -> None:
    with m.operation("guest write", Caller.GUEST, "The guest writes its data at an address.", _CHECK) as op:
        r, i, g, j = _access(op, x, "guest write")
        op.guard("guest write.validated", x.entry(x.validated, r, i), "#VC 0x404", _CHECK)
        op.guard("guest write.accepted", x.accepted[g, j], source="a guest uses what it validated", redundant=_SAME)
        (p,), (q,) = Region.names("p"), x.Sub.names("q")
        op.set(x.fresh[p, q], False, when=all_of(x.origin[p, q] == g, x.origin_sub[p, q] == j), each=[p, q])
        op.set(x.content[r, i], Content.DATA)
        op.set(x.origin[r, i], g)
        op.set(x.origin_sub[r, i], j)
        op.set(x.fresh[r, i], True)
        op.set(x.wrote[r, i], True)
        op.set(x.used[g, j], True)
    with m.operation("guest read", Caller.GUEST, "The guest reads an address that it uses.", _CHECK) as op:
        r, i, g, j = _access(op, x, "guest read")
        op.guard("guest read.validated", x.entry(x.validated, r, i), "#VC 0x404", _CHECK)
        op.guard("guest read.used", x.used[g, j], source="the guest wrote there")
        own = all_of(x.origin[r, i] == g, x.origin_sub[r, i] == j)
        data = choose(own, choose(x.fresh[r, i], Saw.OWN, Saw.OLD), Saw.OTHER)
        garbage = choose(x.wrote[r, i], Saw.CHANGED, Saw.GARBAGE)
        op.set(x.saw, choose(x.content[r, i] == Content.DATA, data, garbage))
    sentence = "The guest touches an address whose page is not validated."
    with m.operation("#VC page not validated", Caller.CPU, sentence, "APM: 15.36.10; SEVCORE: #VC 0x404") as op:
        r, i, g, j = _access(op, x, "#VC", _STOPS)
        op.guard("#VC.accepted", x.accepted[g, j], source="a guest touches what it validated", redundant=_STOPS)
        op.guard("#VC.invalid", ~x.entry(x.validated, r, i), "no exception", _CHECK, _STOPS)
        op.set(x.halted, True, when=x.fatal | False)
        op.set(x.validated[r, i], True, when=all_of(~x.fatal, ~x.large[r]))
        op.set(x.validated[r, x.first], True, when=all_of(~x.fatal, x.large[r]))


_SAME = "a valid page is accepted"
_INVALID_OWNER = "what is not the guest's is not validated"
_STOPS = "the duty stops the guest here, whatever the page"


def _page(op: OperationBuilder, x: State) -> tuple[Name, Name, Name, Name]:
    r, i = op.parameter("r", Region), op.parameter("i", x.Sub)
    return r, i, op.parameter("g", GuestRegion), op.parameter("j", x.Sub)


def _access(op: OperationBuilder, x: State, where: str, redundant: str = "") -> tuple[Name, Name, Name, Name]:
    """An access through a mapping of either size, under the checks of the entry that goes with the mapping."""
    r, i, g, j = _page(op, x)
    wide = op.parameter("2M", BOOL)
    op.guard(f"{where}.running", ~x.halted, source="the guest runs", redundant=redundant or _STOPPED)
    op.guard(f"{where}.size", wide == x.large[r], _NPF, _CHECK, redundant)
    first = x.first
    in_row = implies(wide, i == j)
    op.guard(
        f"{where}.row",
        in_row,
        source="a 2M mapping leads from each page to the same of the region",
        redundant=redundant,
    )
    owner = choose(wide, x.owner[r, first], x.owner[r, i])
    op.guard(f"{where}.asid", owner == Owner.GUEST, _NPF, _CHECK, redundant or _INVALID_OWNER)
    at = choose(wide, x.gpa[r, first], x.gpa[r, i])
    sub = choose(wide, x.sub[r, first] == first, x.sub[r, i] == j)
    op.guard(f"{where}.guest_pa", all_of(at == g, sub), _NPF, _CHECK, redundant)
    still = choose(wide, x.immutable[r, first], x.immutable[r, i])
    op.guard(f"{where}.mutable", ~still, _NPF, _CHECK, redundant or _STILL)
    return r, i, g, j


def _check(op: OperationBuilder, x: State, r: Name, i: Term, g: Name, j: Term, where: str) -> None:
    """The checks of PVALIDATE on the entry that it changes."""
    op.guard(f"{where}.asid", x.owner[r, i] == Owner.GUEST, _NPF, _CHECK)
    op.guard(f"{where}.guest_pa", all_of(x.gpa[r, i] == g, x.sub[r, i] == j), _NPF, _CHECK)
    op.guard(f"{where}.mutable", ~x.immutable[r, i], _NPF, _CHECK, _STILL)
