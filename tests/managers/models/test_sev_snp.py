"""SEV-SNP's verdicts on memory: proofs for a careful guest, the measured traces for each duty that is dropped."""

from __future__ import annotations

import pytest

from hostproof.managers.engine.concrete import Machine
from hostproof.managers.engine.induction import prove
from hostproof.managers.engine.search import Limits, explore
from hostproof.managers.engine.vacuity import mutants, silent
from hostproof.managers.engine.verdict import decide_all
from hostproof.managers.models import sev_snp

MODEL = sev_snp.model()
SIZES = {"SystemPage": 2, "GuestPage": 2, "MetadataEntry": 1}
MEMORY = ["M1", "M3", "M4", "M5", "M6", "M7", "D1"]
HIDING = {"CIPHERTEXT_HIDING_DRAM": True}


def lengths(objectives: list[str], policy: dict[str, bool] | None = None, without: tuple[str, ...] = ()) -> dict:
    found = decide_all(MODEL, objectives, policy, without, SIZES, Limits(60_000, 20))
    return {name: len(verdict.trace) if verdict.trace else verdict.result for name, verdict in found.items()}


def test_a_careful_guest_keeps_its_memory_for_any_number_of_pages() -> None:
    assert lengths(MEMORY) == dict.fromkeys(MEMORY, "proved")


def test_ciphertext_can_be_read_unless_the_policy_hides_it() -> None:
    assert lengths(["M2"]) == {"M2": 3}
    assert lengths(["M2"], HIDING) == {"M2": "proved"}


def test_every_invariant_is_inductive_under_hiding() -> None:
    clauses = [MODEL.objective(name) for name in [*MEMORY, "M2"]]

    assert prove(MODEL, clauses, MODEL.switches(HIDING)).proved


@pytest.mark.parametrize(
    ("duty", "garble", "replay"),
    [("validate_once", 5, 6), ("not_validated_is_fatal", 5, 6), ("carry_is_attack", 6, 7)],
)
def test_each_dropped_duty_opens_the_traces_that_were_measured(duty: str, garble: int, replay: int) -> None:
    assert lengths(["M6", "M4"], without=(duty,)) == {"M6": garble, "M4": replay}


def test_a_naive_guest_reads_another_addresss_page_in_seven_steps_of_which_launch_gives_two_pages() -> None:
    found = decide_all(MODEL, ["M5"], None, ["validate_once"], SIZES, Limits(60_000, 20))["M5"].trace

    assert found is not None
    assert [step.operation for step in found.steps].count("LAUNCH_UPDATE") == 2
    assert len(found) == 7


def test_a_careless_guest_still_sees_no_page_change_in_place() -> None:
    assert lengths(["M3"], without=("validate_once", "carry_is_attack")) == {"M3": "proved"}


def test_without_a_checked_launch_an_address_may_have_two_pages() -> None:
    assert lengths(["M4"], without=("launch_is_checked",)) == {"M4": 5}


def test_a_debug_policy_opens_plaintext_and_content_and_nothing_else() -> None:
    expected = {"M1": 3, "M3": 4, "M4": "proved", "M5": "proved", "M6": "proved", "M7": 3}

    assert lengths(list(expected), {"DEBUG": True}) == expected


def test_without_the_reverse_map_memory_is_as_open_as_seven_years_before() -> None:
    expected = {"M2": 2, "M3": 2, "M4": 2, "M5": 2, "M6": 1, "D1": 1}

    assert lengths(list(expected), {"RMP": False}) == expected


def test_the_host_may_always_withhold() -> None:
    assert isinstance(lengths(["A1"])["A1"], int)


def test_every_assumption_is_named_by_an_objective() -> None:
    named = {name for clause in MODEL.objectives for name in clause.assumptions}

    assert named == {assumption.id for assumption in MODEL.assumptions}


@pytest.mark.slow
def test_the_model_is_alive() -> None:
    assert silent(MODEL, SIZES, Limits(60_000, 20)) == []


@pytest.mark.slow
def test_no_guard_survives_without_a_reason() -> None:
    found = list(mutants(MODEL, SIZES, Limits(30_000, 4)))

    assert [mutant.guard for mutant in found if mutant.survives] == []


@pytest.mark.slow
def test_a_search_agrees_with_the_proofs() -> None:
    targets = {name: MODEL.objective(name).never for name in MEMORY}
    machine = Machine(MODEL, MODEL.switches({"PAGE_SWAP_DISABLE": True}), {**SIZES, "GuestPage": 1})

    assert explore(machine, targets, Limits(400_000, 120)).found == {}
