r"""BTF: the types of a kernel, as it carries them for BPF.

SOURCE: `Documentation/bpf/btf.rst` and `include/uapi/linux/btf.h` of Linux. In the byte order of the kernel::

    header   0   2  magic 0xeb9f               type   0  4  name_off, into the strings
             2   1  version (1)                       4  4  info: bits 0-23 vlen, 24-30 kind, 31 kind_flag
             3   1  flags                             8  4  size or type
             4   4  hdr_len
             8   4  type_off, from the end of the header
             12  4  type_len           16  4  str_off, likewise      20  4  str_len
             24  4  layout_off, likewise (since Linux 7.1, where the header has it)      28  4  layout_len

What follows a type, in words of four bytes, is fixed by its kind (`_FIXED`) and counted by vlen (`_EACH`). Type 0 is
void; types count from 1 in the order of the section. A member of a struct or union is name_off, type, offset: bits
from the start, or with kind_flag the size of a bit field (8 bits) and its bit offset (24 bits). A layout says by kind
how much follows a type: bytes in all (1 byte), bytes per element (1), flags (2); with it, kinds to come can be passed over.

vlen had 16 bits and kind 5 before f7a6b9eaff3e; the bits that they took were zero.
"""

from __future__ import annotations

import sys
from array import array
from dataclasses import dataclass, field
from enum import IntEnum

from hostproof.artefacts.kernel.vmlinux import Vmlinux
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["Btf", "Kind", "Member", "Struct", "find_btf", "read_btf"]

MAGIC = 0xEB9F
HEADER = 24
MAX_BYTES = 256 << 20
MAX_TYPES = 4_000_000
"""Debian's kernels have some 100,000 to 160,000."""
MAX_DEPTH = 32
MAX_SAME = 1000

Part = tuple[int, int]


class Kind(IntEnum):
    """Kinds of types (`BTF_KIND_*`)."""

    VOID = 0
    INT = 1
    PTR = 2
    ARRAY = 3
    STRUCT = 4
    UNION = 5
    ENUM = 6
    FWD = 7
    TYPEDEF = 8
    VOLATILE = 9
    CONST = 10
    RESTRICT = 11
    FUNC = 12
    FUNC_PROTO = 13
    VAR = 14
    DATASEC = 15
    FLOAT = 16
    DECL_TAG = 17
    TYPE_TAG = 18
    ENUM64 = 19


_FIXED = {Kind.INT: 1, Kind.ARRAY: 3, Kind.VAR: 1, Kind.DECL_TAG: 1}
_EACH = {Kind.STRUCT: 3, Kind.UNION: 3, Kind.ENUM: 2, Kind.FUNC_PROTO: 2, Kind.DATASEC: 3, Kind.ENUM64: 3}
_ALIASES = frozenset({Kind.TYPEDEF, Kind.VOLATILE, Kind.CONST, Kind.RESTRICT, Kind.TYPE_TAG})
_SIZED = frozenset({Kind.INT, Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.FLOAT, Kind.ENUM64, Kind.DATASEC})


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a struct or union: its name (empty where it is anonymous), where it starts (bytes), and its type.

    `bits` is the width of a bit field and `bit` where that starts, counted from bit 0 of the structure; else 0 and
    `8 * offset`.
    """

    name: str
    offset: int
    type: int
    bit: int
    bits: int = 0


@dataclass(frozen=True, slots=True)
class Struct:
    """A struct or union: name, size in bytes, members in their order."""

    name: str
    size: int
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Btf:
    """The types of a kernel; `len()` counts them, without void."""

    name: str
    pointer_size: int
    _words: memoryview | array[int] = field(repr=False)
    _strings: bytes = field(repr=False)
    _positions: array[int] = field(repr=False)
    _tagged: dict[int, list[int]] = field(repr=False)
    """name_off -> types of the kinds that are found by name."""

    def __len__(self) -> int:
        return len(self._positions) - 1

    def kind(self, type_id: int) -> Kind:
        """The kind of a type. Raises InputError where there is no such type."""
        value = self._head(type_id)[1] >> 24 & 0x7F
        try:
            return Kind(value)
        except ValueError:
            raise self._malformed(type_id, f"a type of kind {value}", "a kind up to 19 (ENUM64)") from None

    def name_of(self, type_id: int) -> str:
        """The name of a type; empty where it is anonymous."""
        return self._text(self._head(type_id)[0])

    def target(self, type_id: int) -> int:
        """The type that a pointer, typedef, qualifier or variable refers to; for an array that of its elements."""
        kind = self.kind(type_id)
        if kind is Kind.ARRAY:
            return self._words[self._positions[type_id] + 3]
        if kind in _SIZED or kind is Kind.VOID:
            raise self._malformed(type_id, f"a type of kind {kind.name}", "one that refers to another")
        return self._head(type_id)[2]

    def resolve(self, type_id: int) -> int:
        """The type behind typedefs, qualifiers and type tags. Raises InputError where they run in a circle."""
        for _ in range(MAX_DEPTH):
            if self.kind(type_id) not in _ALIASES:
                return type_id
            type_id = self._head(type_id)[2]
        raise self._malformed(type_id, f"more than {MAX_DEPTH} typedefs in a row", "a type behind them")

    def count(self, type_id: int) -> int:
        """The number of elements of an array."""
        if self.kind(type_id) is not Kind.ARRAY:
            raise self._malformed(type_id, f"a type of kind {self.kind(type_id).name}", "an array")
        return self._words[self._positions[type_id] + 5]

    def size_of(self, type_id: int) -> int:
        """The size of a type in bytes; 0 for void, functions and forward declarations."""
        factor = 1
        for _ in range(MAX_DEPTH):
            type_id = self.resolve(type_id)
            kind = self.kind(type_id)
            if kind is Kind.ARRAY:
                factor *= self.count(type_id)
                type_id = self.target(type_id)
            elif kind is Kind.PTR:
                return factor * self.pointer_size
            elif kind is Kind.VAR:
                type_id = self.target(type_id)
            else:
                return factor * self._head(type_id)[2] if kind in _SIZED else 0
        raise self._malformed(type_id, f"arrays more than {MAX_DEPTH} deep", "a type of known size")

    def find(self, name: str, *kinds: Kind) -> int | None:
        """The first type of this name among structs, unions, enums, typedefs and integers, of one of `kinds`.

        Raises InputError where the strings hold the name too often.
        """
        wanted = name.encode() + b"\0"
        position = self._strings.find(wanted)
        found: list[int] = []
        times = 0
        while position >= 0:  # a string may be the end of another one
            times += 1
            if times > MAX_SAME:
                raise self._malformed(0, f"{name!r} ends more than {MAX_SAME} strings", "each string once")
            found += self._tagged.get(position, ())
            position = self._strings.find(wanted, position + 1)
        return min((type_id for type_id in found if not kinds or self.kind(type_id) in kinds), default=None)

    def struct(self, name: str) -> Struct | None:
        """The struct or union of this name, or None."""
        type_id = self.find(name, Kind.STRUCT, Kind.UNION)
        return None if type_id is None else self.struct_of(type_id)

    def struct_of(self, type_id: int) -> Struct:
        """The struct or union that a type is, behind typedefs. Raises InputError where it is another kind."""
        type_id = self.resolve(type_id)
        if self.kind(type_id) not in (Kind.STRUCT, Kind.UNION):
            raise self._malformed(type_id, f"a type of kind {self.kind(type_id).name}", "a struct or union")
        name, info, size = self._head(type_id)
        start = self._positions[type_id] + 3
        members = []
        for at in range(start, start + 3 * (info & 0xFFFFFF), 3):
            bit, bits = self._words[at + 2], 0
            if info >> 31:
                bit, bits = bit & 0xFFFFFF, bit >> 24
            members.append(Member(self._text(self._words[at]), bit // 8, self._words[at + 1], bit, bits))
        return Struct(self._text(name), size, tuple(members))

    def member(self, struct: Struct, path: str) -> Member | None:
        """The member at `path` (`driver.of_match_table`), looked up through anonymous members as C does; its place
        counts from the start of `struct`. None where there is no such member.
        """
        first, _, rest = path.partition(".")
        found = self._named(struct, first, 0, set())
        if found is None or not rest:
            return found
        inner = self.member(self.struct_of(found.type), rest)
        return None if inner is None else _moved(inner, found.offset)

    def _named(self, struct: Struct, name: str, start: int, seen: set[int]) -> Member | None:
        for member in struct.members:
            if member.name == name:
                return _moved(member, start)
        for member in struct.members:
            if not member.name:
                inner = self.resolve(member.type)
                if inner not in seen and len(seen) < MAX_DEPTH and self.kind(inner) in (Kind.STRUCT, Kind.UNION):
                    seen.add(inner)  # looked through once: a type that holds itself ends here
                    found = self._named(self.struct_of(inner), name, start + member.offset, seen)
                    if found is not None:
                        return found
        return None

    def enumerators(self, type_id: int) -> dict[str, int]:
        """Names and values of an enum, signed where kind_flag says so."""
        type_id = self.resolve(type_id)
        kind, info = self.kind(type_id), self._head(type_id)[1]
        start, count = self._positions[type_id] + 3, info & 0xFFFFFF
        words = self._words
        if kind is Kind.ENUM:
            values = {self._text(words[at]): words[at + 1] for at in range(start, start + 2 * count, 2)}
            width = 32
        elif kind is Kind.ENUM64:
            values = {
                self._text(words[at]): words[at + 1] | words[at + 2] << 32 for at in range(start, start + 3 * count, 3)
            }
            width = 64
        else:
            raise self._malformed(type_id, f"a type of kind {kind.name}", "an enum")
        if info >> 31:
            return {name: value - (value >> width - 1 << width) for name, value in values.items()}
        return values

    def _head(self, type_id: int) -> tuple[int, int, int]:
        """name_off, info, and size or type."""
        if type_id == 0:
            return 0, 0, 0
        if not 0 < type_id < len(self._positions):
            raise self._malformed(0, f"type {type_id}", f"one of {len(self)} types")
        at = self._positions[type_id]
        return self._words[at], self._words[at + 1], self._words[at + 2]

    def _text(self, offset: int) -> str:
        if offset >= len(self._strings):
            raise self._malformed(0, f"a name at {offset:#x} of the strings", f"one below {len(self._strings):#x}")
        end = self._strings.find(b"\0", offset)
        return self._strings[offset : end if end >= 0 else None].decode("utf-8", "backslashreplace")

    def _malformed(self, type_id: int, what: str, expected: str) -> InputError:
        place = Place(self.name, path=f"BTF type {type_id}" if type_id else "BTF")
        return InputError(what, place=place, expected=expected)


def _moved(member: Member, by: int) -> Member:
    return Member(member.name, member.offset + by, member.type, member.bit + 8 * by, member.bits)


def read_btf(data: bytes | memoryview, name: str) -> Btf:
    """The types in a `.BTF` section. Raises InputError naming the offset where it is malformed, or has a kind of type
    that this reader does not know: what follows one cannot be told without its length.
    """
    view = memoryview(data)
    order, types, strings, layout = _parts(view, name)
    words: memoryview | array[int] = view[types[0] : types[1]].cast("B").cast("I")
    if order != sys.byteorder:
        words = array("I", bytes(words))
        words.byteswap()
    positions, tagged = _index(words, name, types[0], bytes(view[layout[0] : layout[1]]))
    return Btf(name, 8, words, bytes(view[strings[0] : strings[1]]), positions, tagged)


def find_btf(kernel: Vmlinux) -> memoryview | None:
    """The BTF of a kernel: its section `.BTF`, or in a flat image what begins with a consistent header. None where the
    kernel has none.
    """
    section = kernel.section(".BTF")
    if section is not None:
        return kernel.bytes_of(section)
    if not kernel.flat:
        return None
    view = memoryview(kernel.data)
    for byte_order in ("little", "big"):
        wanted = MAGIC.to_bytes(2, "little" if byte_order == "little" else "big") + b"\1\0"
        at = kernel.data.find(wanted)
        while at >= 0:
            try:
                end = max(_parts(view[at:], kernel.name)[1:], key=lambda part: part[1])[1]
            except InputError:
                at = kernel.data.find(wanted, at + 1)  # four bytes that only look like a header
            else:
                return view[at : at + end]
    return None


def _parts(view: memoryview, name: str) -> tuple[str, Part, Part, Part]:
    """Byte order, and start and end of types, strings and layout (which may be empty)."""
    head = bytes(view[:HEADER])
    order = "little" if head[:2] == MAGIC.to_bytes(2, "little") else "big"
    if len(head) < HEADER or head[:2] != MAGIC.to_bytes(2, "little" if order == "little" else "big") or head[2] != 1:
        raise _damaged(name, 0, "no BTF header", "magic 0xeb9f, version 1, 24 bytes")
    size = int.from_bytes(head[4:8], "little" if order == "little" else "big")
    if not HEADER <= size <= 4096 or size > len(view):
        raise _damaged(name, 4, f"a header of {size} bytes", "24 bytes or a few more, inside the file")
    more = bytes(view[8:size]) + bytes(8)
    numbers = [int.from_bytes(more[at : at + 4], "little" if order == "little" else "big") for at in range(0, 24, 4)]
    types, strings, layout = ((size + numbers[at], size + numbers[at] + numbers[at + 1]) for at in (0, 2, 4))
    if numbers[0] % 4 or numbers[1] % 4 or not 0 < numbers[1] <= MAX_BYTES:
        raise _damaged(name, 8, f"types of {numbers[1]} bytes at {numbers[0]:#x}", "an aligned, bounded part")
    end = max(types[1], strings[1], layout[1])
    if end > len(view):
        raise _damaged(name, 8, f"parts up to {end:#x}", f"an end at {len(view):#x} at most")
    if not numbers[3] or view[strings[0]] or view[strings[1] - 1]:
        raise _damaged(name, strings[0], "strings without a NUL at their start and end", "a table of strings")
    return order, types, strings, layout


def _index(
    words: memoryview | array[int], name: str, start: int, layout: bytes
) -> tuple[array[int], dict[int, list[int]]]:
    """Where each type begins, in words, and the types that are found by name."""
    fixed = [_FIXED.get(kind, 0) + 3 for kind in Kind]
    each = [_EACH.get(kind, 0) for kind in Kind]
    for at in range(4 * len(fixed), len(layout) - 3, 4):
        if layout[at] % 4 or layout[at + 1] % 4:
            raise _damaged(name, start, f"a layout of {layout[at]} and {layout[at + 1]} bytes", "multiples of 4")
        fixed.append(layout[at] // 4 + 3)
        each.append(layout[at + 1] // 4)
    positions = array("I", [0])
    append = positions.append
    tagged: dict[int, list[int]] = {}
    named = frozenset({Kind.INT, Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.TYPEDEF, Kind.ENUM64, Kind.FLOAT})
    lookup = [kind in named for kind in range(len(fixed))]
    at, end, number = 0, len(words), 0
    while at + 3 <= end:
        info = words[at + 1]
        kind = info >> 24 & 0x7F
        if not 0 < kind < len(fixed):
            expected = f"a kind from 1 (INT) to {len(fixed) - 1}"
            raise _damaged(name, start + 4 * at, f"a type of kind {kind}", expected)
        number += 1
        append(at)
        if lookup[kind] and words[at]:
            tagged.setdefault(words[at], []).append(number)
        at += fixed[kind] + each[kind] * (info & 0xFFFFFF)
    if at != end or number > MAX_TYPES:
        raise _damaged(name, start + 4 * min(at, end), f"{number} types that end at {4 * at:#x}", f"{4 * end:#x}")
    return positions, tagged


def _damaged(name: str, offset: int, what: str, expected: str) -> InputError:
    return InputError(what, place=Place(name, offset=offset, path="BTF"), expected=expected)
