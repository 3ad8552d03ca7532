"""The words of a command line in a file, with the line on which each begins.

A shell would do more: here quotes, escapes, continued lines and comments are understood, and nothing is expanded or
run.

SOURCE: POSIX.1-2017, Shell Command Language, 2.2 (quoting) and 2.3 (token recognition).
"""

from __future__ import annotations

import re

from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["Word", "words"]

MAX_LENGTH = 256 * 1024
MAX_WORDS = 4096

Word = tuple[str, Place]

_BLANK = re.compile(r"(?:\s|\\\r?\n)+")
_COMMENT = re.compile(r"#[^\n]*")
_PIECE = re.compile(
    r"'(?P<single>[^']*)'|\"(?P<double>(?:\\.|[^\"\\])*)\"|\\(?P<escaped>.)|(?P<plain>[^\s'\"\\]+)", re.DOTALL
)
_ESCAPED = re.compile(r"\\([$`\"\\])")


def words(text: str, name: str) -> list[Word]:
    """The words of `text`. Raises InputError with the line where a quote is not closed or a limit is passed."""
    if len(text) > MAX_LENGTH:
        raise InputError("the command line is too long", place=Place(name), expected=f"at most {MAX_LENGTH >> 10} KiB")
    found: list[Word] = []
    position, line = 0, 1
    while position < len(text):
        skipped = _BLANK.match(text, position) or _COMMENT.match(text, position)
        if skipped:
            line += skipped[0].count("\n")
            position = skipped.end()
            continue
        start = position
        word, position = _word(text, position, Place(name, line=line))
        found.append((word, Place(name, line=line)))
        line += text.count("\n", start, position)
        if len(found) > MAX_WORDS:
            raise InputError("too many words", place=Place(name, line=line), expected=f"at most {MAX_WORDS}")
    return found


def _word(text: str, position: int, place: Place) -> tuple[str, int]:
    pieces: list[str] = []
    while position < len(text):
        match = _PIECE.match(text, position)
        if match is None:
            if text[position].isspace():
                break
            raise InputError("a quote is not closed", place=place, expected="balanced quotes")
        if match["double"] is not None:
            pieces.append(_ESCAPED.sub(r"\1", match["double"].replace("\\\n", "")))
        elif match["escaped"] is not None:
            pieces.append("" if match["escaped"] == "\n" else match["escaped"])
        else:
            pieces.append(match["single"] if match["single"] is not None else match["plain"])
        position = match.end()
    return "".join(pieces), position
