"""The state of SEV's memory: what the guest's key makes of each page, ciphertext that the host keeps, ASID, migration."""

from __future__ import annotations

from hostproof.managers.engine import ModelBuilder, Sort, Term, all_of
from hostproof.managers.models.sev_snp.state import Content, GuestPage, SystemPage

__all__ = ["Asid", "Content", "GuestPage", "Leak", "Package", "Phase", "State", "SystemPage", "Target"]

Phase = Sort("Phase", ("LUPDATE", "LSECRET", "RUNNING", "SENT"))
Asid = Sort("Asid", ("GUEST", "NONE", "OTHER"))
"""Whose key the guest's ASID has in the memory controller; OTHER is a guest of the host's own."""
Leak = Sort("Leak", ("NONE", "SERVICE", "DEBUG", "SEND", "ASID"))
"""How the host last learned plaintext."""
Package = Sort("Package", ("NONE", "CURRENT", "STALE"))
Target = Sort("Target", ("GENUINE", "ROGUE"))


class State:
    """Variables, duties and policies."""

    def __init__(self, m: ModelBuilder) -> None:
        page, address = [SystemPage], [GuestPage]
        self.content = m.function("content", page, Content, "GARBAGE", "what the guest's key decrypts it to")
        self.origin = m.function("origin", page, GuestPage, meaning="the address that it was written at")
        self.fresh = m.function("fresh", page, meaning="it is what was written last at that address")
        self.wrote = m.function("wrote", page, meaning="the guest's data was put here")
        self.moved = m.function("moved", page, meaning="the host put another page's ciphertext here")
        self.cached = m.function("cached", page, meaning="a cache holds the guest's data under its ASID")
        self.saved = m.function("saved", page, Content, "GARBAGE", "the ciphertext that the host keeps of this page")
        self.saved_origin = m.function("saved_origin", page, GuestPage)
        self.saved_fresh = m.function("saved_fresh", page)
        self.used = m.function("used", address, meaning="the guest has data at the address")
        self.io = m.scalar(
            "buffer", GuestPage, meaning="the address of a buffer that the guest fills from or sends out"
        )
        self.phase = m.scalar("phase", Phase, meaning="GUEST_STATE; a guest may run that has none of these pages")
        self.asid = m.scalar("asid", Asid, "GUEST", "whose the ASID is")
        self.dirty = m.scalar("dirty", meaning="the ASID was deactivated and no DF_FLUSH followed")
        self.flushed = m.scalar("flushed", meaning="WBINVD was done since the last DEACTIVATE")
        self.leak = m.scalar("leak", Leak, "NONE", "how the host learned plaintext")
        self.observed = m.scalar("observed", meaning="the host read ciphertext of data")
        self.dma_hit = m.scalar("dma_hit", meaning="a device wrote a page with the guest's data")
        self.injected = m.scalar("injected", meaning="a command put in content that nobody vouches for")
        self.package = m.scalar("package", Package, "NONE", "the guest as it was sent, in the host's hands")
        self.rolled_back = m.scalar("rolled_back", meaning="an old or a second copy of the guest runs")
        self.withheld = m.scalar("withheld", meaning="the host stopped running the guest")
        self.lied = m.scalar("lied", meaning="the guest believes an answer to CPUID that is not the processor's")
        self.confused = m.scalar("confused", meaning="the guest wrote private data without encryption")
        self._alive(m)
        self.nodbg = m.policy("NODBG", "policy bit 0: no debugging", True, "ASPFW: SEV_GUEST_POLICY_NODBG_FLAG")
        self.nosend = m.policy("NOSEND", "policy bit 3: no migration", False, "ASPFW: SEV_GUEST_POLICY_NOSEND_FLAG")
        self.sev_only = m.policy(
            "SEV", "policy bit 5: only to an SEV platform", True, "ASPFW: SEV_GUEST_POLICY_SEV_FLAG"
        )
        self.tweak = m.policy("PREDICTABLE_TWEAK", "the address tweak of the first generation (Naples)", False, "DU17")
        self.verify_cbit = m.duty(
            "verify_cbit",
            "the guest finds out by itself that the C-bit encrypts",
            "Linux 7.3: arch/x86/kernel/sev_verify_cbit.S, sev_verify_cbit",
        )

    def _alive(self, m: ModelBuilder) -> None:
        (p,) = SystemPage.names("p")
        for variable in (self.origin, self.fresh):
            m.alive(variable, [p], self.content[p] == Content.DATA)
        for variable in (self.saved_origin, self.saved_fresh):
            m.alive(variable, [p], self.saved[p] == Content.DATA)

    def runs(self) -> Term:
        """The guest can be entered: it runs and the ASID has its key."""
        return all_of(self.phase == Phase.RUNNING, self.asid == Asid.GUEST)
