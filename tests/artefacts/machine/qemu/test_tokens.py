"""Splitting command lines: against the shell's own splitting, and by hand where the shell would expand."""

from __future__ import annotations

import contextlib
import shlex
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.artefacts.machine.qemu.tokens import Word, commands
from hostproof.errors import HostproofError
from hostproof.place import Place


def words(text: str) -> list[list[str]]:
    return [[word.text for word in command.words] for command in commands(text.encode(), "x")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", [["a", "b"]]),
        ('a \'b c\' "d\\"e" f\\ g', [["a", "b c", 'd"e', "f g"]]),
        ("a \\\n  b", [["a", "b"]]),
        ("a b\\\nc", [["a", "bc"]]),
        ("a ''", [["a", ""]]),
        ("a # b\nc#d", [["a"], ["c#d"]]),
        ("a; b && c | d & e", [["a"], ["b"], ["c"], ["d"], ["e"]]),
        ("a >b 2>&1 <c d", [["a", "d"]]),
        ("a <<E b\nx 'y\nE\nc", [["a", "b"], ["c"]]),
        ("a $B ${C:-d e} $(f (g) h) `i j` k", [["a", "$B", "${C:-d e}", "$(f (g) h)", "`i j`", "k"]]),
        ("a '$B' \"$C\" \\$D", [["a", "$B", "$C", "$D"]]),
        ("a $'b\\'c\\n' 5$", [["a", "b'c\n", "5$"]]),
        ('a {"b":"c d}"} e', [["a", '{"b":"c d}"}', "e"]]),
        ("a\r\nb", [["a"], ["b"]]),
    ],
)
def test_shell_text_is_split_as_the_shell_does(text: str, expected: list[list[str]]) -> None:
    assert words(text) == expected


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1))
def test_what_the_shell_would_quote_is_read_back(arguments: list[str]) -> None:
    assert words("x " + shlex.join(arguments)) == [["x", *arguments]]


@given(st.lists(st.text("ab,={}[]' \n", min_size=1), min_size=2))
def test_nul_separated_arguments_are_read_back(arguments: list[str]) -> None:
    assert words("\0".join(arguments) + "\0") == [arguments]


def test_only_real_expansions_are_unresolved() -> None:
    (command,) = commands(b"a '$B' \"x$C\" \\$D ${E}f", "x")

    assert [word.unresolved for word in command.words] == [(), (), ("$C",), (), ("${E}",)]


def test_places_count_lines_and_columns() -> None:
    (command,) = commands(b"a \\\n  'b\nc' d", "x")

    expected = [
        Word("a", Place("x", line=1, column=1)),
        Word("b\nc", Place("x", line=2, column=3)),
        Word("d", Place("x", line=3, column=4)),
    ]
    assert list(command.words) == expected


@given(st.text(max_size=300))
def test_arbitrary_text_gives_words_or_our_error(text: str) -> None:
    try:
        commands(text.encode("utf-8", "surrogatepass"), "x")
    except HostproofError as error:
        assert error.place is not None


@pytest.mark.parametrize(
    "unit", ["${a}", "$(a)", '"\\a$b"', "'a'", "\\\n", "\n\n", "a ", "<<E\nE\n", '{"a":1}', "`a`", "#\n", "$"]
)
def test_long_input_takes_linear_time(unit: str) -> None:
    text = unit * (200_000 // len(unit))
    begun = time.process_time()
    with contextlib.suppress(HostproofError):
        commands(text.encode(), "x")

    assert time.process_time() - begun < 5


def test_one_long_double_quoted_line_takes_linear_time() -> None:
    text = 'a "' + "\\a$b" * 100_000 + '"'
    begun = time.process_time()
    (command,) = commands(text.encode(), "x")

    assert len(command.words) == 2
    assert time.process_time() - begun < 5
