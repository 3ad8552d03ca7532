"""pKVM on arm64: the hypervisor at EL2 keeps stage 2 of host and guests; as of a version, more or less of the vCPUs.

Two models that share nothing but the technology: `model` (memory) and `vcpu`. `VERSIONS` says what holds in each version:

* `7.3.4`: Linux 7.3.4 (Debian linux-source-7.3). Memory is isolated; its documentation names CPU state, DMA isolation and
  firmware of the guest as unimplemented, and a protected vCPU's whole context is copied from and to the host at every run;
* `el2-state`: the series that keeps vCPU state and PSCI at EL2 (PKVM of the catalogue: PC and X0 of a vCPU that never
  ran are the host's or PSCI's to set, and nothing after that);
* `android`: Android's trees, with firmware of the guest (pvmfw) and an IOMMU driver at EL2 (AVF of the catalogue).

`before-range-check` is 7.3.4 without the check that refuses ranges that wrap, for the attack `pkvm-share-guest-overflow`.
"""

from __future__ import annotations

from collections.abc import Mapping

from hostproof.managers.engine import Caller, Model, ModelBuilder, ModelError
from hostproof.managers.models import pkvm_guests
from hostproof.managers.models.pkvm_claims import claims
from hostproof.managers.models.pkvm_pages import State, host_and_el2, observers
from hostproof.managers.models.pkvm_vcpu import Got, VcpuState, vcpus

__all__ = ["NOT_APPLICABLE", "SIZES", "VERSIONS", "model", "models", "vcpu"]

_UPSTREAM = {
    "pfn_range_is_valid": True,
    "iommu": False,
    "vcpu_state_at_el2": False,
    "exceptions_at_el2": False,
    "start_at_el2": False,
    "debug_at_el2": False,
    "id_registers_at_el2": True,
    "pvmfw": False,
    "pci_config_at_el2": False,
}
_AT_EL2 = {
    **_UPSTREAM,
    "vcpu_state_at_el2": True,
    "exceptions_at_el2": True,
    "start_at_el2": True,
    "debug_at_el2": True,
}
VERSIONS: Mapping[str, Mapping[str, bool]] = {
    "7.3.4": _UPSTREAM,
    "el2-state": _AT_EL2,
    "android": {**_AT_EL2, "iommu": True, "pvmfw": True},
    "before-range-check": {**_UPSTREAM, "pfn_range_is_valid": False},
}
"""Values of the policies of each version; policies not named are as `model` and `vcpu` say."""
NOT_APPLICABLE = {
    "M2": "memory is not encrypted, so that there is no ciphertext",
    "S1": "there is neither swap nor migration of a protected guest",
}
"""Objectives that have no meaning here, and why."""
_ATTACKS = {
    "manager-is-correct": ["pkvm-share-guest-overflow"],
    "translation-is-enforced": ["arm-translation-bypass"],
}
SIZES = {"Page": 2, "GuestPage": 2, "Vm": 2, "Pin": 1}
"""Sizes at which traces of the memory model are searched."""


def model(version: str = "7.3.4") -> Model:
    """The memory of pKVM: ownership, donations, sharing, reclaim, teardown, devices."""
    values = _version(version)
    m = ModelBuilder("pkvm-arm64", version, "pKVM on arm64, memory")
    x = State(m, values["iommu"], "nvhe/mem_protect.c", values["pfn_range_is_valid"])
    host_and_el2(m, x)
    pkvm_guests.donations(m, x)
    pkvm_guests.plain_shares(m, x)
    pkvm_guests.guest_calls(m, x)
    pkvm_guests.reclaims(m, x)
    pkvm_guests.lives(m, x)
    pkvm_guests.guest_memory(m, x)
    observers(m, x, secure_world=True)
    claims(m, x, named=True, attacks=_ATTACKS)
    return m.build()


def vcpu(version: str = "7.3.4") -> Model:
    """The vCPUs of a protected guest of pKVM: registers, events, answers, debugging, launch."""
    values = _version(version)
    m = ModelBuilder("pkvm-arm64-vcpu", version, "pKVM on arm64, vCPUs")
    x = VcpuState(m, dict(values))
    vcpus(m, x, "serror")
    rests = ("manager-is-correct", "side-channels")
    where = "nvhe/pkvm.c, pkvm_init_features_from_host; nvhe/sys_regs.c, HOST_HANDLED(SYS_CTR_EL0)"
    with m.operation("answer_ctr_el0", Caller.HOST, "The host says how long a cache line is.", where) as op:
        op.guard("answer_ctr_el0.booted", x.booted, "", "the guest runs", redundant="defines who asks")
        op.set(x.got, "CACHE")
    where = "nvhe/hyp-main.c, handle___kvm_timer_set_cntvoff; nvhe/timer-sr.c"
    with m.operation("timer_set_cntvoff", Caller.HOST, "The host moves the virtual counter.", where) as op:
        op.set(x.got, "COUNTER")
    m.objective("X2.ctr_el0", x.got == Got.CACHE, "CTR_EL0 comes from the manager", rests, ["lie-cpuid"])
    m.objective("X2.counter", x.got == Got.COUNTER, "the virtual counter is the manager's", rests, ["lie-counter"])
    return m.build()


def models(version: str = "7.3.4") -> tuple[Model, Model]:
    """Both models of a version; their objectives are disjoint."""
    return model(version), vcpu(version)


def _version(version: str) -> Mapping[str, bool]:
    if version not in VERSIONS:
        raise ModelError.at("pkvm-arm64", f"there is no version {version}", expected=", ".join(VERSIONS))
    return VERSIONS[version]
