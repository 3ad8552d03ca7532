"""The symbols of a kernel image, by address and by name."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hostproof.errors import InputError

__all__ = ["Symbol", "Symbols", "UntoldSymbols", "WithoutSymbols", "base_name"]

ALIASES = 256  # symbols at one address that are looked at for a function; kernels have below a hundred
_ADDED = re.compile(r"\.(?:cold|isra|constprop|part|llvm|lto_priv|localalias)(?:\.[0-9a-f]+)*(?=\.|$)")


class UntoldSymbols(InputError):
    """An image whose symbols cannot be told: their tables are damaged, or newer than their reader."""


class WithoutSymbols(UntoldSymbols):
    """An image that is sound and of which no symbols are told: it has none, or those of its architecture are not read."""


def base_name(name: str) -> str:
    """The name as the source has it: without what compilers add (`foo.isra.0.cold` is `foo`)."""
    return _ADDED.sub("", name) if "." in name else name


@dataclass(frozen=True, slots=True)
class Symbol:
    """One symbol: link-time address, size up to the next symbol (bytes), type letter as nm(1) writes it, and name."""

    name: str
    address: int
    size: int
    type: str

    @property
    def is_function(self) -> bool:
        """Whether it lies in text: `T`, `t`, `W` or `w`."""
        return self.type in "TtWw"


@dataclass(frozen=True, slots=True)
class Symbols:
    """All symbols of an image, by rising address; the three sequences have one entry per symbol.

    `complete` says whether symbols of data are among them (CONFIG_KALLSYMS_ALL).
    """

    addresses: Sequence[int]
    types: str
    names: Sequence[str]
    complete: bool
    layout: str = ""
    """How the table was laid out, for people: `base-relative, 6.4 and later`."""
    _by_name: dict[str, int] = field(init=False, repr=False)
    _by_base: dict[str, list[int]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        last = len(self.names) - 1
        by_name = dict(zip(reversed(self.names), range(last, -1, -1), strict=True))  # the first of a name stays
        by_base: dict[str, list[int]] = {}
        for index in [index for index, name in enumerate(self.names) if "." in name]:
            name = self.names[index]
            if (base := base_name(name)) != name:
                by_base.setdefault(base, []).append(index)
        object.__setattr__(self, "_by_name", by_name)
        object.__setattr__(self, "_by_base", by_base)

    def __len__(self) -> int:
        return len(self.addresses)

    def symbol(self, index: int) -> Symbol:
        """The symbol at a position of the table. Of several at one address, each reaches up to the next address."""
        address = self.addresses[index]
        after = bisect_right(self.addresses, address, lo=index)
        end = self.addresses[after] if after < len(self.addresses) else address
        return Symbol(self.names[index], address, end - address, self.types[index])

    def find(self, name: str) -> Symbol | None:
        """The first symbol of exactly this name."""
        index = self._by_name.get(name)
        return None if index is None else self.symbol(index)

    def variants(self, base: str) -> list[Symbol]:
        """Every symbol that the source calls `base`, with those that compilers split off (`.cold`, `.isra.0`)."""
        found = [index for index in (self._by_name.get(base),) if index is not None]
        return [self.symbol(index) for index in (*found, *self._by_base.get(base, ()))]

    def at(self, address: int) -> Symbol | None:
        """The last symbol at or before `address` that reaches over it, a function where there is a choice."""
        last = bisect_right(self.addresses, address) - 1
        if last < 0:
            return None
        first = max(bisect_left(self.addresses, self.addresses[last], hi=last), last - ALIASES)
        chosen = next((index for index in range(first, last + 1) if self.types[index] in "TtWw"), last)
        symbol = self.symbol(chosen)
        return symbol if address < symbol.address + max(symbol.size, 1) else None

    def functions(self) -> Iterator[Symbol]:
        """Every function, by address."""
        return (self.symbol(index) for index, letter in enumerate(self.types) if letter in "TtWw")
