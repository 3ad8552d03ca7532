"""The smallest hitting set against every set there is."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.ledger.what_if.hitting import at_least, hitting_set

BLOCKS = st.lists(st.frozensets(st.integers(0, 8), min_size=1, max_size=4), max_size=9)
WEIGHT = {number: (number,) for number in range(9)}


def meets_all(numbers: tuple[int, ...], blocks: list[frozenset[int]]) -> bool:
    return all(block & set(numbers) for block in blocks)


@settings(max_examples=300, deadline=None)
@given(BLOCKS)
def test_no_smaller_set_meets_every_block(blocks: list[frozenset[int]]) -> None:
    found = hitting_set(blocks, WEIGHT)
    size = next(n for n in range(10) if any(meets_all(some, blocks) for some in combinations(range(9), n)))

    assert found is not None
    assert meets_all(tuple(found), blocks)
    assert size == len(found)
    assert at_least(blocks) <= size


def test_lighter_numbers_are_preferred() -> None:
    assert hitting_set([frozenset({1, 2}), frozenset({5, 4})], WEIGHT) == [1, 4]
