"""The concrete meaning of a model: states with a few pages, steps by closures.

A state is a flat tuple of small integers, one cell per variable and arguments. Every operation is instantiated for all
values of its parameters and folded as far as that decides it, so that a guard is mostly the comparison of a cell with
a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from operator import itemgetter

from hostproof.managers.engine.language import Model, Operation, Switches
from hostproof.managers.engine.terms import (
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

__all__ = ["DEAD", "Instance", "Machine", "State"]

State = tuple[int, ...]
Run = Callable[[State], int]
_Renaming = tuple[Callable[[State], State], tuple[tuple[int, tuple[int, ...]], ...]]
DEAD = -1
"""The value of a cell of an uninterpreted sort that nobody reads."""
_MOST_INITIAL_STATES = 50_000


@dataclass(frozen=True, slots=True)
class _Cell:
    """The value of one cell, known by its index."""

    index: int


@dataclass(frozen=True, slots=True)
class _Test:
    """Whether a cell has (or does not have) a value."""

    index: int
    value: int
    wanted: bool


@dataclass(frozen=True, slots=True)
class _Code:
    """Anything else."""

    run: Run


_Ground = int | _Cell | _Test | _Code


@dataclass(frozen=True, slots=True)
class _Update:
    index: int | Run
    value: int | Run
    when: Run | None


@dataclass(frozen=True, slots=True)
class Instance:
    """An operation with values for its parameters, ready to run on states."""

    operation: Operation
    arguments: tuple[int, ...]
    must: tuple[tuple[int, int], ...]
    must_not: tuple[tuple[int, int], ...]
    conditions: tuple[Run, ...]
    updates: tuple[_Update, ...]

    def enabled(self, state: State) -> bool:
        """Whether every guard holds."""
        for index, value in self.must:
            if state[index] != value:
                return False
        for index, value in self.must_not:
            if state[index] == value:
                return False
        return all(condition(state) for condition in self.conditions)

    def apply(self, state: State) -> State:
        """The state after it, with all effects reading the state before it."""
        after = list(state)
        for update in self.updates:
            if update.when is None or update.when(state):
                index = update.index if isinstance(update.index, int) else update.index(state)
                after[index] = update.value if isinstance(update.value, int) else update.value(state)
        return tuple(after)

    def show(self) -> dict[str, str]:
        """Parameters by name with the names of their values."""
        pairs = zip(self.operation.parameters, self.arguments, strict=True)
        return {name.name: name.of.show(value) for name, value in pairs}


class Machine:
    """A model at given sizes of its uninterpreted sorts, with its duties and policies fixed.

    Without `forgetting`, cells that nobody reads keep their values; without `symmetry`, states that differ in the names
    of elements are different: what another engine counts.
    """

    def __init__(
        self, model: Model, switches: Switches, sizes: Mapping[str, int], forgetting: bool = True, symmetry: bool = True
    ) -> None:
        for sort in model.sorts:
            if sort.uninterpreted and sizes.get(sort.name, 0) < 1:
                raise ModelError.at(model.name, f"the number of {sort.name} is not given", expected="at least 1")
        self.model, self.switches, self.sizes = model, switches, dict(sizes)
        self.cells: list[tuple[Variable, tuple[int, ...]]] = []
        self._base: dict[Variable, int] = {}
        for variable in model.variables:
            self._base[variable] = len(self.cells)
            self.cells += [(variable, arguments) for arguments in self._tuples(variable.arguments)]
        self.instances = tuple(self._instances())
        self._dead = tuple(self._dead_cells()) if forgetting else ()
        self._permutations = self._symmetries() if symmetry else []

    def size(self, sort: Sort) -> int:
        """How many elements a sort has here."""
        return len(sort.values) if sort.values is not None else self.sizes[sort.name]

    def initial(self) -> Iterator[State]:
        """The states to start from, one per class of symmetry, without what nobody reads."""
        free = [i for i, (variable, _) in enumerate(self.cells) if len(variable.initial) != 1]
        start = [variable.initial[0].index if variable.initial else 0 for variable, _ in self.cells]
        dead = {i for i, _, live in self._dead if not live(tuple(start))}
        free = [i for i in free if i not in dead]
        count = 1
        for i in free:
            count *= len(self._choices(i))
        if count > _MOST_INITIAL_STATES:
            hint = "give variables an initial value or say when they are alive"
            raise ModelError.at(self.model.name, f"there are {count} initial states", hint=hint)
        seen = set()
        for values in product(*(self._choices(i) for i in free)):
            state = list(start)
            for i, value in zip(free, values, strict=True):
                state[i] = value
            raw = tuple(state)
            if (canonical := self.canonical(self.forget(raw))) not in seen:
                seen.add(canonical)
                yield raw

    def forget(self, state: State) -> State:
        """The state with every dead cell at its default."""
        changes = [(i, default) for i, default, live in self._dead if state[i] != default and not live(state)]
        if not changes:
            return state
        after = list(state)
        for i, default in changes:
            after[i] = default
        return tuple(after)

    def canonical(self, state: State) -> State:
        """The representative of the state under renaming of the elements of uninterpreted sorts."""
        best = state
        for rearrange, renamed in self._permutations:
            other = rearrange(state)
            if renamed:
                changed = list(other)
                for i, table in renamed:
                    changed[i] = table[changed[i]]
                other = tuple(changed)
            best = min(best, other)
        return best

    def predicate(self, term: Term) -> Run:
        """A truth about states, as a closure."""
        return _run(self._ground(fix_switches(term, self.switches), {}))

    def evaluate(self, term: Term, state: State, environment: Mapping[str, int] | None = None) -> int:
        """The value of a term in a state, for names as given."""
        return _run(self._ground(fix_switches(term, self.switches), dict(environment or {})))(state)

    def show(self, cell: int, value: int) -> tuple[str, str]:
        """A cell and its value in words: `gpa[s0]`, `g1`."""
        variable, arguments = self.cells[cell]
        inside = ", ".join(sort.show(i) for sort, i in zip(variable.arguments, arguments, strict=True))
        shown = "any" if value == DEAD else variable.result.show(value)
        return (f"{variable.name}[{inside}]" if arguments else variable.name), shown

    def _choices(self, cell: int) -> Sequence[int]:
        """The values that a cell may have at the start."""
        variable, _ = self.cells[cell]
        return [value.index for value in variable.initial] or range(self.size(variable.result))

    def _tuples(self, sorts: Sequence[Sort]) -> Iterator[tuple[int, ...]]:
        return product(*(range(self.size(sort)) for sort in sorts))

    def _instances(self) -> Iterator[Instance]:
        for operation in self.model.operations:
            conditions = [fix_switches(guard.condition, self.switches) for guard in operation.guards]
            for arguments in self._tuples([name.of for name in operation.parameters]):
                names = {name.name: value for name, value in zip(operation.parameters, arguments, strict=True)}
                grounds = [part for term in conditions for part in self._conjuncts(term, names)]
                if any(isinstance(ground, int) and not ground for ground in grounds):
                    continue
                tests = [ground for ground in grounds if isinstance(ground, _Test)]
                codes = [_run(ground) for ground in grounds if isinstance(ground, _Cell | _Code)]
                yield Instance(
                    operation,
                    arguments,
                    tuple((test.index, test.value) for test in tests if test.wanted),
                    tuple((test.index, test.value) for test in tests if not test.wanted),
                    tuple(codes),
                    tuple(self._updates(operation, names)),
                )

    def _conjuncts(self, term: Term, names: Mapping[str, int]) -> Iterator[_Ground]:
        if isinstance(term, Every):
            for part in term.parts:
                yield from self._conjuncts(part, names)
        else:
            yield _as_test(self._ground(term, names))

    def _updates(self, operation: Operation, names: Mapping[str, int]) -> Iterator[_Update]:
        for effect in operation.effects:
            value, when = fix_switches(effect.value, self.switches), fix_switches(effect.when, self.switches)
            target = fix_switches(effect.target, self.switches)
            assert isinstance(target, Read)
            for values in self._tuples([name.of for name in effect.each]):
                inner = {**names, **{name.name: i for name, i in zip(effect.each, values, strict=True)}}
                condition = self._ground(when, inner)
                if isinstance(condition, int):
                    if not condition:
                        continue
                    run = None
                else:
                    run = _run(condition)
                index = self._index(target, inner)
                ground = self._ground(value, inner)
                yield _Update(index, ground if isinstance(ground, int) else _run(ground), run)

    def _index(self, read: Read, names: Mapping[str, int]) -> int | Run:
        """The cell that is read: known, or computed from a state."""
        fixed, moving = self._base[read.variable], []
        stride = 1
        for sort, argument in zip(reversed(read.variable.arguments), reversed(read.arguments), strict=True):
            ground = self._ground(argument, names)
            if isinstance(ground, int):
                fixed += stride * ground
            else:
                moving.append((stride, _run(ground)))
            stride *= self.size(sort)
        if not moving:
            return fixed
        steps = tuple(moving)
        return lambda state: fixed + sum(width * run(state) for width, run in steps)

    def _ground(self, term: Term, names: Mapping[str, int]) -> _Ground:
        match term:
            case Value(index=index):
                return index
            case Name(name=name):
                return names[name]
            case Read():
                where = self._index(term, names)
                return _Cell(where) if isinstance(where, int) else _Code(lambda state: state[where(state)])
            case Equal(left=left, right=right):
                return _equal(self._ground(left, names), self._ground(right, names))
            case Not(part=part):
                return _negate(self._ground(part, names))
            case Every(parts=parts):
                return _junction(True, (self._ground(part, names) for part in parts))
            case Some(parts=parts):
                return _junction(False, (self._ground(part, names) for part in parts))
            case Choice(condition=condition, then=then, otherwise=otherwise):
                return _choice(*(self._ground(part, names) for part in (condition, then, otherwise)))
            case Quantified(universal=universal, names=bound, body=body):
                values = self._tuples([name.of for name in bound])
                inner = (
                    {**names, **{name.name: i for name, i in zip(bound, chosen, strict=True)}} for chosen in values
                )
                return _junction(universal, (self._ground(body, environment) for environment in inner))
        raise ModelError.at(self.model.name, f"{type(term).__name__} has no concrete meaning")

    def _dead_cells(self) -> Iterator[tuple[int, int, Run]]:
        for i, (variable, arguments) in enumerate(self.cells):
            if variable.alive is None:
                continue
            names = {name.name: value for name, value in zip(variable.dummies, arguments, strict=True)}
            default = 0 if not variable.result.uninterpreted else DEAD
            if variable.initial:
                default = variable.initial[0].index
            yield i, default, _run(self._ground(fix_switches(variable.alive, self.switches), names))

    def _symmetries(self) -> list[_Renaming]:
        """Every renaming but the identity: how it rearranges cells, and which cells it renames."""
        if len(self.cells) < 2:
            return []
        sorts = [sort for sort in self.model.sorts if sort.uninterpreted]
        found: list[_Renaming] = []
        for choice in product(*(list(permutations(range(self.size(sort)))) for sort in sorts)):
            to = dict(zip(sorts, choice, strict=True))
            if all(table == tuple(range(len(table))) for table in choice):
                continue
            sources = [0] * len(self.cells)
            renamed = []
            for i, (variable, arguments) in enumerate(self.cells):
                moved = [
                    to[sort][value] if sort in to else value
                    for sort, value in zip(variable.arguments, arguments, strict=True)
                ]
                index = self._position(variable, moved)
                sources[index] = i
                if variable.result in to:
                    renamed.append((index, (*to[variable.result], DEAD)))
            found.append((itemgetter(*sources), tuple(renamed)))
        return found

    def _position(self, variable: Variable, arguments: Sequence[int]) -> int:
        index = 0
        for sort, value in zip(variable.arguments, arguments, strict=True):
            index = index * self.size(sort) + value
        return self._base[variable] + index


def _run(ground: _Ground) -> Run:
    match ground:
        case _Cell(index=index):
            return itemgetter(index)
        case _Test(index=index, value=value, wanted=True):
            return lambda state: state[index] == value
        case _Test(index=index, value=value):
            return lambda state: state[index] != value
        case _Code(run=run):
            return run
    return lambda state: ground


def _as_test(ground: _Ground) -> _Ground:
    return _Test(ground.index, 1, True) if isinstance(ground, _Cell) else ground


def _equal(left: _Ground, right: _Ground) -> _Ground:
    if isinstance(left, int) and isinstance(right, int):
        return int(left == right)
    if isinstance(left, int):
        left, right = right, left
    if isinstance(left, _Cell) and isinstance(right, int):
        return _Test(left.index, right, True)
    one, other = _run(left), _run(right)
    return _Code(lambda state: one(state) == other(state))


def _negate(ground: _Ground) -> _Ground:
    match ground:
        case int():
            return 1 - ground
        case _Cell(index=index):
            return _Test(index, 0, True)
        case _Test(index=index, value=value, wanted=wanted):
            return _Test(index, value, not wanted)
    run = _run(ground)
    return _Code(lambda state: not run(state))


def _junction(every: bool, grounds: Iterator[_Ground]) -> _Ground:
    """All (or some) of the parts, with what is decided already left out."""
    runs = []
    last: _Ground = int(every)
    for ground in grounds:
        if isinstance(ground, int):
            if bool(ground) is not every:
                return int(not every)
            continue
        last = _as_test(ground)
        runs.append(_run(last))
    if len(runs) <= 1:
        return last
    chosen = tuple(runs)
    if every:
        return _Code(lambda state: all(run(state) for run in chosen))
    return _Code(lambda state: any(run(state) for run in chosen))


def _choice(condition: _Ground, then: _Ground, otherwise: _Ground) -> _Ground:
    if isinstance(condition, int):
        return then if condition else otherwise
    test, one, other = _run(condition), _run(then), _run(otherwise)
    return _Code(lambda state: one(state) if test(state) else other(state))
