"""The state of SEV-SNP's pages of two sizes: RMP entries per page of a region, contents, what the guest knows."""

from __future__ import annotations

from hostproof.managers.engine import ModelBuilder, Sort, Term, Variable, all_of, any_of, choose

__all__ = ["Content", "GuestRegion", "Owner", "Region", "Saw", "State"]

Region = Sort("Region", prefix="r")
GuestRegion = Sort("GuestRegion", prefix="g")
Owner = Sort("Owner", ("HYPERVISOR", "GUEST", "FIRMWARE"))
Content = Sort("Content", ("GARBAGE", "DATA"))
Saw = Sort("Saw", ("NOTHING", "OWN", "CHANGED", "OLD", "OTHER", "GARBAGE"))
"""What the guest read last at an address that it uses."""


class State:
    """Variables and duties for so many pages of a region."""

    def __init__(self, m: ModelBuilder, pages: int) -> None:
        self.Sub = Sort("Sub", ("FIRST", "SECOND", "THIRD")[:pages])
        page, address = [Region, self.Sub], [GuestRegion, self.Sub]
        self.large = m.function("large", [Region], meaning="RMP.page_size of the region's first entry is 2 MiB")
        self.owner = m.function("owner", page, Owner, "HYPERVISOR", "RMP.assigned and RMP.asid")
        self.immutable = m.function("immutable", page, meaning="RMP.immutable")
        self.validated = m.function("validated", page, meaning="RMP.validated")
        self.gpa = m.function("gpa", page, GuestRegion, meaning="RMP.guest_pa: the region")
        self.sub = m.function("sub", page, self.Sub, "FIRST", "RMP.guest_pa: the page of the region")
        self.content = m.function("content", page, Content, "GARBAGE", "what the guest's key decrypts it to")
        self.origin = m.function("origin", page, GuestRegion, meaning="the region that DATA was written at")
        self.origin_sub = m.function("origin_sub", page, self.Sub, "FIRST", "the page that DATA was written at")
        self.fresh = m.function("fresh", page, meaning="DATA is what the guest wrote last at that address")
        self.wrote = m.function("wrote", page, meaning="the guest's data was put here while the page was valid")
        self.accepted = m.function("accepted", address, meaning="the guest holds the address to be validated")
        self.used = m.function("used", address, meaning="the guest has data at the address")
        self.halted = m.scalar("halted", meaning="the guest stopped because of what it saw")
        self.saw = m.scalar("saw", Saw, "NOTHING", "what the guest read last at an address that it uses")
        self.once = m.duty("validate_once", "the guest never validates an address twice", "SEVCORE")
        self.carry = m.duty("carry_is_attack", "the guest stops where PVALIDATE changed nothing (CF=1)", "SEVCORE")
        self.fatal = m.duty("not_validated_is_fatal", "the guest stops at #VC 0x404, page not validated", "SEVCORE")
        (r,), (i,) = Region.names("p"), self.Sub.names("q")
        for variable in (self.origin, self.origin_sub, self.fresh):
            m.alive(variable, [r, i], self.content[r, i] == Content.DATA)
        for variable in (self.gpa, self.sub):
            m.alive(variable, [r, i], self.owner[r, i] == Owner.GUEST)

    @property
    def first(self) -> Term:
        """The page whose entry speaks for a 2 MiB region."""
        return self.Sub.FIRST

    def entry(self, variable: Variable, r: Term, i: Term) -> Term:
        """A field of the entry that holds for a page: its own, or that of the region."""
        return choose(self.large[r], variable[r, self.first], variable[r, i])

    def valid(self, r: Term, i: Term, g: Term, j: Term) -> Term:
        """Page i of region r is the guest's valid page for page j of its region g, whatever the size of the entry."""
        one = all_of(~self.large[r], self.gpa[r, i] == g, self.sub[r, i] == j)
        two = all_of(self.large[r], self.gpa[r, self.first] == g, self.sub[r, self.first] == self.first, i == j)
        mine = all_of(self.entry(self.owner, r, i) == Owner.GUEST, self.entry(self.validated, r, i))
        return all_of(mine, any_of(one, two))
