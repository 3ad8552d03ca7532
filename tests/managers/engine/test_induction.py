"""The induction proves what holds, and says where it stops where it does not."""

from __future__ import annotations

import pytest

from hostproof.managers.engine import Caller, Model, ModelBuilder, Sort, exists, forall, toy
from hostproof.managers.engine.fragment import cycles
from hostproof.managers.engine.induction import prove, settle
from tests.managers.engine import toys


def test_mutual_exclusion_is_proved_for_any_number_of_processes() -> None:
    model = toys.mutual_exclusion()

    proof = prove(model, model.objectives, model.switches())

    assert proof.proved
    assert proof.invariants == ("held", "alone")


def test_the_induction_fails_at_the_duty_that_is_dropped() -> None:
    model = toys.mutual_exclusion()

    failure = prove(model, model.objectives, model.switches(without=["polite"])).failures[0]

    assert (failure.kind, failure.clause, failure.operation) == ("step", "alone", "enter")
    assert str(failure).startswith("enter(me=p")


@pytest.mark.parametrize("dropped", ["held", "alone"])
def test_a_proof_fails_without_any_of_its_invariants(dropped: str) -> None:
    model = toys.mutual_exclusion()
    kept = [invariant for invariant in model.invariants if invariant.id != dropped]

    assert not prove(model, model.objectives, model.switches(), kept).proved


def test_invariants_that_exclude_the_violation_without_being_inductive_are_no_proof() -> None:
    model = toys.mutual_exclusion()
    alone = [model.invariants[1]]

    proof = prove(model, model.objectives, model.switches(), alone)

    assert {failure.kind for failure in proof.failures} == {"step"}
    assert settle(model, model.objectives, model.switches(), alone).excluded == ()


def test_an_invariant_must_hold_at_the_start() -> None:
    m = ModelBuilder("start", "1", "Starts wrong")
    on = m.scalar("on", initial=True)
    m.invariant("off", ~on, "wrong at the start")
    m.objective("M1", on, "never on")
    model = m.build()

    assert [failure.kind for failure in prove(model, model.objectives, {}).failures] == ["initial"]


def test_what_a_run_does_not_keep_is_dropped_and_the_rest_still_proves() -> None:
    model = toys.graph()

    settled = settle(model, model.objectives, model.switches())

    assert settled.invariants == ()
    assert {failure.clause for failure in settled.failures} == {"calm", "mixed", "M5"}


def _both_ways() -> Model:
    one, other = Sort("One"), Sort("Other")
    m = ModelBuilder("cycle", "1", "Functions both ways")
    there = m.function("there", [one], other)
    back = m.function("back", [other], one)
    (a,) = one.names("a")
    with m.operation("step", Caller.HOST, "Steps.", "1") as op:
        p = op.parameter("p", one)
        op.set(back[there[p]], p)
    m.objective("M1", exists([a], back[there[a]] != a), "back again")
    m.invariant("home", forall([a], back[there[a]] == a), "there and back")
    return m.build()


def test_functions_both_ways_are_outside_the_fragment_and_not_tried() -> None:
    model = _both_ways()

    proof = prove(model, model.objectives, {})

    assert [failure.kind for failure in proof.failures] == ["cycle", "cycle"]
    assert settle(model, model.objectives, {}).excluded == ()
    assert cycles(toy.model(), toy.model().switches()) == []


def test_an_existential_inside_a_universal_counts_against_the_fragment() -> None:
    m = ModelBuilder("alternation", "1", "For all there is")
    page = Sort("Page")
    linked = m.function("linked", [page, page])
    a, b = page.names("a", "b")
    m.invariant("serial", forall([a], exists([b], linked[a, b])), "everybody is linked")

    assert cycles(m.build(), {}) == ["invariant serial: from Page to Page and back"]


def test_a_query_that_takes_too_long_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    model = toys.mutual_exclusion()
    proof = prove(model, model.objectives, model.switches(), seconds=1e-9)

    assert proof.proved or {failure.kind for failure in proof.failures} == {"unknown"}
