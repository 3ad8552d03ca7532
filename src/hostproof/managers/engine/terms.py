"""Terms: the expressions that a model is written in.

A term has a sort: an enumeration, a truth value (`BOOL`), or an uninterpreted sort (pages: any number of them). Terms are
small frozen trees that Python's operators build; they mean nothing by themselves. `concrete` runs them on a state
with a few pages, `symbolic` turns them into z3 terms about any number of pages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hostproof.errors import HostproofError
from hostproof.place import Place

__all__ = [
    "BOOL",
    "FALSE",
    "TRUE",
    "Choice",
    "Equal",
    "Every",
    "ModelError",
    "Name",
    "Not",
    "Quantified",
    "Read",
    "Some",
    "Sort",
    "Switch",
    "Term",
    "Value",
    "Variable",
    "all_of",
    "any_of",
    "choose",
    "exists",
    "forall",
    "implies",
    "lift",
]


class ModelError(HostproofError):
    """A model is not well formed. The place is the model's name and the path of the part that is wrong."""

    @classmethod
    def at(cls, where: str, message: str, expected: str | None = None, hint: str | None = None) -> ModelError:
        """The error for `where`, which is `model` or `model/part/part`."""
        artefact, _, path = where.partition("/")
        return cls(message, place=Place(artefact, path=path or None), expected=expected, hint=hint)


@dataclass(frozen=True, slots=True)
class Sort:
    """What a term ranges over. `values` None: uninterpreted, as many elements as anyone likes, told apart only by `==`.

    The values of an enumeration are its attributes: `Owner.GUEST`. `prefix` names elements in traces (`s0`, `s1`).
    """

    name: str
    values: tuple[str, ...] | None = None
    prefix: str = ""

    def __post_init__(self) -> None:
        if self.values is not None and (not self.values or len(set(self.values)) != len(self.values)):
            raise ModelError.at(self.name, "an enumeration has at least one value, and each once")
        if not self.prefix:
            object.__setattr__(self, "prefix", self.name[0].lower())

    def __getattr__(self, name: str) -> Term:
        if name.startswith("__") or self.values is None or name not in self.values:
            raise AttributeError(f"{self.name} has no value {name}")
        return Value(self, self.values.index(name))

    @property
    def uninterpreted(self) -> bool:
        """Whether the sort has any number of elements."""
        return self.values is None

    def names(self, *names: str) -> tuple[Name, ...]:
        """Variables of this sort for quantifiers and for updates of every element: `s, t = SystemPage.names("s", "t")`."""
        return tuple(Name(self, name) for name in names)

    def show(self, index: int) -> str:
        """The name of one element in traces."""
        return f"{self.prefix}{index}" if self.values is None else self.values[index]


BOOL = Sort("Bool", ("false", "true"))


class Term:
    """An expression. `==`, `!=`, `&`, `|` and `~` build terms; a term has no truth value in Python."""

    __slots__ = ()
    __hash__ = object.__hash__

    @property
    def sort(self) -> Sort:
        """What the term ranges over."""
        return BOOL

    def __eq__(self, other: object) -> Term:  # type: ignore[override]
        return Equal(self, lift(other, self.sort))

    def __ne__(self, other: object) -> Term:  # type: ignore[override]
        return Not(Equal(self, lift(other, self.sort)))

    def __and__(self, other: Term | bool) -> Term:
        return all_of(self, other)

    def __or__(self, other: Term | bool) -> Term:
        return any_of(self, other)

    def __invert__(self) -> Term:
        return Not(_truth(self))

    def __bool__(self) -> bool:
        raise ModelError(
            "a term has no truth value while the model is written",
            hint="write all_of(a, b), any_of(a, b), ~a, and parentheses around == inside & and |",
        )

    def is_in(self, *values: object) -> Term:
        """Whether the term is one of these values."""
        return any_of(*(self == value for value in values))


@dataclass(frozen=True, eq=False, slots=True)
class Value(Term):
    """A value of an enumeration, or a truth value."""

    of: Sort
    index: int

    @property
    def sort(self) -> Sort:
        return self.of


@dataclass(frozen=True, eq=False, slots=True)
class Name(Term):
    """A parameter of an operation or a quantified variable."""

    of: Sort
    name: str

    @property
    def sort(self) -> Sort:
        return self.of


@dataclass(frozen=True, eq=False, slots=True)
class Variable:
    """A state variable: a total function from `arguments` to `result`; a relation where the result is BOOL.

    `initial` are the values that it may have at the start (none: any). `alive` is a truth over `dummies`, one name per
    argument: where it is false the value is never read, and the search forgets it. Index it to read it: `gpa[s]`, `maps[s, g]`.
    """

    name: str
    arguments: tuple[Sort, ...]
    result: Sort
    initial: tuple[Value, ...]
    meaning: str = ""
    dummies: tuple[Name, ...] = ()
    alive: Term | None = None

    def __getitem__(self, index: Term | tuple[Term, ...]) -> Read:
        arguments = index if isinstance(index, tuple) else (index,)
        if tuple(term.sort for term in arguments) != self.arguments:
            wanted = ", ".join(sort.name for sort in self.arguments) or "no arguments"
            raise ModelError(f"{self.name} is read with arguments of other sorts", expected=wanted)
        return Read(self, arguments)


@dataclass(frozen=True, eq=False, slots=True)
class Read(Term):
    """The value of a state variable at some arguments."""

    variable: Variable
    arguments: tuple[Term, ...]

    @property
    def sort(self) -> Sort:
        return self.variable.result


@dataclass(frozen=True, eq=False, slots=True)
class Switch(Term):
    """A constant of a run: a duty of the guest or a policy bit."""

    name: str


@dataclass(frozen=True, eq=False, slots=True)
class Equal(Term):
    """Two terms of one sort are equal."""

    left: Term
    right: Term

    def __post_init__(self) -> None:
        if self.left.sort != self.right.sort:
            raise ModelError(f"{self.left.sort.name} is compared with {self.right.sort.name}")


@dataclass(frozen=True, eq=False, slots=True)
class Every(Term):
    """All parts hold; without parts, true."""

    parts: tuple[Term, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Some(Term):
    """A part holds; without parts, false."""

    parts: tuple[Term, ...]


@dataclass(frozen=True, eq=False, slots=True)
class Not(Term):
    """The part does not hold."""

    part: Term


@dataclass(frozen=True, eq=False, slots=True)
class Choice(Term):
    """`then` where the condition holds, else `otherwise`."""

    condition: Term
    then: Term
    otherwise: Term

    @property
    def sort(self) -> Sort:
        return self.then.sort


@dataclass(frozen=True, eq=False, slots=True)
class Quantified(Term):
    """The body holds for all (`universal`) or for some elements that the names may stand for."""

    universal: bool
    names: tuple[Name, ...]
    body: Term


TRUE = Value(BOOL, 1)
FALSE = Value(BOOL, 0)


def lift(value: object, sort: Sort) -> Term:
    """A Python value as a term of this sort: truth values, names of an enumeration's values, terms as they are."""
    if isinstance(value, Term):
        if value.sort != sort:
            raise ModelError(f"a term of sort {value.sort.name} stands where {sort.name} is wanted")
        return value
    if isinstance(value, bool) and sort == BOOL:
        return TRUE if value else FALSE
    if isinstance(value, str) and sort.values is not None and value in sort.values:
        return Value(sort, sort.values.index(value))
    raise ModelError(f"{value!r} is no value of {sort.name}", expected=", ".join(sort.values or ("a term",)))


def _truth(value: Term | bool) -> Term:
    return lift(value, BOOL)


def all_of(*parts: Term | bool) -> Term:
    """Every part holds."""
    return Every(tuple(_truth(part) for part in parts))


def any_of(*parts: Term | bool) -> Term:
    """At least one part holds."""
    return Some(tuple(_truth(part) for part in parts))


def implies(condition: Term | bool, conclusion: Term | bool) -> Term:
    """Where the condition holds, the conclusion does."""
    return Some((Not(_truth(condition)), _truth(conclusion)))


def choose(condition: Term | bool, then: Term | bool, otherwise: Term | bool) -> Term:
    """One of two terms of the same sort. At least one of them is a term."""
    sort = then.sort if isinstance(then, Term) else otherwise.sort if isinstance(otherwise, Term) else BOOL
    return Choice(_truth(condition), lift(then, sort), lift(otherwise, sort))


def forall(names: Sequence[Name], body: Term) -> Term:
    """The body holds for all elements: `forall([s, g], implies(...))`."""
    return Quantified(True, tuple(names), _truth(body))


def exists(names: Sequence[Name], body: Term) -> Term:
    """The body holds for some elements."""
    return Quantified(False, tuple(names), _truth(body))
