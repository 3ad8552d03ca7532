"""Text made safe to show, and numbers as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.report.words import count, shorten, size, visible


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("e1000e", "e1000e"),
        ("Gerät 設備", "Gerät 設備"),
        ("\x1b[31m", r"\x1b[31m"),
        ("a\nb\tc", r"a\nb\tc"),
        ("x\u202ey", r"x\u202ey"),
        ("\u2028", r"\u2028"),
        ("\x9b", r"\x9b"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("non\u00a0breaking", "non breaking"),
        ("\x00", r"\x00"),
    ],
)
def test_what_does_not_stand_for_itself_is_escaped(text: str, expected: str) -> None:
    assert visible(text) == expected


@given(st.text(st.characters()))
def test_what_is_visible_is_printable_and_stays_as_it_is(text: str) -> None:
    shown = visible(text)

    assert shown.isprintable()
    assert visible(shown) == shown


@given(st.text(st.characters(), max_size=40), st.integers(0, 30))
def test_a_cut_text_fits_and_shows_the_cut(text: str, limit: int) -> None:
    shown = shorten(text, limit)

    assert len(shown) <= max(limit, 3)
    assert shown == visible(text) or shown.endswith("...")


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (12_595, "12.3 KiB"),
        (293_601, "0.28 MiB"),
        (37_643_878, "35.9 MiB"),
        (-2048, "-2.0 KiB"),
        (5 << 40, "5,242,880.0 MiB"),
    ],
)
def test_sizes_are_read_as_in_the_headline(number: int, expected: str) -> None:
    assert size(number) == expected


def test_counts_agree_with_their_nouns() -> None:
    assert [count(1, "row"), count(0, "row"), count(1167, "driver"), count(2, "entry", "entries")] == [
        "1 row",
        "0 rows",
        "1,167 drivers",
        "2 entries",
    ]
