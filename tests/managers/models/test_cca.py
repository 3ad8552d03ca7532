"""What CCA's memory model says: proofs for any number of pages, duties that they need, and the shortest way in without each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import pytest
from _pytest.mark.structures import ParameterSet

from hostproof.managers.engine import Model
from hostproof.managers.engine.induction import settle
from hostproof.managers.engine.search import Limits
from hostproof.managers.engine.vacuity import mutants, silent
from hostproof.managers.engine.verdict import VerdictRecord, decide, decide_all
from hostproof.managers.models.cca import model

ONE_ADDRESS = {"Granule": 2, "Ipa": 1}
HOLDS = {
    "M1", "M2", "M3", "M3.metadata", "M4", "M5", "M6", "M7", "R1.memory", "R2.memory", "D1", "T1", "X1.sea",
}  # fmt: skip


@pytest.fixture(scope="module")
def memory() -> Model:
    return model()


@pytest.fixture(scope="module")
def verdicts(memory: Model) -> dict[str, VerdictRecord]:
    return decide_all(memory)


def _paced(value: object, slow: Sequence[object]) -> ParameterSet:
    """A parameter that the fast suite leaves out where it is among the slow ones."""
    return pytest.param(value, marks=[pytest.mark.slow] if value in slow else [])


@cache
def _without(duty: str) -> dict[str, VerdictRecord]:
    return decide_all(model(), sorted(HOLDS), without=[duty], sizes=ONE_ADDRESS)


def _steps(verdict: VerdictRecord) -> list[str]:
    assert verdict.trace is not None
    return [step.operation for step in verdict.trace.steps]


def test_a_realm_that_keeps_its_duties_is_proved_for_any_number_of_pages(verdicts: dict[str, VerdictRecord]) -> None:
    assert {name for name, verdict in verdicts.items() if verdict.result == "proved"} == HOLDS
    assert {"any"} == {verdicts[name].bound for name in HOLDS}


def test_the_host_may_always_destroy_a_page_and_the_bus_shows_what_is_not_encrypted(
    memory: Model, verdicts: dict[str, VerdictRecord]
) -> None:
    assert _steps(verdicts["A1"])[-1] == "RMI_DATA_DESTROY"
    assert _steps(verdicts["P1"])[-1] == "write protected"
    assert decide(memory, "P1", {"MEMORY_ENCRYPTION": True}).result == "proved"


def test_a_realm_that_forgets_the_flag_has_its_image_replaced_in_seven_steps() -> None:
    verdict = _without("keeps_not_destroyed")["M6"]

    assert _steps(verdict) == [
        "RMI_GRANULE_DELEGATE",
        "RMI_DATA_CREATE",
        "RMI_REALM_ACTIVATE",
        "RMI_DATA_DESTROY",
        "RMI_DATA_CREATE_UNKNOWN",
        "RSI_IPA_STATE_SET (RAM)",
        "RMI_RTT_SET_RIPAS",
    ]


DROPPED = {
    "keeps_not_destroyed": {"M6": 7},
    "asks_alone": {"M6": 9},
    "checks_new_base": {"X1.sea": 3},
    "rim_is_checked": {"M3": 5, "M6": 6, "M7": 3},
    "shares_knowingly": {"T1": 2},
}


@pytest.mark.parametrize("duty", [_paced(duty, ("asks_alone", "shares_knowingly")) for duty in DROPPED])
def test_each_dropped_duty_opens_what_it_protects_and_nothing_else(duty: str) -> None:
    broken = {name: len(_steps(verdict)) for name, verdict in _without(duty).items() if verdict.result != "proved"}

    assert DROPPED[duty] == broken


WEAKEST = {
    (): {"M1", "M2", "M3.metadata", "M4", "M5", "R1.memory", "R2.memory", "D1"},
    ("rim_is_checked",): {"M3", "M7"},
    ("keeps_not_destroyed", "asks_alone", "rim_is_checked"): {"M6"},
    ("shares_knowingly",): {"T1"},
    ("checks_new_base",): {"X1.sea"},
}


@pytest.mark.parametrize("kept", [_paced(kept, [kept] if kept else []) for kept in WEAKEST])
def test_the_duties_that_an_objective_needs_are_enough_for_it(memory: Model, kept: tuple[str, ...]) -> None:
    switches = memory.switches(without=[duty for duty in memory.duties if duty not in kept])
    found = settle(memory, [memory.objective(name) for name in sorted(WEAKEST[kept])], switches)

    assert WEAKEST[kept] == set(found.excluded)


def test_the_weakest_duties_cover_every_objective_that_holds() -> None:
    assert sorted(HOLDS) == sorted(name for names in WEAKEST.values() for name in names)


def test_a_realm_that_knows_its_image_needs_no_flag(memory: Model) -> None:
    verdict = decide(memory, "M6", {"IMAGE_KNOWN": True}, ["keeps_not_destroyed"])

    assert verdict.result == "proved"


BROKEN_MANAGERS = {
    "WIPE_ON_UNDELEGATE": {"M1": 7, "R1.memory": 6, "D1": 6},
    "SMMU_GPC": {"M1": 5, "M3": 4, "M3.metadata": 3, "M7": 5, "R1.memory": 4, "R2.memory": 4, "D1": 4},
}


LAST_STEPS = {
    "WIPE_ON_UNDELEGATE": ["RMI_GRANULE_UNDELEGATE", "host load"],
    "SMMU_GPC": ["write protected", "device read"],
}


@pytest.mark.parametrize("policy", [_paced(policy, ("SMMU_GPC",)) for policy in BROKEN_MANAGERS])
def test_a_manager_without_a_rule_of_the_specification_is_broken(memory: Model, policy: str) -> None:
    verdicts = decide_all(memory, sorted(HOLDS), {policy: False}, sizes=ONE_ADDRESS)
    broken = {name: len(_steps(verdict)) for name, verdict in verdicts.items() if verdict.result != "proved"}

    assert BROKEN_MANAGERS[policy] == broken
    assert LAST_STEPS[policy] == _steps(verdicts["M1"])[-2:]


def test_every_operation_happens_and_the_realm_reads_back_what_it_wrote(memory: Model) -> None:
    assert silent(memory, ONE_ADDRESS) == []


def test_every_assumption_that_an_objective_rests_on_says_what_breaks_it(memory: Model) -> None:
    known = {assumption.id: assumption.broken_by for assumption in memory.assumptions}

    assert known["gpc-on-every-access"] == ("arm-translation-bypass",)
    assert known["rmm-is-correct"] == ("rmm-threats",)
    assert "battering-ram" in known["no-physical-adversary"]


@pytest.mark.slow
def test_without_invalidation_a_stale_translation_reaches_another_page(memory: Model) -> None:
    verdicts = decide_all(memory, ["M1", "M3", "M4", "M6", "M7"], {"TLB_INVALIDATED": False}, sizes=ONE_ADDRESS)

    assert {"trace"} == {verdict.result for verdict in verdicts.values()}


@pytest.mark.slow
def test_a_manager_that_does_not_wipe_on_creation_gives_pages_away_and_takes_the_hosts(memory: Model) -> None:
    verdicts = decide_all(memory, sorted(HOLDS), {"WIPE_ON_CREATE": False})
    broken = {name: len(_steps(verdict)) for name, verdict in verdicts.items() if verdict.result != "proved"}

    assert broken == {"M1": 7, "M7": 4, "R1.memory": 6}


@pytest.mark.slow
def test_every_guard_of_memory_matters_or_says_why_not(memory: Model) -> None:
    limits = Limits(states=15_000, seconds=20)
    found = list(mutants(memory, ONE_ADDRESS, limits))

    assert [f"{one.operation}: {one.guard}" for one in found if one.survives] == []
    assert [f"{one.operation}: {one.guard}" for one in found if one.broken and one.redundant] == []
