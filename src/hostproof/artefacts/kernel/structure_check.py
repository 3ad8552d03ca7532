"""Whether a registration structure lies at an address of an image, and what it says.

Its probe pointer must lie exactly on a function, its name must be text, its tables must decode and end. Where nothing
registers it, it must have a probe function and a table besides, and what is set only by registration must be unset.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hostproof.artefacts.kernel.facts import ImageDriver
from hostproof.artefacts.kernel.id_tables import TABLES, table_aliases
from hostproof.artefacts.kernel.registration_shapes import Layout, Registration, TableLayout
from hostproof.artefacts.kernel.registrations import Budget, Calls
from hostproof.artefacts.kernel.symbols import Symbols
from hostproof.artefacts.kernel.vmlinux import Vmlinux

__all__ = ["NAME_LIMIT", "Search", "begins_symbol", "checked"]

NAME_LIMIT = 64


@dataclass(slots=True)
class Search:
    """An image with what was found in it so far: drivers by address of their structure."""

    kernel: Vmlinux
    symbols: Symbols
    functions: frozenset[int]
    builtin: frozenset[str]
    calls: Calls | None
    modules: dict[int, str]
    budget: Budget
    found: dict[int, ImageDriver] = field(default_factory=dict)

    @property
    def order(self) -> str:
        return "big" if self.kernel.architecture == "s390x" else "little"

    def read(self, address: int, size: int) -> bytes | None:
        """The image's bytes at `address`. Raises InputError where the budget is spent."""
        self.budget.spend()
        return self.kernel.read(address, size)

    def pointer(self, address: int) -> int | None:
        """The pointer at `address`, or None where the image has none there."""
        raw = self.read(address, 8)
        return None if raw is None else int.from_bytes(raw, "big" if self.order == "big" else "little")


def checked(
    search: Search, layout: Layout, registration: Registration | None, address: int, probe: int
) -> ImageDriver | None:
    """The structure at `address` as a driver whose module is not told yet, or None where it does not check out.

    `registration` is how it is registered, None where nothing tells; `probe` the probe function that is given with it.
    """
    symbols = search.symbols
    body = search.read(address, layout.size)
    if body is None or (registration is None and any(any(body[at : at + 8]) for at in layout.unset)):
        return None
    pointers = [search.pointer(address + offset) or 0 for offset in layout.probes]
    probe = next((pointer for pointer in pointers if pointer), probe)
    if probe and probe not in search.functions:
        return None
    symbol = symbols.at(address) if symbols.complete else None
    structure = symbol.name if symbol is not None and symbol.address == address else ""
    function = symbols.at(probe) if probe else None
    called = function.name if function else ""
    name = _name(search, layout, address, structure or called)
    if name is None:
        return None
    aliases: dict[str, None] = {}
    for table in layout.tables:
        entries = _aliases(search, table, registration, search.pointer(address + table.offset) or 0)
        if entries is None:
            return None
        aliases.update(dict.fromkeys(entries))
    if not aliases and (registration is None or layout.shape.bare or not name):
        return None
    if registration is None and not probe:
        return None
    offset = search.kernel.offset_of(address) or 0
    name = name or next(iter(aliases)).partition(":")[2]
    return ImageDriver(layout.shape.bus, name, "", structure, offset, called, tuple(aliases))


def _aliases(
    search: Search, table: TableLayout, registration: Registration | None, start: int
) -> tuple[str, ...] | None:
    """What the table at `start` says; nothing where there is none, None where it is no table."""
    if not start:
        return ()
    if registration is None and not begins_symbol(search.symbols, start, table.size):
        return None
    kind = registration.table if registration is not None and registration.table else table.kind
    return table_aliases(search.read, start, TABLES[kind], table.size, table.fields, search.order)


def begins_symbol(symbols: Symbols, address: int, size: int) -> bool:
    """Whether a symbol of data of at least this size begins there."""
    symbol = symbols.at(address)
    return symbol is not None and symbol.address == address and symbol.size >= size and not symbol.is_function


def _name(search: Search, layout: Layout, address: int, symbol: str) -> str | None:
    """The driver's name, or None where its place holds no text. It is empty for a xenbus driver that leaves its name to
    the first id of its table (`__xenbus_register_frontend`).
    """
    if layout.name is None:
        return symbol or f"{address:#x}"
    if layout.name_bytes:
        return search.kernel.text_at(address + layout.name, layout.name_bytes) or None
    pointer = search.pointer(address + layout.name)
    if not pointer:
        return "" if layout.shape.bus == "xen" else None
    return search.kernel.text_at(pointer, NAME_LIMIT) or None
