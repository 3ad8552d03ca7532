"""Levels of an SEV-SNP guest: what VMPL0 did not grant stays shut, and the host runs no vCPU that VMPL0 did not make."""

from __future__ import annotations

import pytest

from hostproof.managers.engine.concrete import Machine
from hostproof.managers.engine.search import Limits, explore
from hostproof.managers.engine.vacuity import mutants, silent
from hostproof.managers.engine.verdict import decide_all
from hostproof.managers.models import snp_vmpl
from tests.managers.engine.agreement import Agreement

MODEL = snp_vmpl.model()
SIZES = snp_vmpl.SIZES
LIMITS = Limits(20_000, 20)
OBJECTIVES = [clause.id for clause in MODEL.objectives]


def lengths(objectives: list[str], without: tuple[str, ...] = ()) -> dict:
    found = decide_all(MODEL, objectives, None, without, SIZES, LIMITS)
    return {name: len(verdict.trace) if verdict.trace else verdict.result for name, verdict in found.items()}


def operations(objective: str, duty: str, sizes: dict[str, int] = SIZES) -> list[str]:
    trace = decide_all(MODEL, [objective], None, [duty], sizes, LIMITS)[objective].trace
    return [step.operation for step in trace.steps] if trace else []


def test_under_all_duties_every_objective_is_proved_for_any_number_of_pages() -> None:
    assert lengths(OBJECTIVES) == dict.fromkeys(OBJECTIVES, "proved")


@pytest.mark.parametrize(
    ("duty", "expected"),
    [
        ("validate_once", {"M1.grant": 6, "M6.vmpl0": 4, "M6.vmpl1": 6}),
        ("carry_is_attack", {"M1.grant": 5, "M6.vmpl0": 6}),
        ("clear_before_grant", {"M1.vmpl": 6, "M3.vmpl": "proved", "R2.vmpl": "proved"}),
        ("own_memory_apart", {"M1.vmpl": 4, "M3.vmpl": 4, "M6.vmpl0": "proved", "R2.vmpl": "proved"}),
        ("revoke_all_levels", {"M1.grant": 4, "M3.grant": 4, "M6.vmpl1": "proved"}),
        ("vmsa_is_checked", {"R2.vmpl": 4, "R1.vmpl": "proved", "M1.vmpl": "proved"}),
        ("vmsa_has_stopped", {"R2.vmpl": 5, "R1.vmpl": "proved", "M1.vmpl": "proved"}),
        ("launch_is_checked", {"R2.vmpl": 4, "M3.vmpl": 2}),
    ],
)
def test_each_dropped_duty_opens_what_was_measured_and_no_more(duty: str, expected: dict) -> None:
    assert lengths(list(expected), (duty,)) == expected


def test_a_page_that_vmpl0_does_not_clear_gives_its_secret_to_the_level_that_asked_for_another_address() -> None:
    steps = operations("M1.vmpl", "clear_before_grant")

    assert steps == ["RMPUPDATE", "LAUNCH_UPDATE", "RMPUPDATE", "PVALIDATE 1", "grant", "lower read"]


def test_a_vmsa_that_a_lower_level_can_still_write_lets_it_choose_registers() -> None:
    steps = operations("R2.vmpl", "vmsa_is_hidden", {"SystemPage": 1, "GuestPage": 1})

    assert steps[2:] == ["grant", "check registers", "RMPADJUST VMSA", "VMRUN", "lower write"]


def test_vmpl2_keeps_what_vmpl1_gave_it_where_only_vmpl1_is_revoked() -> None:
    assert operations("M3.grant", "revoke_all_levels") == ["RMPUPDATE", "PVALIDATE 1", "grant", "revoke"]


def test_one_page_at_one_address_searched_to_the_end_agrees_with_the_proofs() -> None:
    targets = {clause.id: clause.never for clause in MODEL.objectives}
    whole = explore(Machine(MODEL, MODEL.switches(), {"SystemPage": 1, "GuestPage": 1}), targets, Limits(100_000, 30))

    assert whole.complete
    assert whole.found == {}


def test_the_model_means_the_same_in_both_meanings() -> None:
    agreement = Agreement(MODEL, {"SystemPage": 2, "GuestPage": 2})

    assert [agreement.disagreement(seed) for seed in range(6)] == [""] * 6


def test_every_assumption_is_named_by_an_objective() -> None:
    named = {name for clause in MODEL.objectives for name in clause.assumptions}

    assert named == {assumption.id for assumption in MODEL.assumptions}


@pytest.mark.slow
def test_the_model_is_alive() -> None:
    assert silent(MODEL, SIZES, Limits(60_000, 30)) == []


@pytest.mark.slow
def test_no_guard_survives_without_a_reason() -> None:
    found = list(mutants(MODEL, SIZES, Limits(20_000, 8)))

    assert [mutant.guard for mutant in found if mutant.survives] == []
    assert {"R2.vmpl"} <= {name for mutant in found if mutant.guard == "VMSA.vmpl0" for name in mutant.broken}
    assert {"M1.grant", "M3.grant"} <= {name for one in found if one.guard == "RMPADJUST.above" for name in one.broken}
