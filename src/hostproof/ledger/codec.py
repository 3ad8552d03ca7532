"""Ledgers as bytes: the JSON form that `assess --format json` writes and that `diff`, `--baseline` and `explain` read.

The encoding is canonical: fields in the order of their names, two spaces of indentation, UTF-8, a newline at the end.
The same ledger gives the same bytes, and a line-wise comparison of two files shows the rows that differ. A field that
has its default value is left out.

A ledger that is read back comes from outside (a baseline in a repository, a file in a mail), so it is bounded, checked
field by field, and refused with the place of what is wrong.
"""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec
from msgspec import Struct

from hostproof.errors import InputError
from hostproof.ledger.model import FORMAT, Ledger
from hostproof.place import Place

__all__ = ["MAX_BYTES", "decode", "encode"]

MAX_BYTES = 64 * 1024 * 1024
"""Limit of a ledger that is read. One of 3,000 rows takes about 4 MiB."""

_WRITTEN_BY = f"the JSON that `hostproof assess --format json` writes ({FORMAT})"
_BYTE = re.compile(r"\(byte (\d+)\)")
_FIELD = re.compile(r" - at `(.*)`$", re.DOTALL)
_Kind = TypeVar("_Kind")


class _Head(Struct):
    """As much of the file as tells which format it is; all other fields are skipped."""

    format: str


def encode(ledger: Ledger) -> bytes:
    """Canonical JSON of `ledger` with a trailing newline.

    Raises InputError where a text of the ledger is not Unicode (a lone surrogate), which JSON cannot carry.
    """
    try:
        data = msgspec.json.encode(ledger, order="sorted")
    except UnicodeEncodeError as error:
        raise InputError(
            f"a text of the ledger is not Unicode: {ascii(error.object)[:80]}",
            place=Place(ascii(ledger.name)[1:-1]),
            expected="text without lone surrogates",
        ) from None
    return msgspec.json.format(data, indent=2) + b"\n"


def decode(data: bytes, name: str) -> Ledger:
    """The ledger that `data` holds; `name` is what messages call the file.

    Raises InputError, with line or field, where it is too large, not JSON, of another format, not a ledger, or where
    two rows have the same id.
    """
    place = Place(name)
    if len(data) > MAX_BYTES:
        raise InputError(f"the ledger is larger than {MAX_BYTES >> 20} MiB", place=place)
    if not data.strip():
        raise InputError("the file is empty", place=place, expected=_WRITTEN_BY)
    head = _decode(data, _Head, place)
    if head.format != FORMAT:
        raise InputError(
            f"a ledger of format {head.format[:60]!a}",
            place=place.at(path="$.format"),
            expected=FORMAT,
            hint="write it again with this version of hostproof: `hostproof assess --format json`",
        )
    ledger = _decode(data, Ledger, place)
    _refuse_twins(ledger, place)
    return ledger


def _decode(data: bytes, kind: type[_Kind], place: Place) -> _Kind:
    """`data` as `kind`, with every error of the decoder turned into a located InputError."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _located(error, data, place) from None
    except RecursionError:
        raise InputError("the JSON is nested too deeply", place=place, expected=_WRITTEN_BY) from None


def _located(error: Exception, data: bytes, place: Place) -> InputError:
    """The decoder's message with its position as a `Place`: a byte where the JSON is broken, else the field."""
    message = str(error)
    if not message.isprintable():  # it quotes names and values of the file, which may hold terminal escapes
        message = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in message)
    if found := _FIELD.search(message):
        place = place.at(path=found[1])
        message = message[: found.start()]
    elif found := _BYTE.search(message):
        offset = min(int(found[1]), len(data))
        line = data.count(b"\n", 0, offset) + 1
        place = place.at(line=line, column=offset - data.rfind(b"\n", 0, offset), offset=offset)
        message = message[: found.start()].rstrip()
    elif isinstance(error, UnicodeDecodeError):
        message = "the text is not UTF-8"
    elif "truncated" in message:
        place = place.at(line=data.count(b"\n") + 1, offset=len(data))
        message = "the file ends in the middle"
    return InputError(f"not a ledger: {message}", place=place, expected=_WRITTEN_BY)


def _refuse_twins(ledger: Ledger, place: Place) -> None:
    """Comparison and `explain` find rows by id, so an id that stands twice would hide a row."""
    seen: set[str] = set()
    for index, row in enumerate(ledger.rows):
        if row.id in seen:
            raise InputError(
                f"two rows have the id {row.id[:120]!a}",
                place=place.at(path=f"$.rows[{index}].id"),
                expected="every row once",
            )
        seen.add(row.id)
