"""The symbolic meaning of a model: z3 terms about any number of pages.

Every model gets a z3 context of its own. A state before an operation is a set of uninterpreted functions; the state after
it is not: a read after the operation is unfolded into its effects, so that no axioms about frames are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count, product
from typing import TYPE_CHECKING, Any

from hostproof.managers.engine.language import Model, Operation, Switches
from hostproof.managers.engine.terms import (
    BOOL,
    Choice,
    Equal,
    Every,
    ModelError,
    Name,
    Not,
    Quantified,
    Read,
    Some,
    Sort,
    Term,
    Value,
    Variable,
)
from hostproof.managers.engine.walk import fix_switches

if TYPE_CHECKING:
    import z3  # type: ignore[import-untyped]

__all__ = ["Symbols"]

Z3 = Any
"""A term of z3."""
_Reader = Callable[[Variable, tuple[Z3, ...]], Z3]


class Symbols:
    """z3's sorts and functions for a model whose duties and policies are fixed."""

    def __init__(self, model: Model, switches: Switches) -> None:
        import z3

        self.z3: Any = z3
        self._fresh = count()
        self.model, self.switches = model, switches
        self.context = z3.Context()
        self._sorts: dict[Sort, Z3] = {BOOL: z3.BoolSort(self.context)}
        self._values: dict[Sort, tuple[Z3, ...]] = {
            BOOL: (z3.BoolVal(False, self.context), z3.BoolVal(True, self.context))
        }
        for sort in model.sorts:
            if sort.values is None:
                self._sorts[sort] = z3.DeclareSort(sort.name, self.context)
            else:
                made, values = z3.EnumSort(
                    sort.name, [f"{sort.name}.{value}" for value in sort.values], ctx=self.context
                )
                self._sorts[sort], self._values[sort] = made, tuple(values)
        self.functions = {
            variable: z3.Function(
                variable.name, *(self._sorts[sort] for sort in (*variable.arguments, variable.result))
            )
            for variable in model.variables
        }

    def solver(self, seconds: float) -> z3.Solver:
        """A solver that answers unknown after so many seconds."""
        solver = self.z3.Solver(ctx=self.context)
        solver.set("timeout", max(1, int(seconds * 1000)))
        return solver

    def constants(self, operation: Operation) -> dict[str, Z3]:
        """The parameters of an operation as constants."""
        return {name.name: self._constant(f"{operation.name}.{name.name}", name.of) for name in operation.parameters}

    def before(self, term: Term, names: Mapping[str, Z3] | None = None) -> Z3:
        """The term in the state before an operation."""
        return self._translate(fix_switches(term, self.switches), dict(names or {}), self._read)

    def after(self, term: Term, operation: Operation, names: Mapping[str, Z3]) -> Z3:
        """The term (closed) in the state after the operation."""
        updates = self._updates(operation, names)
        return self._translate(fix_switches(term, self.switches), {}, updates)

    def guards(self, operation: Operation, names: Mapping[str, Z3]) -> list[Z3]:
        """The guards of an operation."""
        return [self.before(guard.condition, names) for guard in operation.guards]

    def start(self, solver: z3.Solver) -> None:
        """Asserts the initial condition."""
        z3 = self.z3
        for variable in self.model.variables:
            if not variable.initial:
                continue
            names = [self._constant(f"{variable.name}#{i}", sort) for i, sort in enumerate(variable.arguments)]
            value = self.functions[variable](*names)
            body = z3.Or(*(value == self._values[variable.result][one.index] for one in variable.initial))
            solver.add(z3.ForAll(names, body) if names else body)

    def value(self, sort: Sort, index: int) -> Z3:
        """A value of an enumeration."""
        return self._values[sort][index]

    def state(self, found: z3.ModelRef) -> tuple[dict[str, int], dict[str, str]]:
        """A state that z3 found: how many elements of each uninterpreted sort, and cells with their values."""
        universe: dict[Sort, list[Z3]] = {}
        for sort in self.model.sorts:
            if sort.uninterpreted:
                elements = found.get_universe(self._sorts[sort])
                universe[sort] = list(elements) if elements else [self._constant(f"{sort.name}#0", sort)]
            else:
                universe[sort] = list(self._values[sort])
        universe[BOOL] = list(self._values[BOOL])
        cells = {}
        for variable, function in self.functions.items():
            for chosen in product(*(range(len(universe[sort])) for sort in variable.arguments)):
                inside = [universe[sort][i] for sort, i in zip(variable.arguments, chosen, strict=True)]
                value = found.eval(function(*inside), model_completion=True)
                shown = ", ".join(sort.show(i) for sort, i in zip(variable.arguments, chosen, strict=True))
                name = f"{variable.name}[{shown}]" if chosen else variable.name
                cells[name] = self._name_of(value, universe[variable.result], variable.result)
        return {sort.name: len(universe[sort]) for sort in universe if sort.uninterpreted}, cells

    def arguments(self, found: z3.ModelRef, operation: Operation) -> dict[str, str]:
        """The parameters that z3 chose for an operation."""
        shown = {}
        for name, constant in self.constants(operation).items():
            sort = next(parameter.of for parameter in operation.parameters if parameter.name == name)
            elements = found.get_universe(self._sorts[sort]) if sort.uninterpreted else self._values[sort]
            value = found.eval(constant, model_completion=True)
            shown[name] = self._name_of(value, list(elements or [value]), sort)
        return shown

    def _name_of(self, value: Z3, elements: list[Z3], sort: Sort) -> str:
        for i, element in enumerate(elements):
            if value.eq(element):
                return sort.show(i)
        return "any"

    def _constant(self, name: str, sort: Sort) -> Z3:
        return self.z3.Const(name, self._sorts[sort])

    def _read(self, variable: Variable, arguments: tuple[Z3, ...]) -> Z3:
        return self.functions[variable](*arguments)

    def _updates(self, operation: Operation, names: Mapping[str, Z3]) -> _Reader:
        """How variables read after the operation: the last effect that writes the place, else the value before."""
        z3 = self.z3

        def read(variable: Variable, arguments: tuple[Z3, ...]) -> Z3:
            value = self._read(variable, arguments)
            for effect in operation.effects:
                if effect.target.variable is not variable:
                    continue
                inner, tests = dict(names), []
                for place, argument in zip(effect.target.arguments, arguments, strict=True):
                    if isinstance(place, Name) and any(place is name for name in effect.each):
                        if place.name in inner and place.name not in names:
                            tests.append(inner[place.name] == argument)
                        inner[place.name] = argument
                for place, argument in zip(effect.target.arguments, arguments, strict=True):
                    if not (isinstance(place, Name) and any(place is name for name in effect.each)):
                        tests.append(self.before(place, inner) == argument)
                tests.append(self.before(effect.when, inner))
                value = z3.If(z3.And(*tests), self.before(effect.value, inner), value)
            return value

        return read

    def _translate(self, term: Term, names: dict[str, Z3], read: _Reader) -> Z3:
        z3 = self.z3
        match term:
            case Value(of=sort, index=index):
                return self._values[sort][index]
            case Name(name=name):
                return names[name]
            case Read(variable=variable, arguments=arguments):
                return read(variable, tuple(self._translate(argument, names, read) for argument in arguments))
            case Equal(left=left, right=right):
                return self._translate(left, names, read) == self._translate(right, names, read)
            case Not(part=part):
                return z3.Not(self._translate(part, names, read))
            case Every(parts=inside):
                return z3.And(self._values[BOOL][1], *(self._translate(part, names, read) for part in inside))
            case Some(parts=inside):
                return z3.Or(self._values[BOOL][0], *(self._translate(part, names, read) for part in inside))
            case Choice(condition=condition, then=then, otherwise=otherwise):
                return z3.If(*(self._translate(part, names, read) for part in (condition, then, otherwise)))
            case Quantified(universal=universal, names=bound, body=body):
                fresh = [self._constant(f"{name.name}!{next(self._fresh)}", name.of) for name in bound]
                inner = {**names, **{name.name: one for name, one in zip(bound, fresh, strict=True)}}
                quantifier = z3.ForAll if universal else z3.Exists
                return quantifier(fresh, self._translate(body, inner, read))
        raise ModelError.at(self.model.name, f"{type(term).__name__} has no symbolic meaning")
