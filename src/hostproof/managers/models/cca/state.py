"""The state of a realm's memory: granules, the realm's translation table, what the realm knows."""

from __future__ import annotations

from hostproof.managers.engine import ModelBuilder, Sort, Term, all_of, any_of

__all__ = [
    "Asked",
    "Content",
    "Destroyed",
    "Gpt",
    "Granule",
    "GranuleState",
    "Ipa",
    "Measure",
    "Realm",
    "Ripas",
    "State",
]

Granule = Sort("Granule", prefix="s")
"""A granule of physical memory: 4 KiB, aligned, delegable (RMMSPEC: A2.2)."""
Ipa = Sort("Ipa", prefix="g")
"""A page of the realm's protected address space (RMMSPEC: A5.2.1)."""
GranuleState = Sort("GranuleState", ("UNDELEGATED", "DELEGATED", "RD", "REC", "REC_AUX", "DATA", "RTT"))
Gpt = Sort("Gpt", ("NS", "REALM", "OTHER"))
"""The granule protection table: Non-secure, Realm, or Secure and Root."""
Ripas = Sort("Ripas", ("EMPTY", "RAM", "DESTROYED"))
Content = Sort("Content", ("WIPED", "HOST", "IMAGE", "REALM", "REGISTERS", "MISPLACED"))
"""Nobody's; the host's choice; the measured image; what the realm wrote; its registers; its secrets in shared memory."""
Realm = Sort("Realm", ("NULL", "NEW", "ACTIVE", "SYSTEM_OFF"))
Asked = Sort("Asked", ("NOTHING", "EMPTY", "RAM_NO_CHANGE_DESTROYED", "RAM_CHANGE_DESTROYED", "APPLIED"))
"""A RIPAS change in a REC: none, which one, or applied and not yet reported to the realm (RMMSPEC: A5.4)."""
Destroyed = Sort("Destroyed", ("NO_CHANGE_DESTROYED", "CHANGE_DESTROYED"))
Measure = Sort("Measure", ("MEASURE_CONTENT", "NO_MEASURE_CONTENT"))

_LINUX = "RSIC"


class State:
    """Variables, duties and policies, and the conditions that several operations share."""

    def __init__(self, m: ModelBuilder) -> None:
        granule, ipa = [Granule], [Ipa]
        self.state = m.function("state", granule, GranuleState, "UNDELEGATED", "the granule's lifecycle state")
        self.gpt = m.function("gpt", granule, Gpt, "NS", "its entry in the granule protection table")
        self.content = m.function("content", granule, Content, "HOST", "what the granule holds")
        self.origin = m.function("origin", granule, Ipa, meaning="the address that its data was written at")
        self.fresh = m.function("fresh", granule, meaning="that is what was written last at that address")
        self.other = m.function("other", granule, meaning="a table of another realm, the host's own, maps it")
        self.maps = m.function("maps", [Granule, Ipa], meaning="the realm's RTT entry at g holds the address of s")
        self.stale = m.function("stale", [Granule, Ipa], meaning="a translation from g to s is left in a TLB")
        self.assigned = m.function("assigned", ipa, meaning="HIPAS is ASSIGNED, not UNASSIGNED")
        self.ripas = m.function("ripas", ipa, Ripas, "EMPTY", "RIPAS of the address")
        self.asked = m.function("asked", ipa, Asked, "NOTHING", "the RIPAS change of the address that a REC waits for")
        self.believed = m.function("believed", ipa, meaning="the realm holds the address to be its RAM")
        self.used = m.function("used", ipa, meaning="the realm has data there: the measured image, or what it wrote")
        self.realm = m.scalar("realm", Realm, (Realm.NULL, Realm.NEW), "a realm may have been made of other granules")
        self.disclosed = m.scalar("disclosed", meaning="somebody else read data of the realm")
        self.registers_disclosed = m.scalar("registers_disclosed", meaning="somebody else read a REC")
        self.observed = m.scalar("observed", meaning="the host read a granule of the Realm physical address space")
        self.dma_hit = m.scalar("dma_hit", meaning="a device reached a granule that the realm uses")
        self._alive(m)
        self._switches(m)

    def _alive(self, m: ModelBuilder) -> None:
        (s,) = Granule.names("p")
        data = self.content[s].is_in(Content.IMAGE, Content.REALM)
        m.alive(self.origin, [s], data)
        m.alive(self.fresh, [s], data)

    def _switches(self, m: ModelBuilder) -> None:
        self.wipe_undelegate = m.policy(
            "WIPE_ON_UNDELEGATE", "RMI_GRANULE_UNDELEGATE wipes", True, "RMMSPEC: A2.2.4, B4.3.6 gran_content"
        )
        self.wipe_create = m.policy(
            "WIPE_ON_CREATE",
            "a granule is wiped on its way through DELEGATED",
            True,
            "RMMSPEC: A2.2.4, B4.3.2 data_content",
        )
        self.tlbi = m.policy("TLB_INVALIDATED", "a command that unmaps leaves no translation", True, "RMMSPEC: A5.5")
        self.smmu = m.policy("SMMU_GPC", "granule protection is checked for devices too", True, "RMM")
        self.mpe = m.policy("MEMORY_ENCRYPTION", "DRAM holds ciphertext, with integrity and freshness", False, "RMM")
        self.known = m.policy("IMAGE_KNOWN", "the realm never asks for RAM where it has data", False)
        self.keeps_flag = m.duty(
            "keeps_not_destroyed",
            "where it may have data, the realm asks for RAM with RSI_NO_CHANGE_DESTROYED",
            f"RMMSPEC: A5.2.5; {_LINUX}: arm64_rsi_setup_memory",
        )
        self.alone = m.duty("asks_alone", "no vCPU uses an address while another waits for its RIPAS", "RMMSPEC: A5.4")
        self.checks = m.duty(
            "checks_new_base",
            "the realm takes RAM as given only up to new_base",
            f"RMMSPEC: A5.4; {_LINUX}: rsi_set_memory_range",
        )
        self.rim = m.duty(
            "rim_is_checked", "a verifier refuses a realm whose RIM is not the agreed one", "RMMSPEC: A7.1.1"
        )
        self.shares = m.duty(
            "shares_knowingly",
            "the realm puts secrets into protected memory only",
            f"RMMSPEC: A2.1.2.2; {_LINUX}: prot_ns_shared",
        )

    def holds_data(self, s: Term) -> Term:
        """The granule holds data of the realm: its image or what it wrote."""
        return self.content[s].is_in(Content.IMAGE, Content.REALM)

    def valid(self, s: Term, g: Term) -> Term:
        """The stage 2 descriptor at g is valid and points to s (RMMSPEC: A5.3.1), or a TLB still says so."""
        return any_of(all_of(self.maps[s, g], self.ripas[g] == Ripas.RAM), self.stale[s, g])

    def readable(self, s: Term, g: Term) -> Term:
        """The running realm reads granule s at address g."""
        return all_of(self.realm == Realm.ACTIVE, self.valid(s, g), self.gpt[s] == Gpt.REALM)
