"""Smallest hitting sets: the fewest numbers such that every one of some sets holds one of them"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

__all__ = ["at_least", "hitting_set"]

STEPS = 20_000
"""So many nodes are looked at before the search gives up."""

Weight = tuple[int, ...]


def hitting_set(blocks: Sequence[frozenset[int]], weight: Mapping[int, Weight]) -> list[int] | None:
    """A smallest set that meets every one of `blocks`, of equal ones that of lower weight first; None where the search for
    it takes too long. Every number has its own weight.
    """
    chosen: list[int] = []
    steps = [STEPS]
    for part in _parts(_smallest_only(blocks)):
        found = _Best(part, weight, steps).found()
        if found is None:
            return None
        chosen += found
    return sorted(chosen, key=lambda number: weight[number])


def at_least(blocks: Iterable[frozenset[int]]) -> int:
    """A number of blocks that share nothing: no set that meets all of them is smaller."""
    seen: set[int] = set()
    number = 0
    for block in sorted(blocks, key=lambda block: (len(block), sorted(block))):
        if not block & seen:
            seen |= block
            number += 1
    return number


def _smallest_only(blocks: Iterable[frozenset[int]]) -> list[frozenset[int]]:
    """The blocks that hold no other: who meets those meets all."""
    kept: list[frozenset[int]] = []
    for block in sorted(set(blocks), key=lambda block: (len(block), sorted(block))):
        if not any(other <= block for other in kept):
            kept.append(block)
    return kept


def _parts(blocks: Sequence[frozenset[int]]) -> list[list[frozenset[int]]]:
    """The blocks in groups that share nothing with each other."""
    parts: list[tuple[set[int], list[frozenset[int]]]] = []
    for block in blocks:
        joined, members, apart = set(block), [block], []
        for numbers, others in parts:
            if numbers & block:
                joined |= numbers
                members = [*others, *members]
            else:
                apart.append((numbers, others))
        parts = [*apart, (joined, members)]
    return [members for _, members in parts]


class _Best:
    """Branch and bound over one group of blocks."""

    def __init__(self, blocks: Sequence[frozenset[int]], weight: Mapping[int, Weight], steps: list[int]) -> None:
        self._blocks, self._weight, self._steps = blocks, weight, steps
        self._best: list[int] = self._greedy()

    def found(self) -> list[int] | None:
        """The smallest set, None where the steps ran out."""
        return self._best if self._visit(list(self._blocks), []) else None

    def _greedy(self) -> list[int]:
        left, chosen = list(self._blocks), []
        while left:
            counts: dict[int, int] = {}
            for block in left:
                for number in block:
                    counts[number] = counts.get(number, 0) + 1
            best = min(counts, key=lambda number: (-counts[number], self._weight[number]))
            chosen.append(best)
            left = [block for block in left if best not in block]
        return chosen

    def _visit(self, left: list[frozenset[int]], chosen: list[int]) -> bool:
        self._steps[0] -= 1
        if self._steps[0] < 0:
            return False
        if not left:
            if len(chosen) < len(self._best):
                self._best = chosen
            return True
        if len(chosen) + at_least(left) >= len(self._best):
            return True
        block = min(left, key=lambda block: (len(block), sorted(block)))
        passed: set[int] = set()
        for number in sorted(block, key=lambda number: self._weight[number]):
            rest = [frozenset(other - passed) for other in left if number not in other]
            if all(rest) and not self._visit(rest, [*chosen, number]):
                return False
            passed.add(number)
        return True
