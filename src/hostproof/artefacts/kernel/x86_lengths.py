r"""Lengths of x86-64 instructions, for every byte of a text at once, and the sweep that follows them.

`lengths` says of every offset how long the instruction would be that begins there; `follow` then steps from each
function's start by these numbers, and tells which opcodes it came upon. That is table work on whole arrays: ten to
fifteen times faster than capstone, which makes an object of each instruction (`benchmarks/instruction_sweep.py`).

SOURCE: Intel SDM volume 2 (325383), chapter 2 (formats) and appendix A (opcode maps A-2 to A-6); AMD APM volume 3 (24594),
1.1 to 1.9 and appendix A (XOP, maps 8 to A); 64-bit mode only. The layout of an instruction, 15 bytes at most::

    legacy prefixes  26 2e 36 3e 64 65 (segments, hints)  66 (operand size)  67 (address size)  f0 f2 f3
    REX              40..4f, directly before the opcode; bit 3 is W
    opcode           XX | 0f XX | 0f 38 XX | 0f 3a XX
                     c5 P XX (map 0f) | c4 P P XX (VEX, map in P[4:0]) | 62 P P P XX (EVEX, map in P[2:0])
                     8f P P XX (XOP, where P[4:0] is 8 or more; below that it is `pop`)
    ModRM            mod[7:6] reg[5:3] rm[2:0]; rm 4 with mod below 3: a SIB byte follows
    displacement     mod 1: 1, mod 2: 4, mod 0: 4 with rm 5 or with SIB base 5, else none
    immediate        by opcode; 2 instead of 4 bytes after 66 without REX.W, 8 for b8..bf with REX.W

A near branch keeps its four bytes after 66, as Intel's processors have it. Not known: REX2 and APX's EVEX map 4.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hostproof.errors import InputError

__all__ = ["LIMIT", "REACH", "Bytes", "Offsets", "follow", "lengths", "pairs"]

Bytes = NDArray[np.uint8]
Offsets = NDArray[np.intp]

REACH = 32
"""How far an instruction's length may look ahead, with room: 14 prefixes, then opcode, ModRM and SIB."""
LIMIT = 15
"""An instruction is not longer (Intel SDM volume 2, 2.3.11)."""
_BLOCK = 1 << 17
_FEW, _MANY = 1 << 16, 1 << 20
"""So many bytes may look like what is sought in any code; so many instructions may be found in one sweep. The stock kernel
6.1 has 7,375 `ud2`, the most frequent of all; of its 14 MiB, 3 % of the bytes look like one of the instructions known here.
"""
_NO_STOP = 0xFF

_SIB = 0x80
"""Set in the table of first opcodes where the length needs the SIB byte."""
_ESCAPE = 0xE0
"""From here on, the table of first opcodes holds no length but one of these."""
_REX, _LEGACY, _TWO, _VEX2, _VEX3, _EVEX, _XOP = range(_ESCAPE, _ESCAPE + 7)

PREFIX = np.zeros(256, dtype=bool)
"""Which bytes are legacy prefixes in 64-bit mode."""
PREFIX[[0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x66, 0x67, 0xF0, 0xF2, 0xF3]] = True

# Immediates of one-byte opcodes, in bytes, without prefixes; `None` is no instruction in 64-bit mode.
_INVALID = (
    *(0x06, 0x07, 0x0E, 0x16, 0x17, 0x1E, 0x1F, 0x27, 0x2F, 0x37, 0x3F, 0x60, 0x61, 0x82, 0x9A),
    *(0xCE, 0xD4, 0xD5, 0xD6, 0xEA),
)
_IMMEDIATES = {
    1: (
        *(0x04, 0x0C, 0x14, 0x1C, 0x24, 0x2C, 0x34, 0x3C, 0x6A, 0x6B, *range(0x70, 0x81), 0x83, 0xA8),
        *(*range(0xB0, 0xB8), 0xC0, 0xC1, 0xC6, 0xCD, *range(0xE0, 0xE8), 0xEB),
    ),
    2: (0xC2, 0xCA),
    3: (0xC8,),
    4: (
        *(0x05, 0x0D, 0x15, 0x1D, 0x25, 0x2D, 0x35, 0x3D, 0x68, 0x69, 0x81, 0xA9, *range(0xB8, 0xC0)),
        *(0xC7, 0xE8, 0xE9),
    ),
    8: (0xA0, 0xA1, 0xA2, 0xA3),
}
_MODRM = (
    *(row + column for row in range(0, 0x40, 8) for column in range(4)),
    *(0x63, 0x69, 0x6B, 0x80, 0x81, 0x83, *range(0x84, 0x90), 0xC0, 0xC1, 0xC6, 0xC7, *range(0xD0, 0xD4)),
    *(*range(0xD8, 0xE0), 0xF6, 0xF7, 0xFE, 0xFF),
)
_GROUPS = {0x8F: (0,), 0xC6: (0, 7), 0xC7: (0, 7), 0xFE: (0, 1), 0xFF: tuple(range(7))}
"""Opcodes that are instructions with some values of ModRM's reg only."""
_BRANCHES = (0xE8, 0xE9)

# The second map (0f XX).
_TWO_INVALID = (0x04, 0x0A, 0x0C, 0x24, 0x25, 0x26, 0x27, 0x36, 0x39, *range(0x3B, 0x40), 0x7A, 0x7B)
_TWO_PLAIN = (
    *(0x05, 0x06, 0x07, 0x08, 0x09, 0x0B, 0x0E, *range(0x30, 0x38), 0x77, *range(0x80, 0x90)),
    *(0xA0, 0xA1, 0xA2, 0xA8, 0xA9, 0xAA, *range(0xC8, 0xD0)),
)
_TWO_IMMEDIATES = {
    1: (0x0F, 0x70, 0x71, 0x72, 0x73, 0xA4, 0xAC, 0xBA, 0xC2, 0xC4, 0xC5, 0xC6),
    4: tuple(range(0x80, 0x90)),
}
_TWO_REGISTERS = (0x20, 0x21, 0x22, 0x23)
"""Moves of control and debug registers: ModRM names registers whatever its mod says."""


class _Tables(NamedTuple):
    """By a pair of bytes, first | second << 8, or by one byte."""

    first: Bytes
    """Length of the instruction that begins with this pair, `_SIB` with it, or an escape; 0 is no instruction."""
    narrow: Bytes
    """How many bytes shorter it is after 66."""
    tail: Bytes
    """By ModRM and the byte after it: bytes of ModRM, SIB and displacement."""
    two: Bytes
    """By opcode of the second map: 2 and its immediate; 0 is no instruction."""
    two_modrm: Bytes
    """1 where it has a ModRM byte."""
    three: Bytes
    """By opcode of the map 0f 38 or 0f 3a, the same."""


def _by_opcode(groups: dict[int, tuple[int, ...]]) -> Bytes:
    table = np.zeros(256, dtype=np.uint8)
    for size, opcodes in groups.items():
        table[list(opcodes)] = size
    return table


@lru_cache(maxsize=1)
def _tables() -> _Tables:
    modrm = np.arange(256)
    mod, register, memory = modrm >> 6, modrm >> 3 & 7, modrm & 7
    displacement = np.choose(mod, [np.where(memory == 5, 4, 0), 1, 4, 0])
    sib = (memory == 4) & (mod != 3)
    plain = 1 + displacement + sib
    tail = np.repeat(plain[None, :], 256, axis=0)  # by [byte after ModRM, ModRM]
    tail[5::8, :] += np.where(sib & (mod == 0), 4, 0)

    immediate = _by_opcode(_IMMEDIATES)
    has_modrm = _by_opcode({1: _MODRM}).astype(bool)
    first = np.repeat(1 + immediate[None, :].astype(np.intp), 256, axis=0)  # by [second byte, opcode]
    narrow = np.zeros((256, 256), dtype=np.uint8)
    narrow[:, [code for code in _IMMEDIATES[4] if code not in _BRANCHES]] = 2
    tests = register < 2  # f6 /0, f6 /1: test with an immediate
    first[:, 0xF6] += np.where(tests, 1, 0)
    first[:, 0xF7] += np.where(tests, 4, 0)
    narrow[:, 0xF7] = np.where(tests, 2, 0)
    first[:, has_modrm] += plain[:, None]
    first[np.ix_(np.flatnonzero(sib & (mod == 0)), np.flatnonzero(has_modrm))] |= _SIB
    first[:, list(_INVALID)] = 0
    for opcode, registers in _GROUPS.items():
        first[~np.isin(register, registers), opcode] = 0
    first[np.isin(register, (3, 5)) & (mod == 3), 0xFF] = 0  # far branches are in memory
    first[mod == 3, 0x8D] = 0  # so is what lea names
    first[:, 0x40:0x50] = _REX
    first[:, PREFIX] = _LEGACY
    for opcode, escape in ((0x0F, _TWO), (0xC5, _VEX2), (0xC4, _VEX3), (0x62, _EVEX)):
        first[:, opcode] = escape
    first[(modrm & 0x1F) >= 8, 0x8F] = _XOP

    two = 2 + _by_opcode(_TWO_IMMEDIATES)
    two[list(_TWO_INVALID)] = 0
    two_modrm = np.ones(256, dtype=np.uint8)
    two_modrm[[*_TWO_PLAIN, *_TWO_INVALID, *_TWO_REGISTERS]] = 0
    two[list(_TWO_REGISTERS)] = 3
    return _Tables(first.astype(np.uint8).ravel(), narrow.ravel(), tail.astype(np.uint8).ravel(), two, two_modrm, two)


def pairs(text: Bytes) -> Offsets:
    """Every byte with the one after it, first | second << 8, one less than there are bytes; as an index."""
    both: Offsets = text[1:].astype(np.intp)
    both <<= 8
    both |= text[:-1]
    return both


def lengths(code: bytes | bytearray | memoryview) -> Bytes:
    """The length in bytes of the instruction that begins at each offset, 0 where none does.

    An instruction that would reach beyond the end has the length it would have if zeros followed.
    """
    size = len(code)
    text = np.zeros(size + REACH, dtype=np.uint8)
    text[:size] = np.frombuffer(code, dtype=np.uint8)
    found = np.empty(size, dtype=np.uint8)
    for start in range(0, size, _BLOCK):  # blocks that stay in the processor's cache
        stop = min(start + _BLOCK, size)
        found[start:stop] = _block(text[start : stop + REACH])[: stop - start]
    return found


def _block(text: Bytes) -> Bytes:
    """Lengths in a text whose last `REACH` bytes only serve to look ahead."""
    tables = _tables()
    both = pairs(text)
    found = tables.first.take(both, mode="clip")
    special = np.flatnonzero(found[:-8] >= _SIB)
    kind = found[special]
    at = special[kind < _ESCAPE]
    found[at] = (found[at] & 0x7F) + ((text[at + 2] & 7) == 5) * np.uint8(4)
    _escapes(text, both, found, special, kind)
    near = special < len(text) - REACH + 2  # what is behind these is in the text
    _prefixes(text, both, found, special[near], kind[near])
    return found


def _escapes(text: Bytes, both: Offsets, found: Bytes, special: Offsets, kind: Bytes) -> None:
    """Puts in the lengths of what begins with 0f, c5, c4, 62 or 8f."""
    tables = _tables()
    at = special[kind == _TWO]
    opcode = text[at + 1]
    found[at] = tables.two[opcode] + tables.two_modrm[opcode] * tables.tail[both[at + 2]]
    three = at[(opcode == 0x38) | (opcode == 0x3A)]
    found[three] = 3 + (text[three + 1] == 0x3A) + tables.tail[both[three + 3]]

    at = special[kind == _VEX2]
    opcode = text[at + 2]
    found[at] = tables.two[opcode] + 1 + tables.two_modrm[opcode] * tables.tail[both[at + 3]]
    for escape, head, mask in ((_VEX3, 3, 0x1F), (_EVEX, 4, 0x07), (_XOP, 3, 0x1F)):
        at = special[kind == escape]
        if not at.size:
            continue
        space, opcode = text[at + 1] & mask, text[at + head]
        immediate = _VECTOR_IMMEDIATES[escape == _XOP][space] + (space == 1) * (tables.two[opcode] > 2)
        modrm = np.where((space == 1) & (opcode == 0x77), 0, tables.tail[both[at + head + 1]])
        found[at] = np.where(_VECTOR_SPACES[escape][space], head + 1 + modrm + immediate, 0)


def _spaces(*spaces: int) -> NDArray[np.bool_]:
    table = np.zeros(32, dtype=bool)
    table[list(spaces)] = True
    return table


_VECTOR_SPACES = {_VEX3: _spaces(1, 2, 3, 7), _EVEX: _spaces(1, 2, 3, 5, 6), _XOP: _spaces(8, 9, 10)}
"""Which opcode maps there are. Map 7 of VEX holds the forms of RDMSR and WRMSRNS with an immediate."""
_VECTOR_IMMEDIATES = {
    False: _by_opcode({1: (3,), 4: (7,)})[:32],
    True: _by_opcode({1: (8,), 4: (10,)})[:32],
}
"""Bytes of immediate by opcode map: of VEX and EVEX, and of XOP."""


def _prefixes(text: Bytes, both: Offsets, found: Bytes, special: Offsets, kind: Bytes) -> None:
    """Puts in the lengths of what begins with REX or a legacy prefix; all other lengths are in already."""
    wide = _by_opcode({4: tuple(range(0xB8, 0xC0))})
    # What stands behind the prefixes is read from the lengths as they are now, before any of these is put in.
    rex = special[kind == _REX]
    behind = found[rex + 1]
    with_rex = np.where((behind == 0) | (behind >= _SIB), 0, behind + 1)
    with_rex += wide[text[rex + 1]] * (text[rex] >> 3 & 1)
    with_rex[behind == 0] = 0

    at = special[kind == _LEGACY]
    opcode = at + 1
    narrow, short = text[at] == 0x66, text[at] == 0x67
    more = np.flatnonzero(PREFIX[text[opcode]])
    for _ in range(LIMIT - 2):
        if not more.size:
            break
        byte = text[opcode[more]]
        narrow[more] |= byte == 0x66
        short[more] |= byte == 0x67
        opcode[more] += 1
        more = more[PREFIX[text[opcode[more]]]]
    has_rex = (text[opcode] & 0xF0) == 0x40
    is_wide = has_rex & ((text[opcode] & 8) != 0)
    opcode += has_rex
    behind = found[opcode]
    size = (opcode - at + behind).astype(np.intp)
    size -= np.where(narrow & ~is_wide, _tables().narrow[both[opcode]], 0)
    size -= np.where(short & ((text[opcode] & 0xFC) == 0xA0), 4, 0)
    size += np.where(is_wide, wide[text[opcode]], 0)
    size[(behind == 0) | (behind >= _SIB) | (size > LIMIT)] = 0
    found[at] = size
    found[rex] = with_rex
    # A REX that is not directly before the opcode is ignored (Intel SDM volume 2, 2.2.1).
    ignored = rex[PREFIX[text[rex + 1]] | ((text[rex + 1] & 0xF0) == 0x40)]
    after = found[ignored + 1]
    found[ignored] = np.where((after == 0) | (after >= LIMIT), 0, after + 1)


def follow(text: bytes, begins: Offsets, candidates: Offsets) -> tuple[list[tuple[int, int]], list[int]]:
    """Which candidates are opcodes of instructions that a sweep reaches.

    `begins` are rising offsets where functions begin, the first at or before every candidate; `candidates` rising offsets
    of opcodes. Gives pairs of an instruction's start and its opcode's offset, and the offsets of bytes that begin no
    instruction, as far as the sweep went: up to each function's last candidate. Raises InputError for what is no code:
    bytes of which too many are what is sought.
    """
    reached: list[tuple[int, int]] = []
    lost: list[int] = []
    if not len(candidates):
        return reached, lost
    if len(candidates) > max(len(text) // 4, _FEW):
        raise _no_code(len(text), len(candidates))
    owner = np.searchsorted(begins, candidates, side="right") - 1
    firsts = np.flatnonzero(np.diff(owner, prepend=-1))
    functions = begins[owner[firsts]]
    lasts = candidates[np.append(firsts[1:], len(candidates)) - 1]
    # Each function's bytes up to its last candidate, with enough behind for the lengths before it to be right.
    sizes = lasts + 1 + REACH - functions
    joined = np.cumsum(np.append(0, sizes))
    spans = zip(functions.tolist(), sizes.tolist(), strict=True)
    code = b"".join([text[start : start + size].ljust(size, b"\0") for start, size in spans])
    group = np.cumsum(np.diff(owner, prepend=-1) != 0) - 1
    begin = joined[:-1][group]
    stops = _stops(np.frombuffer(code, dtype=np.uint8), candidates - functions[group] + begin, begin)
    own = lengths(code)
    steps = own.copy()
    steps[stops != _NO_STOP] = 0
    for offset in range(REACH):  # no step leads out of a function's bytes
        steps[joined[1:] - 1 - offset] = 0
    places = zip(functions.tolist(), joined[:-1].tolist(), lasts.tolist(), strict=True)
    _walk(steps.tobytes(), own.tobytes(), stops.tobytes(), places, reached, lost)
    return reached, lost


def _no_code(size: int, count: int) -> InputError:
    return InputError(
        f"{size} bytes of code, {count} of which look like the instructions that are sought",
        expected="the machine code of a kernel or module",
        hint="the file is damaged, or was made to be slow to read",
    )


def _stops(code: Bytes, opcodes: Offsets, floor: Offsets) -> Bytes:
    """For every offset from which only prefixes lead to a candidate's opcode: how far that is; elsewhere `_NO_STOP`."""
    stops = np.full(len(code), _NO_STOP, dtype=np.uint8)
    stops[opcodes] = 0
    before, low = opcodes - 1, floor
    for distance in range(1, LIMIT):
        byte = code[before]
        keep = (before >= low) & (PREFIX[byte] | ((byte & 0xF0) == 0x40))
        if not keep.any():
            break
        before, low = before[keep], low[keep]
        stops[before] = distance
        before = before - 1
    return stops


def _walk(
    steps: bytes,
    own: bytes,
    stops: bytes,
    places: Iterable[tuple[int, int, int]],
    reached: list[tuple[int, int]],
    lost: list[int],
) -> None:
    """Follows the lengths from each function's start; a length of zero is a candidate, no instruction, or the end."""
    for start, begin, last in places:
        position, end, shift = begin, begin + last - start, start - begin
        while position <= end:
            while step := steps[position]:
                position += step
            if position > end:
                break
            length, distance = own[position], stops[position]
            if not length:
                lost.append(position + shift)
            elif distance != _NO_STOP:
                reached.append((position + shift, position + shift + distance))
            position += length or 1
        if len(reached) > _MANY or len(lost) > _MANY:
            raise _no_code(len(own), max(len(reached), len(lost)))
