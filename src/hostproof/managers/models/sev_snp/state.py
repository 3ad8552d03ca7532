"""The state of SEV-SNP's memory: RMP entries, bytes as the guest's key reads them, swap metadata, what the guest knows."""

from __future__ import annotations

from hostproof.managers.engine import ModelBuilder, Sort, Term, all_of

__all__ = ["Content", "GuestPage", "MetadataEntry", "Owner", "Phase", "State", "SystemPage", "Use"]

SystemPage = Sort("SystemPage", prefix="s")
GuestPage = Sort("GuestPage", prefix="g")
MetadataEntry = Sort("MetadataEntry", prefix="m")
Owner = Sort("Owner", ("HYPERVISOR", "FIRMWARE", "GUEST", "OTHER"))
"""assigned and ASID of an RMP entry: not assigned; assigned with ASID 0; this guest's ASID; another guest's."""
Use = Sort("Use", ("NONE", "CONTEXT", "METADATA"))
"""What firmware does with a page of its own (vmsa and guest_pa of an entry with ASID 0)."""
Content = Sort("Content", ("GARBAGE", "DATA", "HOST"))
Phase = Sort("Phase", ("LAUNCH", "RUNNING", "HALTED", "STALLED"))


class State:
    """Variables, duties and policies, and the conditions that several operations share."""

    def __init__(self, m: ModelBuilder) -> None:
        page, address, entry = [SystemPage], [GuestPage], [MetadataEntry]
        self.owner = m.function("owner", page, Owner, "HYPERVISOR", "RMP.assigned and RMP.asid")
        self.immutable = m.function("immutable", page, meaning="RMP.immutable")
        self.validated = m.function("validated", page, meaning="RMP.validated")
        self.gpa = m.function("gpa", page, GuestPage, meaning="RMP.guest_pa")
        self.use = m.function("use", page, Use, "NONE", "what firmware uses its page for")
        self.content = m.function("content", page, Content, "GARBAGE", "what the guest's key decrypts it to")
        self.origin = m.function("origin", page, GuestPage, meaning="the address that DATA was written at")
        self.fresh = m.function("fresh", page, meaning="DATA is what the guest wrote last at that address")
        self.wrote = m.function("wrote", page, meaning="the guest's data was put here while the page was valid")
        self.saved = m.function("saved", page, Content, "GARBAGE", "the ciphertext that the host keeps of this page")
        self.saved_origin = m.function("saved_origin", page, GuestPage)
        self.saved_fresh = m.function("saved_fresh", page)
        self.full = m.function("full", entry, meaning="the metadata entry is valid: a page is swapped out")
        self.entry_gpa = m.function("entry_gpa", entry, GuestPage)
        self.entry_validated = m.function("entry_validated", entry)
        self.entry_content = m.function("entry_content", entry, Content, "GARBAGE")
        self.entry_origin = m.function("entry_origin", entry, GuestPage)
        self.entry_fresh = m.function("entry_fresh", entry)
        self.entry_wrote = m.function("entry_wrote", entry)
        self.accepted = m.function("accepted", address, meaning="the guest holds the address to be validated")
        self.used = m.function("used", address, meaning="the guest has data at the address")
        self.phase = m.scalar(
            "phase", Phase, (Phase.LAUNCH, Phase.RUNNING), "a guest may have launched with none of these pages"
        )
        self.disclosed = m.scalar("disclosed", meaning="the host read data of the guest in plaintext")
        self.observed = m.scalar("observed", meaning="the host read ciphertext of a page in use")
        self.dma_hit = m.scalar("dma_hit", meaning="a device wrote a page that the guest has validated")
        self._alive(m)
        self.rmp = m.policy("RMP", "the reverse map table is checked (off: plain SEV)", True, "APM: 15.36.3")
        self.debug = m.policy("DEBUG", "the guest policy allows debugging", False, "ASPFW: snp_mcmd_dbg_decrypt")
        self.no_swap = m.policy("PAGE_SWAP_DISABLE", "the guest policy forbids swapping", False, "SNPV")
        self.hiding = m.policy(
            "CIPHERTEXT_HIDING_DRAM", "a host read of a guest's page gives a constant", False, "SNPV"
        )
        self.validate_once = m.duty("validate_once", "the guest never validates an address twice", "SEVCORE")
        self.carry = m.duty("carry_is_attack", "the guest stops where PVALIDATE changed nothing (CF=1)", "SEVCORE")
        self.fatal = m.duty("not_validated_is_fatal", "the guest stops at #VC 0x404, page not validated", "SEVCORE")
        self.measured = m.duty(
            "launch_is_checked", "a verifier refuses a launch that gives an address twice", "SEVCORE"
        )

    def _alive(self, m: ModelBuilder) -> None:
        (p,) = SystemPage.names("p")
        (e,) = MetadataEntry.names("e")
        m.alive(self.gpa, [p], self.owner[p].is_in(Owner.GUEST, Owner.OTHER))
        m.alive(self.use, [p], self.owner[p] == Owner.FIRMWARE)
        m.alive(self.origin, [p], self.content[p] == Content.DATA)
        m.alive(self.fresh, [p], self.content[p] == Content.DATA)
        m.alive(self.saved_origin, [p], self.saved[p] == Content.DATA)
        m.alive(self.saved_fresh, [p], self.saved[p] == Content.DATA)
        for variable in (self.entry_gpa, self.entry_validated, self.entry_content, self.entry_wrote):
            m.alive(variable, [e], self.full[e])
        for variable in (self.entry_origin, self.entry_fresh):
            m.alive(variable, [e], all_of(self.full[e], self.entry_content[e] == Content.DATA))

    def in_state(self, s: Term, owner: Term, immutable: bool, validated: bool | None = None) -> Term:
        """The page state of the firmware's table: `sev_rmp.c`, rmp_entry_get_state."""
        fixed = [self.owner[s] == owner, self.immutable[s] == immutable]
        return all_of(*fixed, *([] if validated is None else [self.validated[s] == validated]))

    def live(self, s: Term) -> Term:
        """The guest may use the page."""
        return all_of(self.owner[s] == Owner.GUEST, self.validated[s]) | ~self.rmp

    def mapped(self, s: Term, g: Term) -> Term:
        """The checks of a guest access or PVALIDATE that fail with #VMEXIT(NPF)."""
        owned = self.owner[s] == Owner.GUEST
        return all_of(owned, self.gpa[s] == g, ~self.immutable[s]) | ~self.rmp

    def readable(self, s: Term, g: Term) -> Term:
        """The running guest reads page s at address g if the host maps it there."""
        valid = self.validated[s] | ~self.rmp
        return all_of(self.phase == Phase.RUNNING, self.mapped(s, g), valid)
