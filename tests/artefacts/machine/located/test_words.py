"""Words of a command line agree with the shell's own splitting."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.machine.located.words import words
from hostproof.errors import InputError


@given(st.lists(st.text(alphabet="ab '\"\\#$\n\t", max_size=6), max_size=6))
@settings(max_examples=200, deadline=None)
def test_quoted_words_come_back(parts: list[str]) -> None:
    assert parts == [word for word, _ in words(shlex.join(parts), "command")]


def test_words_know_their_line_across_continued_lines_comments_and_quotes() -> None:
    text = "# first\nvm --a 'x\ny' \\\n  --b # no\n--c"

    assert [(word, place.line) for word, place in words(text, "command")] == [
        ("vm", 2),
        ("--a", 2),
        ("x\ny", 2),
        ("--b", 4),
        ("--c", 5),
    ]


@pytest.mark.parametrize("text", ["'open", '"open', "a" * 300_000, "a " * 5000, "end\\"])
def test_open_quotes_and_limits_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        words(text, "command")
