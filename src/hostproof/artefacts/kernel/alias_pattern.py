r"""Module aliases as patterns, as modprobe compares them

SOURCE: modprobe(8), fnmatch(3) without flags: `*`, `?`, `[a-f]`, `[!x]`, `\x`. `-` and `_` are the same outside of brackets.
"""

from __future__ import annotations

import re

__all__ = ["Pattern", "normalised"]


def normalised(pattern: str) -> str:
    """`-` as `_`, except within brackets, where it is a range."""
    if "-" not in pattern:
        return pattern
    if "[" not in pattern:
        return pattern.replace("-", "_")
    return "".join(
        part if part.startswith("[") else part.replace("-", "_") for part in re.split(r"(\[[^\]]*\])", pattern)
    )


class Pattern:
    """A pattern as the pieces between its stars. Matching takes each piece at its first place, so it never goes back
    over an earlier star and costs at most the product of both lengths.
    """

    __slots__ = ("_pieces",)

    def __init__(self, pattern: str) -> None:
        self._pieces = _split(pattern)

    def matches(self, text: str) -> bool:
        first, *rest = self._pieces
        position = _at(first, text, 0)
        if position is None:
            return False
        if not rest:
            return position == len(text)
        *middle, last = rest
        for piece in middle:
            position = _find(piece, text, position)
            if position is None:
                return False
        start = len(text) - _length(last)
        return start >= position and _at(last, text, start) is not None


Piece = str | list[tuple[str, bool] | None]
"""Literal text, or one entry per character: characters that fit (and whether they are excluded), or None for any."""


def _split(pattern: str) -> list[Piece]:
    if "[" not in pattern and "?" not in pattern and "\\" not in pattern:
        return list(pattern.split("*"))
    pieces: list[Piece] = []
    piece: list[tuple[str, bool] | None] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        position += 1
        if character == "*":
            pieces.append(piece)
            piece = []
        elif character == "?":
            piece.append(None)
        elif (
            character == "["
            and (end := pattern.find("]", position + 1 + (pattern[position : position + 1] in "!^"))) > 0
        ):
            piece.append(_bracket(pattern[position:end]))
            position = end + 1
        else:
            if character == "\\" and position < len(pattern):
                character = pattern[position]
                position += 1
            piece.append((character, False))
    return [*pieces, piece]


def _bracket(body: str) -> tuple[str, bool]:
    excluded = body[:1] in ("!", "^")
    body = body[1:] if excluded else body
    characters: list[str] = []
    position = 0
    while position < len(body):
        if position + 2 < len(body) and body[position + 1] == "-":
            low, high = ord(body[position]), min(ord(body[position + 2]), ord(body[position]) + 255)
            characters.extend(map(chr, range(low, high + 1)))
            position += 3
        else:
            characters.append(body[position])
            position += 1
    return "".join(characters), excluded


def _length(piece: Piece) -> int:
    return len(piece)


def _at(piece: Piece, text: str, start: int) -> int | None:
    """Where the piece ends if it stands at `start`."""
    end = start + len(piece)
    if start < 0 or end > len(text):
        return None
    if isinstance(piece, str):
        return end if text.startswith(piece, start) else None
    for offset, entry in enumerate(piece):
        if entry is not None and (text[start + offset] in entry[0]) is entry[1]:
            return None
    return end


def _find(piece: Piece, text: str, start: int) -> int | None:
    """Where the first occurrence of the piece from `start` on ends."""
    if isinstance(piece, str):
        found = text.find(piece, start)
        return None if found < 0 else found + len(piece)
    for position in range(start, len(text) - len(piece) + 1):
        end = _at(piece, text, position)
        if end is not None:
            return end
    return None
