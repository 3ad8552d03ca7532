"""Flat kernels: an arm64 `Image`, or what an s390 image unpacks to. They have no section table.

SOURCE: `Documentation/arch/arm64/booting.rst` (little-endian header: text_offset 8 bytes at 8, magic at 56),
`arch/arm64/kernel/vmlinux.lds.S`, `arch/s390/kernel/vmlinux.lds.S`. The first byte of the file is `_text`.

Where the kernel is linked follows from its kallsyms: from `kallsyms_relative_base`, which position-independent kernels keep
in a relocation; where symbols are relative to their own place (since 7.0), from the pointers in the image, which must
point at symbols. Symbols that the linker script sets (`_stext`, `__init_begin`, ...) give the sections.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from hostproof.artefacts.kernel.dynamic_relocations import Relocations, applied, find_relocations
from hostproof.artefacts.kernel.kallsyms import FORMS, address_tables, find_kallsyms
from hostproof.artefacts.kernel.kallsyms_tables import NameTables, find_name_tables
from hostproof.artefacts.kernel.symbols import Symbols, UntoldSymbols, WithoutSymbols
from hostproof.artefacts.kernel.vmlinux import ImageSection, Vmlinux
from hostproof.place import Place

__all__ = ["read_flat"]

Addresses = npt.NDArray[np.uint64]

STEP = {"aarch64": 1 << 21, "s390x": 1 << 20}  # what the kernel's link address is a multiple of
SAMPLE = 4096  # pointers that are tried
FEWEST = 32  # of them must point at symbols
BLOCKS = 32  # of STEP bytes that pointers point into most

# first symbol, last symbol, name, executable: SOURCE arch/arm64/kernel/vmlinux.lds.S, include/asm-generic/sections.h
PARTS = (
    ("_stext", "_etext", ".text", True),
    ("__start_rodata", "__end_rodata", ".rodata", False),
    ("__start_BTF", "__stop_BTF", ".BTF", False),
    ("__inittext_begin", "__inittext_end", ".init.text", True),
    ("_sinittext", "_einittext", ".init.text", True),
    ("__initdata_begin", "__initdata_end", ".init.data", False),
    ("_sdata", "_edata", ".data", False),
    ("_data", "_edata", ".data", False),
)


def read_flat(data: bytes, name: str, architecture: str) -> Vmlinux:
    """The kernel in a flat image, with its symbols. Raises UntoldSymbols where it cannot be told where it lies."""
    tables = find_name_tables(data, name, FORMS[architecture])
    if tables is None:
        raise WithoutSymbols(
            "a flat kernel without kallsyms: nothing tells where it lies",
            place=Place(name),
            expected="the token table of kallsyms, which CONFIG_KALLSYMS=y builds in",
            hint="give the vmlinux of this kernel",
        )
    relocations = find_relocations(data, architecture)
    base = _link_address(data, name, architecture, tables, relocations)
    sha256 = hashlib.sha256(data).hexdigest()
    whole = (ImageSection("", base, 0, len(data), True),)
    if relocations is not None:
        data = applied(data, relocations, whole, architecture, name)
    kernel = Vmlinux(name, architecture, data, sha256, whole, flat=True)
    symbols = find_kallsyms(kernel)
    if symbols is None:  # the relocations wrote over the token table
        raise _unknown(name, tables)
    return replace(kernel, sections=_sections(symbols, base, len(data)), symbols=symbols)


def _link_address(
    data: bytes, name: str, architecture: str, tables: NameTables, relocations: Relocations | None
) -> int:
    """The link-time address of the first byte."""
    step = STEP[architecture]
    start = int.from_bytes(data[8:16], "little") % step if architecture == "aarch64" else 0
    flat = Vmlinux("", architecture, data, "", (ImageSection("", 0, 0, len(data), True),), flat=True)
    for layout, addresses in address_tables(flat, tables):
        if layout.startswith("place-relative"):
            return _voted(data, name, tables, relocations, addresses, (step, start))
        if addresses[0] >= step:
            return (int(addresses[0]) - start) // step * step + start
    return _from_relocation(name, tables, relocations, (step, start), len(data))


def _from_relocation(
    name: str, tables: NameTables, relocations: Relocations | None, grid: tuple[int, int], size: int
) -> int:
    """The link address from the relocation of `kallsyms_relative_base`, whose value is the first symbol.

    Where the base lies in the image is known; its link-time address is that plus the link address.
    """
    if relocations is not None:
        step, start = grid
        word = tables.form.word
        after = -(-tables.after // word) * word
        offsets = -(-4 * tables.count // word) * word
        for base_at in (after + offsets, tables.count_at // word * word - word):
            bases = relocations.places - np.uint64(base_at)
            inside = (
                ((bases - np.uint64(start)) % np.uint64(step) == 0)
                & (relocations.values >= bases)
                & (relocations.values - bases < np.uint64(min(size, step)))
                & (relocations.places.min() >= bases)
                & (relocations.places.max() - bases < np.uint64(size))
            )
            if inside.any():
                return int(bases[inside][0])
    raise _unknown(name, tables)


def _voted(
    data: bytes,
    name: str,
    tables: NameTables,
    relocations: Relocations | None,
    offsets: Addresses,
    grid: tuple[int, int],
) -> int:
    """The link address at which most pointers of the image point at symbols."""
    step, start = grid
    words = np.frombuffer(data, f"{tables.form.order}u8", len(data) // 8)
    pointers = words[words >= np.uint64(0xFFFF << 48)].astype(np.uint64)
    if relocations is not None:
        pointers = np.concatenate((pointers, relocations.values))
    if not len(pointers):
        raise _unknown(name, tables)
    blocks, counts = np.unique(pointers // np.uint64(step), return_counts=True)
    used = blocks[np.argsort(counts)[::-1][:BLOCKS]]
    pointers = np.unique(pointers[np.isin(pointers // np.uint64(step), used)])
    pointers = pointers[:: max(1, len(pointers) // SAMPLE)]
    reach = int(offsets[-1]) // step + 1
    lowest = {max(0, int(block) - back) for block in used for back in range(min(reach, 64) + 1)}
    votes = []
    for block in lowest:
        base = block * step + start
        at = pointers - np.uint64(base)
        found = offsets[np.minimum(np.searchsorted(offsets, at), len(offsets) - 1)]
        votes.append((int((found == at).sum()), base))
    votes.sort(reverse=True)
    if votes[0][0] < FEWEST or (len(votes) > 1 and votes[0][0] < 2 * votes[1][0]):
        raise _unknown(name, tables)
    return votes[0][1]


def _unknown(name: str, tables: NameTables) -> UntoldSymbols:
    return UntoldSymbols(
        "a flat kernel whose link address cannot be told",
        place=Place(name, offset=tables.count_at),
        expected="kallsyms_relative_base, a relocation of it, or pointers that point at symbols",
        hint="the image is damaged, or newer than this reader",
    )


def _sections(symbols: Symbols, base: int, size: int) -> tuple[ImageSection, ...]:
    """The sections that the linker script's symbols bound, inner ones cut out of those around them."""
    parts: list[tuple[int, int, str, bool]] = [(base, base + size, "", False)]
    for first, last, name, executable in PARTS:
        low, high = symbols.find(first), symbols.find(last)
        if low is not None and high is not None and base <= low.address < high.address <= base + size:
            parts.append((low.address, high.address, name, executable))
    if not any(executable for _, _, _, executable in parts):
        return (ImageSection(".text", base, 0, size, True),)
    edges = sorted({edge for start, end, _, _ in parts for edge in (start, end)})
    sections: list[ImageSection] = []
    for start, end in pairwise(edges):
        around = (part for part in parts if part[0] <= start and end <= part[1])
        _, _, name, executable = min(around, key=lambda part: part[1] - part[0])
        if not name:
            name, executable = _between(start - base)
        if sections and sections[-1].name == name:
            start, _ = sections[-1].address, sections.pop()  # noqa: PLW2901 (one section, cut at an edge of no section)
        sections.append(ImageSection(name, start, start - base, end - start, executable))
    return tuple(sections)


def _between(offset: int) -> tuple[str, bool]:
    """How to call what no symbols bound: the header before the text, which holds code, else data of some kind."""
    return (f".data.{offset:x}", False) if offset else (".head.text", True)
