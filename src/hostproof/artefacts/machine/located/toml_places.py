"""TOML with the line of every key, templates included.

The standard library reads the values and does not say where they stood; a scan of the lines finds where each table and
key begins. Templates (`key = @NAME@`, `[agent.@NAME@]`) are not TOML: their placeholders are put between quotes first,
which moves no line.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from datetime import date, datetime, time

from hostproof.artefacts.machine.located.node import Node, decode_text
from hostproof.artefacts.machine.located.placeholders import PLACEHOLDER
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["lines_of", "read"]

MAX_BYTES = 512 * 1024
MAX_VALUES = 50_000
MAX_DEPTH = 32
MAX_DOTS = 256
"""In one line: the standard library takes quadratic time on a key of many parts."""

Path = tuple[str | int, ...]

_BARE_VALUE = re.compile(rf"^([^=#\"']{{1,200}}=[ \t]*)({PLACEHOLDER})([ \t]*(?:#.*)?)$")
_HEADER = re.compile(r"^[ \t]*(\[\[?)([^\[\]]{1,500})\]\]?[ \t]*(?:#.*)?$")
_HEADER_HOLE = re.compile(rf"(?<![\"'])({PLACEHOLDER})(?![\"'])")
_KEY = re.compile(r"^[ \t]*([A-Za-z0-9_\-.\"' ]{1,200}?)[ \t]*=")
_PART = re.compile(r"\"([^\"]*)\"|'([^']*)'|([A-Za-z0-9_-]+)")
_TOKEN = re.compile(r'"""|\'\'\'|\\.|["\'#\[\]{}]')
_AT_LINE = re.compile(r"\(at line (\d+), column (\d+)\)")


def read(data: bytes, name: str) -> Node:
    """The document that `data` holds. Raises InputError with the line where it is not TOML or goes beyond a limit."""
    if len(data) > MAX_BYTES:
        raise InputError("the TOML file is too large", place=Place(name), expected=f"at most {MAX_BYTES >> 10} KiB")
    text = "\n".join(_quote(line) for line in decode_text(data, name).replace("\r\n", "\n").split("\n"))
    for number, line in enumerate(text.split("\n"), start=1):
        if line.count(".") > MAX_DOTS:
            raise InputError(
                "too many dots in one line", place=Place(name, line=number), expected=f"at most {MAX_DOTS}"
            )
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError, ValueError) as error:
        match = _AT_LINE.search(str(error))
        place = Place(name, line=int(match[1]), column=int(match[2])) if match else Place(name)
        raise InputError(f"not TOML: {str(error)[:200]}", place=place, expected="TOML v1.0.0") from None
    return _Tree(name, lines_of(text)).node(document, ())


def lines_of(text: str) -> dict[Path, int]:
    """The line, from 1, at which each table and each key of `text` begins; elements of `[[table]]` carry their
    index.
    """
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    for number, line in _top_level(text):
        header = _HEADER.match(line)
        if header:
            table = _parts(header[2])
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            for end in range(1, len(table) + 1):
                lines.setdefault(table[:end], number)
            continue
        key = _KEY.match(line)
        if key:
            parts = _parts(key[1])
            for end in range(1, len(parts) + 1):
                lines.setdefault((*table, *parts[:end]), number)
    return lines


def _quote(line: str) -> str:
    """`line` with a placeholder that stands without quotes put between them."""
    header = _HEADER.match(line)
    if header:
        return line.replace(header[2], _HEADER_HOLE.sub(r'"\1"', header[2]), 1)
    return _BARE_VALUE.sub(r'\1"\2"\3', line)


def _parts(text: str) -> tuple[str, ...]:
    return tuple(double or single or bare for double, single, bare in _PART.findall(text))


def _top_level(text: str) -> Iterator[tuple[int, str]]:
    """The lines that begin outside every multi-line text and bracket."""
    quote = ""
    depth = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if not quote and depth == 0:
            yield number, line
        for match in _TOKEN.finditer(line):
            token = match[0]
            if quote:
                quote = "" if token == quote else quote
            elif token == "#":
                break
            elif token in ('"', "'", '"""', "'''"):
                quote = token
            elif token in "[{":
                depth += 1
            elif token in "]}":
                depth = max(0, depth - 1)
        if len(quote) == 1:
            quote = ""


class _Tree:
    def __init__(self, name: str, lines: dict[Path, int]) -> None:
        self.name = name
        self.lines = lines
        self.values = 0

    def node(self, value: object, path: Path, line: int | None = None) -> Node:
        self.values += 1
        line = self.lines.get(path, line)
        place = Place(self.name, line=line, path=_dotted(path) or None)
        if self.values > MAX_VALUES or len(path) > MAX_DEPTH:
            raise InputError(
                "the TOML is too large or too deep",
                place=place,
                expected=f"at most {MAX_VALUES} values, nested at most {MAX_DEPTH} deep",
            )
        if isinstance(value, dict):
            return Node({key: self.node(below, (*path, key), line) for key, below in value.items()}, place)
        if isinstance(value, list):
            return Node([self.node(below, (*path, index), line) for index, below in enumerate(value)], place)
        if isinstance(value, datetime | date | time):
            return Node(value.isoformat(), place)
        if isinstance(value, str | int | float | bool):
            return Node(value, place)
        raise InputError(f"a value of type {type(value).__name__}", place=place, expected="a TOML value")


def _dotted(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
