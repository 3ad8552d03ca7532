"""A digest of a module's code that survives a rebuild: `Module.code_sha256`, what an audit is bound to.

It covers the executable sections that stay after loading (`Elf.text`: `.text`, `.text.unlikely`, `.noinstr.text`,
`.altinstr_replacement`...), each with its name, size and bytes, and every relocation in them: where it stands, its type,
and what it points at:

=========================== =========================================================================================
target                      as
=========================== =========================================================================================
an imported symbol          its name, and the addend
a function or object        its name without the numbers that compilers count up (`__key.45` is `__key`, `foo.isra.0.cold`
                            is `foo.isra.cold`, `__UNIQUE_ID_ddebug925.10` is `__UNIQUE_ID_ddebug`), and the distance from
                            its start; also where the relocation is written as section and offset
anything else in code       the section's name, and the offset in it
anything else in data       the section's name alone: strings, constants and jump tables lie wherever the linker puts them
=========================== =========================================================================================

So it does not change with addresses, with the order or size of data and strings, with serial numbers of symbols, with
build identifiers, versions and CRCs of symbols. It changes with any byte of code, with any called function, and with any
named object that code uses. Relocated fields hold zeros in RELA files (the x86 kernel refuses others); on i386, which has
REL, their addends are read and the fields left out.

What it sees although nobody touched the driver: inlined functions and constants of headers, and offsets of fields in
structures that a header changed. That is other code: it reads other bytes. Line numbers count only where code passes them
(`mov $__LINE__`), not in `__bug_table`. What it cannot see: contents of data (match tables, tables of operations, strings,
switch tables of aarch64, `__jump_table`, `.altinstructions`, `.static_call_sites`), code for initialisation and removal,
and changes in functions of other modules and of the kernel that it calls.

Sections are digested whole and not function by function: branches inside a section carry distances in their bytes, so that
a function that moved changes its callers' bytes anyway. Of 4,023 modules of Debian's 6.1.190 and 6.1.192 none differed by the
order of functions alone.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from hostproof.artefacts.kernel.elf import SHF_EXECINSTR
from hostproof.artefacts.kernel.module_code import STT_FUNC, STT_OBJECT, ModuleCode

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

__all__ = ["code_digest", "source_name"]

_NUMBER = re.compile(rb"\.[0-9]+(?=\.|$)")
_UNIQUE = re.compile(rb"(__UNIQUE_ID_.*?)_?[0-9]+")
_HEAD = b"hostproof-code/1\0"
_SPACE = 40  # bits of an offset in a section

EM_386, EM_S390, EM_X86_64 = 3, 22, 62
R_X86_64_PC32 = 2
# e_machine -> what is added to an addend for types that count from the field, so that it is the offset of the target.
# SOURCE: x86-64 psABI table 4.9 (PC32, PLT32, GOTPCREL, GOTPCRELX, REX_GOTPCRELX); i386 psABI (PC32, PLT32); s390x ELF ABI
# (PC16DBL, PLT16DBL, PC32DBL, PLT32DBL, GOTENT, which count from an instruction two bytes before)
_FROM_FIELD = {
    EM_X86_64: ((R_X86_64_PC32, 4, 9, 41, 42), 4),
    EM_386: ((2, 4), 4),
    EM_S390: ((17, 18, 19, 20, 26), -2),
}


def source_name(name: bytes) -> bytes:
    """The name of a symbol of the module without the numbers that compilers and `__UNIQUE_ID` count up."""
    if b"." in name:
        name = _NUMBER.sub(b"", name)
    if name.startswith(b"__UNIQUE_ID_"):
        found = _UNIQUE.fullmatch(name)
        return found[1] if found else name
    return name


def code_digest(code: ModuleCode) -> str:
    """SHA-256 of the code that stays, in hexadecimal; see the head of this page for what it covers.

    Raises InputError where a symbol that code points at has no name inside the string table.
    """
    digest = hashlib.sha256(_HEAD)
    for index, start in code.parts:
        if start < code.stay:
            section = code.elf.sections[index]
            digest.update(b"%s\0%d\0" % (code.elf.section_name(section), section.size))
    chosen = np.flatnonzero(code.at < code.stay)
    at = code.at[chosen]
    if len(at) and not bool((at[1:] >= at[:-1]).all()):
        order = np.argsort(at, kind="stable")
        chosen, at = chosen[order], at[order]
    addend, text = code.addend[chosen], memoryview(code.code)[: code.stay]
    if code.elf.machine == EM_386:
        addend, text = _in_place(text, at)
    target, delta = _targets(code, chosen, addend)
    names, rank = _ranks(code, target)
    digest.update(text)
    digest.update(b"%d\0%s\0" % (len(names), b"\0".join(names)))
    digest.update(np.stack((at, code.kind[chosen], rank, delta), axis=1).astype("<i8", copy=False).data)
    return digest.hexdigest()


def _in_place(text: memoryview, at: Numbers) -> tuple[Numbers, memoryview]:
    """The addends that stand in the fields of i386, and the code with these fields zeroed."""
    raw = np.concatenate((np.frombuffer(text, np.uint8), np.zeros(4, np.uint8)))
    fields = at[:, None] + np.arange(4)
    addend = raw[fields].copy().view("<i4")[:, 0].astype(np.int64) if len(at) else at
    raw[fields] = 0
    return addend, memoryview(raw.tobytes())[: len(text)]


def _targets(code: ModuleCode, chosen: Numbers, addend: Numbers) -> tuple[Numbers, Numbers]:
    """What each relocation points at: a symbol, or, counted on from the number of symbols, a section; and how far from its
    start.
    """
    target = code.target[chosen]
    delta = addend + _bias(code.elf.machine).take(code.kind[chosen], mode="clip")
    sections = len(code.elf.sections)
    kinds, owner = code.symbol_type[target], code.symbol_section[target]
    anonymous = np.flatnonzero((owner > 0) & (owner < sections) & (kinds != STT_FUNC) & (kinds != STT_OBJECT))
    if code.elf.machine == EM_X86_64:
        delta += _trailing(code, chosen)
    if not len(anonymous):
        return target, delta
    owner = owner[anonymous]
    place = code.symbol_value[target[anonymous]] + delta[anonymous]
    symbol, distance = _objects(code, owner, place)
    executable = np.array([section.flags & SHF_EXECINSTR > 0 for section in code.elf.sections])
    target[anonymous] = np.where(symbol >= 0, symbol, len(code.position) + owner)
    delta[anonymous] = np.where(symbol >= 0, distance, np.where(executable[owner], place, 0))
    return target, delta


@lru_cache(maxsize=8)
def _bias(machine: int) -> Numbers:
    types, bias = _FROM_FIELD.get(machine, ((), 0))
    table = np.zeros(64, np.int64)
    table[list(types)] = bias
    return table


@lru_cache(maxsize=1)
def _immediates() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Bytes of immediate operand after the displacement, by opcode | ModRM.reg << 8, for opcodes of one byte and for those
    after 0f. SOURCE: Intel SDM volume 2, appendix A.
    """
    one, two = np.zeros((8, 256), np.int64), np.zeros((8, 256), np.int64)
    one[:, [0x80, 0x83, 0xC0, 0xC1, 0xC6, 0x6B]] = 1
    one[:, [0x81, 0xC7, 0x69]] = 4
    one[:2, 0xF6], one[:2, 0xF7] = 1, 4
    two[:, [0xBA, 0xA4, 0xAC, 0x70, 0xC2, 0xC4, 0xC5, 0xC6]] = 1
    return one.ravel(), two.ravel()


def _trailing(code: ModuleCode, chosen: Numbers) -> Numbers:
    """Bytes between the end of a PC-relative displacement of x86 and the end of its instruction, from where it counts:
    `cmpl $1, object(%rip)` has the immediate after it. Read from the opcode before; 66 makes a word of four bytes two.
    """
    size = np.zeros(len(chosen), np.int64)
    here = np.flatnonzero((code.kind[chosen] == R_X86_64_PC32) & (code.at[chosen] >= 4))
    if not len(here):
        return size
    at, text = code.at[chosen[here]], np.frombuffer(code.code, np.uint8)
    modrm, opcode, before, prefix = (text[at - back].astype(np.intp) for back in (1, 2, 3, 4))
    key = opcode | (modrm & 0x38) << 5
    one, two = _immediates()
    bytes_after = np.where(before == 0x0F, two[key], one[key])
    short = (before == 0x66) | ((prefix == 0x66) & ((before & 0xF0) == 0x40))
    bytes_after = np.where((bytes_after == 4) & short, 2, bytes_after)
    size[here] = np.where((modrm & 0xC7) == 5, bytes_after, 0)
    return size


def _objects(code: ModuleCode, owner: Numbers, place: Numbers) -> tuple[Numbers, Numbers]:
    """The function or object that covers a place of a section (-1: none), and the distance from its start."""
    value = code.symbol_value
    named = ((code.symbol_type == STT_OBJECT) | (code.symbol_type == STT_FUNC)) & (code.symbol_size > 0)
    symbols = np.flatnonzero(named & (value >= 0) & (value < 1 << _SPACE))
    if not len(symbols):
        return np.full(len(place), -1, np.int64), place
    keys = (code.symbol_section[symbols] << _SPACE) | value[symbols]
    order = np.argsort(keys, kind="stable")
    symbols, keys = symbols[order], keys[order]
    asked = (owner << _SPACE) + place
    index = np.searchsorted(keys, keys[np.searchsorted(keys, asked, "right") - 1], "left")
    distance = asked - keys[index]
    sound = (place >= 0) & (place < 1 << _SPACE)
    inside = sound & (distance >= 0) & (distance < code.symbol_size[symbols[index]])
    return np.where(inside, symbols[index], -1), distance


def _ranks(code: ModuleCode, target: Numbers) -> tuple[list[bytes], Numbers]:
    """The names of the targets, sorted, and which of them each relocation points at."""
    count = len(code.position)
    used = np.zeros(count + len(code.elf.sections), bool)
    used[target] = True
    numbers = np.flatnonzero(used)
    symbols = numbers[numbers < count]
    labels = [
        b"import " + name if imported else b"symbol " + source_name(name)
        for name, imported in zip(code.names(symbols), (code.symbol_section[symbols] == 0).tolist(), strict=True)
    ]
    sections = code.elf.sections
    labels += [
        b"section " + code.elf.section_name(sections[index]) for index in (numbers[len(symbols) :] - count).tolist()
    ]
    names = sorted(set(labels))
    ranks = {name: rank for rank, name in enumerate(names)}
    table = np.zeros(len(used), np.int64)
    table[numbers] = [ranks[label] for label in labels]
    return names, table[target]
