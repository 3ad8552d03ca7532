"""The smallest set of changes that reaches a target, every step checked by assessing the changed VM

First a set: changes are taken greedily by the rows that they clear alone, then those that only work together are found by
halving (QuickXplain, Junker 2004), then what turned out to be superfluous is taken out. Then a proof: a *blocking set* is a
set of changes without any of which all the others together fail, so every set that reaches the target has one of them. The
smallest set that meets every blocking set known is tried; where it fails it yields another blocking set, and where it
reaches the target it is the smallest there is (the implicit hitting set method, Chandrasekaran et al. 2011).

The proof supposes that no change undoes what another one closes: with more changes made, a row that was closed stays
closed. It holds of the changes that were tried and of no others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hostproof.ledger.what_if.hitting import at_least, hitting_set
from hostproof.ledger.what_if.measure import Assessor
from hostproof.ledger.what_if.model import Effect
from hostproof.ledger.what_if.targets import Goal

__all__ = ["Found", "smallest"]

ROUNDS = 60
"""So many blocking sets are asked for beyond the first; then the set stands unproven."""


@dataclass(frozen=True, slots=True)
class Found:
    """A set that reaches the goal, in the order in which it was put together, and how many changes any such set has."""

    members: tuple[int, ...]
    at_least: int

    @property
    def proven(self) -> bool:
        """Whether no smaller set reaches it."""
        return self.at_least >= len(self.members)


def smallest(assessor: Assessor, pool: Sequence[int], goal: Goal) -> Found:
    """The smallest set of changes out of `pool`, all of which together reach `goal`."""
    singles = dict(zip(pool, assessor.effects([number] for number in pool), strict=True))
    search = _Search(assessor, tuple(pool), goal, singles)
    if search.holds(()):
        return Found((), 0)
    members = search.irredundant(search.reaching())
    return search.proved(members)


class _Search:
    def __init__(self, assessor: Assessor, pool: tuple[int, ...], goal: Goal, singles: Mapping[int, Effect]) -> None:
        self.assessor, self.pool, self.goal, self.singles = assessor, pool, goal, singles
        self.clears = {number: goal.cleared(singles[number]) for number in pool}
        self.weight = {
            number: (-len(self.clears[number]), len(singles[number].opened), -singles[number].text_bytes, number)
            for number in pool
        }

    def holds(self, numbers: Iterable[int]) -> bool:
        return self.goal.holds(self.assessor.effect(numbers))

    def reaching(self) -> tuple[int, ...]:
        """A set that reaches the goal: greedily by rows, then what else it takes."""
        chosen: list[int] = []
        while True:
            left = self.goal.in_the_way(self.assessor.effect(chosen))
            if not left:
                return tuple(chosen)
            taken = self._cover(left, chosen)
            if not taken:
                return (*chosen, *self._needed(tuple(chosen)))
            chosen += taken

    def _cover(self, left: frozenset[str], chosen: Sequence[int]) -> list[int]:
        """Changes that clear these rows alone, the one that clears most of what is left first; empty where none does."""
        taken: list[int] = []
        rest = set(left)
        while rest:
            free = [number for number in self.pool if number not in chosen and number not in taken]
            best = min(free, key=lambda n: (-len(self.clears[n] & rest), *self.weight[n][1:]), default=None)
            if best is None or not self.clears[best] & rest:
                break
            taken.append(best)
            rest -= self.clears[best]
            if self._counts() and self.holds([*chosen, *taken]):
                break
        return taken

    def _counts(self) -> bool:
        """Whether a target allows some rows to stay, whichever they are, so that covering all would be too much."""
        return any(allowed is None for allowed in self.goal.allowed)

    def _needed(self, chosen: tuple[int, ...]) -> tuple[int, ...]:
        """Which of the other changes it takes besides `chosen`: a set from which none can be taken away."""
        others = sorted((n for n in self.pool if n not in chosen), key=lambda number: self.weight[number])
        return self._explained(chosen, tuple(others), False)

    def _explained(self, base: tuple[int, ...], others: tuple[int, ...], grown: bool) -> tuple[int, ...]:
        """QuickXplain: a set out of `others` that, with `base`, reaches the goal. `grown`: `base` is not what it was."""
        if grown and self.holds(base):
            return ()
        if len(others) <= 1:
            return others
        half = len(others) // 2
        first, second = others[:half], others[half:]
        from_second = self._explained((*base, *first), second, True)
        from_first = self._explained((*base, *from_second), first, bool(from_second))
        return (*from_first, *from_second)

    def irredundant(self, members: tuple[int, ...]) -> tuple[int, ...]:
        """The set without what can be taken away, what clears least first."""
        without = [tuple(m for m in members if m != n) for n in members]
        free = [n for n, found in zip(members, self.assessor.effects(without), strict=True) if self.goal.holds(found)]
        for number in sorted(free, key=lambda n: self.weight[n], reverse=True):
            fewer = tuple(member for member in members if member != number)
            if self.holds(fewer):
                members = fewer
        return members

    def proved(self, members: tuple[int, ...]) -> Found:
        """The set, or a smaller one, with what is proven of its size."""
        blocks = self._first_blocks(members)
        for _ in range(ROUNDS):
            wanted = hitting_set(blocks, self.weight)
            if wanted is None:
                break
            if len(wanted) >= len(members):
                return Found(members, len(members))
            effect = self.assessor.effect(wanted)
            if self.goal.holds(effect):
                return Found(tuple(wanted), len(wanted))
            block = self._block(wanted, effect)
            if block is None:
                break
            blocks.append(block)
        return Found(members, min(len(members), at_least(blocks)))

    def _first_blocks(self, members: tuple[int, ...]) -> list[frozenset[int]]:
        """One blocking set for each member, where one is found: without it the others fail."""
        without = [tuple(m for m in members if m != n) for n in members]
        tried = []
        for number, found in zip(members, self.assessor.effects(without), strict=True):
            left = self.goal.in_the_way(found)
            tried.append(self._guess(left, without[members.index(number)]) | {number})
        return self._blocking(tried)

    def _blocking(self, tried: Sequence[frozenset[int]]) -> list[frozenset[int]]:
        """Those of the sets without which all other changes fail."""
        rest = [tuple(n for n in self.pool if n not in block) for block in tried]
        found = self.assessor.effects(rest)
        return [block for block, result in zip(tried, found, strict=True) if not self.goal.holds(result)]

    def _guess(self, left: frozenset[str], made: Sequence[int]) -> frozenset[int]:
        """The changes that clear one of the rows in the way alone: the row with fewest of them."""
        ways = (frozenset(n for n in self.pool if row in self.clears[n] and n not in made) for row in sorted(left))
        return min((way for way in ways if way), key=len, default=frozenset())

    def _block(self, made: Sequence[int], effect: Effect) -> frozenset[int] | None:
        """A blocking set that `made` does not meet: by guess, else grown from `made` until everything more would reach."""
        guessed = self._guess(self.goal.in_the_way(effect), made)
        if guessed and (found := self._blocking([guessed])):
            return found[0]
        grown, rest = list(made), sorted((n for n in self.pool if n not in made), key=lambda n: self.weight[n])
        step = max(1, len(rest) // 2)
        rest.reverse()
        while rest:
            part, rest = rest[:step], rest[step:]
            if not self.holds([*grown, *part]):
                grown += part
            elif len(part) > 1:
                step = max(1, step // 2)
                rest = part + rest
        block = frozenset(self.pool) - frozenset(grown)
        return block if block and not block & set(made) else None
