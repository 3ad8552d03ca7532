"""One model in both of its meanings: the fixture with which every model's tests hold them against each other."""

from __future__ import annotations

import random
from typing import Any

from hostproof.managers.engine import Model, Sort
from hostproof.managers.engine.concrete import Machine, State
from hostproof.managers.engine.symbolic import Symbols


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

    def element(self, sort: Sort, index: int) -> Any:
        return self.elements[sort.name][index] if sort.uninterpreted else self.symbols.value(sort, index)

    def holds(self, state: State, claim: Any) -> bool:
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

    def disagreement(self, seed: int) -> str:
        """Where one random step of the model means two things; empty where it does not."""
        state, chance = self.random_state(seed), random.Random(seed)
        instance = chance.choice(self.machine.instances)
        operation, symbols = instance.operation, self.symbols
        z3 = symbols.z3
        names = {
            name.name: self.element(name.of, i)
            for name, i in zip(operation.parameters, instance.arguments, strict=True)
        }
        guards = z3.And(*symbols.guards(operation, names), z3.BoolVal(True, symbols.context))
        if not self.holds(state, guards if instance.enabled(state) else z3.Not(guards)):
            return f"guards of {operation.name}"
        read = symbols._updates(operation, names)
        for (variable, arguments), value in zip(self.machine.cells, instance.apply(state), strict=True):
            inside = tuple(self.element(sort, i) for sort, i in zip(variable.arguments, arguments, strict=True))
            if not self.holds(state, read(variable, inside) == self.element(variable.result, value)):
                return f"{operation.name} on {variable.name}"
        return ""
