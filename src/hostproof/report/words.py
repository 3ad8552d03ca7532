"""Text for people, made safe to show.

Names in a ledger come from VM definitions and kernels, that is from the adversary: they may hold terminal escape
sequences, line breaks, characters that reverse the direction of text, or markup. `visible` turns every character that
does not stand for itself into its escape, so that what a person sees is what is there. Each format then quotes what is
special to itself.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

from hostproof.place import Place

if TYPE_CHECKING:
    from hostproof.ledger.model import DriverCount, MissingFact, PlaceSeen

__all__ = ["count", "drivers", "missing", "place", "shorten", "size", "visible"]

KIB = 1024
MIB = 1024 * 1024


def visible(text: str) -> str:
    r"""`text` in one line, without a character that a terminal or a page would obey.

    Controls, surrogates, unassigned code points, and formatting characters (bidirectional overrides, zero-width
    characters: Unicode's categories C* and Zl, Zp) become `\\x1b`, `\\u202e`; other spaces become a space.
    """
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def _escape(character: str) -> str:
    """The escape of a character that is not printable; a space of another width is a space."""
    return " " if unicodedata.category(character) == "Zs" else ascii(character)[1:-1]


def shorten(text: str, limit: int) -> str:
    """`visible(text)` cut to `limit` characters, the cut shown by `...`."""
    shown = visible(text[: limit + 1])
    return shown if len(shown) <= limit and len(text) <= limit else shown[: max(0, limit - 3)] + "..."


def size(number: int) -> str:
    """Bytes as people read them: `812 B`, `12.3 KiB`, `35.9 MiB`."""
    if abs(number) < KIB:
        return f"{number} B"
    if abs(number) < MIB / 10:
        return f"{number / KIB:.1f} KiB"
    mebibytes = number / MIB
    return f"{mebibytes:.2f} MiB" if abs(mebibytes) < 10 else f"{mebibytes:,.1f} MiB"


def count(number: int, singular: str, plural: str = "") -> str:
    """`1 row`, `1,167 rows`."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def drivers(number: DriverCount) -> str:
    """`1,167 drivers, 35.9 MiB`."""
    return f"{count(number.modules, 'driver')}, {size(number.text_bytes)}"


def place(seen: PlaceSeen) -> str:
    """`vm.xml:12:3 (domain/os)`, as errors write it."""
    return visible(str(Place(seen.artefact, seen.line, seen.column, seen.offset, seen.path)))


def missing(facts: list[MissingFact]) -> str:
    """`config.MODULES (supplied by --kernel)`, several joined by `; `."""
    return "; ".join(
        visible(f"{fact.name} (supplied by {fact.supply})" if fact.supply else fact.name) for fact in facts
    )
