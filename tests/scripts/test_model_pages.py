"""Pages of models: everything of a model stands in its page, and no page is stale."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.managers.toys import toy_stored

from hostproof.managers.engine import toy

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import model_pages
import prove_all


def test_a_page_holds_every_operation_with_its_guards_and_effects() -> None:
    page = model_pages.page("toy", toy.model())

    assert "### give(s: SystemPage, g: GuestPage)" in page
    assert "Caller: host. The host gives a page at an address. Source: toy 1.1." in page
    assert "| `accept.once` | `(not accept_once) or not known[g]` | - | duty |" in page or "accept_once implies" in page
    assert "| `given[s, g] := true` |" in page
    assert "| `accept_once` | the guest accepts each address at most once |" in page
    assert "- **M5**: two pages never answer at one address. Never: `" in page
    assert "| `one` | one page per address | `for all" in page


def test_bars_in_sentences_do_not_break_a_table() -> None:
    assert list(model_pages._rows(("a",), [("x | y",)])) == ["| a |", "|---|", "| x \\| y |", ""]


def test_no_page_is_stale() -> None:
    wanted = model_pages.pages()
    present = {path.name: path.read_text() for path in model_pages.FOLDER.glob("*.md")}
    stale = [name for name in {**wanted, **present} if wanted.get(name) != present.get(name)]

    assert stale == [], "`make generate` writes them anew"


@pytest.mark.parametrize("seconds", [0.0, 99.0])
def test_a_difference_of_verdicts_is_told_and_one_of_times_is_not(seconds: float) -> None:
    before = toy_stored()
    slower = replace(before, verdicts=[replace(one, seconds=seconds) for one in before.verdicts])
    longer = replace(before, verdicts=[replace(one, steps=one.steps + 1) for one in before.verdicts])

    assert list(prove_all.differences(before, slower)) == []
    assert len(list(prove_all.differences(before, longer))) == 2
