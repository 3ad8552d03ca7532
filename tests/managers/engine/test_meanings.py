"""The two meanings of a model agree: what an operation does to a state is what z3 is told that it does."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.managers.engine import Model, Term
from hostproof.managers.engine.concrete import Machine, State
from hostproof.managers.engine.symbolic import Symbols
from tests.managers.engine import toys


class Agreement:
    """One model at one size, in both meanings, with z3's elements named as the machine's."""

    def __init__(self, model: Model, sizes: dict[str, int]) -> None:
        self.machine = Machine(model, model.switches(), sizes)
        self.symbols = Symbols(model, model.switches())
        z3 = self.symbols.z3
        self.elements = {
            sort.name: [self.symbols._constant(f"{sort.name}@{i}", sort) for i in range(sizes[sort.name])]
            for sort in model.sorts
            if sort.uninterpreted
        }
        self.world = []
        for sort in model.sorts:
            if sort.uninterpreted:
                inside = self.elements[sort.name]
                self.world += [z3.Distinct(*inside)] if len(inside) > 1 else []
                x = self.symbols._constant(f"{sort.name}@any", sort)
                self.world.append(z3.ForAll([x], z3.Or(*(x == element for element in inside))))

    def element(self, sort, index):
        return self.elements[sort.name][index] if sort.uninterpreted else self.symbols.value(sort, index)

    def holds(self, state: State, claim) -> bool:
        """Whether the claim is true in the state, as z3 sees it: its negation has no model."""
        solver = self.symbols.solver(10)
        solver.add(*self.world)
        for (variable, arguments), value in zip(self.machine.cells, state, strict=True):
            inside = [self.element(sort, i) for sort, i in zip(variable.arguments, arguments, strict=True)]
            solver.add(self.symbols.functions[variable](*inside) == self.element(variable.result, value))
        solver.add(self.symbols.z3.Not(claim))
        return str(solver.check()) == "unsat"

    def random_state(self, seed: int) -> State:
        chance = random.Random(seed)
        return tuple(chance.randrange(self.machine.size(variable.result)) for variable, _ in self.machine.cells)


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
