"""TDX: expected verdicts per policy and dropped duty, the weakest duties, vacuity, attacks that assumptions name."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

import hostproof.knowledge
from hostproof.managers.engine import Model
from hostproof.managers.engine.search import Limits
from hostproof.managers.engine.vacuity import mutants, silent
from hostproof.managers.engine.verdict import VerdictRecord, decide, decide_all, weakest_duties
from hostproof.managers.models import tdx

MODELS = {model.name: model for model in tdx.models()}

MEMORY = {"M1": 0, "M1.held": 0, "M2": 0, "M3": 0, "M4": 0, "M5": 0, "M6": 0, "M7": 0, "D1": 0, "X1.ve": 0, "A1": 3}
"""Length of the shortest trace; 0 is proved for any number of pages."""
VCPU = {
    "R1": 0,
    "R2": 0,
    "X1": 2,
    "X1.exception": 0,
    "X1.nmi": 1,
    "X1.syscall": 0,
    "X2": 0,
    "X2.hypervisor": 2,
    "X3": 2,
}
LAUNCH = {"L1": 0, "L1.runtime": 0, "G1": 0}
MIGRATION = {"M1": 0, "M1.rogue": 0, "G1": 0, "S1": 0}

CASES: list[tuple[str, dict[str, bool], tuple[str, ...], dict[str, int]]] = [
    ("tdx", {}, (), MEMORY),
    ("tdx", {}, ("accept_once",), {**MEMORY, "M6": 6}),
    ("tdx", {}, ("ve_fatal", "refuse_sept_ve"), MEMORY),
    ("tdx", {"sept_ve_disable": False}, (), MEMORY),
    ("tdx", {"sept_ve_disable": False}, ("ve_fatal",), MEMORY),
    ("tdx", {"sept_ve_disable": False}, ("refuse_sept_ve",), {**MEMORY, "X1.ve": 6}),
    ("tdx", {"sept_ve_disable": False}, ("ve_fatal", "refuse_sept_ve"), {**MEMORY, "X1.ve": 6, "M6": 6}),
    ("tdx", {"debug": True}, (), {**MEMORY, "M1": 2, "M3": 3, "M7": 3}),
    ("tdx", {"owner_bit": False}, (), {**MEMORY, "M3": 3}),
    ("tdx", {"iommu_checks": False}, (), {**MEMORY, "M3": 3, "D1": 1}),
    ("tdx-vcpu", {}, (), VCPU),
    ("tdx-vcpu", {"debug": True}, (), {**VCPU, "R1": 1, "R2": 1}),
    ("tdx-vcpu", {}, ("vmcall_exposes_arguments",), {**VCPU, "R1": 2}),
    ("tdx-vcpu", {}, ("int80_checked",), {**VCPU, "X1.syscall": 2}),
    ("tdx-vcpu", {}, ("cpuid_hypervisor_range",), {**VCPU, "X2": 2}),
    ("tdx-launch", {}, (), LAUNCH),
    ("tdx-launch", {}, ("verify_attributes",), {**LAUNCH, "G1": 4}),
    ("tdx-launch", {}, ("verify_rtmr",), {**LAUNCH, "L1.runtime": 4}),
    ("tdx-launch", {}, ("measure_before_use",), {**LAUNCH, "L1.runtime": 4}),
    ("tdx-launch", {}, ("verify_mrtd",), {**LAUNCH, "L1": 4}),
    ("tdx-launch", {}, ("extend_all_pages",), {**LAUNCH, "L1": 4}),
    ("tdx-migration", {}, (), MIGRATION),
    ("tdx-migration", {"import_race_fixed": False}, (), {**MIGRATION, "M1": 6, "G1": 5}),
    ("tdx-migration", {}, ("migtd_attests_peer",), {**MIGRATION, "M1.rogue": 1}),
]


def length(verdict: VerdictRecord) -> int | str:
    return len(verdict.trace) if verdict.trace else 0 if verdict.result == "proved" else verdict.result


def name(case: object) -> str:
    if isinstance(case, dict):
        return ",".join(f"{key}={value}" for key, value in case.items()) if len(case) < 3 else ""
    return "-".join(case) if isinstance(case, tuple) else str(case)


@pytest.mark.parametrize(("model", "policy", "without", "expected"), CASES, ids=name)
def test_verdicts_over_policies_and_dropped_duties_are_the_expected_ones(
    model: str, policy: dict[str, bool], without: tuple[str, ...], expected: dict[str, int]
) -> None:
    verdicts = decide_all(MODELS[model], policy=policy, without=without)

    assert expected == {objective: length(verdict) for objective, verdict in verdicts.items()}


@pytest.mark.parametrize(
    ("model", "objective", "policy", "weakest"),
    [
        ("tdx", "M6", {}, {("accept_once",)}),
        pytest.param(
            "tdx",
            "M6",
            {"sept_ve_disable": False},
            {("accept_once", "ve_fatal"), ("accept_once", "refuse_sept_ve")},
            marks=pytest.mark.slow,
        ),
        pytest.param("tdx", "X1.ve", {"sept_ve_disable": False}, {("refuse_sept_ve",)}, marks=pytest.mark.slow),
        pytest.param("tdx", "M4", {}, {()}, marks=pytest.mark.slow),
        ("tdx-launch", "L1", {}, {("verify_mrtd", "extend_all_pages")}),
        ("tdx-launch", "G1", {}, {("verify_attributes",)}),
        ("tdx-vcpu", "R1", {}, {("vmcall_exposes_arguments",)}),
    ],
)
def test_the_weakest_duties_are_known(
    model: str, objective: str, policy: dict[str, bool], weakest: set[tuple[str, ...]]
) -> None:
    table = weakest_duties(MODELS[model], objective, policy)

    assert weakest == set(table.weakest)


def test_accepting_twice_loses_data_by_block_track_remove_augment() -> None:
    verdict = decide(MODELS["tdx"], "M6", without=["accept_once"])

    assert verdict.trace is not None
    assert verdict.trace.steps[-1].operation == "TDG.MEM.PAGE.ACCEPT"
    assert "TDH.MEM.PAGE.AUG" in [step.operation for step in verdict.trace.steps]


def test_the_import_race_is_told_as_it_was_published() -> None:
    verdict = decide(MODELS["tdx-migration"], "M1", {"import_race_fixed": False})

    assert verdict.trace is not None
    assert [step.operation for step in verdict.trace.steps] == [
        "MigTD gives the key",
        "TDH.IMPORT.STATE.IMMUTABLE",
        "TDH.MNG.INIT",
        "TDH.IMPORT.STATE.IMMUTABLE, resumed",
        "TDH.IMPORT.MEM",
        "TDH.MEM.RD",
    ]
    assert verdict.trace.steps[2].arguments == {"attributes": "DEBUG", "accepted": "false"}


@pytest.mark.parametrize("model", ["tdx-vcpu", "tdx-launch", "tdx-migration"])
def test_small_models_do_something_and_every_guard_matters_or_says_why_not(model: str) -> None:
    assert silent(MODELS[model]) == []
    assert [f"{mutant.operation}/{mutant.guard}" for mutant in mutants(MODELS[model]) if mutant.survives] == []


def test_the_reason_of_a_redundant_guard_is_true_in_small_models() -> None:
    wrong = [
        m.guard
        for n in ("tdx-vcpu", "tdx-launch", "tdx-migration")
        for m in mutants(MODELS[n])
        if m.redundant and m.broken
    ]

    assert wrong == []


@pytest.mark.slow
def test_memory_does_something() -> None:
    assert silent(MODELS["tdx"], limits=Limits(100_000, 60.0)) == []


@pytest.mark.slow
def test_every_guard_of_memory_matters_or_says_why_not() -> None:
    found = list(mutants(MODELS["tdx"], limits=Limits(60_000, 10.0)))

    assert [f"{mutant.operation}/{mutant.guard}" for mutant in found if mutant.survives] == []
    assert [mutant.guard for mutant in found if mutant.redundant and mutant.broken] == []


def test_without_tlb_tracking_the_host_holds_a_page_that_the_guest_reaches() -> None:
    changed = without_guard(MODELS["tdx"], "TDH.MEM.PAGE.REMOVE", "PAGE.REMOVE.tracked")
    verdict = decide(changed, "M1.held")

    assert length(verdict) == 6


def without_guard(model: Model, operation: str, guard: str) -> Model:
    from dataclasses import replace

    return replace(
        model,
        operations=tuple(
            replace(one, guards=tuple(g for g in one.guards if g.id != guard)) if one.name == operation else one
            for one in model.operations
        ),
    )


@pytest.mark.parametrize("model", MODELS)
def test_every_attack_and_primitive_that_a_model_names_is_in_the_catalogue(model: str) -> None:
    catalogue = Path(hostproof.knowledge.__file__).parent / "catalogue"
    attacks = {
        row["id"]
        for path in catalogue.glob("attacks-*.toml")
        for row in tomllib.loads(path.read_text()).get("attack", [])
    }
    primitives = {row["id"] for row in tomllib.loads((catalogue / "primitives.toml").read_text())["primitive"]}
    named = {attack for one in MODELS[model].assumptions for attack in one.broken_by}

    assert set() == named - attacks
    assert set() == {one for clause in MODELS[model].objectives for one in clause.primitives} - primitives


def test_every_operation_and_guard_has_a_source() -> None:
    missing = [f"{o.name}/{g.id}" for m in MODELS.values() for o in m.operations for g in o.guards if not g.source]

    assert missing == []
