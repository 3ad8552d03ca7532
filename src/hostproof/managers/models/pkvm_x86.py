"""pKVM on x86: Intel's pKVM-IA, where a core in VMX root mode keeps the EPT of host and guests.

The same page states and calls as on arm64, with differences that show in the verdicts:

* the core reaches all memory, so that no page is shared with it and none pinned;
* a page that the guest had shared is zeroed too when its VM ends;
* nothing is taken by force, but the host may make an entry not present, and present again with the same page only, and so
  follow accesses;
* the core programs the IOMMU and keeps the VMCS;
* interrupt controllers (and with them the start of a vCPU), timers, CPUID and PCI configuration are the host's (V2-S4 and
  V2-D3 of the catalogue).

`pci_config_at_el2` moves PCI configuration into the core, as was proposed.

Sources: PKVMIA is `intel-staging/pKVM-IA` arch/x86/kvm/vmx/pkvm/hyp (mem_protect.c at 0ba4682aaa1d, ept.c at 0112f0f87fe6). The
model follows the published code where there is some, and the argument on the list elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hostproof.managers.engine import (
    Caller,
    Model,
    ModelBuilder,
    ModelError,
    Term,
    all_of,
    any_of,
    exists,
    forall,
    implies,
)
from hostproof.managers.models import pkvm_guests
from hostproof.managers.models.pkvm_claims import claims
from hostproof.managers.models.pkvm_pages import (
    GuestPage,
    GuestState,
    Kind,
    Page,
    PageState,
    Phase,
    State,
    Vm,
    observers,
    page,
)
from hostproof.managers.models.pkvm_vcpu import Got, VcpuState, vcpus

__all__ = ["NOT_APPLICABLE", "SIZES", "VERSIONS", "model", "models", "vcpu"]

_CODE = {
    "iommu": True,
    "vcpu_state_at_el2": True,
    "exceptions_at_el2": False,
    "start_at_el2": False,
    "debug_at_el2": True,
    "id_registers_at_el2": False,
    "pvmfw": False,
    "pci_config_at_el2": False,
}
VERSIONS: Mapping[str, Mapping[str, bool]] = {
    "pKVM-IA": _CODE,
    "pci-config-in-core": {**_CODE, "pci_config_at_el2": True},
}
"""Values of the policies of each version."""
NOT_APPLICABLE = {
    "M2": "memory is not encrypted, so that there is no ciphertext",
    "S1": "there is neither swap nor migration of a protected guest",
}
"""Objectives that have no meaning here, and why."""
SIZES = {"Page": 2, "GuestPage": 2, "Vm": 2, "Pin": 1}
"""Sizes at which traces of the memory model are searched."""

_DESIGN = "V2-S4: the core keeps stage 2, IOMMU and VMCS; V2-D3: interrupts, timers and configuration are the host's"
_ARM64 = ("nvhe/", "arch/arm64", "hyp/exception.c", "PSCI", "PKVM:", "pkvm.rst")
_SHADOW, _HOST = "PKVMIA: ept.c, the shadow EPT", "PKVMIA: ept.c, handle_host_ept_violation"
_SOURCES = {
    "host_store": _HOST,
    "host_load": _HOST,
    "accomplice_store": _SHADOW,
    "accomplice_load": _SHADOW,
    "guest_store": _SHADOW,
    "guest_clear": _SHADOW,
    "guest_load": _SHADOW,
    "guest_share_host": "PKVMIA: mem_protect.c, __pkvm_guest_share_host",
    "guest_unshare_host": "PKVMIA: mem_protect.c, __pkvm_guest_unshare_host",
    "device_load": "PKVMIA: iommu.c; V2-S4: the core programs the IOMMU",
    "device_store": "PKVMIA: iommu.c; V2-S4: the core programs the IOMMU",
    "probe_bus": "V2-S2: no memory encryption on a client",
    "cpu_on": "INIT and SIPI through the interrupt controller, which is the host's (V2-D3)",
    "load_image": "V2-D1: the host starts the guest",
    "answer_config": "V2-D3: emulated configuration space",
    "answer_id": "V2-S4: CPUID is not among what the core owns",
}
"""Sources of what is shared with arm64; `_DESIGN` for the rest."""
_PROTECT, _EPT = "PKVMIA: mem_protect.c", "PKVMIA: ept.c"


class _State(State):
    """With entries that are not present but keep their page."""

    def __init__(self, m: ModelBuilder, iommu: bool) -> None:
        super().__init__(m, iommu, "PKVMIA: pgtable.c, iommu.c")
        self.blocked = m.function("blocked", [GuestPage], meaning="the entry is not present, and keeps page and state")

    def answers(self, s: Term, g: Term) -> Term:
        """A present entry, or a translation that outlived it."""
        return any_of(all_of(self.maps[g, s], ~self.blocked[g]), self.stale[g, s])


def model(version: str = "pKVM-IA") -> Model:
    """The memory of pKVM-IA: donation, sharing, invalidation, teardown, devices."""
    values = _version(version)
    m = ModelBuilder("pkvm-x86", version, "pKVM on x86, memory")
    x = _State(m, values["iommu"])
    _hyp(m, x)
    _donate(m, x)
    _plain(m, x)
    _guest_calls(m, x)
    _invalidate(m, x)
    _lives(m, x)
    pkvm_guests.guest_memory(m, x)
    observers(m, x, secure_world=False)
    claims(m, x, named=False, attacks={})
    (s,), (g, h) = Page.names("s"), GuestPage.names("g", "h")
    m.invariant(
        "alone",
        forall([s, g, h], implies(all_of(x.maps[g, s], x.maps[h, s]), g == h)),
        "a page has one address, shared or not",
    )
    return _cited(m.build())


def vcpu(version: str = "pKVM-IA") -> Model:
    """The vCPUs of a protected guest of pKVM on x86."""
    m = ModelBuilder("pkvm-x86-vcpu", version, "pKVM on x86, vCPUs")
    x = VcpuState(m, dict(_version(version)))
    vcpus(m, x, "nmi")
    with m.operation(
        "move_tsc", Caller.HOST, "The host's timers and offsets move time.", "V2-D3: timers are the host's"
    ) as op:
        op.set(x.got, "COUNTER")
    rests = ("manager-is-correct", "side-channels")
    m.objective("X2.counter", x.got == Got.COUNTER, "time is the manager's", rests, ["lie-counter"])
    return _cited(m.build())


def models(version: str = "pKVM-IA") -> tuple[Model, Model]:
    """Both models of a version; their objectives are disjoint."""
    return model(version), vcpu(version)


def _cited(model: Model) -> Model:
    """The model with the sources of x86 where parts that it shares with arm64 name arm64's."""

    def source(text: str, name: str) -> str:
        return _SOURCES.get(name, _DESIGN) if any(word in text for word in _ARM64) else text

    operations = tuple(
        replace(
            operation,
            source=source(operation.source, operation.name),
            guards=tuple(replace(one, source=source(one.source, operation.name)) for one in operation.guards),
        )
        for operation in model.operations
    )
    constants = tuple(replace(one, source=source(one.source, one.name)) for one in model.constants)
    return replace(model, operations=operations, constants=constants)


def _version(version: str) -> Mapping[str, bool]:
    if version not in VERSIONS:
        raise ModelError.at("pkvm-x86", f"there is no version {version}", expected=", ".join(VERSIONS))
    return VERSIONS[version]


def _hyp(m: ModelBuilder, x: _State) -> None:
    where = f"{_PROTECT}, __pkvm_host_donate_hyp"
    with m.operation("host_donate_hyp", Caller.HOST, "The host gives a page to the core.", where) as op:
        s = page(op)
        op.guard("donate_hyp.host", x.host[s] == PageState.OWNED, "EPERM", f"{_PROTECT}, host_request_donation")
        op.set(x.hyp[s], "OWNED")
        x.take_from_host(op, s)
    with m.operation("fill", Caller.MANAGER, "The core keeps its state in its page.", "PKVMIA: pkvm.c") as op:
        s = page(op)
        op.guard("fill.owned", x.hyp[s] == PageState.OWNED, "", "the core's own tables")
        op.set(x.content[s], "MANAGER")
    where = f"{_PROTECT}, __pkvm_hyp_donate_host (clear)"
    with m.operation("hyp_donate_host", Caller.MANAGER, "The core gives a page back, zeroed.", where) as op:
        s = page(op)
        op.guard("hyp_donate.hyp", x.hyp[s] == PageState.OWNED, "", "the core gives its own pages only")
        op.guard(
            "hyp_donate.host",
            x.host[s] == PageState.NOPAGE,
            "EPERM",
            f"{_PROTECT}, host_ack_donation",
            redundant="what the core owns is not the host's",
        )
        op.set(x.hyp[s], "NOPAGE")
        op.set(x.host[s], "OWNED")
        op.set(x.content[s], "ZERO", when=x.scrub)


def _donate(m: ModelBuilder, x: _State) -> None:
    where = f"{_PROTECT}, __pkvm_host_donate_guest; {_EPT}, pkvm_shadow_ept_map_leaf"
    with m.operation(
        "host_donate_guest", Caller.HOST, "The host gives a page to a protected VM, as it is.", where
    ) as op:
        s, g = page(op), op.parameter("g", GuestPage)
        op.guard(
            "donate_guest.protected",
            x.kind[x.vm[g]] != Kind.PLAIN,
            "",
            where,
            redundant="pages of the host's own VMs only: no trace is found, though the invariants may need it",
        )
        op.guard(
            "donate_guest.live",
            x.phase[x.vm[g]] == Phase.LIVE,
            "EINVAL",
            "PKVMIA: pkvm.c",
            redundant="a VM that does not run uses no page: no trace is found, though the invariants need it",
        )
        op.guard("donate_guest.host", x.host[s] == PageState.OWNED, "EPERM", f"{_PROTECT}, host_request_donation")
        op.guard("donate_guest.guest", x.guest[g] == GuestState.NOPAGE, "EPERM", f"{_PROTECT}, guest_ack_donation")
        x.take_from_host(op, s)
        op.set(x.guest[g], "OWNED")
        op.set(x.maps[g, s], True)


def _plain(m: ModelBuilder, x: _State) -> None:
    where = f"{_PROTECT}, __pkvm_host_share_guest"
    with m.operation(
        "host_share_guest", Caller.HOST, "The host shares a page with a VM without protection.", where
    ) as op:
        s, g = page(op), op.parameter("g", GuestPage)
        op.guard("share_guest.plain", x.kind[x.vm[g]] == Kind.PLAIN, "", f"{_EPT}, pkvm_shadow_ept_map_leaf")
        op.guard(
            "share_guest.live",
            x.phase[x.vm[g]] == Phase.LIVE,
            "EINVAL",
            "PKVMIA: pkvm.c",
            redundant="pages of the host's own VMs only: no trace is found, though the invariants may need it",
        )
        op.guard("share_guest.host", x.host[s] == PageState.OWNED, "EPERM", f"{_PROTECT}, host_request_share")
        op.guard(
            "share_guest.guest",
            x.guest[g] == GuestState.NOPAGE,
            "EPERM",
            f"{_PROTECT}, guest_ack_share",
            redundant="pages of the host's own VMs only: no trace is found, though the invariants may need it",
        )
        op.set(x.host[s], "SHARED_OWNED")
        op.set(x.guest[g], "SHARED_BORROWED")
        op.set(x.maps[g, s], True)
    where = f"{_PROTECT}, __pkvm_host_unshare_guest"
    with m.operation("host_unshare_guest", Caller.HOST, "The host takes a page back from a plain VM.", where) as op:
        s, g = page(op), op.parameter("g", GuestPage)
        op.guard("unshare_guest.maps", x.maps[g, s], "EPERM", f"{_EPT}, pkvm_shadow_ept_free_leaf")
        op.guard(
            "unshare_guest.host",
            x.host[s] == PageState.SHARED_OWNED,
            "EPERM",
            f"{_PROTECT}, host_request_unshare",
            redundant="what a plain VM borrows is shared",
        )
        op.guard(
            "unshare_guest.guest",
            x.guest[g] == GuestState.SHARED_BORROWED,
            "EPERM",
            f"{_PROTECT}, guest_ack_unshare",
            redundant="what the host shares with a VM it borrows",
        )
        op.set(x.host[s], "OWNED")
        op.set(x.guest[g], "NOPAGE")
        x.unmap(op, g)


def _guest_calls(m: ModelBuilder, x: _State) -> None:
    pkvm_guests.guest_calls(
        m, x, f"{_PROTECT}, __pkvm_guest_share_host", f"{_PROTECT}, __pkvm_guest_unshare_host", donors=False
    )


def _invalidate(m: ModelBuilder, x: _State) -> None:
    where = f"{_EPT}, pkvm_shadow_ept_invalidate_leaf"
    sentence = "The host makes the entry of a protected VM not present; page and state stay in it."
    with m.operation("invalidate_shadow_ept", Caller.HOST, sentence, where) as op:
        g, (t,) = op.parameter("g", GuestPage), Page.names("t")
        owned = x.guest[g].is_in(GuestState.OWNED, GuestState.SHARED_OWNED)
        op.guard("invalidate.owned", owned, "", where, redundant="other entries are unshared instead")
        op.guard("invalidate.present", ~x.blocked[g], "", where, redundant="an entry that is not present stays so")
        op.set(x.blocked[g], True)
        op.set(x.stale[g, t], True, when=all_of(~x.tlb, x.maps[g, t]), each=[t])
        op.set(x.outcome, "FOLLOWED", when=all_of(x.kind[x.vm[g]] == Kind.GUEST, x.guest[g] == GuestState.OWNED))
    where = f"{_EPT}, pkvm_shadow_ept_map_leaf"
    with m.operation("map_again", Caller.HOST, "The host makes an invalidated entry present again.", where) as op:
        s, g, (t,) = page(op), op.parameter("g", GuestPage), Page.names("t")
        op.guard("map_again.blocked", x.blocked[g], "", where, redundant="a present entry stays as it is")
        op.guard("map_again.same", x.maps[g, s], "EPERM", f"{where}: the page is the one that the entry kept")
        op.set(x.maps[g, t], False, each=[t])
        op.set(x.maps[g, s], True)
        op.set(x.blocked[g], False)


def _lives(m: ModelBuilder, x: _State) -> None:
    where = f"{_EPT}, pkvm_shadow_ept_deinit, pkvm_shadow_ept_free_leaf; {_PROTECT}, __pkvm_host_undonate_guest"
    sentence = "The host ends a VM: its own pages are zeroed, and all return to the host."
    with m.operation("teardown_shadow_vm", Caller.HOST, sentence, where) as op:
        v, (g,), (t,) = op.parameter("v", Vm), GuestPage.names("g"), Page.names("t")
        op.guard("teardown.live", x.phase[v] == Phase.LIVE, "EINVAL", where, redundant="a VM that is gone has no pages")
        mine = all_of(x.vm[g] == v, x.maps[g, t])
        owned = x.guest[g].is_in(GuestState.OWNED, GuestState.SHARED_OWNED)
        op.set(x.content[t], "ZERO", when=all_of(x.scrub, exists([g], all_of(mine, owned))), each=[t])
        op.set(x.host[t], "OWNED", when=exists([g], mine), each=[t])
        op.set(x.stale[g, t], True, when=all_of(~x.tlb, mine), each=[g, t])
        op.set(x.maps[g, t], False, when=x.vm[g] == v, each=[g, t])
        for variable, value in ((x.guest, "NOPAGE"), (x.written, "NONE"), (x.blocked, False)):
            op.set(variable[g], value, when=x.vm[g] == v, each=[g])
        op.set(x.phase[v], "GONE")
    where = "PKVMIA: pkvm.c, __pkvm_init_shadow_vm"
    with m.operation(
        "init_shadow_vm", Caller.HOST, "The host makes a VM of any kind under a free handle.", where
    ) as op:
        v, kind = op.parameter("v", Vm), op.parameter("kind", Kind)
        op.guard("init_shadow_vm.free", x.phase[v] == Phase.GONE, "EINVAL", where)
        op.set(x.phase[v], "LIVE")
        op.set(x.kind[v], kind)
