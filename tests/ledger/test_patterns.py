"""Patterns over row ids match part by part."""

from __future__ import annotations

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.ledger.patterns import meets

WORD = st.text("abC0_-.", min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("row_id", "pattern", "expected"),
    [
        ("C22/int80/T4", "C22/int80/T4", True),
        ("C22/int80/T4", "C22/*/*", True),
        ("C22/int80/T4", "*/*/T4", True),
        ("C34/virtio_net/T3", "C34/virtio_*/T3", True),
        ("C34/virtio_net/T3", "C34/net/T3", False),
        ("C22/int80/T4", "C22/*", False),
        ("C22/int80/T4", "*", False),
        ("C22/int80/T4", "C22/int80/T4/x", False),
    ],
)
def test_a_pattern_names_rows_part_by_part(row_id: str, pattern: str, expected: bool) -> None:
    assert meets(row_id, pattern) is expected


@given(st.tuples(WORD, WORD, WORD), st.tuples(*(st.one_of(WORD, st.just("*"), WORD.map(lambda word: word + "*")),) * 3))
def test_it_agrees_with_globs_on_each_part(row: tuple[str, ...], pattern: tuple[str, ...]) -> None:
    expected = all(fnmatch.fnmatchcase(part, want) for part, want in zip(row, pattern, strict=True))

    assert meets("/".join(row), "/".join(pattern)) is expected
