"""What a module answers to questions that name it, and which source files its texts name.

`symbol.MODULE.SYMBOL` is true where the module's symbol table defines the symbol, under its name in the source (`foo` also
stands for `foo.isra.0`). A function that the compiler inlined everywhere has no symbol.

`calls.MODULE.FUNCTION` lists what the function, with the parts that compilers split off (`foo.cold`), calls or jumps to
directly: targets of relocations, and functions of the module that a direct branch reaches. The function itself is left out;
calls through pointers are not seen. Unknown where the module has no such function (it may be inlined), where its machine
code is not decoded here (other than x86_64 and aarch64), or where it is larger than a function is.

Source files are those that strings of the module name: `__FILE__` of WARN and BUG (`__bug_table`), file names of dynamic
debug (`__dyndbg`). A module without such a string names none, and one that a header's code names belongs to the header;
so a missing name says nothing. Builds with an absolute path (`/build/linux-7.2/drivers/net/tun.c`) are recognised by a
directory whose name starts with `linux`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from hostproof.artefacts.kernel.elf import SHT_NOBITS, Elf
from hostproof.artefacts.kernel.facts import Answer
from hostproof.artefacts.kernel.module_code import STT_SECTION, ModuleCode, text_of
from hostproof.artefacts.kernel.questions import Questions
from hostproof.artefacts.kernel.symbols import base_name
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["MAX_SOURCES", "answer", "named_sources", "source_files"]

STT_FILE = 4
SHF_ALLOC, SHF_STRINGS, SHF_EXECINSTR = 2, 0x20, 4
MAX_SOURCES = 32
MAX_PATH = 256
MAX_FUNCTION = 1 << 20
MAX_VARIANTS = 64
_TOP = "arch|block|certs|crypto|drivers|fs|init|io_uring|ipc|kernel|lib|mm|net|rust|samples|security|sound|virt"
_SOURCE = re.compile(rf"(?:\./|/(?:[^/]+/)*?linux[^/]*/)?((?:{_TOP})(?:/[\w.+-]+)*/[\w+-][\w.+-]*\.c)".encode())


def answer(code: ModuleCode, questions: Questions, module: str, path: str) -> dict[str, Answer]:
    """The answers to the questions that name `module` (canonical), by the name of the fact."""
    return {
        f"{space}.{module}.{symbol}": _symbol(code, symbol, path) if space == "symbol" else _calls(code, symbol, path)
        for space, symbol in _by_module(questions.facts).get(module, ())
    }


@lru_cache(maxsize=8)
def _by_module(facts: frozenset[str]) -> dict[str, list[tuple[str, str]]]:
    """The name space and symbol of every question about a module, by the module's name."""
    asked: dict[str, list[tuple[str, str]]] = {}
    for fact in sorted(facts):
        space, _, rest = fact.partition(".")
        module, dot, symbol = rest.partition(".")
        if dot and space in ("symbol", "calls"):
            asked.setdefault(module, []).append((space, symbol))
    return asked


def source_files(elf: Elf) -> tuple[str, ...]:
    """The `.c` files outside of include directories that strings of the module name, sorted, at most `MAX_SOURCES`.

    Raises InputError where sections lie outside of the file or overlap.
    """
    found: set[str] = set()
    read = 0
    for section in elf.sections:
        if not section.flags & SHF_ALLOC or section.flags & SHF_EXECINSTR or section.type == SHT_NOBITS:
            continue
        if not (section.flags & SHF_STRINGS or elf.names.startswith(b".rodata", section.name_offset)):
            continue
        read += section.size
        if read > len(elf.data):
            place = Place(elf.name, offset=section.offset)
            raise InputError(f"sections of strings overlap: {read} bytes", place=place, expected="a kernel module")
        found.update(named_sources(bytes(elf.bytes_of(section))))
    return tuple(sorted(found)[:MAX_SOURCES])


def named_sources(data: bytes) -> Iterator[str]:
    """The `.c` files outside of include directories that NUL-terminated strings in `data` name, as often as they do."""
    end = data.find(b".c\0")
    while end >= 0:
        start = max(data.rfind(b"\0", max(0, end - MAX_PATH), end) + 1, end - MAX_PATH, 0)
        match = _SOURCE.fullmatch(data, start, end + 2)
        if match and b"/include/" not in match[1]:
            yield match[1].decode("ascii")
        end = data.find(b".c\0", end + 3)


def _variants(code: ModuleCode, symbol: str) -> list[int]:
    """The defined symbols that the source calls so, that of exactly this name first."""
    wanted = symbol.encode()
    own = np.flatnonzero((code.symbol_section > 0) & (code.symbol_type != STT_SECTION) & (code.symbol_type != STT_FILE))
    found = [
        index
        for index, name in zip(own.tolist(), code.names(own), strict=True)
        if name == wanted or (name.startswith(wanted + b".") and base_name(text_of(name)) == symbol)
    ]
    return sorted(found, key=lambda index: (code.name(index) != wanted, code.name(index), index))


def _symbol(code: ModuleCode, symbol: str, path: str) -> Answer:
    if not len(code.position):
        return Answer(None, module=path, note="the module has no symbol table")
    found = _variants(code, symbol)
    if not found:
        return Answer(False, module=path)
    owner = int(code.symbol_section[found[0]])
    sections = code.elf.sections
    offset = None
    if owner < len(sections) and sections[owner].type != SHT_NOBITS:
        offset = sections[owner].offset + int(code.symbol_value[found[0]])
    return Answer(True, text_of(code.name(found[0])), offset, path)


def _calls(code: ModuleCode, symbol: str, path: str) -> Answer:
    if code.elf.architecture not in ("x86_64", "aarch64"):
        return Answer(None, module=path, note=f"calls in {code.elf.architecture} code are not decoded")
    functions = code.functions
    wanted = set(_variants(code, symbol))
    spans = [
        (start, min(end, len(code.code)), index)
        for start, end, index in zip(
            functions.starts.tolist(), functions.ends.tolist(), functions.symbols.tolist(), strict=True
        )
        if index in wanted
    ]
    if not spans:
        return Answer(None, module=path, note=f"the module has no function {symbol}: it may be inlined")
    size = sum(end - start for start, end, _ in spans)
    if size > MAX_FUNCTION or len(spans) > MAX_VARIANTS:
        note = f"{symbol} has {size} bytes in {len(spans)} parts, more than a function has"
        return Answer(None, module=path, note=note)
    called = {name for start, end, _ in spans for name in _called(code, start, end)}
    first = next((span for span in spans if code.name(span[2]) == symbol.encode()), spans[0])
    offset = code.file_offset(first[0])
    return Answer(tuple(sorted(called - {symbol, ""})), text_of(code.name(first[2])), offset, path)


def _called(code: ModuleCode, start: int, end: int) -> Iterator[str]:
    """Names of what the branches between two positions reach."""
    import capstone  # type: ignore[import-untyped]

    if code.elf.architecture == "x86_64":
        machine = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    else:
        machine = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_ARM)
    machine.detail = True
    machine.skipdata = True
    chosen = np.flatnonzero((code.at >= start) & (code.at < end))
    relocations = dict(zip(code.at[chosen].tolist(), chosen.tolist(), strict=True))
    for instruction in machine.disasm(code.code[start:end], start):
        if instruction.id == 0 or not {capstone.CS_GRP_CALL, capstone.CS_GRP_JUMP} & set(instruction.groups):
            continue
        places = range(instruction.address, instruction.address + instruction.size)
        linked = next((relocations[place] for place in places if place in relocations), None)
        if linked is not None:
            yield _target(code, linked)
        elif instruction.operands and instruction.operands[-1].type == capstone.CS_OP_IMM:
            yield _function(code, instruction.operands[-1].imm)


def _target(code: ModuleCode, relocation: int) -> str:
    """The name that a relocation points at."""
    symbol = int(code.target[relocation])
    if code.symbol_section[symbol] == 0 or code.symbol_type[symbol] != STT_SECTION:
        return base_name(text_of(code.name(symbol)))
    bias = 4 if code.elf.architecture == "x86_64" else 0  # x86 counts from the end of the displacement
    position = int(code.position[symbol])
    return "" if position < 0 else _function(code, position + int(code.addend[relocation]) + bias)


def _function(code: ModuleCode, position: int) -> str:
    if not 0 <= position < len(code.code):
        return ""
    symbol = code.function_at(np.array([position], np.int64))[0]
    return "" if symbol < 0 else base_name(text_of(code.name(symbol)))
