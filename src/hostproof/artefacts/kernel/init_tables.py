r"""The tables that a kernel walks when it starts: its initcalls, and the parameters that it takes from its command line.

Both are found by the symbols at their ends, or, where the image has no symbols of data, by their structure: a run of
entries each of which points to the first byte of a function.

SOURCE: `include/linux/init.h` (`initcall_entry_t`, `struct obs_kernel_param`), `include/linux/moduleparam.h`
(`struct kernel_param`), `include/asm-generic/vmlinux.lds.h` (Linux 4.19 to 7.2; 64-bit, in the order of the architecture)::

    initcall_entry_t   4  distance from the entry to the function (CONFIG_HAVE_ARCH_PREL32_RELOCATIONS), else
                       8  its address
    obs_kernel_param   8  str: `nokaslr`, `console=`     kernel_param   8  name: `panic`, `random.trust_cpu`
                       8  setup_func                                    8  mod
                       4  early: 0 or 1                                 8  ops
                       4  padding                                       2  perm, 1 level, 1 flags, 4 padding
                                                                        8  arg, str or arr

Not in a table, and so not told: what code looks up in the command line by itself (`cmdline_find_option`, as for
`mem_encrypt=`), and what the boot loader stub reads.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hostproof.artefacts.kernel.image_code import Functions, source_name
from hostproof.artefacts.kernel.symbols import Symbols
from hostproof.artefacts.kernel.vmlinux import ImageSection, Vmlinux

__all__ = ["Entry", "Table", "initcalls", "module_parameters", "parameter_name", "setup_parameters"]

Words = NDArray[Any]

_LIMIT = 20_000
"""Entries of one table; Linux 7.2 has some 1,500 initcalls and 1,000 parameters."""
_RUN = 16
"""So many entries in a row are taken for a table where no symbol says that there is one."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: the function or text that it names, and its offset in the unpacked image."""

    symbol: str
    offset: int


@dataclass(frozen=True, slots=True)
class Table:
    """A table by name: of a function, or of a parameter as `parameter_name` writes it. `found` says by what it was found."""

    entries: dict[str, Entry]
    found: str


@dataclass(frozen=True, slots=True)
class _Span:
    address: int
    offset: int
    size: int


def parameter_name(text: str) -> str:
    """A parameter as facts name it: without `=` and what follows, dashes written as underscores, as the kernel compares."""
    return text.partition("=")[0].replace("-", "_")


def initcalls(kernel: Vmlinux, symbols: Symbols, functions: Functions) -> Table | None:
    """The functions that the kernel calls when it starts, by the name that the source has; None where no table is found.

    `functions` are those of the image.
    """
    entries: dict[str, Entry] = {}
    for start, end in (("__initcall_start", "__initcall_end"), ("__con_initcall_start", "__con_initcall_end")):
        span = _between(kernel, symbols, start, end)
        if span is None:
            continue
        for width in (4, 8):
            targets = _targets(kernel, span, width)
            if targets.size and _among(targets, functions.starts).all():
                entries |= _initcall_entries(functions, targets, span, width)
                break
    if entries:
        return Table(entries, "__initcall_start")
    for section in _data_sections(kernel):
        span = _Span(section.address, section.offset, section.size)
        for width in (4, 8):
            targets = _targets(kernel, span, width)
            first, count = _longest(_among(targets, functions.starts), 1)
            if count >= _RUN * 2:
                run = _Span(span.address + first * width, span.offset + first * width, count * width)
                return Table(_initcall_entries(functions, targets[first : first + count], run, width), "structure")
    return None


def _initcall_entries(functions: Functions, targets: Words, span: _Span, width: int) -> dict[str, Entry]:
    entries: dict[str, Entry] = {}
    names = functions.symbols.names
    for index, function in enumerate(functions.of(targets[:_LIMIT])):
        if function >= 0:
            entries.setdefault(source_name(names[function]), Entry(names[function], span.offset + index * width))
    return entries


def _targets(kernel: Vmlinux, span: _Span, width: int) -> Words:
    """What entries of a table of distances (4) or addresses (8) point to."""
    order = _order(kernel)
    count = min(span.size, len(kernel.data) - span.offset) // width
    if width == 8:
        return np.frombuffer(kernel.data, dtype=f"{order}u8", count=count, offset=span.offset).astype(np.uint64)
    distances = np.frombuffer(kernel.data, dtype=f"{order}i4", count=count, offset=span.offset).astype(np.int64)
    own = np.uint64(span.address) + np.arange(count, dtype=np.uint64) * np.uint64(4)
    targets: Words = own + distances.view(np.uint64)  # wraps around as the processor does
    return targets


def setup_parameters(kernel: Vmlinux, symbols: Symbols, functions: Functions) -> Table | None:
    """Parameters of `__setup` and `early_param`, by `parameter_name`; None where no table is found."""
    span = _between(kernel, symbols, "__setup_start", "__setup_end")
    if span is not None and span.size % 24 == 0 and (entries := _setup_entries(kernel, functions, span)):
        return Table(entries, "__setup_start")
    bounds = kernel.sections[0].address, kernel.sections[-1].address + kernel.sections[-1].size
    for section in _data_sections(kernel):
        skip = -section.address % 8
        whole = _Span(section.address + skip, section.offset + skip, section.size - skip)
        words = _targets(kernel, whole, 8)
        if len(words) < 3:
            continue
        texts = (words[:-2] >= np.uint64(bounds[0])) & (words[:-2] < np.uint64(bounds[1]))
        early = (words[2:] == 0) | (words[2:] == 1 if _order(kernel) == "<" else words[2:] == 1 << 32)
        first, count = _longest(texts & early & _among(words[1:-1], functions.starts), 3)
        named = np.array([bool(kernel.text_at(int(text))) for text in words[first : first + count * 3 : 3][:_LIMIT]])
        begin, count = _longest(named, 1)
        if count >= _RUN:
            first += begin * 3
            span = _Span(whole.address + first * 8, whole.offset + first * 8, count * 24)
            if entries := _setup_entries(kernel, functions, span):
                return Table(entries, "structure")
    return None


def _setup_entries(kernel: Vmlinux, functions: Functions, span: _Span) -> dict[str, Entry] | None:
    """The entries of a table of `obs_kernel_param`, or None where it is none."""
    entries: dict[str, Entry] = {}
    words = _targets(kernel, span, 8)[: _LIMIT * 3]
    for index, (text_at, function) in enumerate(zip(words[::3].tolist(), functions.of(words[1::3]), strict=False)):
        text = kernel.text_at(text_at)
        if not text:
            return None
        symbol = functions.symbols.names[function] if function >= 0 else text
        entries.setdefault(parameter_name(text), Entry(symbol, span.offset + index * 24))
    return entries


def module_parameters(kernel: Vmlinux, symbols: Symbols) -> Table | None:
    """Parameters of built-in code, `module.parameter` or without a module's name; None where no table is found."""
    section = kernel.section("__param")
    span = (
        _Span(section.address, section.offset, section.size)
        if section is not None
        else _between(kernel, symbols, "__start___param", "__stop___param")
    )
    if span is None or span.size % 40:
        return None
    entries: dict[str, Entry] = {}
    for index in range(min(span.size // 40, _LIMIT)):
        offset = span.offset + index * 40
        text = kernel.text_at(struct.unpack_from(f"{_order(kernel)}Q", kernel.data, offset)[0])
        if not text:
            return None
        entries.setdefault(parameter_name(text), Entry(text, offset))
    return Table(entries, "__param")


def _between(kernel: Vmlinux, symbols: Symbols, start: str, end: str) -> _Span | None:
    """The bytes between two symbols, where both are there and the bytes are in the image."""
    first, last = symbols.find(start), symbols.find(end)
    if first is None or last is None or last.address <= first.address:
        return None
    offset, size = kernel.offset_of(first.address), last.address - first.address
    if offset is None or kernel.offset_of(last.address - 1) != offset + size - 1:
        return None
    return _Span(first.address, offset, size)


def _data_sections(kernel: Vmlinux) -> list[ImageSection]:
    """Where the tables lie: `.init.data`, or all there is in an image without sections."""
    section = kernel.section(".init.data")
    return [section] if section is not None else [each for each in kernel.sections if kernel.flat]


def _order(kernel: Vmlinux) -> str:
    return ">" if kernel.architecture == "s390x" else "<"


def _among(values: Words, rising: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which values are among the rising ones."""
    if not rising.size:
        return np.zeros(len(values), dtype=bool)
    place = np.searchsorted(rising, values)
    place[place == len(rising)] = 0
    same: NDArray[np.bool_] = rising[place] == values
    return same


def _longest(marks: NDArray[np.bool_], stride: int) -> tuple[int, int]:
    """The first place and the length of the longest run of marks that are `stride` apart."""
    best = (0, 0)
    for phase in range(stride):
        own = np.concatenate(([False], marks[phase::stride], [False]))
        edges = np.flatnonzero(own[1:] != own[:-1])
        if not edges.size:
            continue
        sizes = edges[1::2] - edges[::2]
        longest = int(sizes.argmax())
        if sizes[longest] > best[1]:
            best = (int(edges[::2][longest]) * stride + phase, int(sizes[longest]))
    return best
