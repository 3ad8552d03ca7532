"""The state of SEV-SNP's levels: RMP entries with permissions, what stands in pages, what VMPL0 keeps and granted."""

from __future__ import annotations

from hostproof.managers.engine import ModelBuilder, Sort, Term, all_of, exists

__all__ = ["Content", "GuestPage", "Level", "Owner", "Permission", "State", "SystemPage"]

SystemPage = Sort("SystemPage", prefix="s")
GuestPage = Sort("GuestPage", prefix="g")
Owner = Sort("Owner", ("HYPERVISOR", "GUEST", "OTHER"))
"""assigned and ASID of an RMP entry: not assigned; this guest's ASID; another guest's, which is the host's own."""
Level = Sort("Level", ("VMPL0", "VMPL1", "VMPL2"))
"""VMPL2 stands for every level below VMPL1."""
Permission = Sort("Permission", ("READ", "WRITE"))
Content = Sort("Content", ("GARBAGE", "ZERO", "MONITOR", "LOWER"))


class State:
    """Variables and duties, and the conditions that several operations share."""

    def __init__(self, m: ModelBuilder) -> None:
        page, address = [SystemPage], [GuestPage]
        self.owner = m.function("owner", page, Owner, "HYPERVISOR", "RMP.assigned and RMP.asid")
        self.immutable = m.function("immutable", page, meaning="RMP.immutable")
        self.validated = m.function("validated", page, meaning="RMP.validated")
        self.vmsa = m.function("vmsa", page, meaning="RMP.vmsa")
        self.gpa = m.function("gpa", page, GuestPage, meaning="RMP.guest_pa")
        self.may = m.function("may", [SystemPage, Level, Permission], meaning="RMP permissions of a level below VMPL0")
        self.running = m.function("running", page, meaning="VMRUN entered a vCPU from this page: in use")
        self.content = m.function("content", page, Content, "GARBAGE", "what the guest's key decrypts it to")
        self.origin = m.function("origin", page, GuestPage, meaning="the address that MONITOR or LOWER was written at")
        self.accepted = m.function("accepted", address, meaning="VMPL0 holds the address to be validated")
        self.granted = m.function("granted", [GuestPage, Level, Permission], meaning="VMPL0 let a level have this")
        self.held = m.function("held", address, meaning="somebody keeps data at the address")
        self.holder = m.function("holder", address, Level, "VMPL0", "who: VMPL0, or the lower levels (VMPL1)")
        self.launched = m.scalar("launched", initial=(False, True), meaning="LAUNCH_FINISH happened")
        self.leaked = m.scalar("leaked", meaning="a lower level read what VMPL0 kept")
        self.registers_read = m.scalar("registers_read", meaning="a lower level read a VMSA")
        self._alive(m)
        self._duties(m)

    def _alive(self, m: ModelBuilder) -> None:
        (p,), (a,) = SystemPage.names("p"), GuestPage.names("a")
        m.alive(self.gpa, [p], self.owner[p] != Owner.HYPERVISOR)
        m.alive(self.origin, [p], self.content[p].is_in(Content.MONITOR, Content.LOWER))
        m.alive(self.holder, [a], self.held[a])

    def _duties(self, m: ModelBuilder) -> None:
        svsm = "SVSM: kernel/src/protocols/core.rs"
        sentence = "an address is validated once, whoever asks VMPL0 for it"
        self.once = m.duty("validate_once", sentence, "SEVCORE")
        self.carry = m.duty(
            "carry_is_attack", "VMPL0 stops where PVALIDATE changed nothing (CF=1)", f"{svsm}, pvalidate"
        )
        sentence = "VMPL0 clears a page before it lets a lower level have it"
        self.clears = m.duty("clear_before_grant", sentence, f"{svsm}, core_pvalidate_one")
        sentence = "VMPL0 keeps its data where it granted nothing, and grants nothing where it keeps data"
        self.apart = m.duty("own_memory_apart", sentence, f"{svsm}, valid_phys_region")
        sentence = "what VMPL0 takes back it takes from every level, not only from the one that it gave it to"
        self.all_levels = m.duty("revoke_all_levels", sentence, "SVSM: rmp_revoke_guest_access")
        sentence = "no lower level may touch a page while VMPL0 checks its registers, nor while it is a VMSA"
        self.hidden = m.duty("vmsa_is_hidden", sentence, "SVSM: core_create_vcpu, rmp_set_guest_vmsa")
        sentence = "VMPL0 makes a VMSA only of what it filled in, or checked after it was hidden"
        self.checked = m.duty("vmsa_is_checked", sentence, "SVSM: check_vmsa")
        sentence = "VMPL0 takes a VMSA apart only when its vCPU has stopped"
        self.stopped = m.duty("vmsa_has_stopped", sentence, "SVSM: core_delete_vcpu, VMSA.disable")
        sentence = "a verifier refuses a launch with another image, or one that gives an address twice"
        self.measured = m.duty("launch_is_checked", sentence, "ASPFW: snp_mcmd_launch_update, page_info")

    def mapped(self, s: Term, g: Term) -> Term:
        """The checks of a guest access, PVALIDATE or RMPADJUST that fail with #VMEXIT(NPF)."""
        return all_of(self.owner[s] == Owner.GUEST, self.gpa[s] == g, ~self.immutable[s])

    def unshared(self, g: Term) -> Term:
        """Whether VMPL0 lets no lower level have anything at the address, as it knows."""
        (level,), (kind,) = Level.names("some_level"), Permission.names("some_kind")
        return ~exists([level, kind], self.granted[g, level, kind])
