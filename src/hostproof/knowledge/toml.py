"""TOML tables of hostproof's own formats: uses, waivers, verifiers' policies, the catalogue.

The standard library reads them. It takes quadratic time on a key of many parts, and its errors are of several types;
both are dealt with here, once.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any, TypeVar

import msgspec

from hostproof.errors import HostproofError, InputError
from hostproof.place import Place

__all__ = ["record", "table"]

T = TypeVar("T")

MAX_BYTES = 4 * 1024 * 1024
MAX_DOTS = 256
"""In one line."""
_AT = re.compile(r" \(at line (\d+), column (\d+)\)")


def table(
    data: bytes,
    name: str,
    *,
    refusal: str = "not TOML",
    expected: str | None = None,
    kind: type[HostproofError] = InputError,
) -> dict[str, Any]:
    """The table that `data` holds.

    Raises `kind` with the line where it is not TOML: `refusal` begins its message, `expected` says what should stand
    there.
    """
    place = Place(name)
    if len(data) > MAX_BYTES:
        raise kind(f"{refusal}: larger than {MAX_BYTES >> 20} MiB", place=place, expected=expected)
    for number, line in enumerate(data.split(b"\n"), start=1):
        if line.count(b".") > MAX_DOTS:
            where = place.at(line=number)
            raise kind(f"{refusal}: too many dots in one line", place=where, expected=f"at most {MAX_DOTS}")
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise kind(f"{refusal}: not UTF-8", place=place.at(offset=error.start), expected=expected) from None
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, and ValueError for a number of 5,000 digits
        message = str(error)
        if found := _AT.search(message):
            place = place.at(line=int(found[1]), column=int(found[2]))
            message = message.replace(found[0], "")
        if not isinstance(error, tomllib.TOMLDecodeError):
            message = "a number of too many digits" if isinstance(error, ValueError) else "nested too deeply"
        raise kind(f"{refusal}: {message[:200]}", place=place, expected=expected) from None


def record(data: bytes, name: str, shape: type[T], *, refusal: str, expected: str) -> T:
    """The record of type `shape` that `data` holds. Raises InputError naming the line, or the field that is wrong."""
    try:
        return msgspec.convert(table(data, name, refusal=refusal, expected=expected), shape)
    except msgspec.ValidationError as error:
        raise InputError(f"{refusal}: {error}", place=Place(name), expected=expected) from None
