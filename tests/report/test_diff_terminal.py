"""The difference between two ledgers as people read it."""

from __future__ import annotations

import ledgers
import pytest
from hypothesis import given, settings
from msgspec.structs import replace
from rich.cells import cell_len

from hostproof.knowledge.terms import Presence, Status
from hostproof.ledger.diff import diff
from hostproof.ledger.model import DriverCount, Ledger
from hostproof.report.diff_terminal import to_text

SAMPLE = ledgers.sample()


def test_the_first_line_is_the_verdict() -> None:
    opened = replace(SAMPLE, rows=[replace(SAMPLE.rows[0], status=Status.OPEN), *SAMPLE.rows[1:]])

    assert to_text(diff(SAMPLE, opened)).startswith("WORSE: the host can do more than before\n")
    assert to_text(diff(opened, SAMPLE)).startswith("different, and not worse\n")
    assert to_text(diff(SAMPLE, SAMPLE)).startswith("no difference\n")


def test_rows_and_bytes_are_counted_and_every_change_has_its_reason() -> None:
    rows = [
        replace(SAMPLE.rows[0], status=Status.OPEN, reason="the bitmap is open"),
        SAMPLE.rows[1],
        replace(SAMPLE.rows[2], presence=Presence.PRESENTABLE),
        *SAMPLE.rows[4:],
        ledgers.row("C13", "newnic", text_bytes=1 << 20),
    ]
    headline = replace(SAMPLE.headline, presentable=DriverCount(1168, 37_643_878 + (1 << 20)))
    text = to_text(diff(SAMPLE, replace(SAMPLE, rows=rows, headline=headline)))

    assert "open rows: 3 -> 4 (1 opened, 1 appeared open, 0 closed, 1 open ones vanished)" in text
    assert "presentable: 1,167 drivers, 35.9 MiB -> 1,168 drivers, 36.9 MiB (+1 driver, +1.00 MiB)" in text
    assert "C01/ports/T3  prevented -> open: the bitmap is open" in text
    assert "C13/newnic/T3  -> open 1.00 MiB" in text
    assert "C13/nouveau/T3  open -> gone" in text
    assert "C13/e1000e/T3  configured -> presentable" in text


def test_rows_of_newer_rules_stand_apart() -> None:
    new = replace(SAMPLE, rule_set="2026.2", rows=[*SAMPLE.rows, ledgers.row("C13", "unheard-of")])
    text = to_text(diff(SAMPLE, new))

    assert "the rule sets differ (2026.1 -> 2026.2), the inputs are the same" in text
    assert "NEW IN RULE SET 2026.2, and not the VM's doing: 1 row" in text
    assert text.startswith("no difference, but for 1 row by the rule set\n")


def test_long_lists_are_cut_unless_all_is_asked_for() -> None:
    new = replace(
        SAMPLE, rows=[*SAMPLE.rows, *(ledgers.row("C13", f"d{number}", text_bytes=1) for number in range(60))]
    )

    assert "and 20 rows more" in to_text(diff(SAMPLE, new))
    assert "d59" not in to_text(diff(SAMPLE, new))
    assert "C13/d59/T3" in to_text(diff(SAMPLE, new), verbose=True)


@pytest.mark.parametrize("pair", [(SAMPLE, ledgers.hostile()), (ledgers.hostile(), SAMPLE)])
def test_hostile_names_stay_text_and_lines_fit(pair: tuple[Ledger, Ledger]) -> None:
    text = to_text(diff(*pair), width=80, verbose=True)

    assert all(character == "\n" or character.isprintable() for character in text)
    assert all(cell_len(line) <= 80 for line in text.splitlines())


@settings(max_examples=30, deadline=None)
@given(ledgers.arbitrary, ledgers.arbitrary)
def test_any_difference_can_be_printed(old: Ledger, new: Ledger) -> None:
    text = to_text(diff(old, new), verbose=True)

    assert all(character == "\n" or character.isprintable() for character in text)
