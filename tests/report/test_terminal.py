"""The ledger on a terminal: what stands first, what fits, and what a hostile name cannot do."""

from __future__ import annotations

import io
import re

import ledgers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from rich.cells import cell_len
from rich.console import Console

from hostproof.knowledge.terms import Status, Threat
from hostproof.ledger.model import Control, Ledger, MissingFact
from hostproof.report.explain import explain_text
from hostproof.report.terminal import render, to_text

SAMPLE = ledgers.sample()


def lines(ledger: Ledger, **options: bool | int) -> list[str]:
    return to_text(ledger, **options).splitlines()  # type: ignore[arg-type]


def test_the_first_three_lines_are_the_confidentiality_the_drivers_and_the_control() -> None:
    expected = [
        "confidential VM: AMD SEV-ES; DEBUG IS ALLOWED: the host may read its memory",
        "configured: 13 drivers, 0.28 MiB; presentable: 1,167 drivers, 35.9 MiB",
        "the host controls 41 of 47 channels that exist here (53 known)",
    ]

    assert expected == lines(SAMPLE)[:3]


def test_an_objective_that_is_not_met_stands_right_below() -> None:
    line = lines(SAMPLE)[3]

    assert line.startswith("objective O1 IS NOT MET (private memory and registers): ")


def test_an_undecided_objective_names_the_fact_and_the_option() -> None:
    text = " ".join(to_text(SAMPLE).split())

    assert "objective O2 is undecided" in text
    assert "missing: platform.snp_firmware (supplied by --fact platform.snp_firmware=VERSION)" in text


def test_one_controlled_channel_reads_as_a_sentence() -> None:
    ledger = replace(SAMPLE, control=Control(1, 1, 53))

    assert lines(ledger)[2] == "the host controls 1 of 1 channel that exists here (53 known)"


def test_open_rows_are_counted_by_threat_and_by_channel_with_the_heaviest_drivers() -> None:
    text = to_text(SAMPLE)

    assert "OPEN: 3 rows" in text
    assert "C13 PCI drivers: 3 rows (T3 2, T4 1)" in text
    assert "2 drivers, the heaviest: nouveau 2.29 MiB, e1000e 0.29 MiB (configured)" in text


def test_a_ledger_without_open_rows_says_so() -> None:
    closed = replace(SAMPLE, rows=[row for row in SAMPLE.rows if row.status is not Status.OPEN])

    assert "OPEN: no row" in lines(closed)


def test_the_option_that_would_decide_most_unknown_rows_comes_first() -> None:
    rare = [MissingFact("platform.smt", "--fact platform.smt=...")]
    often = [MissingFact("config.A", "--kernel"), MissingFact("config.B", "--kernel")]
    rows = [ledgers.row("C01", "a", Threat.T3, Status.UNKNOWN, missing=rare)]
    rows += [ledgers.row("C01", f"b{index}", Threat.T3, Status.UNKNOWN, missing=often) for index in range(3)]
    page = lines(replace(SAMPLE, rows=rows))
    start = next(index for index, line in enumerate(page) if line.startswith("UNKNOWN: 4 rows"))

    assert page[start + 1].split() == ["3", "rows", "--kernel:", "config.A,", "config.B"]
    assert page[start + 2].split() == ["1", "row", "--fact", "platform.smt=...:", "platform.smt"]


def test_attacks_that_work_and_lapsed_waivers_are_named_and_the_rest_is_counted() -> None:
    text = to_text(SAMPLE)

    assert "ATTACKS: 1 published attack works here (1 unknown)" in text
    assert "CacheWarp (USENIX Security 2024) [CVE-2023-20592]" in text
    assert "Heckler" not in text
    assert "expired: C13/gone/*" in text
    assert "C13/ivshmem/*" not in text


def test_a_position_that_the_user_chose_is_shown_with_its_reason_before_the_defaults() -> None:
    text = to_text(SAMPLE)

    assert "side_channels=out (chosen): Do side channels count? vendors leave them to software" in text
    assert text.index("side_channels=out") < text.index("crash_is_finding=no (default)")


def test_verbose_lists_every_row_with_its_reason_and_place() -> None:
    text = to_text(SAMPLE, verbose=True)

    assert all(row.id in text for row in SAMPLE.rows)
    assert "vm.xml:31:5" in text
    assert "cd" * 32 in text


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("width", [40, 80, 100])
def test_no_line_is_wider_than_the_page(width: int, verbose: bool) -> None:
    for ledger in (SAMPLE, ledgers.hostile()):
        for line in lines(ledger, width=width, verbose=verbose):
            assert cell_len(line) <= width
            assert line == line.rstrip()


def test_plain_text_holds_no_escape_and_colour_says_nothing_that_words_do_not() -> None:
    coloured = to_text(SAMPLE, color=True)

    assert "\x1b" not in to_text(SAMPLE)
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == to_text(SAMPLE)


def test_no_color_in_the_environment_takes_the_colours_from_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    render(SAMPLE, console)

    assert re.search(r"\x1b\[[0-9;]*3[0-9]", console.file.getvalue()) is None  # type: ignore[attr-defined]


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("width", [40, 100])
def test_hostile_names_stay_text(width: int, verbose: bool) -> None:
    text = to_text(ledgers.hostile(), width=width, verbose=verbose)
    joined = "".join(text.split())

    assert all(character == "\n" or character.isprintable() for character in text)
    assert "[red]boo[/red]" in joined
    assert ":smile:" in joined
    assert r"\x1b[2J" in joined
    assert r"\u202egnp.exe" in joined


def test_hostile_names_do_not_reach_a_coloured_terminal_either() -> None:
    text = to_text(ledgers.hostile(), color=True, verbose=True)
    rest = re.sub(r"\x1b\[[0-9;]*m", "", text)

    assert all(character == "\n" or character.isprintable() for character in rest)


@settings(max_examples=40, deadline=None)
@given(ledgers.arbitrary, st.integers(1, 120), st.booleans())
def test_any_ledger_can_be_printed_and_explained(ledger: Ledger, width: int, verbose: bool) -> None:
    text = to_text(ledger, width=width, verbose=verbose)
    text += "".join(explain_text(ledger, row, width=width) for row in ledger.rows)

    assert all(character == "\n" or character.isprintable() for character in text)


def test_the_same_ledger_gives_the_same_text() -> None:
    assert to_text(ledgers.sample(), verbose=True) == to_text(ledgers.sample(), verbose=True)
