"""Predicates: the conditions of the catalogue, written so that they read like a sentence.

A predicate is a Boolean expression over named facts::

    config.VIRTIO_MMIO == "n" and "noearly" in cmdline.pci
    feature.restricted_injection or feature.alternate_injection
    kernel.version >= "6.12"
    use.io_role in ["endpoint", "none"]

Grammar: `and`, `or`, `not`, parentheses, `==`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `not in`, dotted names, strings,
numbers, `true`, `false` and lists of strings. It is Python's expression grammar, read with the `ast` module and walked here;
nothing is ever evaluated as Python.

The logic is Kleene's: a fact that was not given makes an answer *unknown* unless the other facts decide it, and an
unknown answer names the facts that are missing. That is how `unknown` rows know what to ask for.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Protocol

from hostproof.errors import CatalogueError
from hostproof.place import Place

__all__ = ["Asked", "Fact", "Facts", "Predicate", "Truth", "Value", "any_of", "parse", "version_key"]

Value = bool | int | str | tuple[str, ...]
"""A fact's value. Versions are strings and are compared by `version_key` when `<`, `<=`, `>` or `>=` is asked."""

MAX_LENGTH = 2000
_VERSION_PART = re.compile(r"\d+|[a-z]+")


@dataclass(frozen=True, slots=True)
class Fact:
    """One named fact of this VM. `value` is None when it was not given; `supply` then says which option supplies it.

    `rests` are the facts that a derived one was derived from (`mechanism.ID`), or those that would have been needed.
    """

    name: str
    value: Value | None
    place: Place | None = None
    supply: str | None = None
    rests: tuple[Fact, ...] = ()

    @property
    def known(self) -> bool:
        return self.value is not None


class Facts(Protocol):
    """Something that answers for names. It answers every name of its name spaces, if need be with an unknown fact."""

    def fact(self, name: str) -> Fact: ...


@dataclass(frozen=True, slots=True)
class Truth:
    """The answer of a predicate: True, False, or None for unknown.

    `because` are the known facts that decided it, `missing` the unknown ones that would have to be known.
    """

    value: bool | None
    because: tuple[Fact, ...] = ()
    missing: tuple[Fact, ...] = ()


def any_of(truths: Iterable[Truth]) -> Truth:
    """Whether one of several answers holds: Kleene's `or`, false where there is none."""
    return _connect(list(truths), absorbing=True)


def version_key(text: str) -> tuple[tuple[int, int | str], ...]:
    """A key that orders versions as people do: `1.5.6` before `1.5.24`, `6.12-rc1` before `6.12`.

    Digits compare as numbers; a run of letters (`rc`) sorts before the end of the version. Raises ValueError where
    the text holds no digit.
    """
    parts = _VERSION_PART.findall(text.lower())
    if not any(part.isdigit() for part in parts):
        raise ValueError(f"not a version: {text!r}")
    key: list[tuple[int, int | str]] = [(2, int(part)) if part.isdigit() else (0, part) for part in parts]
    while key and key[-1] == (2, 0):
        key.pop()
    return (*key, (1, 0))


class Asked(StrEnum):
    """The kind of value that a predicate needs of a fact to give an answer."""

    TRUTH = "yes or no"
    VERSION = "a version"
    WORD = "a word"


@dataclass(frozen=True, slots=True)
class Predicate:
    """A parsed predicate. `text` is its source as the catalogue writes it; `names` the facts it may ask for."""

    text: str
    names: frozenset[str]
    _tree: ast.expr = field(repr=False, compare=False)

    def __call__(self, facts: Facts) -> Truth:
        """The answer for these facts. Raises CatalogueError where values of different kinds are compared."""
        return _evaluate(self._tree, facts, self.text)

    def __str__(self) -> str:
        return self.text

    def asked(self) -> Iterator[tuple[str, Asked]]:
        """Every fact that the predicate names, with the kind of value that it asks for; a fact may come twice."""
        return _asked(self._tree)


@lru_cache(maxsize=8192)
def parse(text: str) -> Predicate:
    """The predicate that `text` writes. Raises CatalogueError naming the column of what is not in the grammar."""
    if len(text) > MAX_LENGTH:
        raise CatalogueError(f"a predicate is longer than {MAX_LENGTH} characters", hint="split it into two records")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        names = frozenset(_names(tree, text))
    except SyntaxError as error:
        raise CatalogueError(f"not a predicate: {text!r} ({error.msg}, column {error.offset})") from None
    except (RecursionError, MemoryError, ValueError):
        raise CatalogueError(f"not a predicate: {text[:60]!r} (too deep, or not text)") from None
    return Predicate(text, names, tree)


def _names(node: ast.expr, text: str) -> list[str]:
    """Every fact name in the tree; refuses what is not in the grammar."""
    match node:
        case ast.BoolOp(values=values):
            return [name for value in values for name in _names(value, text)]
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return _names(operand, text)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
            return _operand_names(left, text) + _operand_names(right, text)
        case _:
            return _operand_names(node, text)


def _operand_names(node: ast.expr, text: str) -> list[str]:
    if isinstance(node, ast.Name | ast.Attribute):
        name = _dotted(node)
        if name is not None:
            return [] if name in ("true", "false") else [name]
    elif (isinstance(node, ast.Constant) and isinstance(node.value, str | int)) or (
        isinstance(node, ast.List)
        and all(isinstance(item, ast.Constant) and isinstance(item.value, str) for item in node.elts)
    ):
        return []
    column = getattr(node, "col_offset", 0) + 1
    raise CatalogueError(f"not a predicate: {text!r} (column {column} is not in the grammar)")


def _dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = _dotted(node.value)
        return None if head is None else f"{head}.{node.attr}"
    return None


def _asked(node: ast.expr) -> Iterator[tuple[str, Asked]]:
    match node:
        case ast.BoolOp(values=values):
            for value in values:
                yield from _asked(value)
        case ast.UnaryOp(operand=operand):
            yield from _asked(operand)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            kind = Asked.VERSION if isinstance(op, ast.Lt | ast.LtE | ast.Gt | ast.GtE) else Asked.WORD
            if any(_dotted(side) in ("true", "false") for side in (left, right)):
                kind = Asked.TRUTH
            yield from ((name, kind) for side in (left, right) for name in _operand_names(side, ""))
        case _:
            yield from ((name, Asked.TRUTH) for name in _operand_names(node, ""))


def _evaluate(node: ast.expr, facts: Facts, text: str) -> Truth:
    match node:
        case ast.BoolOp(op=op, values=values):
            return _connect([_evaluate(value, facts, text) for value in values], isinstance(op, ast.Or))
        case ast.UnaryOp(operand=operand):
            inner = _evaluate(operand, facts, text)
            return Truth(None if inner.value is None else not inner.value, inner.because, inner.missing)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _compare(_operand(left, facts), type(op), _operand(right, facts), text)
        case _:
            fact = _operand(node, facts)
            if fact.value is None:
                return Truth(None, missing=fact.rests or (fact,))
            if not isinstance(fact.value, bool):
                raise CatalogueError(f"{fact.name} is {fact.value!r}, not true or false, in {text!r}")
            return Truth(fact.value, because=_named(fact))


def _connect(truths: list[Truth], absorbing: bool) -> Truth:
    """Kleene's `or` (absorbing True) and `and` (absorbing False)."""
    deciding = [truth for truth in truths if truth.value is absorbing]
    if deciding:
        return Truth(absorbing, because=_unique(deciding[0].because))
    missing = _unique(tuple(fact for truth in truths if truth.value is None for fact in truth.missing))
    because = _unique(tuple(fact for truth in truths for fact in truth.because))
    return Truth(None if missing else not absorbing, because, missing)


def _unique(facts: tuple[Fact, ...]) -> tuple[Fact, ...]:
    return tuple(dict.fromkeys(facts))


def _named(*facts: Fact) -> tuple[Fact, ...]:
    """The facts that have names, each followed by those that it rests on."""
    return tuple(item for fact in facts if fact.name for item in (fact, *fact.rests))


def _operand(node: ast.expr, facts: Facts) -> Fact:
    match node:
        case ast.Constant(value=value) if isinstance(value, str | int):
            return Fact("", value)
        case ast.List(elts=elements):
            return Fact("", tuple(str(item.value) for item in elements if isinstance(item, ast.Constant)))
        case _:
            name = _dotted(node) or ""
            if name in ("true", "false"):
                return Fact("", name == "true")
            return facts.fact(name)


def _compare(left: Fact, op: type[ast.cmpop], right: Fact, text: str) -> Truth:
    missing = tuple(fact for fact in (left, right) if fact.value is None)
    if left.value is None or right.value is None:
        return Truth(None, because=_named(*(fact for fact in (left, right) if fact.known)), missing=missing)
    try:
        value = _COMPARISONS[op](left.value, right.value)
    except (TypeError, ValueError) as error:
        raise CatalogueError(f"cannot compare {left.value!r} and {right.value!r} in {text!r}: {error}") from None
    return Truth(value, because=_named(left, right))


def _order(left: Value, right: Value) -> int:
    if isinstance(left, int) and isinstance(right, int):
        return (left > right) - (left < right)
    if isinstance(left, str) and isinstance(right, str):
        a, b = version_key(left), version_key(right)
        return (a > b) - (a < b)
    raise TypeError("both must be numbers or both versions")


def _same(left: Value, right: Value) -> bool:
    if type(left) is not type(right):
        raise TypeError("they are of different kinds")
    return left == right


def _member(left: Value, right: Value) -> bool:
    if isinstance(left, str) and isinstance(right, tuple):
        return left in right
    if isinstance(left, str) and isinstance(right, str):
        return left in right.split(",")
    raise TypeError("`in` asks for a text in a list")


_COMPARISONS: dict[type[ast.cmpop], Callable[[Value, Value], bool]] = {
    ast.Eq: _same,
    ast.NotEq: lambda left, right: not _same(left, right),
    ast.Lt: lambda left, right: _order(left, right) < 0,
    ast.LtE: lambda left, right: _order(left, right) <= 0,
    ast.Gt: lambda left, right: _order(left, right) > 0,
    ast.GtE: lambda left, right: _order(left, right) >= 0,
    ast.In: _member,
    ast.NotIn: lambda left, right: not _member(left, right),
}
