"""The two meanings of a model agree: what an operation does to a state is what z3 is told that it does."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.managers.engine import Model, Term
from hostproof.managers.models import kvm, sev_snp
from tests.managers.engine import toys
from tests.managers.engine.agreement import Agreement

GRAPH = Agreement(toys.graph(), {"Process": 2, "Page": 2})


def closed_terms(model: Model) -> list[Term]:
    return [clause.never for clause in model.objectives] + [invariant.clause for invariant in model.invariants]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**9))
def test_a_term_has_the_same_value_in_both_meanings(seed: int) -> None:
    state = GRAPH.random_state(seed)
    for term in closed_terms(GRAPH.machine.model):
        value = bool(GRAPH.machine.evaluate(term, state))
        symbolic = GRAPH.symbols.before(term)

        assert GRAPH.holds(state, symbolic if value else GRAPH.symbols.z3.Not(symbolic))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**9))
def test_an_operation_leads_to_the_same_state_in_both_meanings(seed: int) -> None:
    state = GRAPH.random_state(seed)
    z3, symbols = GRAPH.symbols.z3, GRAPH.symbols
    instance = random.Random(seed).choice(GRAPH.machine.instances)
    operation = instance.operation
    names = {
        name.name: GRAPH.element(name.of, i) for name, i in zip(operation.parameters, instance.arguments, strict=True)
    }
    guards = z3.And(*symbols.guards(operation, names), symbols.value(toys.graph().variables[1].result, 1))
    after = instance.apply(state)
    read = symbols._updates(operation, names)
    cells = []
    for (variable, arguments), value in zip(GRAPH.machine.cells, after, strict=True):
        inside = tuple(GRAPH.element(sort, i) for sort, i in zip(variable.arguments, arguments, strict=True))
        cells.append(read(variable, inside) == GRAPH.element(variable.result, value))

    assert GRAPH.holds(state, guards if instance.enabled(state) else z3.Not(guards))
    assert GRAPH.holds(state, z3.And(*cells))
    for term in closed_terms(GRAPH.machine.model):
        then = symbols.after(term, operation, names)
        assert GRAPH.holds(state, then if GRAPH.machine.evaluate(term, after) else z3.Not(then))


@pytest.mark.parametrize("seed", range(3))
def test_the_comparison_can_fail(seed: int) -> None:
    state = GRAPH.random_state(seed)
    term = closed_terms(GRAPH.machine.model)[0]
    value = bool(GRAPH.machine.evaluate(term, state))
    symbolic = GRAPH.symbols.before(term)

    assert not GRAPH.holds(state, GRAPH.symbols.z3.Not(symbolic) if value else symbolic)


MODELS = [
    Agreement(kvm.model(), {"SystemPage": 2, "GuestPage": 2}),
    Agreement(sev_snp.model(), {"SystemPage": 2, "GuestPage": 2, "MetadataEntry": 1}),
]


@pytest.mark.parametrize("agreement", MODELS, ids=lambda agreement: agreement.machine.model.name)
def test_the_models_mean_the_same_in_both_meanings(agreement: Agreement) -> None:
    assert [agreement.disagreement(seed) for seed in range(20)] == [""] * 20
