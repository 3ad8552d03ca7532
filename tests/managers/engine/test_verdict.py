"""Verdicts are stable records; duties are found weakest; vacuous models and surviving guards are named."""

from __future__ import annotations

import msgspec
import pytest

from hostproof.managers.engine import Caller, ModelBuilder, ModelError, toy
from hostproof.managers.engine.search import Limits
from hostproof.managers.engine.vacuity import mutants, silent
from hostproof.managers.engine.verdict import VerdictRecord, decide, digest, rendering, weakest_duties
from tests.managers.engine import toys


def test_a_proof_is_for_any_number_of_pages() -> None:
    verdict = decide(toy.model(), "M5")

    assert (verdict.result, verdict.bound, verdict.trace) == ("proved", "any", None)
    assert verdict.duties == ("accept_once",)


def test_a_trace_is_shortest() -> None:
    verdict = decide(toy.model(), "M5", without=["accept_once"])

    assert verdict.trace is not None
    assert [step.operation for step in verdict.trace.steps] == ["give", "give", "accept", "accept"]
    assert verdict.bound == "2 GuestPage, 2 SystemPage"


def test_neither_proof_nor_trace_is_unknown_and_says_why() -> None:
    verdict = decide(toys.graph(), "M5", sizes={"Process": 1, "Page": 1})

    assert verdict.result == "unknown"
    assert verdict.why_not


def test_a_verdict_has_the_same_id_each_time_and_survives_encoding() -> None:
    once, again = decide(toy.model(), "M5"), decide(toy.model(), "M5")

    assert once.id == again.id
    assert once.id != decide(toy.model(), "M5", without=["accept_once"]).id
    assert msgspec.json.decode(msgspec.json.encode(once), type=VerdictRecord) == once


def test_the_digest_changes_with_what_a_model_means_and_not_with_its_sentences() -> None:
    def counter(sentence: str, value: bool) -> ModelBuilder:
        m = ModelBuilder("m", "1", sentence)
        on = m.scalar("on")
        with m.operation("op", Caller.HOST, sentence, "1") as op:
            op.set(on, value)
        return m

    one = counter("a", True).build()

    assert digest(one) == digest(counter("b", True).build())
    assert digest(one) != digest(counter("a", False).build())
    assert "operation op() by host" in rendering(one)


def test_weakest_duties_are_those_whose_loss_opens_a_trace() -> None:
    table = weakest_duties(toys.mutual_exclusion(), "M3")

    assert table.weakest == (("polite",),)
    trace = table.dropped["polite"].trace
    assert trace is not None
    assert len(trace) == 2


def test_unknown_policies_and_duties_are_refused_with_what_there_is() -> None:
    with pytest.raises(ModelError, match="accept_once"):
        decide(toy.model(), "M5", policy={"debug": True})
    with pytest.raises(ModelError, match="no duty"):
        decide(toys.graph(), "M5", without=["bold"])
    with pytest.raises(ModelError, match="M5"):
        decide(toy.model(), "M9")


def test_a_model_in_which_nothing_happens_is_named() -> None:
    m = ModelBuilder("dead", "1", "Nothing happens")
    on = m.scalar("on")
    with m.operation("start", Caller.HOST, "Needs what never is.", "1") as op:
        op.guard("start.on", on)
        op.set(on, True)
    m.objective("A1", on, "always served")
    m.witness("it is on", on | False)

    assert silent(m.build()) == [
        "start never happens",
        "never reached: it is on",
        "A1 holds, although the host may always refuse service",
    ]
    assert silent(toys.mutual_exclusion()) == []


def test_a_guard_whose_removal_breaks_nothing_survives_unless_the_model_says_why() -> None:
    found = {mutant.guard: mutant for mutant in mutants(toys.mutual_exclusion(), limits=Limits(1000, 2))}

    assert set(found) == {"leave.inside"}
    assert found["leave.inside"].broken == {"M3": 3}
    assert all(mutant.redundant and not mutant.survives for mutant in mutants(toy.model()))
