"""Messages between a SEV-SNP guest and firmware: the host drops, repeats, reorders and changes them."""

from __future__ import annotations

import pytest

from hostproof.managers.engine.concrete import Machine
from hostproof.managers.engine.search import Limits, explore
from hostproof.managers.engine.vacuity import mutants, silent
from hostproof.managers.engine.verdict import decide_all, weakest_duties
from hostproof.managers.models import amd_guest_requests

MODEL = amd_guest_requests.model()
PROVED = ["S1.answer", "S1.request", "M1.iv"]


def test_answers_requests_and_ivs_are_kept_apart_for_any_number_of_messages() -> None:
    found = decide_all(MODEL)

    assert {name: verdict.result for name, verdict in found.items()} == {
        **dict.fromkeys(PROVED, "proved"),
        "A1": "trace",
    }


@pytest.mark.parametrize(
    ("objective", "weakest", "steps"),
    [
        ("S1.answer", ("check_answer_seqno", "check_answer_tag"), {"check_answer_seqno": 5, "check_answer_tag": 2}),
        ("M1.iv", ("retry_same_request",), {"retry_same_request": 2}),
        ("S1.request", (), {}),
    ],
)
def test_the_weakest_duties(objective: str, weakest: tuple[str, ...], steps: dict[str, int]) -> None:
    table = weakest_duties(MODEL, objective)

    assert table.weakest == (weakest,)
    assert {duty: len(table.dropped[duty].trace or ()) for duty in weakest} == steps


def test_the_model_is_alive() -> None:
    assert silent(MODEL) == []


def test_every_guard_breaks_an_objective_or_has_a_reason() -> None:
    found = list(mutants(MODEL))

    assert [mutant for mutant in found if mutant.survives or mutant.unknown] == []
    assert {mutant.guard: mutant.broken for mutant in found if mutant.broken} == {
        "request.next": {"M1.iv": 4},
        "answer.made": {"S1.answer": 2},
        "REQUEST.tag": {"S1.request": 1},
        "REQUEST.seqno": {"S1.request": 3},
    }


def test_three_messages_searched_to_the_end_agree_with_the_proofs() -> None:
    targets = {name: MODEL.objective(name).never for name in PROVED}
    whole = explore(Machine(MODEL, MODEL.switches(), {"Message": 3}), targets, Limits(200_000, 30))

    assert whole.complete
    assert whole.found == {}
