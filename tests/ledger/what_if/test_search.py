"""The smallest set against every set there is, in worlds made at random."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.ledger.patterns import meets
from hostproof.ledger.what_if.candidates import candidates
from hostproof.ledger.what_if.changes import Kind
from tests.ledger.what_if.scenes import answer, assessed, instance, subject, world
from tests.ledger.worlds import kernel, mitigation

SYMBOLS = "ABCDE"
ROWS = "wxyz"
MECHANISM = st.tuples(st.sampled_from(ROWS), st.sets(st.sampled_from(SYMBOLS), min_size=1, max_size=3))
"""A row, and the symbols that must all be `n` to close it."""


@settings(max_examples=40, deadline=None)
@given(st.lists(MECHANISM, min_size=1, max_size=6))
def test_the_set_is_as_small_as_any_that_gets_as_far(mechanisms: list[tuple[str, set[str]]]) -> None:
    here = world(
        *(instance(name) for name in ROWS),
        mitigation=[
            mitigation(
                f"m{number}", [f"C11/{row}/*"], " and ".join(f'config.{name} == "n"' for name in sorted(symbols))
            )
            for number, (row, symbols) in enumerate(mechanisms)
        ],
    )
    vm = subject(here, kernel=kernel(dict.fromkeys(SYMBOLS, "y")))
    changes, _ = candidates(here, vm, assessed(here, vm), (Kind.KCONFIG,))

    found = answer(here, vm, "C11/*/*", kinds=(Kind.KCONFIG,)).smallest

    left = {
        some: frozenset(
            row.id for row in assessed(here, vm, some).rows if meets(row.id, "C11/*/*") and not row.status.closed
        )
        for number in range(len(changes) + 1)
        for some in combinations(changes, number)
    }
    best = left[tuple(changes)]
    size = min(len(some) for some, rows in left.items() if rows == best)
    assert found is not None
    assert {row for group in found.remaining for row in group.rows} == best
    assert found.reached is (not best)
    assert len(found.changes) == size
    assert found.at_least <= size
    assert found.proven
    assert sorted(row for rows in found.adds for row in rows) == sorted(left[()] - best)
