r"""Instructions that read what a host answers: `in`, `rdmsr`, `cpuid`, `tdcall`, `hvc` and their kind, found in machine code.

x86 instructions have no fixed length: the bytes `0f 32` are `rdmsr` only where an instruction begins. So every function
is swept from its start, instruction by instruction, which needs no more than the instructions' lengths
(`hostproof.artefacts.kernel.x86_lengths`); functions that do not hold the bytes are left out, and what is found is confirmed by
capstone, as far as that knows the instruction. On aarch64, every fourth byte begins an instruction.

=========== ========================= =============================================================
x86_64      bytes                     SOURCE
=========== ========================= =============================================================
in, out     e4 e5 ec ed, e6 e7 ee ef  Intel SDM volume 2, IN, OUT
ins, outs   6c 6d, 6e 6f              the same, INS, OUTS
rdmsr wrmsr 0f 32, 0f 30              the same
cpuid       0f a2                     the same
rdtsc(p)    0f 31, 0f 01 f9           the same
rdpmc       0f 33                     the same
rdrand      0f c7 /6 with registers   the same
rdseed      0f c7 /7 with registers   the same; f3 before it makes it `rdpid`
vmcall      0f 01 c1                  Intel SDM volume 3, VMCALL
tdcall      66 0f 01 cc               Intel TDX, CPU architectural extensions (343754); seamcall 66 0f 01 cf
vmmcall     0f 01 d9                  AMD APM volume 3 (24594), VMMCALL
vmgexit     f2 or f3 0f 01 d9         the same, VMGEXIT: `rep; vmmcall` in the kernel's arch/x86/include/asm/svm.h
pvalidate   f2 0f 01 ff               the same, PVALIDATE; rmpadjust f3 0f 01 fe
wrmsrns     0f 01 c6                  Intel SDM volume 2; rdmsrlist f2 0f 01 c6, wrmsrlist f3 0f 01 c6
hlt, ud2    f4, 0f 0b                 the same
sgdt sidt   0f 01 /0, /1 in memory    the same; smsw 0f 01 /4, sldt 0f 00 /0, str 0f 00 /1
=========== ========================= =============================================================

A sweep cannot see: code that is patched in at run time, and bytes that it takes for another instruction because
data stands between instructions. It starts afresh at every given start, so that such an error ends there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from hostproof.artefacts.kernel.x86_lengths import LIMIT, REACH, Offsets, follow, pairs

__all__ = ["MNEMONICS", "Piece", "Sweep", "find_in_many", "find_instructions", "sweep"]

Code = bytes | bytearray | memoryview
Piece = tuple[Code, Sequence[int]]
"""Code, and the offsets in it where a function or anything else that is known to be code begins."""

_GROUP = 1 << 24
"""Pieces are swept together until they hold so many bytes: enough to pay for the calls, little enough for memory."""
_BLOCK = 1 << 17


@dataclass(frozen=True, slots=True)
class _Opcode:
    """An instruction: its opcode bytes, the value under a mask of the byte after them, and the mandatory prefix.

    `prefixes` are those of which one must stand before it, `without` those of which none may. `capstone` is the name
    that capstone gives it, empty where capstone does not know it.
    """

    opcode: bytes
    capstone: tuple[str, ...]
    mask: int = 0
    value: int = 0
    register: bool | None = None
    """Whether ModRM must name a register (mod 3) or must not; None where it does not matter or there is none."""
    prefixes: bytes = b""
    without: bytes = b""


_NONE = b"\x66\xf2\xf3"
_INS = ("insb", "insw", "insd")
_OUTS = ("outsb", "outsw", "outsd")
_X86: dict[str, tuple[_Opcode, ...]] = {
    "in": tuple(_Opcode(bytes([code]), ("in",)) for code in (0xE4, 0xE5, 0xEC, 0xED)),
    "out": tuple(_Opcode(bytes([code]), ("out",)) for code in (0xE6, 0xE7, 0xEE, 0xEF)),
    "ins": (_Opcode(b"\x6c", _INS), _Opcode(b"\x6d", _INS)),
    "outs": (_Opcode(b"\x6e", _OUTS), _Opcode(b"\x6f", _OUTS)),
    "rdmsr": (_Opcode(b"\x0f\x32", ("rdmsr",)),),
    "wrmsr": (_Opcode(b"\x0f\x30", ("wrmsr",)),),
    "wrmsrns": (_Opcode(b"\x0f\x01\xc6", (), without=_NONE),),
    "rdmsrlist": (_Opcode(b"\x0f\x01\xc6", (), prefixes=b"\xf2"),),
    "wrmsrlist": (_Opcode(b"\x0f\x01\xc6", (), prefixes=b"\xf3"),),
    "cpuid": (_Opcode(b"\x0f\xa2", ("cpuid",)),),
    "rdtsc": (_Opcode(b"\x0f\x31", ("rdtsc",)),),
    "rdtscp": (_Opcode(b"\x0f\x01\xf9", ("rdtscp",)),),
    "rdpmc": (_Opcode(b"\x0f\x33", ("rdpmc",)),),
    "rdrand": (_Opcode(b"\x0f\xc7", ("rdrand",), 0x38, 0x30, True),),
    "rdseed": (_Opcode(b"\x0f\xc7", ("rdseed",), 0x38, 0x38, True, without=b"\xf3"),),
    "rdpid": (_Opcode(b"\x0f\xc7", ("rdpid",), 0x38, 0x38, True, prefixes=b"\xf3"),),
    "vmcall": (_Opcode(b"\x0f\x01\xc1", ("vmcall",), without=_NONE),),
    "vmmcall": (_Opcode(b"\x0f\x01\xd9", ("vmmcall",), without=b"\xf2\xf3"),),
    "vmgexit": (_Opcode(b"\x0f\x01\xd9", ("vmmcall", "vmgexit"), prefixes=b"\xf2\xf3"),),
    "tdcall": (_Opcode(b"\x0f\x01\xcc", (), prefixes=b"\x66"),),
    "seamcall": (_Opcode(b"\x0f\x01\xcf", (), prefixes=b"\x66"),),  # capstone takes it for encls
    "pvalidate": (_Opcode(b"\x0f\x01\xff", (), prefixes=b"\xf2"),),
    "psmash": (_Opcode(b"\x0f\x01\xff", (), prefixes=b"\xf3"),),
    "rmpupdate": (_Opcode(b"\x0f\x01\xfe", (), prefixes=b"\xf2"),),
    "rmpadjust": (_Opcode(b"\x0f\x01\xfe", (), prefixes=b"\xf3"),),
    "hlt": (_Opcode(b"\xf4", ("hlt",)),),
    "ud2": (_Opcode(b"\x0f\x0b", ("ud2",)),),
    "sgdt": (_Opcode(b"\x0f\x01", ("sgdt",), 0x38, 0x00, False),),
    "sidt": (_Opcode(b"\x0f\x01", ("sidt",), 0x38, 0x08, False),),
    "smsw": (_Opcode(b"\x0f\x01", ("smsw",), 0x38, 0x20),),
    "sldt": (_Opcode(b"\x0f\x00", ("sldt",), 0x38, 0x00),),
    "str": (_Opcode(b"\x0f\x00", ("str",), 0x38, 0x08),),
    "xgetbv": (_Opcode(b"\x0f\x01\xd0", ("xgetbv",), without=_NONE),),
    "xsetbv": (_Opcode(b"\x0f\x01\xd1", ("xsetbv",), without=_NONE),),
    "invd": (_Opcode(b"\x0f\x08", ("invd",)),),
    "wbinvd": (_Opcode(b"\x0f\x09", ("wbinvd",), without=b"\xf3"),),
}


def _mrs(op1: int, crn: int, crm: int, op2: int) -> tuple[int, int]:
    """Mask and value of `mrs Xt, S3_op1_Cn_Cm_op2`."""
    return 0xFFFFFFE0, 0xD5380000 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5


# SOURCE: Arm ARM (DDI 0487), C6.2, by mask and value; system registers by their encoding in chapter D.
_AARCH64: dict[str, tuple[int, int]] = {
    "svc": (0xFFE0001F, 0xD4000001),
    "hvc": (0xFFE0001F, 0xD4000002),
    "smc": (0xFFE0001F, 0xD4000003),
    "brk": (0xFFE0001F, 0xD4200000),
    "wfe": (0xFFFFFFFF, 0xD503205F),
    "wfi": (0xFFFFFFFF, 0xD503207F),
    "mrs": (0xFFF00000, 0xD5300000),
    "mrs_midr_el1": _mrs(0, 0, 0, 0),
    "mrs_mpidr_el1": _mrs(0, 0, 0, 5),
    "mrs_id": (0xFFFFF800, 0xD5380000),  # op1 0, CRn 0, CRm 0 to 7: the identification registers
    "mrs_rndr": _mrs(3, 2, 4, 0),
    "mrs_rndrrs": _mrs(3, 2, 4, 1),
    "mrs_cntfrq_el0": _mrs(3, 14, 0, 0),
    "mrs_cntpct_el0": _mrs(3, 14, 0, 1),
    "mrs_cntvct_el0": _mrs(3, 14, 0, 2),
    "mrs_cntpctss_el0": _mrs(3, 14, 0, 5),
    "mrs_cntvctss_el0": _mrs(3, 14, 0, 6),
}

MNEMONICS: dict[str, frozenset[str]] = {"x86_64": frozenset(_X86), "aarch64": frozenset(_AARCH64)}
"""What can be looked for, by architecture."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep saw in one piece: offsets of the first byte (prefixes included) by mnemonic, rising.

    `undecoded` counts bytes that are no instruction, in the functions that were swept: those that hold an asked opcode.
    """

    found: dict[str, list[int]]
    undecoded: int = 0


def find_instructions(
    code: Code, starts: Sequence[int], architecture: str, mnemonics: Collection[str]
) -> dict[str, list[int]]:
    """Offsets of the asked instructions in `code`, each swept from a start up to the next one; the first byte is a start.

    A mnemonic that the architecture does not have is found nowhere. Raises ValueError for one that no architecture has.
    """
    return find_in_many([(code, starts)], architecture, mnemonics)[0]


def find_in_many(pieces: Sequence[Piece], architecture: str, mnemonics: Collection[str]) -> list[dict[str, list[int]]]:
    """`find_instructions` for many pieces, swept together: small pieces then cost what their bytes cost."""
    return [swept.found for swept in sweep(pieces, architecture, mnemonics)]


def sweep(pieces: Sequence[Piece], architecture: str, mnemonics: Collection[str]) -> list[Sweep]:
    """`find_in_many`, with what could not be decoded."""
    asked = sorted(set(mnemonics))
    unknown = [name for name in asked if not any(name in names for names in MNEMONICS.values())]
    if unknown:
        raise ValueError(f"no such instruction: {', '.join(unknown)}")
    if architecture == "x86_64":
        names = [name for name in asked if name in _X86]
        return [Sweep({name: [] for name in asked} | each.found, each.undecoded) for each in _x86(pieces, names)]
    if architecture == "aarch64":
        return [Sweep(_aarch64(code, asked)) for code, _ in pieces]
    return [Sweep({name: [] for name in asked}) for _ in pieces]


def _aarch64(code: Code, names: Sequence[str]) -> dict[str, list[int]]:
    words = np.frombuffer(code, dtype="<u4", count=len(code) // 4)
    found: dict[str, list[int]] = {name: [] for name in names}
    for name in names:
        if name in _AARCH64:
            mask, value = _AARCH64[name]
            found[name] = (np.flatnonzero((words & np.uint32(mask)) == np.uint32(value)) * 4).tolist()
    return found


def _x86(pieces: Sequence[Piece], names: Sequence[str]) -> Iterator[Sweep]:
    """Sweeps in groups of pieces, so that memory stays bounded however many pieces there are."""
    group: list[Piece] = []
    size = 0
    for piece in pieces:
        group.append(piece)
        size += len(piece[0])
        if size >= _GROUP:
            yield from _x86_group(group, names)
            group, size = [], 0
    yield from _x86_group(group, names)


@lru_cache(maxsize=64)
def _first_two(names: tuple[str, ...]) -> NDArray[np.bool_]:
    """By first | second << 8: whether an opcode asked for begins with this pair."""
    table = np.zeros((256, 256), dtype=bool)
    for name in names:
        for opcode in _X86[name]:
            head = opcode.opcode
            table[head[1] if len(head) > 1 else slice(None), head[0]] = True
    return table.ravel()


def _candidates(text: bytes, names: Sequence[str]) -> Offsets:
    """Where in the text an asked opcode stands, prefixes left out, whether or not an instruction begins there."""
    table = _first_two(tuple(names))
    code = np.frombuffer(text, dtype=np.uint8)
    parts = [
        np.flatnonzero(table.take(pairs(code[start : start + _BLOCK + 1]), mode="clip")) + start
        for start in range(0, len(code) - 1, _BLOCK)
    ]
    at = np.concatenate(parts) if parts else np.zeros(0, dtype=np.intp)
    if any(len(opcode.opcode) == 1 for name in names for opcode in _X86[name]):
        return at
    thirds = {opcode.opcode[2:] for name in names for opcode in _X86[name]}
    if b"" in thirds:
        return at
    return at[np.isin(code[at + 2], [third[0] for third in thirds])]


def _x86_group(pieces: Sequence[Piece], names: Sequence[str]) -> Iterator[Sweep]:
    if not pieces:
        return
    bases = np.cumsum([0, *(len(code) for code, _ in pieces)])
    text = b"".join([*(code for code, _ in pieces), bytes(REACH)])
    begins = _all_starts(pieces, bases)
    at = _candidates(text, names) if names else np.zeros(0, dtype=np.intp)
    at = at[at < bases[-1]]
    reached, undecoded = follow(text, begins, at)
    by_first = _by_first(tuple(names))
    founds: list[dict[str, list[int]]] = [{name: [] for name in names} for _ in pieces]
    ends = bases[1:].tolist()
    for (start, opcode), piece in zip(reached, _owners(bases, [start for start, _ in reached]), strict=True):
        name = _name(text[start : min(start + LIMIT, ends[piece])], opcode - start, by_first)
        if name:
            founds[piece][name].append(start - int(bases[piece]))
    lost = (
        np.bincount(_owners(bases, undecoded), minlength=len(pieces)) if undecoded else np.zeros(len(pieces), np.intp)
    )
    for found, count in zip(founds, lost.tolist(), strict=True):
        yield Sweep(found, count)


def _owners(bases: Offsets, offsets: Sequence[int]) -> list[int]:
    owners: list[int] = (np.searchsorted(bases, np.asarray(offsets, dtype=np.intp), side="right") - 1).tolist()
    return owners


def _all_starts(pieces: Sequence[Piece], bases: Offsets) -> Offsets:
    """Every start of every piece, and every piece's first byte, rising and once."""
    parts = [bases]
    for (code, starts), base in zip(pieces, bases.tolist(), strict=False):
        own = np.asarray(starts, dtype=np.int64)
        parts.append(own[(own >= 0) & (own < len(code))] + base)
    return np.unique(np.concatenate(parts)).astype(np.intp)


@lru_cache(maxsize=64)
def _by_first(names: tuple[str, ...]) -> dict[int, list[tuple[str, _Opcode]]]:
    """The instructions asked for by their first opcode byte."""
    found: dict[int, list[tuple[str, _Opcode]]] = {}
    for name in names:
        for opcode in _X86[name]:
            found.setdefault(opcode.opcode[0], []).append((name, opcode))
    return found


def _name(code: bytes, at: int, by_first: dict[int, list[tuple[str, _Opcode]]]) -> str:
    """Which of the instructions asked for `code` is, whose opcode is at `at`, as its bytes and capstone say."""
    for name, opcode in by_first.get(code[at], ()) if at < len(code) else ():
        if _is(code, at, opcode) and _confirmed(code, opcode):
            return name
    return ""


def _is(code: bytes, at: int, opcode: _Opcode) -> bool:
    if not code.startswith(opcode.opcode, at):
        return False
    prefixes = code[:at]
    if opcode.prefixes and not any(byte in prefixes for byte in opcode.prefixes):
        return False
    if any(byte in prefixes for byte in opcode.without):
        return False
    if not opcode.mask:
        return True
    modrm = code[at + len(opcode.opcode) :][:1]
    if not modrm or modrm[0] & opcode.mask != opcode.value:
        return False
    return opcode.register is None or (modrm[0] >= 0xC0) == opcode.register


def _confirmed(code: bytes, opcode: _Opcode) -> bool:
    """Whether capstone reads the same instruction there; for those that it does not know, the bytes suffice."""
    if not opcode.capstone:
        return True
    disassemble = _capstone()
    mnemonic = next((each[2] for each in disassemble(code, 0, 1)), "")
    return mnemonic.rpartition(" ")[2] in opcode.capstone


@lru_cache(maxsize=1)
def _capstone() -> Callable[[bytes, int, int], Iterable[tuple[int, int, str, str]]]:
    capstone = import_module("capstone")  # 50 ms, and without types
    disassemble: Callable[[bytes, int, int], Iterable[tuple[int, int, str, str]]]
    disassemble = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64).disasm_lite
    return disassemble
