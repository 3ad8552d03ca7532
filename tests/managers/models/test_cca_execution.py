"""What CCA's models of vCPUs, launch and translation tables say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from hostproof.knowledge.load import catalogue
from hostproof.managers.engine import Model
from hostproof.managers.engine.search import Limits
from hostproof.managers.engine.vacuity import mutants, silent
from hostproof.managers.engine.verdict import decide, decide_all, weakest_duties
from hostproof.managers.models.cca import execution, launch, models, tables
from tests.managers.engine.agreement import Agreement

EXPECTED: dict[str, dict[str, str | int]] = {
    "cca-execution": {
        "R1": "proved", "R2": "proved", "X1.exception": "proved", "X1.interrupt": 3, "X2": "proved", "X3": 4, "A1": 4,
    },
    "cca-launch": {"L1": "proved", "L1.rem": "proved", "G1": "proved"},
    "cca-tables": {"M5": "proved", "M6.page": "proved", "M6.ripas": "proved", "T1": "proved", "A1": 3},
}  # fmt: skip
WEAKEST: dict[str, dict[str, tuple[str, ...]]] = {
    "cca-execution": {"R2": ("rim_is_checked",), "X2": ("asks_the_rmm",)},
    "cca-launch": {
        "L1": ("rim_is_checked", "keeps_not_destroyed"),
        "L1.rem": ("rem_is_checked", "measures_next_stage"),
        "G1": ("lifecycle_is_checked",),
    },
}
OPENED = {
    ("cca-execution", "R2", "rim_is_checked"): 3,
    ("cca-execution", "X2", "asks_the_rmm"): 4,
    ("cca-launch", "L1", "rim_is_checked"): 3,
    ("cca-launch", "L1", "keeps_not_destroyed"): 8,
    ("cca-launch", "L1.rem", "rem_is_checked"): 6,
    ("cca-launch", "L1.rem", "measures_next_stage"): 5,
    ("cca-launch", "G1", "lifecycle_is_checked"): 5,
}
BUILDERS: list[Callable[[], Model]] = [execution, launch, tables]


@pytest.mark.parametrize("build", BUILDERS)
def test_the_verdicts_are_the_expected_ones(build: Callable[[], Model]) -> None:
    model = build()
    verdicts = decide_all(model)

    assert EXPECTED[model.name] == {
        name: len(verdict.trace) if verdict.trace else verdict.result for name, verdict in verdicts.items()
    }


@pytest.mark.parametrize("build", [execution, pytest.param(launch, marks=pytest.mark.slow)])
def test_every_objective_names_the_weakest_duties_and_what_each_dropped_one_opens(build: Callable[[], Model]) -> None:
    model = build()
    found = {name: weakest_duties(model, name) for name in WEAKEST[model.name]}
    opened = {
        (model.name, name, duty): len(verdict.trace)
        for name, table in found.items()
        for duty, verdict in table.dropped.items()
        if verdict.trace
    }

    assert {name: (kept,) for name, kept in WEAKEST[model.name].items()} == {n: t.weakest for n, t in found.items()}
    assert {key: steps for key, steps in OPENED.items() if key[0] == model.name} == opened


def test_registers_and_exceptions_are_protected_whatever_the_realm_does() -> None:
    model = execution()
    verdicts = decide_all(model, ["R1", "X1.exception"], without=model.duties)

    assert {"proved"} == {verdict.result for verdict in verdicts.values()}


@pytest.mark.slow
def test_a_manager_that_does_not_compare_the_target_starts_a_vcpu_that_nobody_asked_for() -> None:
    model = execution()
    complete = next(one for one in model.operations if one.name == "RMI_PSCI_COMPLETE")
    guards = tuple(guard for guard in complete.guards if guard.id != "target")
    operations = tuple(replace(one, guards=guards) if one is complete else one for one in model.operations)
    verdict = decide(replace(model, operations=operations), "R2", sizes={"Rec": 3})

    assert verdict.trace is not None
    assert "RMI_PSCI_COMPLETE" in [step.operation for step in verdict.trace.steps]


def test_exits_that_carried_all_registers_would_give_them_to_the_host() -> None:
    verdict = decide(execution(), "R1", {"EXIT_GPRS_ZERO": False})

    assert verdict.trace is not None
    assert verdict.trace.steps[-1].operation == "REC exit due to IRQ"


def test_a_verifier_that_accepts_any_platform_gives_the_secret_to_a_debugger() -> None:
    verdict = decide(launch(), "G1", without=["lifecycle_is_checked"])

    assert verdict.trace is not None
    assert [step.operation for step in verdict.trace.steps][-2:] == ["RSI_ATTESTATION_TOKEN", "Realm world debug"]


@pytest.mark.parametrize("build", BUILDERS)
def test_every_operation_happens(build: Callable[[], Model]) -> None:
    assert silent(build()) == []


@pytest.mark.parametrize("model", models(), ids=lambda model: model.name)
def test_the_models_mean_the_same_in_both_meanings(model: Model) -> None:
    agreement = Agreement(model, {sort.name: 2 for sort in model.sorts if sort.uninterpreted})

    assert [agreement.disagreement(seed) for seed in range(2)] == [""] * 2


def test_every_guard_and_operation_says_where_it_was_read() -> None:
    unsourced = [
        f"{model.name} {operation.name} {guard.id}"
        for model in models()
        for operation in model.operations
        for guard in operation.guards
        if not guard.source
    ]

    assert unsourced == []


def test_attacks_and_primitives_are_those_of_the_catalogue() -> None:
    known = catalogue()
    attacks = {attack for model in models() for one in model.assumptions for attack in one.broken_by}
    primitives = {primitive for model in models() for one in model.objectives for primitive in one.primitives}

    assert set() == attacks - set(known.attacks)
    assert set() == primitives - set(known.primitives)


@pytest.mark.slow
@pytest.mark.parametrize("build", BUILDERS)
def test_every_guard_matters_or_says_why_not(build: Callable[[], Model]) -> None:
    found = list(mutants(build(), limits=Limits(states=100_000, seconds=20)))

    assert [f"{one.operation}: {one.guard}" for one in found if one.survives] == []
    assert [f"{one.operation}: {one.guard}" for one in found if one.broken and one.redundant] == []
