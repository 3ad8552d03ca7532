"""The values that the catalogue's predicates name: what may be changed, and what a rule says happens then

`config.HPET_TIMER == "n"` names the value `n` of `config.HPET_TIMER`; `"noearly" in cmdline.pci` names a member of it. A
value that no predicate names is never offered: nothing would be known of its effect.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields

from msgspec import Struct

from hostproof.knowledge.code_records import LegacyCode
from hostproof.knowledge.load import PREDICATES, Catalogue
from hostproof.knowledge.predicate import parse

__all__ = ["Literals", "literals", "naming"]


@dataclass(frozen=True, slots=True)
class Literals:
    """`values` are values that a fact is compared with, in the order of the catalogue; of a list the first one alone, as
    all of them mean the same there. `asked` are those of them that are asked for (not `!=`, not under `not`), and words
    that are looked for in a fact's list.
    """

    values: Mapping[str, tuple[str, ...]]
    asked: Mapping[str, tuple[str, ...]]


def literals(catalogue: Catalogue) -> Literals:
    """What the predicates of this catalogue name."""
    values: dict[str, dict[str, None]] = {}
    asked: dict[str, dict[str, None]] = {}
    for _, text in dict.fromkeys(_texts(catalogue)):
        parse(text)  # refuses what is no predicate, by its own limits
        for name, word, plainly, member in _compared(ast.parse(text.strip(), mode="eval").body, True):
            if not member:
                values.setdefault(name, {})[word] = None
            if plainly:
                asked.setdefault(name, {})[word] = None
    return Literals(
        {name: tuple(found) for name, found in values.items()}, {name: tuple(found) for name, found in asked.items()}
    )


def naming(catalogue: Catalogue) -> dict[str, list[tuple[str, str]]]:
    """The predicates that name each fact, as pairs of the record's field that holds it and its text."""
    found: dict[str, list[tuple[str, str]]] = {}
    for field, text in dict.fromkeys(_texts(catalogue)):
        for name in parse(text).names:
            found.setdefault(name, []).append((field, text))
    return found


def _compared(node: ast.AST, plainly: bool) -> Iterator[tuple[str, str, bool, bool]]:
    """Facts with the words that they are compared with, whether plainly (not the opposite), and whether as a member."""
    if isinstance(node, ast.UnaryOp):
        yield from _compared(node.operand, not plainly)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from _compared(value, plainly)
    elif isinstance(node, ast.Compare):
        left, operator, right = node.left, node.ops[0], node.comparators[0]
        plain = plainly is not isinstance(operator, ast.NotEq | ast.NotIn)
        if isinstance(operator, ast.Eq | ast.NotEq):
            for one, other in ((left, right), (right, left)):
                if _name(one) and isinstance(other, ast.Constant) and isinstance(other.value, str):
                    yield _name(one), other.value, plain, False
        elif isinstance(operator, ast.In | ast.NotIn):
            if isinstance(right, ast.List) and _name(left):
                words = [str(item.value) for item in right.elts if isinstance(item, ast.Constant)]
                yield from ((_name(left), word, plain, False) for word in words[:1])
            elif isinstance(left, ast.Constant) and isinstance(left.value, str) and _name(right):
                yield _name(right), left.value, plain, True


def _name(node: ast.expr) -> str:
    """The dotted name that a node writes; empty where it writes none."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = _name(node.value)
        return f"{head}.{node.attr}" if head else ""
    return ""


def _texts(catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    for field in fields(catalogue):
        group = getattr(catalogue, field.name)
        yield from _of(group.values() if isinstance(group, Mapping) else group)


def _of(group: object) -> Iterator[tuple[str, str]]:
    """The predicates of records, and of the rules within them, with the field that holds each. The `when` of legacy code is
    a sentence.
    """
    if isinstance(group, Struct):
        for name in group.__struct_fields__:
            value = getattr(group, name)
            if name in PREDICATES and not (name == "when" and isinstance(group, LegacyCode)):
                yield from [(name, value)] if value else []
            elif isinstance(value, list | dict):
                yield from _of(value.values() if isinstance(value, dict) else value)
    elif isinstance(group, Iterable) and not isinstance(group, str):
        for item in group:
            yield from _of(item)
