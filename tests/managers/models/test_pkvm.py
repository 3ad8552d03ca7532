"""pKVM on arm64 and x86: the verdicts that an engineer of it expects, per version, policy and duty."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType

import pytest

from hostproof.errors import HostproofError
from hostproof.knowledge.load import catalogue
from hostproof.managers.engine import Model
from hostproof.managers.engine.concrete import Machine
from hostproof.managers.engine.search import Limits, explore
from hostproof.managers.engine.vacuity import mutants, silent
from hostproof.managers.engine.verdict import VerdictRecord, decide_all
from hostproof.managers.models import pkvm_arm64, pkvm_x86

SMALL = {"Page": 1, "GuestPage": 2, "Vm": 2, "Pin": 1}
MEMORY = {
    "M1": 0, "M1.manager": 0, "M3": 0, "M3.manager": 0, "M4": 0, "M5": 0, "M6": 0, "M7": 1, "M7.used": 0, "T1": 0,
    "D1": 3, "D1.manager": 2, "X3.pages": 0, "P1": 3, "A1": 3,
}  # fmt: skip
"""Steps of the shortest trace, 0 for a proof, as of Linux 7.3.4."""
VCPU = {
    "R1": 3, "M1.registers": 3, "R2": 2, "R2.start": 2, "X1": 2, "X1.exception": 2, "X1.serror": 2, "X2": 0,
    "X2.features": 1, "X2.devices": 2, "X2.pci_config": 2, "X2.ctr_el0": 2, "X2.counter": 1, "X3": 2, "G1": 2, "L1": 2,
    "A1.cpu": 2, "A1.ipi": 2,
}  # fmt: skip
AT_EL2 = dict.fromkeys(("R1", "M1.registers", "R2", "R2.start", "X1.exception", "G1"), 0)
X86_VCPU = {
    "R1": 0, "M1.registers": 0, "R2": 0, "R2.start": 2, "X1": 2, "X1.exception": 2, "X1.nmi": 2, "X2": 2,
    "X2.features": 1, "X2.devices": 2, "X2.pci_config": 2, "X2.counter": 1, "X3": 2, "G1": 0, "L1": 2, "A1.cpu": 2, "A1.ipi": 2,
}  # fmt: skip


def steps(verdict: VerdictRecord) -> int:
    assert verdict.result != "unknown", f"{verdict.objective}: {[str(one) for one in verdict.why_not]}"
    return len(verdict.trace) if verdict.trace is not None else 0


def story(
    model: Model, objective: str, policy: dict[str, bool] | None = None, without: Sequence[str] = ()
) -> list[str]:
    """The operations of the shortest trace that the search finds."""
    machine = Machine(model, model.switches(policy, without), SMALL)
    found = explore(machine, {objective: model.objective(objective).never}).found
    return [step.operation for step in found[objective].steps]


def table(model: Model, sizes: dict[str, int] | None = None) -> dict[str, int]:
    return {name: steps(verdict) for name, verdict in decide_all(model, sizes=sizes).items()}


def test_memory_of_linux_7_3_4_is_isolated_but_comes_as_the_host_left_it_and_devices_reach_it() -> None:
    expected = MEMORY

    assert expected == table(pkvm_arm64.model(), pkvm_arm64.SIZES)


def test_with_an_iommu_driver_devices_reach_nothing() -> None:
    verdicts = decide_all(pkvm_arm64.model("android"), ["D1", "D1.manager", "M1"])

    assert {"proved"} == {verdict.result for verdict in verdicts.values()}


@pytest.mark.parametrize(
    ("version", "differences"),
    [("7.3.4", {}), ("el2-state", AT_EL2), ("android", {**AT_EL2, "L1": 0})],
)
def test_what_the_host_does_to_vcpus_is_as_of_the_version(version: str, differences: dict[str, int]) -> None:
    expected = {**VCPU, **differences}

    assert expected == table(pkvm_arm64.vcpu(version))


def test_the_host_of_linux_7_3_4_reads_private_memory_out_of_registers() -> None:
    model = pkvm_arm64.vcpu()
    machine = Machine(model, model.switches(), {"Vcpu": 1})
    found = explore(machine, {"M1.registers": model.objective("M1.registers").never}).found["M1.registers"]

    assert [step.operation for step in found.steps] == ["boot", "load_secret", "get_one_reg"]


@pytest.mark.parametrize(
    ("duty", "objective", "expected"),
    [
        ("initialise_first", "M7.used", ["host_donate_guest", "guest_load"]),
        ("scrub_before_share", "T1", ["host_donate_guest", "guest_store", "guest_share_host", "host_load"]),
        ("no_secret_in_shared", "T1", ["host_donate_guest", "guest_share_host", "guest_store", "host_load"]),
    ],
)
def test_each_duty_dropped_opens_a_trace(duty: str, objective: str, expected: list[str]) -> None:
    assert expected == story(pkvm_arm64.model(), objective, without=[duty])


def test_a_page_that_the_guest_had_shared_returns_unscrubbed_from_a_dying_vm() -> None:
    """The host's own view: a page shared with it is zeroed on neither way back."""
    model = pkvm_arm64.model()
    reclaim = next(one for one in model.operations if one.name == "reclaim_dying_guest_page")
    zeroed = [effect for effect in reclaim.effects if effect.target.variable.name == "content"]

    assert len(zeroed) == 1
    assert "not zeroed" in reclaim.sentence


@pytest.mark.parametrize(
    ("policy", "objective", "expected"),
    [
        ("tlb_invalidate", "M1", ["host_donate_guest", "guest_store", "host_load"]),
        ("tlb_invalidate", "M5", ["host_donate_guest", "force_reclaim_page_guest", "host_donate_guest"]),
        ("scrub", "M1", ["host_donate_guest", "guest_store", "force_reclaim_page_guest", "host_load"]),
        ("scrub", "M1.manager", ["host_donate_hyp", "fill", "hyp_donate_host", "host_load"]),
        ("pfn_range_is_valid", "M1", ["host_donate_guest", "host_share_guest", "guest_store", "accomplice_load"]),
    ],
)
def test_memory_rests_on_invalidation_scrubbing_and_ranges(policy: str, objective: str, expected: list[str]) -> None:
    assert expected == story(pkvm_arm64.model(), objective, {policy: False})


def test_the_overflow_in_share_guest_is_found_before_the_fix_and_proved_gone_after_it() -> None:
    before = pkvm_arm64.model("before-range-check")
    read = ["host_donate_guest", "host_share_guest", "guest_store", "accomplice_load"]

    assert read == story(before, "M1")
    assert [*read[:3], "accomplice_store"] == story(before, "M3")
    assert (MEMORY["M1"], MEMORY["M3"]) == (0, 0)


def test_on_x86_memory_is_isolated_from_devices_too_and_accesses_can_be_followed() -> None:
    expected = {**MEMORY, "D1": 0, "D1.manager": 0, "X3.pages": 2}

    assert expected == table(pkvm_x86.model(), SMALL)


@pytest.mark.parametrize(("version", "differences"), [("pKVM-IA", {}), ("pci-config-in-core", {"X2.pci_config": 0})])
def test_on_x86_the_host_keeps_interrupts_timers_cpuid_and_configuration(
    version: str, differences: dict[str, int]
) -> None:
    expected = {**X86_VCPU, **differences}

    assert expected == table(pkvm_x86.vcpu(version))


@pytest.mark.parametrize("technology", [pkvm_arm64, pkvm_x86])
def test_no_model_is_empty(technology: ModuleType) -> None:
    for version in technology.VERSIONS:
        memory, vcpu = technology.models(version)

        assert silent(memory, SMALL, Limits(states=4_000)) == []
        assert silent(vcpu) == []


@pytest.mark.parametrize("technology", [pkvm_arm64, pkvm_x86])
def test_an_unknown_version_names_the_known_ones(technology: ModuleType) -> None:
    with pytest.raises(HostproofError) as caught:
        technology.model("2.4")

    assert next(iter(technology.VERSIONS)) in (caught.value.expected or "")


@pytest.mark.parametrize("technology", [pkvm_arm64, pkvm_x86])
def test_attacks_and_primitives_stand_in_the_catalogue(technology: ModuleType) -> None:
    known = catalogue()
    named = {attack for one in technology.models() for item in one.assumptions for attack in item.broken_by}
    primitives = {name for one in technology.models() for item in one.objectives for name in item.primitives}

    assert set() == named - set(known.attacks)
    assert set() == primitives - set(known.primitives)


def test_no_operation_of_x86_cites_code_of_arm64() -> None:
    sources = [
        (one.name, source)
        for model in pkvm_x86.models()
        for one in model.operations
        for source in (one.source, *(guard.source for guard in one.guards))
    ]

    assert [pair for pair in sources if "nvhe" in pair[1] or "arm64" in pair[1]] == []


@pytest.mark.slow
@pytest.mark.parametrize("technology", [pkvm_arm64, pkvm_x86])
def test_every_guard_matters_or_says_why_not(technology: ModuleType) -> None:
    memory, vcpu = technology.models()
    limits = Limits(states=60_000, seconds=20.0)
    found = [*mutants(memory, technology.SIZES, limits), *mutants(vcpu)]

    assert [(one.operation, one.guard, one.unknown) for one in found if one.survives] == []
