"""Models for another engine: a model at given sizes as text in the language of Murphi.

`to_murphi` writes what Rumur (https://github.com/Smattr/rumur, in Debian) and other checkers of that family read, so that a
program that shares nothing with ours can be asked for the verdicts and for the exact number of reachable states.

* An uninterpreted sort is a range, and states that differ in the names of elements count separately; with
  `symmetric` it is a scalarset, and the checker counts (with exhaustive reduction) one state per class.
* Duties and policies are fixed and folded away, as in our search.
* A rule copies what it both reads and writes, because effects read the state before the operation.
* A cell that may start as several values is a parameter of the start states.
* With `forgetting`, what nobody reads has its default after every rule, as in our search. The default of a cell of an
  uninterpreted sort is then one value more than the sort has; whoever uses it as an index or an argument makes the checker
  stop.
* Objectives are invariants; as `covers`, the checker counts the states that an objective forbids instead of stopping at
  the first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import product

from hostproof.managers.engine.language import Effect, Model, Operation, Switches
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
from hostproof.managers.engine.walk import fix_switches, variables_of

__all__ = ["to_murphi"]

_OUTSIDE = "_or_nobody"


def to_murphi(
    model: Model,
    switches: Switches,
    sizes: Mapping[str, int],
    objectives: Sequence[str],
    *,
    covers: bool = False,
    forgetting: bool = False,
    symmetric: bool = False,
) -> str:
    """The model as a Murphi program. `switches` gives every duty and policy, `sizes` every uninterpreted sort.

    Raises ModelError where a size is missing, and where `forgetting` and `symmetric` are asked for together.
    """
    if forgetting and symmetric:
        raise ModelError.at(model.name, "a scalarset has no value for what nobody reads", hint="ask for one of them")
    return "\n".join(_Export(model, switches, sizes, forgetting, symmetric).lines(objectives, covers)) + "\n"


class _Export:
    """One export: the names it gave out and what it fixed."""

    def __init__(
        self, model: Model, switches: Switches, sizes: Mapping[str, int], forgetting: bool, symmetric: bool
    ) -> None:
        for sort in model.sorts:
            if sort.uninterpreted and sizes.get(sort.name, 0) < 1:
                raise ModelError.at(model.name, f"the number of {sort.name} is not given", expected="at least 1")
        self.model, self.switches, self.sizes = model, switches, sizes
        self.symmetric = symmetric
        self.mortal = [v for v in model.variables if forgetting and v.alive is not None]
        self._given: dict[tuple[str, str], str] = {}
        self._taken: set[str] = set()

    def lines(self, objectives: Sequence[str], covers: bool) -> Iterator[str]:
        """The program from types to properties."""
        yield f"-- {_printable(self.model.name)} {_printable(self.model.version)}"
        yield from self._types()
        if self.mortal:
            yield from self._forget()
        yield from self._start()
        for operation in self.model.operations:
            yield from self._rule(operation)
        for name in objectives:
            never = self.write(fix_switches(self.model.objective(name).never, self.switches))
            yield f'{"cover" if covers else "invariant"} "{_printable(name)}" {never if covers else f"!{never}"};'

    def write(self, term: Term, before: Collection[Variable] = ()) -> str:
        """A term; `before` are the variables whose value before the rule has been copied."""
        match term:
            case Value(of=sort, index=index):
                return ("true" if index else "false") if sort == BOOL else self._value(sort, index)
            case Name(name=name):
                return self._name("n", name)
            case Read(variable=variable, arguments=arguments):
                return self._cell(
                    variable, [self.write(argument, before) for argument in arguments], variable in before
                )
            case Equal(left=left, right=right):
                return f"({self.write(left, before)} = {self.write(right, before)})"
            case Not(part=part):
                return f"!{self.write(part, before)}"
            case Every(parts=parts) | Some(parts=parts):
                every = isinstance(term, Every)
                joined = (" & " if every else " | ").join(self.write(part, before) for part in parts)
                return f"({joined})" if parts else "true" if every else "false"
            case Choice(condition=condition, then=then, otherwise=otherwise):
                inside = [self.write(part, before) for part in (condition, then, otherwise)]
                return f"({inside[0]} ? {inside[1]} : {inside[2]})"
            case Quantified(universal=universal, names=names, body=body):
                word = "forall" if universal else "exists"
                opened = "".join(f"{word} {self._name('n', name.name)}: {self._type(name.of)} do " for name in names)
                return f"({opened}{self.write(body, before)}{f' end{word}' * len(names)})"
        raise ModelError.at(self.model.name, f"{type(term).__name__} has no text in Murphi")

    def _name(self, kind: str, name: str) -> str:
        """A word for a name: the kind keeps words of the language away, a number keeps two names apart."""
        if (kind, name) not in self._given:
            word = f"{kind}_{''.join(c if c.isascii() and c.isalnum() else '_' for c in name)}"
            plain, count = word, 1
            while word in self._taken:
                count += 1
                word = f"{plain}_{count}"
            self._taken.add(word)
            self._given[kind, name] = word
        return self._given[kind, name]

    def _type(self, sort: Sort) -> str:
        return "boolean" if sort == BOOL else self._name("t", sort.name)

    def _value(self, sort: Sort, index: int) -> str:
        return self._name("c", f"{sort.name} {sort.show(index)}")

    def _cell(self, variable: Variable, arguments: Sequence[str], before: bool = False) -> str:
        return self._name("b" if before else "v", variable.name) + "".join(f"[{argument}]" for argument in arguments)

    def _holder(self, variable: Variable) -> str:
        return self._name("h", variable.name)

    def _types(self) -> Iterator[str]:
        yield "type"
        for sort in self.model.sorts:
            word = self._type(sort)
            if sort.values is not None:
                inside = ", ".join(self._value(sort, index) for index in range(len(sort.values)))
                yield f"  {word}: enum {{ {inside} }};"
            else:
                size = self.sizes[sort.name]
                yield f"  {word}: {f'scalarset({size})' if self.symmetric else f'0..{size - 1}'};"
                if self.mortal:
                    yield f"  {word}{_OUTSIDE}: 0..{size};"
        for variable in self.model.variables:
            arrays = "".join(f"array [{self._type(sort)}] of " for sort in variable.arguments)
            outside = _OUTSIDE if self.mortal and variable.result.uninterpreted else ""
            yield f"  {self._holder(variable)}: {arrays}{self._type(variable.result)}{outside};"
        yield "var"
        for variable in self.model.variables:
            yield f"  {self._cell(variable, [])}: {self._holder(variable)};"

    def _everywhere(self, names: Sequence[Name], inside: Sequence[str]) -> Iterator[str]:
        """Statements for every value of the names."""
        for depth, name in enumerate(names):
            yield f"{'  ' * depth}for {self._name('n', name.name)}: {self._type(name.of)} do"
        yield from ("  " * len(names) + line for line in inside)
        for depth in reversed(range(len(names))):
            yield f"{'  ' * depth}endfor;"

    def _copies(self, variables: Collection[Variable]) -> tuple[list[str], list[str]]:
        """Declarations and statements that keep the state before."""
        wanted = [variable for variable in self.model.variables if variable in variables]
        declared = [f"var {self._cell(variable, [], True)}: {self._holder(variable)};" for variable in wanted]
        return declared, [f"{self._cell(variable, [], True)} := {self._cell(variable, [])};" for variable in wanted]

    def _forget(self) -> Iterator[str]:
        """A procedure that gives all cells that nobody reads their default, judged by the state before."""
        alive = {
            variable: fix_switches(variable.alive, self.switches)
            for variable in self.mortal
            if variable.alive is not None
        }
        read = {known for term in alive.values() for known in variables_of(term)[0]}
        before = read & set(self.mortal)
        declared, copied = self._copies(before)
        yield "procedure forget();"
        yield from (f"  {line}" for line in declared)
        yield "begin"
        yield from (f"  {line}" for line in copied)
        for variable, term in alive.items():
            default = self._first(variable)
            if variable.result.uninterpreted and not variable.initial:
                default = str(self.sizes[variable.result.name])
            target = self._cell(variable, [self._name("n", name.name) for name in variable.dummies])
            inside = [f"if !{self.write(term, before)} then {target} := {default}; endif;"]
            yield from (f"  {line}" for line in self._everywhere(variable.dummies, inside))
        yield "end;"

    def _first(self, variable: Variable) -> str:
        """The first value that a variable may start with."""
        if variable.initial:
            return self.write(variable.initial[0])
        if variable.result == BOOL:
            return "false"
        return "0" if variable.result.uninterpreted else self._value(variable.result, 0)

    def _start(self) -> Iterator[str]:
        """All start states: a parameter for every cell that may start as several values."""
        choices: list[str] = []
        body: list[str] = []
        for variable in self.model.variables:
            if len(variable.initial) == 1:
                dummies = [Name(sort, f"start {place}") for place, sort in enumerate(variable.arguments)]
                target = self._cell(variable, [self._name("n", name.name) for name in dummies])
                body += self._everywhere(dummies, [f"{target} := {self._first(variable)};"])
                continue
            for number, arguments in enumerate(product(*(self._elements(sort) for sort in variable.arguments))):
                word, target = self._name("n", f"start {variable.name} {number}"), self._cell(variable, arguments)
                if not variable.initial:
                    choices.append(f"{word}: {self._type(variable.result)}")
                    body.append(f"{target} := {word};")
                    continue
                choices.append(f"{word}: 0..{len(variable.initial) - 1}")
                for place, value in enumerate(variable.initial):
                    body.append(f"if {word} = {place} then {target} := {self.write(value)}; endif;")
        yield from (f"ruleset {choice} do" for choice in choices)
        yield 'startstate "start"'
        yield "begin"
        yield from (f"  {line}" for line in body)
        if self.mortal:
            yield "  forget();"
        yield "endstartstate;"
        yield from ("endruleset;" for _ in choices)

    def _rule(self, operation: Operation) -> Iterator[str]:
        """An operation with its parameters; nothing where a duty or policy rules it out."""
        guards = [fix_switches(guard.condition, self.switches) for guard in operation.guards]
        if any(map(_never, guards)):
            return
        guard = " & ".join(self.write(term) for term in guards if not isinstance(term, Value)) or "true"
        effects = [effect for effect in map(self._fixed, operation.effects) if not _never(effect.when)]
        read = {v for e in effects for t in (*e.target.arguments, e.value, e.when) for v in variables_of(t)[0]}
        before = read & {effect.target.variable for effect in effects}
        declared, copied = self._copies(before)
        for name in operation.parameters:
            yield f"ruleset {self._name('n', name.name)}: {self._type(name.of)} do"
        yield f'rule "{_printable(operation.name)}"'
        yield f"  {guard}"
        yield "==>"
        yield from (f"  {line}" for line in declared)
        yield "begin"
        yield from (f"  {line}" for line in copied)
        for effect in effects:
            yield from (f"  {line}" for line in self._effect(effect, before))
        if self.mortal:
            yield "  forget();"
        yield "endrule;"
        yield from ("endruleset;" for _ in operation.parameters)

    def _fixed(self, effect: Effect) -> Effect:
        target = fix_switches(effect.target, self.switches)
        assert isinstance(target, Read)
        value, when = fix_switches(effect.value, self.switches), fix_switches(effect.when, self.switches)
        return Effect(target, value, when, effect.each)

    def _effect(self, effect: Effect, before: Collection[Variable]) -> Iterator[str]:
        arguments = [self.write(argument, before) for argument in effect.target.arguments]
        line = f"{self._cell(effect.target.variable, arguments)} := {self.write(effect.value, before)};"
        if not isinstance(effect.when, Value):
            line = f"if {self.write(effect.when, before)} then {line} endif;"
        return self._everywhere(effect.each, [line])

    def _elements(self, sort: Sort) -> list[str]:
        """The elements of a sort, each as text."""
        if sort.values is not None:
            return [self.write(Value(sort, index)) for index in range(len(sort.values))]
        if self.symmetric:
            hint = "give the variable one initial value, or count without symmetry"
            raise ModelError.at(self.model.name, f"start states would name elements of {sort.name}", hint=hint)
        return [str(index) for index in range(self.sizes[sort.name])]


def _never(term: Term) -> bool:
    return isinstance(term, Value) and not term.index


def _printable(name: str) -> str:
    """A name inside quotes or a comment."""
    return "".join(c if c.isascii() and c.isprintable() and c not in '"\\' else "_" for c in name)
