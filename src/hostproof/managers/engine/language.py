"""The language of models: state, operations, duties, policies, objectives, invariants, assumptions.

`ModelBuilder` is what a model is written with; `Model` is what it becomes, frozen and checked. See `hostproof.managers.engine`
for a complete example.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from hostproof.managers.engine.terms import (
    BOOL,
    TRUE,
    ModelError,
    Name,
    Read,
    Sort,
    Switch,
    Term,
    Value,
    Variable,
    lift,
)
from hostproof.managers.engine.walk import check_scope, variables_of

__all__ = [
    "Assumption",
    "Caller",
    "Constant",
    "Effect",
    "Guard",
    "Invariant",
    "Model",
    "ModelBuilder",
    "ObjectiveClause",
    "Operation",
    "OperationBuilder",
    "Switches",
]

Switches = Mapping[str, bool]
"""Values of every duty and policy of a run."""


class Caller(StrEnum):
    """Who may take a step."""

    HOST = "host"
    GUEST = "guest"
    CPU = "cpu"
    DMA = "dma"
    MANAGER = "manager"


@dataclass(frozen=True, slots=True)
class Guard:
    """A condition of an operation; `error` is what the caller sees where it fails, `source` the clause.

    `redundant` is the reason why removing it breaks nothing (the vacuity check asks for one).
    """

    id: str
    condition: Term
    error: str = ""
    source: str = ""
    redundant: str = ""


@dataclass(frozen=True, slots=True)
class Effect:
    """One update: the variable's value at `target` becomes `value` where `when` holds.

    For every element that the names in `each` may stand for. All effects of an operation read the state before it; where two
    of them write one place, the later one counts.
    """

    target: Read
    value: Term
    when: Term = TRUE
    each: tuple[Name, ...] = ()


@dataclass(frozen=True, slots=True)
class Operation:
    """A step that somebody may take: name as in the specification, caller, what must hold, what changes."""

    name: str
    caller: Caller
    sentence: str
    source: str
    parameters: tuple[Name, ...]
    guards: tuple[Guard, ...]
    effects: tuple[Effect, ...]
    may_never_fire: str = ""
    """The reason why no reachable state lets it happen under the default policy, if that is intended."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A duty of the guest or a policy bit: a name, what it says, and its value unless the run says otherwise."""

    name: str
    sentence: str
    default: bool
    duty: bool
    source: str = ""


@dataclass(frozen=True, slots=True)
class ObjectiveClause:
    """A state that must never be reached. `id` is an objective of the threat model (M1 ... P1), `.word` names a part."""

    id: str
    never: Term
    sentence: str
    assumptions: tuple[str, ...] = ()
    primitives: tuple[str, ...] = ()
    """Primitives of the catalogue that a trace to `never` carries out."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """A clause that every reachable state satisfies, and why in a sentence."""

    id: str
    clause: Term
    sentence: str


@dataclass(frozen=True, slots=True)
class Assumption:
    """What a proof rests on, and the published attacks (catalogue ids) that break it."""

    id: str
    sentence: str
    broken_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Model:
    """A security manager, its guest and its host. Built by `ModelBuilder.build`; every part has been checked."""

    name: str
    version: str
    title: str
    sorts: tuple[Sort, ...]
    variables: tuple[Variable, ...]
    constants: tuple[Constant, ...]
    operations: tuple[Operation, ...]
    objectives: tuple[ObjectiveClause, ...]
    invariants: tuple[Invariant, ...]
    assumptions: tuple[Assumption, ...]
    witnesses: Mapping[str, Term] = field(default_factory=dict)
    """States that must be reachable (the guest reads back what it wrote): a model in which they are not proves nothing."""

    def switches(self, policy: Switches | None = None, without: Sequence[str] = ()) -> dict[str, bool]:
        """The constants of a run: defaults, then `policy`, then every duty in `without` dropped."""
        values = {constant.name: constant.default for constant in self.constants}
        duties = [constant.name for constant in self.constants if constant.duty]
        for name in [*(policy or {}), *without]:
            if name not in values:
                known = ", ".join(values) or "none"
                raise ModelError.at(self.name, f"there is no duty or policy {name}", expected=known)
        values.update(policy or {})
        for name in without:
            if name not in duties:
                raise ModelError.at(self.name, f"{name} is no duty of the guest", expected=", ".join(duties) or "none")
            values[name] = False
        return values

    @property
    def duties(self) -> tuple[str, ...]:
        """Names of the guest's duties."""
        return tuple(constant.name for constant in self.constants if constant.duty)

    def objective(self, name: str) -> ObjectiveClause:
        """The objective of this id."""
        for clause in self.objectives:
            if clause.id == name:
                return clause
        known = ", ".join(clause.id for clause in self.objectives)
        raise ModelError.at(self.name, f"there is no objective {name}", expected=known)


class OperationBuilder:
    """What stands inside `with m.operation(...) as op`."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.parameters: list[Name] = []
        self.guards: list[Guard] = []
        self.effects: list[Effect] = []

    def parameter(self, name: str, sort: Sort) -> Name:
        """A parameter that the caller chooses. The host's answers and contents are parameters: it chooses any value."""
        if any(known.name == name for known in self.parameters):
            raise ModelError.at(self.where, f"parameter {name} stands twice")
        self.parameters.append(Name(sort, name))
        return self.parameters[-1]

    def guard(self, id: str, condition: Term, error: str = "", source: str = "", redundant: str = "") -> None:
        """A condition that must hold, with its id (unique in the operation), the error otherwise and the clause."""
        where = f"{self.where}/{id}"
        if any(known.id == id for known in self.guards):
            raise ModelError.at(where, "the guard's id stands twice")
        check_scope(where, lift(condition, BOOL), self.parameters)
        self.guards.append(Guard(id, condition, error, source, redundant))

    def set(self, target: Term, value: object, when: Term | bool = True, each: Sequence[Name] = ()) -> None:
        """An update. `each` names range over everything: `op.set(tlb[t, g], False, each=[t])` flushes all pages t at g."""
        if not isinstance(target, Read):
            raise ModelError.at(self.where, "only a state variable can be set", expected="variable[arguments]")
        effect = Effect(target, lift(value, target.sort), lift(when, BOOL), tuple(each))
        for term in (target, effect.value, effect.when):
            check_scope(self.where, term, [*self.parameters, *each])
        for name in each:
            if not any(argument is name for argument in target.arguments):
                raise ModelError.at(self.where, f"{name.name} in each is no argument of {target.variable.name}")
        self.effects.append(effect)


class ModelBuilder:
    """Collects the parts of a model in the order of the specification; `build` checks and freezes it."""

    def __init__(self, name: str, version: str, title: str) -> None:
        self.name, self.version, self.title = name, version, title
        self._variables: list[Variable] = []
        self._constants: list[Constant] = []
        self._operations: list[Operation] = []
        self._objectives: list[ObjectiveClause] = []
        self._invariants: list[Invariant] = []
        self._assumptions: list[Assumption] = []
        self._witnesses: dict[str, Term] = {}

    def function(
        self, name: str, arguments: Sequence[Sort], result: Sort = BOOL, initial: object = None, meaning: str = ""
    ) -> Variable:
        """A state variable, at the start `initial` everywhere, or one of several values where a tuple is given.

        Without `initial` a relation starts false, and any other variable as anything.
        """
        return self._add(name, tuple(arguments), result, initial, meaning)

    def scalar(self, name: str, result: Sort = BOOL, initial: object = None, meaning: str = "") -> Read:
        """A state variable without arguments, as the term that reads it."""
        return Read(self._add(name, (), result, initial, meaning), ())

    def alive(self, variable: Variable, names: Sequence[Name], condition: Term) -> None:
        """Where `condition` is false nobody reads the variable: `m.alive(gpa, [s], assigned[s])`."""
        where = f"{self.name}/{variable.name}"
        if tuple(name.of for name in names) != variable.arguments:
            raise ModelError.at(where, "alive needs one name per argument of the variable")
        check_scope(where, condition, names)
        object.__setattr__(variable, "dummies", tuple(names))
        object.__setattr__(variable, "alive", condition)

    def duty(self, name: str, sentence: str, source: str = "") -> Switch:
        """Something the guest must do; on unless a run drops it."""
        return self._constant(Constant(name, sentence, True, True, source))

    def policy(self, name: str, sentence: str, default: bool = False, source: str = "") -> Switch:
        """A policy bit, feature or version switch of a run."""
        return self._constant(Constant(name, sentence, default, False, source))

    @contextmanager
    def operation(
        self, name: str, caller: Caller, sentence: str, source: str, may_never_fire: str = ""
    ) -> Iterator[OperationBuilder]:
        """`with m.operation("RMPUPDATE", HOST, sentence, source) as op:` parameters, guards and effects follow."""
        if any(known.name == name for known in self._operations):
            raise ModelError.at(f"{self.name}/{name}", "the operation stands twice")
        op = OperationBuilder(f"{self.name}/{name}")
        yield op
        if not sentence or not source:
            raise ModelError.at(op.where, "an operation needs a sentence and a source")
        parts = (tuple(op.parameters), tuple(op.guards), tuple(op.effects))
        self._operations.append(Operation(name, Caller(caller), sentence, source, *parts, may_never_fire))

    def objective(
        self, id: str, never: Term, sentence: str, assumptions: Sequence[str] = (), primitives: Sequence[str] = ()
    ) -> None:
        """A state that must never be reached."""
        check_scope(f"{self.name}/{id}", lift(never, BOOL), ())
        self._objectives.append(ObjectiveClause(id, never, sentence, tuple(assumptions), tuple(primitives)))

    def invariant(self, id: str, clause: Term, sentence: str) -> None:
        """A clause for the induction."""
        check_scope(f"{self.name}/{id}", lift(clause, BOOL), ())
        self._invariants.append(Invariant(id, clause, sentence))

    def assumption(self, id: str, sentence: str, broken_by: Sequence[str] = ()) -> None:
        """What the objectives that name it rest on."""
        self._assumptions.append(Assumption(id, sentence, tuple(broken_by)))

    def witness(self, sentence: str, reachable: Term) -> None:
        """A state that must be reachable under all duties and default policies."""
        check_scope(f"{self.name}/{sentence}", lift(reachable, BOOL), ())
        self._witnesses[sentence] = reachable

    def build(self) -> Model:
        """The model. Raises ModelError where a part refers to what the model does not have."""
        model = Model(
            self.name, self.version, self.title, self._sorts(), tuple(self._variables), tuple(self._constants),
            tuple(self._operations), tuple(self._objectives), tuple(self._invariants), tuple(self._assumptions),
            dict(self._witnesses),
        )  # fmt: skip
        _check(model)
        return model

    def _sorts(self) -> tuple[Sort, ...]:
        found = [sort for variable in self._variables for sort in (*variable.arguments, variable.result)]
        found += [name.of for operation in self._operations for name in operation.parameters]
        return tuple(dict.fromkeys(sort for sort in found if sort != BOOL))

    def _add(self, name: str, arguments: tuple[Sort, ...], result: Sort, initial: object, meaning: str) -> Variable:
        if any(known.name == name for known in self._variables):
            raise ModelError.at(f"{self.name}/{name}", "the variable stands twice")
        if initial is None and result == BOOL:
            initial = False
        given = initial if isinstance(initial, tuple | list) else [] if initial is None else [initial]
        start = [lift(value, result) for value in given]
        values = tuple(value for value in start if isinstance(value, Value))
        if len(values) != len(start):
            raise ModelError.at(f"{self.name}/{name}", "the initial value is a constant")
        self._variables.append(Variable(name, arguments, result, values, meaning))
        return self._variables[-1]

    def _constant(self, constant: Constant) -> Switch:
        if any(known.name == constant.name for known in self._constants):
            raise ModelError.at(f"{self.name}/{constant.name}", "the duty or policy stands twice")
        self._constants.append(constant)
        return Switch(constant.name)


def _check(model: Model) -> None:
    """Everything that is named exists; ids stand once."""
    for kind, ids in (
        ("objective", [clause.id for clause in model.objectives]),
        ("invariant", [clause.id for clause in model.invariants]),
        ("sort", [sort.name for sort in model.sorts]),
    ):
        if twice := {name for name in ids if ids.count(name) > 1}:
            raise ModelError.at(model.name, f"{kind} {', '.join(sorted(twice))} stands twice")
    assumptions = {assumption.id for assumption in model.assumptions}
    for clause in model.objectives:
        if missing := set(clause.assumptions) - assumptions:
            raise ModelError.at(f"{model.name}/{clause.id}", f"there is no assumption {', '.join(sorted(missing))}")
    known, switches = set(model.variables), {constant.name for constant in model.constants}
    for where, term in terms_of(model):
        variables, names = variables_of(term)
        if foreign := {variable.name for variable in variables - known} | (names - switches):
            raise ModelError.at(f"{model.name}/{where}", f"{', '.join(sorted(foreign))} belongs to another model")


def terms_of(model: Model) -> Iterator[tuple[str, Term]]:
    """Every term of a model with the path of the part it stands in."""
    for operation in model.operations:
        for guard in operation.guards:
            yield f"{operation.name}/{guard.id}", guard.condition
        for effect in operation.effects:
            for term in (effect.target, effect.value, effect.when):
                yield operation.name, term
    for objective in model.objectives:
        yield objective.id, objective.never
    for invariant in model.invariants:
        yield invariant.id, invariant.clause
    for variable in model.variables:
        if variable.alive is not None:
            yield variable.name, variable.alive
    yield from model.witnesses.items()
