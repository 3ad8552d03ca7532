"""Questions to the models: words that nobody knows are refused with the nearest; contradictions are named."""

from __future__ import annotations

import pytest

from hostproof.errors import CatalogueError, UsageError
from hostproof.knowledge.load import catalogue
from hostproof.managers import coverage, records
from hostproof.managers.ask import Question, ask, fresh
from hostproof.managers.policies import Replay, Scene, replays
from tests.managers.toys import toy_library, toy_stored


@pytest.mark.parametrize(
    ("question", "results"),
    [
        (Question(), ["proved"]),
        (Question(technologies=("toy",), objectives=("M5",)), ["proved"]),
        (Question(without=("accept_once",)), ["trace"]),
        (Question(only=()), ["trace"]),
        (Question(only=("accept_once",)), ["proved"]),
        (Question(objectives=("M1",)), []),
    ],
)
def test_the_stored_run_that_was_asked_for_answers(question: Question, results: list[str]) -> None:
    answers = ask(toy_library(), question)

    assert [verdict.result for answer in answers for verdict in answer.verdicts] == results


@pytest.mark.parametrize(
    ("question", "message", "hint"),
    [
        (Question(technologies=("toi",)), "there is no technology 'toi'", "did you mean toy?"),
        (Question(objectives=("M55",)), "there is no objective 'M55'", "did you mean M5"),
        (Question(objectives=("everything",)), "there is no objective 'everything'", "there are M1, M2"),
        (Question(policy={"debug": True}), "there is no policy 'debug'", "there are none"),
        (Question(without=("acept_once",)), "there is no duty 'acept_once'", "did you mean accept_once?"),
        (Question(only=("ACCEPT_ONCE",)), "there is no duty 'ACCEPT_ONCE'", "did you mean accept_once?"),
        (Question(without=("accept_once",), only=("accept_once",)), "contradictory duties: accept_once", "once"),
        (Question(technologies=("toy",), version="9"), "there is no version '9'", "there are none"),
    ],
)
def test_what_nobody_knows_is_refused_with_what_there_is(question: Question, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        ask(toy_library(), question)

    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


def test_a_run_that_is_not_stored_says_how_to_get_it() -> None:
    with pytest.raises(UsageError, match="--fresh"):
        ask(records.library(), Question(technologies=("sev-snp",), policy={"RMP": False}, without=("validate_once",)))


def test_what_is_proved_now_is_what_is_stored() -> None:
    question = Question(technologies=("tdx",), objectives=("M6",), without=("accept_once",))
    (now,) = fresh(records.library(), question)

    assert [(one.objective, one.result) for one in now.verdicts] == [("M6", "trace")]
    assert now.stored.model.name == "tdx"


def test_every_replay_is_an_attack_of_the_catalogue_that_the_models_find_and_prove_gone() -> None:
    told = coverage.replayed(records.library())

    assert set(told) == set(replays())
    assert set(told) - set(catalogue().attacks) == set()


def test_a_replay_that_the_models_do_not_find_is_an_error() -> None:
    replay = Replay("double-accept", "story", [Scene("toy", "M5")])

    with pytest.raises(CatalogueError, match="is proved"):
        list(coverage.told(toy_library(), replay))
    assert list(coverage.told(toy_library(), Replay("x", "story", [Scene("toy", "M5", {}, ["accept_once"])]))) == [
        f"toy M5 (without accept_once): 4 steps [{toy_stored().verdicts[1].id}]"
    ]


def test_every_attack_on_an_assumption_is_in_the_catalogue() -> None:
    assert set(coverage.assumptions_broken(records.library())) - set(catalogue().attacks) == set()


def test_most_attacks_are_reached_by_a_model() -> None:
    """The number that `prove --attacks` shows; it may grow."""
    attacks = {attack.id for attack in catalogue().attacks.values() if attack.affected != "false"}
    reached = set(coverage.replayed(records.library())) | set(coverage.assumptions_broken(records.library()))

    assert len(attacks) == 74
    assert len(reached & attacks) >= 66
    assert len(coverage.replayed(records.library())) >= 27
