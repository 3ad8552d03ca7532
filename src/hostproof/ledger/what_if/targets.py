"""Targets: what a set of changes shall reach, and which rows stand in the way

`open=0` asks that at most so many rows are open; a row that was open and is unknown now still counts. A row pattern
(`C22/*/*`) asks that every row that it names is closed: open and unknown ones stand in the way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hostproof.errors import UsageError
from hostproof.knowledge.terms import Status
from hostproof.ledger.model import Ledger
from hostproof.ledger.patterns import meets
from hostproof.ledger.what_if.model import Effect

__all__ = ["Goal", "Target", "goal", "read_target"]

_OPEN = re.compile(r"open=([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class Target:
    """A pattern of rows that shall all be closed, or (where it is empty) a number of rows that may stay open."""

    text: str
    pattern: str = ""
    limit: int = 0

    def before(self, ledger: Ledger) -> frozenset[str]:
        """The rows in the way in the VM as it is."""
        return frozenset(
            row.id
            for row in ledger.rows
            if row.status is Status.OPEN or (row.status is Status.UNKNOWN and self.pattern)
            if not self.pattern or meets(row.id, self.pattern)
        )

    def after(self, before: frozenset[str], effect: Effect) -> frozenset[str]:
        """The rows in the way in the changed VM."""
        more = [*effect.opened, *(effect.unsettled if self.pattern else ())]
        return before.difference(effect.closed, effect.gone, effect.settled) | {
            name for name in more if not self.pattern or meets(name, self.pattern)
        }


def read_target(text: str, ledger: Ledger) -> Target:
    """The target that a word of the command line writes. Raises UsageError where it is none, or names no row."""
    match = _OPEN.fullmatch(text)
    if match:
        return Target(text, limit=int(match[1]))
    if text.count("/") != 2:
        raise UsageError(f"not a target: {text!r}", hint="--target open=0, or a pattern of rows: --target 'C22/*/*'")
    if not any(meets(row.id, text) for row in ledger.rows):
        raise UsageError(f"no row of this VM is named by {text!r}", hint="`hostproof assess -v` lists the rows")
    return Target(text, pattern=text)


@dataclass(frozen=True, slots=True)
class Goal:
    """Targets of one VM, and how far all changes together get: `allowed` are, per target, the rows that may stay in the
    way, None where any may that are not more than its limit.
    """

    targets: tuple[Target, ...]
    before: tuple[frozenset[str], ...]
    allowed: tuple[frozenset[str] | None, ...]
    reached: bool

    def in_the_way(self, effect: Effect) -> frozenset[str]:
        """The rows that a set with this effect leaves in the way and that all changes together would clear."""
        found: set[str] = set()
        for target, before, allowed in zip(self.targets, self.before, self.allowed, strict=True):
            rows = target.after(before, effect)
            if allowed is not None:
                found |= rows - allowed
            elif len(rows) > target.limit:
                found |= rows
        return frozenset(found)

    def holds(self, effect: Effect) -> bool:
        """Whether a set with this effect gets as far as all changes together."""
        return not self.in_the_way(effect)

    def cleared(self, effect: Effect) -> frozenset[str]:
        """The rows in the way that this effect clears."""
        found: set[str] = set()
        for target, before in zip(self.targets, self.before, strict=True):
            found |= before - target.after(before, effect)
        return frozenset(found)


def goal(targets: Sequence[Target], ledger: Ledger, together: Effect) -> Goal:
    """What to reach, given what all changes together reach."""
    before = tuple(target.before(ledger) for target in targets)
    allowed: list[frozenset[str] | None] = []
    reached = True
    for target, rows in zip(targets, before, strict=True):
        left = target.after(rows, together)
        holds = len(left) <= target.limit
        reached = reached and holds
        allowed.append((None if target.limit else frozenset()) if holds else left)
    return Goal(tuple(targets), before, tuple(allowed), reached)


def every(parts: Iterable[frozenset[str]]) -> frozenset[str]:
    """All rows of several targets."""
    return frozenset().union(*parts)
