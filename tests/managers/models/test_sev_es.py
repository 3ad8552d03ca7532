"""SEV-ES: what SEV loses in memory it loses too; the shared page has duties of its own."""

from __future__ import annotations

import pytest

from hostproof.managers.engine.search import Limits
from hostproof.managers.engine.vacuity import mutants, silent
from hostproof.managers.engine.verdict import decide_all, weakest_duties
from hostproof.managers.models import sev, sev_es

MODEL, GHCB = sev_es.model(), sev_es.exchange()
LIMITS = Limits(30_000, 20)


def results(model: object, objectives: list[str]) -> dict[str, int | str]:
    found = decide_all(model, objectives, limits=LIMITS)  # type: ignore[arg-type]
    return {name: len(verdict.trace) if verdict.trace else verdict.result for name, verdict in found.items()}


def test_encrypted_registers_change_nothing_for_memory() -> None:
    shared = [clause.id for clause in sev.model().objectives]

    assert results(MODEL, shared) == results(sev.model(), shared)


def test_a_guest_that_keeps_its_duties_is_not_misled_by_the_form_of_an_answer() -> None:
    assert results(GHCB, ["X2.form", "T1.ghcb"]) == {"X2.form": "proved", "T1.ghcb": "proved"}


@pytest.mark.parametrize(
    ("objective", "weakest", "dropped"),
    [
        ("X2.form", ("read_answer_once", "check_valid_bits"), {"read_answer_once": 6, "check_valid_bits": 3}),
        ("T1.ghcb", ("clear_ghcb",), {"clear_ghcb": 1}),
    ],
)
def test_each_duty_of_the_exchange_is_needed(objective: str, weakest: tuple[str, ...], dropped: dict[str, int]) -> None:
    table = weakest_duties(GHCB, objective, limits=LIMITS)

    assert table.weakest == (weakest,)
    assert {name: len(table.dropped[name].trace or ()) for name in weakest} == dropped


def test_an_answer_changes_between_the_check_and_the_use() -> None:
    trace = decide_all(GHCB, ["X2.form"], None, ["read_answer_once"], limits=LIMITS)["X2.form"].trace

    assert trace is not None
    assert [step.operation for step in trace.steps][-3:] == ["check answer", "fill GHCB", "use answer"]


def test_the_model_is_alive() -> None:
    assert silent(GHCB, limits=LIMITS) == []


def test_every_guard_breaks_an_objective_or_has_a_reason() -> None:
    assert [mutant for mutant in mutants(GHCB, limits=LIMITS) if mutant.survives] == []
