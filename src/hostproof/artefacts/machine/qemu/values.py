"""The values of QEMU's options: three generations of syntax, one flat form

QEMU writes structured values in three ways, and one command line may hold all of them:

- *QemuOpts* (`virtio-net-pci,netdev=n0,romfile=`): a comma ends a value unless it is doubled, the first value may stand
  without its key (the implied key), and a key without a value is a switch: `server` is `server=on`, `nowait` is `wait=off`.
- *keyval* (`driver=qcow2,file.driver=file,file.filename=a.img`): the same with dotted keys for what is nested.
- *JSON* (`{"driver": "qcow2", "file": {"driver": "file"}}`).

All three are read into the same flat list of dotted keys, so that nobody has to ask how a value was written.

SOURCE: QEMU 7.2, util/qemu-option.c (get_opt_value, get_opt_name_value), util/keyval.c (grammar comment),
qobject/json-parser.c; util/cutils.c (do_strtosz), qapi/string-input-visitor.c (booleans).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["MAX_DEPTH", "Options", "boolean", "integer", "json_value", "mebibytes", "options"]

MAX_DEPTH = 64
"""Nesting of a JSON value; QEMU itself allows 1024 (qobject/json-parser.c), real command lines use five."""
MAX_PAIRS = 1000

_TRUE = frozenset({"on", "yes", "true", "y"})
_FALSE = frozenset({"off", "no", "false", "n"})
_SUFFIXES = {"b": 0, "k": 10, "m": 20, "g": 30, "t": 40, "p": 50, "e": 60}


@dataclass(frozen=True, slots=True)
class Options:
    """The keys and values of one option in the order in which they were written; a later one of the same key wins."""

    pairs: tuple[tuple[str, str], ...] = ()

    def get(self, *keys: str) -> str | None:
        """The value written last for any of `keys`, which are spellings of one key; None where there is none."""
        for key, value in reversed(self.pairs):
            if key in keys:
                return value
        return None

    def without(self, *keys: str) -> tuple[tuple[str, str], ...]:
        """The pairs whose key is none of `keys`."""
        return tuple(pair for pair in self.pairs if pair[0] not in keys)

    def with_pair(self, key: str, value: str) -> Options:
        """The same with one pair more, which therefore wins."""
        return Options((*self.pairs, (key, value)))


def options(text: str, implied: str | None, place: Place) -> Options:
    """The options that `text` writes in any of the three syntaxes; `implied` is the key of a first value without one.

    Raises InputError where JSON is malformed or deeper than `MAX_DEPTH`, or where there are too many keys.
    """
    if text.startswith("{"):
        pairs: list[tuple[str, str]] = []
        _flatten(json_value(text, place), "", pairs)
    else:
        pairs = _split(text, implied)
    if len(pairs) > MAX_PAIRS:
        raise InputError(f"an option with {len(pairs)} keys", place=place, expected=f"at most {MAX_PAIRS}")
    return Options(tuple(pairs))


def _split(text: str, implied: str | None) -> list[tuple[str, str]]:
    pairs = []
    position = 0
    while position < len(text):
        comma = text.find(",", position)
        end = len(text) if comma < 0 else comma
        equals = text.find("=", position, end)
        if equals >= 0:
            value, following = _value(text, equals + 1)
            pairs.append((text[position:equals], value))
        elif implied is not None:
            value, following = _value(text, position)
            pairs.append((implied, value))
        else:
            switch, following = text[position:end], end + 1
            if switch:
                pairs.append((switch[2:], "off") if switch.startswith("no") and len(switch) > 2 else (switch, "on"))
        implied = None
        position = following
    return pairs


def _value(text: str, start: int) -> tuple[str, int]:
    """The value that begins at `start`, with doubled commas made single, and the position after its end."""
    parts = []
    while True:
        comma = text.find(",", start)
        if comma < 0:
            parts.append(text[start:])
            return "".join(parts), len(text)
        if text[comma + 1 : comma + 2] != ",":
            parts.append(text[start:comma])
            return "".join(parts), comma + 1
        parts.append(text[start : comma + 1])
        start = comma + 2


def json_value(text: str, place: Place) -> Any:
    """The JSON value of `text`. Raises InputError where it is malformed or nested deeper than `MAX_DEPTH`."""
    depth = 0
    quoted = escaped = False
    for character in text:
        if quoted:
            quoted = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            quoted = True
        elif character in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise InputError("JSON nested too deep", place=place, expected=f"at most {MAX_DEPTH} levels")
        elif character in "]}":
            depth -= 1
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(
            f"not JSON: {error}"[:200],
            place=place,
            expected="a JSON value in one argument",
            hint="quote the argument as a whole, so that the shell leaves its double quotes alone",
        ) from None


def _flatten(value: Any, key: str, pairs: list[tuple[str, str]]) -> None:
    if isinstance(value, dict):
        for name, inner in value.items():
            _flatten(inner, f"{key}.{name}" if key else name, pairs)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _flatten(inner, f"{key}.{index}" if key else str(index), pairs)
    elif isinstance(value, bool):
        pairs.append((key, "on" if value else "off"))
    else:
        pairs.append((key, "" if value is None else str(value)))


def boolean(text: str) -> bool | None:
    """The truth that QEMU reads in `text`; None where it is no boolean."""
    lowered = text.lower()
    return True if lowered in _TRUE else False if lowered in _FALSE else None


def integer(text: str) -> int | None:
    """The number that QEMU reads in `text` (decimal, or hexadecimal with `0x`); None where it is none."""
    digits = text.strip()
    base = 16 if digits[:2].lower() == "0x" else 10
    if len(digits) > 32 or not digits.isascii() or "_" in digits:
        return None
    try:
        return int(digits, base)
    except ValueError:
        return None


def mebibytes(text: str) -> int | None:
    """A size in MiB; a number without a suffix counts MiB, as for `-m`. None where it is no size."""
    digits, shift = text.strip(), 20
    if digits[-1:].lower() in _SUFFIXES and digits[:2].lower() != "0x":
        digits, shift = digits[:-1], _SUFFIXES[digits[-1].lower()]
    number = integer(digits)
    if number is not None:
        return (number << shift) >> 20 if number >= 0 else None
    whole, point, fraction = digits.partition(".")
    if not point or len(fraction) > 9 or not (whole + fraction).isdecimal() or len(whole) > 32:
        return None
    divisor: int = 10 ** len(fraction)
    return (int(whole + fraction) << shift) // divisor >> 20
