"""The summary for a mailing list: tables that line up, and no text that the markup would obey."""

from __future__ import annotations

import re

import ledgers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hostproof.ledger.model import Ledger
from hostproof.report.rst import escape, render

SAMPLE = ledgers.sample()


def tables(text: str) -> list[list[str]]:
    """The simple tables of a document, borders included."""
    found: list[list[str]] = []
    for block in text.split("\n\n"):
        lines = block.splitlines()
        if re.fullmatch(r"=+(  =+)+", lines[0]):
            found.append(lines)
    return found


def check(text: str) -> None:
    """What keeps a simple table whole: three equal borders, text only between the marks of columns."""
    for lines in tables(text):
        border = lines[0]
        assert [lines[0], lines[2], lines[-1]] == [border] * 3
        for line in lines[3:-1]:
            assert line[0] != " "
    for line in text.splitlines():
        assert line == line.rstrip()
        assert not line.lstrip().startswith("..")


def test_the_document_has_headline_findings_and_both_tables() -> None:
    text = render(SAMPLE)

    assert text.startswith("Threat model of web-1\n=====================\n")
    assert ":Confidential: confidential VM: AMD SEV-ES; DEBUG IS ALLOWED" in text
    assert "* Objective O1 is not met (private memory and registers): the technology has" in text
    assert "* Warning: the launch policy allows debugging" in text
    assert "* CacheWarp (USENIX Security 2024, CVE-2023-20592): the firmware is older" in text
    assert len(tables(text)) == 2


def test_threats_and_channels_are_counted_with_the_worst_status() -> None:
    text = render(SAMPLE)

    assert "T3      2     0        5       malformed run-time input" in text
    assert "C13                      open    open     3     0        2       PCI drivers" in text
    assert "C21                              unknown  0     2        0       Interrupt vectors" in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain a_b text", "plain a_b text"),
        ("*emphasis* `role` |sub| link_", r"\*emphasis\* \`role\` \|sub\| link\_"),
        (".. raw:: html", r"\.. raw:: html"),
        ("- item", r"\- item"),
        ("1. item", r"\1. item"),
        ("6.1.0 stays", "6.1.0 stays"),
        ("back\\slash", r"back\\slash"),
        ("a\nb", r"a\\nb"),
        ("====", r"\===="),
    ],
)
def test_what_the_markup_would_obey_is_escaped(text: str, expected: str) -> None:
    assert escape(text) == expected


@given(st.text())
def test_an_escaped_text_is_one_line_whose_markup_is_quoted(text: str) -> None:
    shown = escape(text)
    rest = re.sub(r"\\.", "", shown)

    assert shown.isprintable()
    assert not set(rest) & set("*`|\\")


def test_wide_names_keep_the_columns() -> None:
    rows = [ledgers.row("C設備", "x"), ledgers.row("C13", "x")]
    text = render(replace(SAMPLE, rows=rows))

    lines = tables(text)[1]

    assert lines[0].startswith("=======  ==  ==  ====  ")
    assert [line.split()[0] for line in lines[3:5]] == ["C13", "C設備"]
    assert lines[4].index("open") == lines[3].index("open") - 2


def test_a_ledger_without_rows_has_no_empty_table() -> None:
    assert "No channel has rows." in render(replace(SAMPLE, rows=[]))


def test_a_hostile_ledger_keeps_its_tables() -> None:
    check(render(ledgers.hostile()))


@settings(max_examples=60, deadline=None)
@given(ledgers.arbitrary)
def test_any_ledger_keeps_its_tables(ledger: Ledger) -> None:
    check(render(ledger))
