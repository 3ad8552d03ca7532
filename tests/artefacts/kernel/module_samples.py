"""Small modules with symbols and relocations, built here."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.artefacts.kernel.samples import modinfo

PC32, PLT32, ABS32 = 2, 4, 11  # R_X86_64_PC32, R_X86_64_PLT32, R_X86_64_32S
CALL26 = 283  # R_AARCH64_CALL26
PLT32DBL = 20  # R_390_PLT32DBL
FUNC, OBJECT, SECTION, NOTYPE = 2, 1, 3, 0


@dataclass(frozen=True)
class Reloc:
    """A relocation at `at` bytes from the start of its function or object. `target` names a symbol, an import where nothing
    defines it; `anonymous` writes it as section and offset.
    """

    at: int
    target: str
    kind: int = PLT32
    addend: int = -4
    anonymous: bool = False


@dataclass(frozen=True)
class Item:
    """A function or object: bytes under a name in a section, after `gap` bytes that belong to nothing."""

    name: str
    data: bytes
    relocs: tuple[Reloc, ...] = ()
    section: str = ".text"
    kind: int = FUNC
    gap: bytes = b""


def function(name: str, data: bytes, *relocs: Reloc, section: str = ".text", gap: bytes = b"") -> Item:
    return Item(name, data, relocs, section, FUNC, gap)


def thing(name: str, data: bytes, *relocs: Reloc, section: str = ".data", gap: bytes = b"") -> Item:
    return Item(name, data, relocs, section, OBJECT, gap)


def text(data: bytes, section: str = ".rodata.str1.1") -> Item:
    """A string that no symbol names."""
    return Item("", data, (), section, NOTYPE)


@dataclass
class _Section:
    name: str
    kind: int
    flags: int
    data: bytes = b""
    link: int = 0
    info: int = 0
    relocs: list[tuple[int, Reloc]] = field(default_factory=list)


def build(
    items: Sequence[Item],
    *,
    name: str = "sample",
    bits: int = 64,
    order: str = "little",
    machine: int = 62,
    rela: bool = True,
    symbols_first: Sequence[str] = (),
) -> bytes:
    """A relocatable file. `symbols_first` are imports that stand first in the symbol table, used or not."""
    mark = "<" if order == "little" else ">"
    sections = [_Section("", 0, 0)]
    numbers: dict[str, int] = {}
    places: dict[str, tuple[int, int, int, int]] = {}  # name -> section, value, size, kind
    for item in items:
        if item.section not in numbers:
            numbers[item.section] = len(sections)
            executable = item.section.startswith((".text", ".init.text", ".exit.text", ".altinstr_repl"))
            flags = 6 if executable else 0x32 if ".str" in item.section else 3
            sections.append(_Section(item.section, 1, flags))
        section = sections[numbers[item.section]]
        section.data += item.gap
        if item.name:
            places[item.name] = (numbers[item.section], len(section.data), len(item.data), item.kind)
        section.relocs += [(len(section.data) + reloc.at, reloc) for reloc in item.relocs]
        section.data += item.data
    wanted = [reloc.target for item in items for reloc in item.relocs if reloc.target not in numbers]
    imports = list(dict.fromkeys([*symbols_first, *(target for target in wanted if target not in places)]))
    rows = [(0, 0, 0, 0, 0)]  # name offset, info, section, value, size
    strings = b"\0"
    index: dict[str, int] = {}
    for number in numbers.values():
        index[sections[number].name] = len(rows)
        rows.append((0, SECTION, number, 0, 0))
    for symbol, (number, value, size, kind) in [*places.items(), *((each, (0, 0, 0, NOTYPE)) for each in imports)]:
        index[symbol] = len(rows)
        rows.append((len(strings), kind | (0 if number else 0x10), number, value, size))
        strings += symbol.encode() + b"\0"
    tables = []
    for number in numbers.values():
        if sections[number].relocs:
            lines = b"".join(
                _relocation(mark, bits, rela, at, reloc, index, places, sections)
                for at, reloc in sections[number].relocs
            )
            kind = 4 if rela else 9
            tables.append(_Section((".rela" if rela else ".rel") + sections[number].name, kind, 0x40, lines, 0, number))
    sections += tables
    symtab = len(sections)
    for table in tables:
        table.link = symtab
    sections.append(_Section(".symtab", 2, 0, b"".join(_symbol(mark, bits, row) for row in rows), symtab + 1))
    sections.append(_Section(".strtab", 3, 0, strings))
    sections.append(_Section(".modinfo", 1, 2, modinfo(name)))
    return _file(sections, mark, bits, order, machine)


def _symbol(mark: str, bits: int, row: tuple[int, int, int, int, int]) -> bytes:
    name, info, section, value, size = row
    if bits == 64:
        return struct.pack(mark + "IBBHQQ", name, info, 0, section, value, size)
    return struct.pack(mark + "IIIBBH", name, value, size, info, 0, section)


def _relocation(
    mark: str,
    bits: int,
    rela: bool,
    at: int,
    reloc: Reloc,
    index: dict[str, int],
    places: dict[str, tuple[int, int, int, int]],
    sections: list[_Section],
) -> bytes:
    symbol, addend = index[reloc.target], reloc.addend
    if reloc.anonymous:
        number, value, _, _ = places[reloc.target]
        symbol, addend = index[sections[number].name], addend + value
    word, signed, shift = ("Q", "q", 32) if bits == 64 else ("I", "i", 8)
    row = struct.pack(mark + word * 2, at, symbol << shift | reloc.kind)
    return row + (struct.pack(mark + signed, addend) if rela else b"")


def _file(sections: list[_Section], mark: str, bits: int, order: str, machine: int) -> bytes:
    sections.append(_Section(".shstrtab", 3, 0, b""))
    names, offsets = b"\0", []
    for section in sections:
        offsets.append(len(names) if section.name else 0)
        names += section.name.encode() + b"\0" if section.name else b""
    sections[-1].data = names
    body, rows = bytearray(64), []
    for section, at in zip(sections, offsets, strict=True):
        body += bytes(-len(body) % 8)
        entry = {2: (16, 24), 4: (12, 24), 9: (8, 16)}.get(section.kind, (0, 0))[bits == 64]
        row = (at, section.kind, section.flags, 0, len(body), len(section.data), section.link, section.info, 1, entry)
        rows.append(row)
        body += section.data
    body += bytes(-len(body) % 8)
    table = len(body)
    for row in rows:
        body += struct.pack(mark + ("IIQQQQIIQQ" if bits == 64 else "IIIIIIIIII"), *row)
    layout, header, entry = ("HHIQQQIHHHHHH", 64, 64) if bits == 64 else ("HHIIIIIHHHHHH", 52, 40)
    head = b"\x7fELF" + bytes([bits // 32, 1 if order == "little" else 2, 1]) + bytes(9)
    head += struct.pack(mark + layout, 1, machine, 1, 0, 0, table, 0, header, 0, 0, entry, len(rows), len(rows) - 1)
    body[: len(head)] = head
    return bytes(body)
