"""ELF files, as far as kernel modules need them: sections, the text and `.modinfo`.

SOURCE: System V gABI, chapter 4 ("Object Files", "Sections"); `include/uapi/linux/elf.h`. Both classes, both byte orders.

Header::

    offset  32-bit  64-bit  field
    0       16      16      e_ident: 7f "ELF", class (1: 32, 2: 64), data (1: little, 2: big endian), version
    16      2       2       e_type (1: relocatable)
    18      2       2       e_machine
    20      4       4       e_version
    24      4       8       e_entry
            4       8       e_phoff
            4       8       e_shoff
            4       4       e_flags
            2 x 6   2 x 6   e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx

Section header::

    32-bit  64-bit  field
    4       4       sh_name (offset in the section named by e_shstrndx)
    4       4       sh_type (8: NOBITS, which has no bytes in the file)
    4       8       sh_flags (4: EXECINSTR)
    4       8       sh_addr, sh_offset, sh_size (each)
    4       4       sh_link, sh_info (each)
    4       8       sh_addralign, sh_entsize (each)

Where there are 65,280 sections or more, e_shnum is 0 and the count is sh_size of section 0; an e_shstrndx of 0xffff
then stands for sh_link of section 0.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import NamedTuple

from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["MACHINES", "Elf", "Section", "read_elf"]

Buffer = bytes | memoryview

SHT_NOBITS = 8
SHF_EXECINSTR = 4
SHN_XINDEX = 0xFFFF
MAX_SECTIONS = 1 << 16
MAX_NAMES = 16 << 20
PASSING = (b".init", b".exit")

# EI_CLASS, EI_DATA -> ELF header after e_ident; of a section header sh_name, type, flags, offset, size, link and info
_LAYOUTS = {
    (1, 1): (struct.Struct("<HHIIIIIHHHHHH"), struct.Struct("<III4xIIII8x")),
    (1, 2): (struct.Struct(">HHIIIIIHHHHHH"), struct.Struct(">III4xIIII8x")),
    (2, 1): (struct.Struct("<HHIQQQIHHHHHH"), struct.Struct("<IIQ8xQQII16x")),
    (2, 2): (struct.Struct(">HHIQQQIHHHHHH"), struct.Struct(">IIQ8xQQII16x")),
}

MACHINES = {
    (3, 1): "i686",
    (62, 2): "x86_64",
    (40, 1): "arm",
    (183, 2): "aarch64",
    (22, 2): "s390x",
    (243, 2): "riscv64",
    (21, 2): "ppc64",
    (258, 2): "loongarch64",
}
"""(e_machine, EI_CLASS) -> the kernel's word for the architecture (`uname -m`; ppc64 stands for both byte orders)."""


class Section(NamedTuple):
    """A section header, without its address; the name is read only where it is asked for.

    A named tuple, as a kernel's modules have 180,000 of them.
    """

    name_offset: int
    type: int
    flags: int
    offset: int
    size: int
    link: int
    info: int


@dataclass(frozen=True, slots=True)
class Elf:
    """A relocatable file: its sections in the order of the table, and the bytes they lie in."""

    data: memoryview
    type: int
    machine: int
    bits: int
    sections: tuple[Section, ...]
    names: bytes
    name: str

    @property
    def architecture(self) -> str:
        """The kernel's word for the machine, or `elf-machine-N`."""
        return MACHINES.get((self.machine, self.bits // 32), f"elf-machine-{self.machine}")

    @property
    def little(self) -> bool:
        """Whether the byte order is little-endian (EI_DATA is 1)."""
        return self.data[5] == 1

    def section_name(self, section: Section) -> bytes:
        """The name of a section, without its NUL."""
        end = self.names.find(b"\0", section.name_offset)
        return self.names[section.name_offset : end if end >= 0 else None]

    def section(self, name: str) -> Section | None:
        """The first section of that name."""
        wanted = name.encode() + b"\0"
        for section in self.sections:
            if self.names.startswith(wanted, section.name_offset):
                return section
        return None

    def bytes_of(self, section: Section) -> memoryview:
        """The bytes of a section; none for NOBITS. Raises InputError where they lie outside of the file."""
        if section.type == SHT_NOBITS:
            return self.data[:0]
        end = section.offset + section.size
        if end > len(self.data):
            raise _malformed(self.name, section.offset, f"a section of {section.size} bytes", "it runs past the end")
        return self.data[section.offset : end]

    def text(self) -> list[Section]:
        """The executable sections that stay once a module is loaded, in the order of the file: SHF_EXECINSTR, without
        `.init*` (freed when initialisation returns) and `.exit*` (run when the module is removed).
        """
        return [self.sections[index] for index in self.code()[0]]

    def code(self) -> tuple[list[int], list[int]]:
        """Indexes of the executable sections, each list in the order of the file: those that stay (see `text`), and
        those that pass.
        """
        stay: list[int] = []
        passing: list[int] = []
        for index, section in enumerate(self.sections):
            if section.flags & SHF_EXECINSTR:
                (passing if self.names.startswith(PASSING, section.name_offset) else stay).append(index)
        for part in (stay, passing):
            part.sort(key=lambda index: (self.sections[index].offset, self.sections[index].size))
        return stay, passing


def read_elf(data: Buffer, name: str) -> Elf:
    """The sections of an ELF file. `name` is the artefact in messages. Raises InputError naming the offset."""
    view = memoryview(data)
    if bytes(view[:4]) != b"\x7fELF":
        raise _malformed(name, 0, "not an ELF file", "the bytes 7f 45 4c 46")
    layouts = _LAYOUTS.get((view[4], view[5])) if len(view) >= 64 else None
    if layouts is None:
        raise _malformed(name, 4, "a damaged ELF header", "class 1 or 2, byte order 1 or 2, and 64 bytes at least")
    header, entry = layouts
    e_type, machine, _, _, _, table, _, _, _, _, entry_size, count, names = header.unpack_from(view, 16)
    if table == 0:
        raise _malformed(name, 16, "an ELF file without sections", "a kernel module")
    if entry_size != entry.size or table + entry.size > len(view):
        raise _malformed(name, table, "a damaged section table", f"entries of {entry.size} bytes inside the file")
    if count == 0 or names == SHN_XINDEX:
        first = entry.unpack_from(view, table)
        count, names = count or first[4], first[5] if names == SHN_XINDEX else names
    end = table + count * entry.size
    if count > MAX_SECTIONS or end > len(view):
        raise _malformed(name, table, f"a section table of {count} entries", "it runs past the end of the file")
    sections = tuple(map(Section._make, entry.iter_unpack(view[table:end])))
    return Elf(view, e_type, machine, view[4] * 32, sections, _name_table(view, sections, names, name), name)


def _name_table(view: memoryview, sections: tuple[Section, ...], index: int, name: str) -> bytes:
    if index >= len(sections):
        raise _malformed(name, 0, f"section names in section {index}", f"an index below {len(sections)}")
    table = sections[index]
    if table.type == SHT_NOBITS or table.size > MAX_NAMES or table.offset + table.size > len(view):
        raise _malformed(name, table.offset, f"a section name table of {table.size} bytes", "one inside the file")
    return bytes(view[table.offset : table.offset + table.size])


def _malformed(name: str, offset: int, what: str, expected: str) -> InputError:
    return InputError(what, place=Place(name, offset=offset), expected=expected, hint="the file is damaged or cut off")
