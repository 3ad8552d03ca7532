"""What the mechanisms of a kernel are for: to refuse host input, or to consume it.

A mechanism is only something that a kernel has or has not. Whether it is good or bad news that a kernel has it is told by
the rules that name it: what a mitigation needs refuses host input, what an instance or legacy code needs consumes it, and
`not` turns one into the other. A mechanism may do both (the code of an SNP guest), or neither.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from hostproof.knowledge.load import Catalogue

__all__ = ["Roles", "roles_of_mechanisms"]

_SPACE = "mechanism"


@dataclass(frozen=True, slots=True)
class Roles:
    """Mechanisms, by the name that follows `mechanism.` in predicates."""

    refusing: frozenset[str]
    consuming: frozenset[str]


def roles_of_mechanisms(catalogue: Catalogue) -> Roles:
    """Which mechanisms refuse and which consume, by all rules of the catalogue."""
    refusals = [mitigation.holds for mitigation in catalogue.mitigations.values()]
    refusals += [attack.fixed for attack in catalogue.attacks.values()]
    consumers = [instance.consumed for instance in catalogue.instances]
    consumers += [code.present for code in catalogue.legacy_code.values()]
    found: dict[bool, set[str]] = {True: set(), False: set()}
    for conditions, refuses in ((refusals, True), (consumers, False)):
        for condition in conditions:
            for name, positive in _needed(ast.parse(condition.strip(), mode="eval").body, True):
                found[refuses is positive].add(name)
    return Roles(frozenset(found[True]), frozenset(found[False]))


def _needed(node: ast.AST, positive: bool) -> Iterator[tuple[str, bool]]:
    """Every mechanism that a condition (which the catalogue has checked) names, and whether it must be there for it."""
    match node:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield from _needed(operand, not positive)
        case ast.Attribute(value=ast.Name(id=space), attr=name):
            if space == _SPACE:
                yield name, positive
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _needed(child, positive)
