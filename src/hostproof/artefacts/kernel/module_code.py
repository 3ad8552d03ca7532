"""The code of a module as arrays, and what it says: sites of interfaces, answers, source files.

SOURCE: System V gABI, chapter 4 ("Symbol Table", "Relocation"); the processor supplements for relocation types.

Code here is every executable section with bytes (SHF_EXECINSTR): first those that stay once the module is loaded, then
`.init*` and `.exit*`. A driver's registration runs from `.init.text` and calls its probe, and code there reads host input
like any other, so its sites count too (the size and the digests of text leave it out: `Elf.text`).

A **site** of an interface is one relocation in code against an imported (undefined) symbol that is a function of the
interface, or one instruction with a mnemonic of it. It belongs to the function (STT_FUNC) that covers it, by the name in
the source (`symbols.base_name`). Sites cannot show: accesses that are inlined (`readl` on x86, `virtio_cread` through the
transport's operations), calls through a pointer, a wrapper that the module defines itself (its one site is the call in
it), and which of the sites a host can make run. Replacements that the kernel may patch in (`.altinstr_replacement`) count
beside the code that they replace, and belong to no function. A relocation that takes the address of such a function in
code counts; one in data (a table of operations) does not.

Symbol and relocation entries::

    64-bit symbol   name 4, info 1, other 1, section 2, value 8, size 8
    32-bit symbol   name 4, value 4, size 4, info 1, other 1, section 2
    relocation      offset, info, addend (RELA only), 4 or 8 bytes each
                    info is symbol << 32 | type (64-bit) or symbol << 8 | type (32-bit)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from hostproof.artefacts.kernel.elf import SHT_NOBITS, Elf
from hostproof.artefacts.kernel.facts import Sites
from hostproof.artefacts.kernel.questions import Interface
from hostproof.artefacts.kernel.symbols import base_name
from hostproof.errors import InputError
from hostproof.place import Place

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

__all__ = ["ModuleCode", "count_sites", "find_instructions", "read_code", "text_of"]

SHT_SYMTAB, SHT_RELA, SHT_REL = 2, 4, 9
STT_OBJECT, STT_FUNC, STT_SECTION, STT_GNU_IFUNC = 1, 2, 3, 10
MAX_SYMBOL_NAME = 2048
"""KSYM_NAME_LEN is 512 since Linux 6.1; names that only a module has may be longer."""
MAX_NAMES = 16 << 20
"""Bytes of names that are looked at together; amdgpu has one. Names may overlap, so that the file's size is no bound."""
MAX_FUNCTIONS = 1 << 15
"""Functions that use one interface; amdgpu has some hundred."""


@dataclass(frozen=True, slots=True)
class Functions:
    """Functions in code by rising start, in bytes from the start of `ModuleCode.code`; `symbols` are their indexes."""

    starts: Numbers
    ends: Numbers
    symbols: Numbers


@dataclass(frozen=True, slots=True)
class ModuleCode:
    """The code of one module. Positions count bytes in `code`, where the executable sections (`parts`: index in the
    section table, position of the first byte) stand one after the other; the first `stay` bytes stay after loading.

    `symbol_section`, `symbol_value`, `symbol_size` and `symbol_type` have one entry per symbol, `position` says where a
    symbol lies in code (-1: not in code). `at`, `kind`, `target` and `addend` have one entry per relocation in code.
    """

    elf: Elf
    code: bytes
    stay: int
    parts: tuple[tuple[int, int], ...]
    strings: bytes
    symbol_name: Numbers
    symbol_section: Numbers
    symbol_value: Numbers
    symbol_size: Numbers
    symbol_type: Numbers
    position: Numbers
    at: Numbers
    kind: Numbers
    target: Numbers
    addend: Numbers
    functions: Functions

    def name(self, symbol: int) -> bytes:
        """The name of a symbol. Raises InputError where it has no end inside the string table."""
        return self.names([symbol])[0]

    def names(self, symbols: Sequence[int] | Numbers) -> list[bytes]:
        """The names of several symbols. Raises InputError where one does not end inside the string table, or where they
        are longer than `MAX_NAMES` together.
        """
        strings = self.strings
        starts: list[int] = self.symbol_name[symbols].tolist()
        try:
            if len(starts) > MAX_NAMES // MAX_SYMBOL_NAME:
                ends = [strings.index(b"\0", start, start + MAX_SYMBOL_NAME) for start in starts]
                if sum(ends) - sum(starts) > MAX_NAMES:
                    raise _malformed(self.elf, 0, f"names of {len(starts)} symbols that overlap", "a kernel module")
            return [strings[start : strings.index(b"\0", start, start + MAX_SYMBOL_NAME)] for start in starts]
        except ValueError:
            what = f"a symbol's name that does not end within {MAX_SYMBOL_NAME} bytes"
            raise _malformed(self.elf, 0, what, "names inside the string table") from None

    def function_at(self, positions: Numbers) -> list[int]:
        """The symbol of the function that covers each position, -1 where none does. Of several that start at one place
        it is the first in the symbol table, the name in the source (`init_module` is its alias).
        """
        functions = self.functions
        if not len(functions.starts):
            return [-1] * len(positions)
        index = np.searchsorted(functions.starts, positions, "right") - 1
        found = np.searchsorted(functions.starts, functions.starts[index], "left")
        inside = (index >= 0) & (positions < functions.ends[found])
        chosen: list[int] = np.where(inside, functions.symbols[found], -1).tolist()
        return chosen

    def file_offset(self, position: int) -> int:
        """Where in the (unpacked) file the byte at a position of the code lies."""
        index, start = max((part for part in self.parts if part[1] <= position), key=lambda part: part[1])
        return self.elf.sections[index].offset + position - start


def read_code(elf: Elf) -> ModuleCode:
    """The code of a module. Raises InputError naming the offset where symbols or relocations are malformed."""
    stay, passing = elf.code()
    base = np.full(len(elf.sections), -1, np.int64)
    step = 4 if elf.architecture == "aarch64" else 1  # instructions of arm64 stay aligned where sections are joined
    parts, chunks, length, staying = [], [], 0, 0
    for indexes in (stay, passing):
        for index in indexes:
            section = elf.sections[index]
            if section.type == SHT_NOBITS:
                continue
            base[index] = length
            parts.append((index, length))
            length += section.size + (-section.size % step)
            chunks.append((section.offset, section))
        if indexes is stay:
            staying = length
    if length > len(elf.data) + step * len(parts):
        raise _malformed(elf, chunks[-1][0], f"executable sections overlap: {length} bytes in all", "a kernel module")
    code = b"".join(part for _, section in chunks for part in (elf.bytes_of(section), bytes(-section.size % step)))
    strings, symbols = _symbols(elf)
    names, sections, values, sizes, types = symbols
    limits = np.array([section.size for section in elf.sections], np.uint64).astype(np.int64)
    owner = np.where(sections < len(limits), sections, 0)
    position = np.where((base[owner] >= 0) & (values >= 0) & (values <= limits[owner]), base[owner] + values, -1)
    at, kind, target, addend = _relocations(elf, base, len(names))
    functions = _functions(position, sizes, types, length)
    return ModuleCode(
        elf, code, staying, tuple(parts), strings, names, sections, values, sizes, types, position,
        at, kind, target, addend, functions,
    )  # fmt: skip


def text_of(name: bytes) -> str:
    """A symbol's name as text."""
    return name.decode("utf-8", "backslashreplace")


def _symbols(elf: Elf) -> tuple[bytes, tuple[Numbers, Numbers, Numbers, Numbers, Numbers]]:
    """The string table, and per symbol: offset of the name, section, value, size, type."""
    table = next((section for section in elf.sections if section.type == SHT_SYMTAB), None)
    if table is None:
        none = np.zeros(0, np.int64)
        return b"", (none, none, none, none, none)
    entry, _, _ = _entries(elf.bits, elf.little)
    if table.size % entry.itemsize or table.link >= len(elf.sections):
        expected = f"entries of {entry.itemsize} bytes, names in a section that is there"
        raise _malformed(
            elf, table.offset, f"a symbol table of {table.size} bytes, names in section {table.link}", expected
        )
    rows = np.frombuffer(elf.bytes_of(table), entry)
    wide = [rows[name].astype(np.int64) for name in ("name", "section", "value", "size")]
    types = (rows["info"] & 15).astype(np.int64)
    return bytes(elf.bytes_of(elf.sections[table.link])), (wide[0], wide[1], wide[2], wide[3], types)


def _relocations(elf: Elf, base: Numbers, symbols: int) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Position, type, symbol and addend of every relocation in code."""
    _, rela, rel = _entries(elf.bits, elf.little)
    columns: list[tuple[Numbers, Any, Numbers]] = []
    read = 0
    for section in elf.sections:
        if section.type not in (SHT_RELA, SHT_REL) or section.info >= len(base) or base[section.info] < 0:
            continue
        entry = rela if section.type == SHT_RELA else rel
        read += section.size
        if section.size % entry.itemsize or read > len(elf.data):
            raise _malformed(
                elf, section.offset, f"relocations of {section.size} bytes", f"{entry.itemsize} bytes each"
            )
        rows = np.frombuffer(elf.bytes_of(section), entry)
        if not len(rows):
            continue
        offset = rows["offset"]
        if int(offset.max()) >= elf.sections[section.info].size:
            raise _malformed(elf, section.offset, f"a relocation at {int(offset.max()):#x}", "one inside its section")
        addend = rows["addend"].astype(np.int64) if section.type == SHT_RELA else np.zeros(len(rows), np.int64)
        columns.append((offset.astype(np.int64) + base[section.info], rows["info"], addend))
    if not columns:
        none = np.zeros(0, np.int64)
        return none, none, none, none
    at, info, addend = (_joined([column[number] for column in columns]) for number in range(3))
    shift = 32 if elf.bits == 64 else 8
    target = (info >> shift).astype(np.int64)
    if int(target.max()) >= symbols:
        raise _malformed(elf, 0, f"a relocation against symbol {int(target.max())}", f"a symbol below {symbols}")
    return at, (info & ((1 << shift) - 1)).astype(np.int64), target, addend


def _joined(columns: list[Any]) -> Any:
    return columns[0] if len(columns) == 1 else np.concatenate(columns)


def _functions(position: Numbers, sizes: Numbers, types: Numbers, length: int) -> Functions:
    chosen = np.flatnonzero((position >= 0) & ((types == STT_FUNC) | (types == STT_GNU_IFUNC)))
    starts = position[chosen]
    order = np.argsort(starts, kind="stable")
    chosen, starts = chosen[order], starts[order]
    return Functions(starts, starts + np.clip(sizes[chosen], 0, length), chosen)


@lru_cache(maxsize=4)
def _entries(bits: int, little: bool) -> tuple[np.dtype[Any], np.dtype[Any], np.dtype[Any]]:
    """Layouts of a symbol, of a RELA and of a REL entry."""
    mark = "<" if little else ">"
    word, signed = f"{mark}u{bits // 8}", f"{mark}i{bits // 8}"
    head, middle = ("name", f"{mark}u4"), [("info", "u1"), ("other", "u1"), ("section", f"{mark}u2")]
    span = [("value", word), ("size", word)]
    symbol = np.dtype([head, *middle, *span] if bits == 64 else [head, *span, *middle])
    rel = [("offset", word), ("info", word)]
    return symbol, np.dtype([*rel, ("addend", signed)]), np.dtype(rel)


@dataclass(frozen=True, slots=True)
class _Lookup:
    """Which interfaces a function or an instruction belongs to."""

    exact: dict[bytes, tuple[str, ...]]
    prefixes: tuple[bytes, ...]
    mnemonics: dict[str, tuple[str, ...]]
    patterns: tuple[tuple[bytes, str], ...]

    def of(self, name: bytes) -> tuple[str, ...]:
        """The interfaces that the function is of, each once."""
        found = self.exact.get(name, ())
        if name.startswith(self.prefixes):
            found += tuple(id for prefix, id in self.patterns if name.startswith(prefix))
        return tuple(dict.fromkeys(found)) if found else found


@lru_cache(maxsize=8)
def _lookup(interfaces: tuple[Interface, ...]) -> _Lookup:
    exact: dict[bytes, tuple[str, ...]] = {}
    mnemonics: dict[str, tuple[str, ...]] = {}
    patterns = []
    for interface in interfaces:
        for function in interface.functions:
            name = function.encode()
            if name.endswith(b"*"):
                patterns.append((name[:-1], interface.id))
            else:
                exact[name] = (*exact.get(name, ()), interface.id)
        for mnemonic in interface.instructions:
            mnemonics[mnemonic] = (*mnemonics.get(mnemonic, ()), interface.id)
    return _Lookup(exact, tuple(prefix for prefix, _ in patterns), mnemonics, tuple(patterns))


def find_instructions(codes: Sequence[ModuleCode], interfaces: tuple[Interface, ...]) -> list[dict[str, list[int]]]:
    """Positions of the interfaces' instructions in each module's code, by mnemonic. Many at once take half the time.

    Functions and sections are where the sweep starts.
    """
    found: list[dict[str, list[int]]] = [{} for _ in codes]
    mnemonics = tuple(_lookup(interfaces).mnemonics)
    if not mnemonics:
        return found
    from hostproof.artefacts.kernel.instructions import find_in_many

    for architecture in {code.elf.architecture for code in codes}:
        chosen = [index for index, code in enumerate(codes) if code.elf.architecture == architecture and code.code]
        pieces = [(codes[index].code, _starts(codes[index])) for index in chosen]
        for index, positions in zip(chosen, find_in_many(pieces, architecture, mnemonics), strict=True):
            found[index] = positions
    return found


def _starts(code: ModuleCode) -> list[int]:
    return [*(start for _, start in code.parts), *code.functions.starts.tolist()]


def count_sites(
    code: ModuleCode, interfaces: tuple[Interface, ...], instructions: Mapping[str, Sequence[int]]
) -> dict[str, Sites]:
    """The sites of each interface that the code has any of, by id, in the order of the ids; `instructions` are what
    `find_instructions` found in it.
    """
    lookup = _lookup(interfaces)
    counts: dict[str, int] = {}
    owners: dict[str, set[int]] = {}

    def count(ids: Iterable[str], function: int) -> None:
        for id in ids:
            counts[id] = counts.get(id, 0) + 1
            owners.setdefault(id, set()).add(function)

    wanted = _imports(code, lookup)
    if wanted:
        mask = np.zeros(len(code.position), bool)
        mask[list(wanted)] = True
        hits = np.flatnonzero(mask[code.target])
        for symbol, function in zip(code.target[hits].tolist(), code.function_at(code.at[hits]), strict=True):
            count(wanted[symbol], function)
    for mnemonic, positions in instructions.items():
        if positions:
            for function in code.function_at(np.array(positions, np.int64)):
                count(lookup.mnemonics[mnemonic], function)
    return {id: Sites(counts[id], _function_names(code, owners[id])) for id in sorted(counts)}


def _imports(code: ModuleCode, lookup: _Lookup) -> dict[int, tuple[str, ...]]:
    """The imported symbols that code refers to and that belong to an interface."""
    used = np.zeros(len(code.position), bool)
    used[code.target] = True
    imports = np.flatnonzero(used & (code.symbol_section == 0))
    of = lookup.of
    return {
        symbol: ids for symbol, name in zip(imports.tolist(), code.names(imports), strict=True) if (ids := of(name))
    }


def _function_names(code: ModuleCode, symbols: Iterable[int]) -> tuple[str, ...]:
    named = [symbol for symbol in symbols if symbol >= 0]
    if len(named) > MAX_FUNCTIONS:
        raise _malformed(code.elf, 0, f"{len(named)} functions that use one interface", f"at most {MAX_FUNCTIONS}")
    return tuple(sorted({base_name(text_of(name)) for name in code.names(named)})) if named else ()


def _malformed(elf: Elf, offset: int, what: str, expected: str) -> InputError:
    return InputError(
        what, place=Place(elf.name, offset=offset), expected=expected, hint="the file is damaged or cut off"
    )
