"""The symbol table that a kernel carries for itself: kallsyms, of every layout since 4.19.

`find_kallsyms` gives None where the kernel has none (CONFIG_KALLSYMS is not set: there is no token table), and raises
where there is one that cannot be read. `read_kallsyms` is for callers that need one. For the layouts see
`hostproof.artefacts.kernel.kallsyms_tables`.

The layout is told by what it gives: addresses must rise, and functions must lie in sections.

SOURCE: `kernel/kallsyms.c`, `kallsyms_sym_address`. An address is one of::

    relative_base + offset (unsigned)           base-relative, until 6.19
    offset                  if it is >= 0       base-relative with KALLSYMS_ABSOLUTE_PERCPU (x86-64 SMP until 6.14):
    relative_base - 1 - offset  else            per-CPU symbols have small addresses of their own
    address of the offset + offset (signed)     place-relative, since 7.0
    the word itself                             absolute
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from hostproof.artefacts.kernel.kallsyms_tables import Form, NameTables, find_name_tables, up
from hostproof.artefacts.kernel.symbols import Symbols, UntoldSymbols, WithoutSymbols
from hostproof.artefacts.kernel.vmlinux import ImageSection, Vmlinux
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["find_kallsyms", "read_kallsyms"]

Addresses = npt.NDArray[np.uint64]

FORMS = {
    "x86_64": Form("<", 8),
    "aarch64": Form("<", 8),
    "riscv64": Form("<", 8),
    "loongarch64": Form("<", 8),
    "i686": Form("<", 4),
    "arm": Form("<", 4),
    "s390x": Form(">", 8),
}
NAME_LIMIT = 1024  # KSYM_NAME_LEN is 512 since 6.1, 128 before; the type letter comes on top
TEXT_LIMIT = 128 << 20
BATCH = 1 << 16  # names that are expanded at once
WITHIN = 0.9  # of the functions must lie in text


def find_kallsyms(kernel: Vmlinux) -> Symbols | None:
    """The symbols of a kernel, or None where it has none. Raises InputError where the tables are damaged.

    Letters are those that nm(1) wrote into the table, but where a symbol of text (`T`, `t`) lies in a section that holds
    no text it is given as data (`D`, `d`): the linker of x86 7.x flags all of `.data` as executable.
    """
    if kernel.symbols is not None:
        return kernel.symbols
    form = FORMS.get(kernel.architecture)
    if form is None:
        raise WithoutSymbols(
            f"no reader for the symbols of {kernel.architecture or 'an unknown architecture'}",
            place=Place(kernel.name),
            expected=f"one of {', '.join(FORMS)}",
        )
    tables = find_name_tables(kernel.data, kernel.name, form)
    if tables is None:
        return None
    letters, names = expand(kernel.data, tables, kernel.name)
    for layout, addresses in address_tables(kernel, tables):
        if _plausible(kernel, letters, addresses):
            return Symbols(
                addresses=addresses.tolist(),
                types=_letters(kernel, letters, addresses),
                names=names,
                complete=any(letter in letters for letter in "dDbB"),
                layout=layout,
            )
    raise UntoldSymbols(
        f"{tables.count} symbols of kallsyms without addresses",
        place=Place(kernel.name, offset=tables.count_at),
        expected="kallsyms_offsets or kallsyms_addresses before kallsyms_num_syms or after kallsyms_token_index, with "
        "functions in sections",
        hint="the image is damaged, or newer than this reader",
    )


def read_kallsyms(kernel: Vmlinux) -> Symbols:
    """The symbols of a kernel. Raises InputError where it has none, or damaged ones."""
    symbols = find_kallsyms(kernel)
    if symbols is None:
        raise InputError(
            "a kernel without kallsyms",
            place=Place(kernel.name),
            expected="the token table of kallsyms, which CONFIG_KALLSYMS=y builds in",
        )
    return symbols


def expand(data: bytes, tables: NameTables, name: str) -> tuple[str, list[str]]:
    """The type letters and the names. Raises InputError where a name is empty or too long."""
    end = data.index(b"\0", tables.token_table + int(tables.offsets[-1]))
    pool = np.frombuffer(data[tables.token_table : end] + b"\0\n", np.uint8)
    token_at = tables.offsets
    token_size = np.diff(np.append(token_at, len(pool) - 1)) - 1
    letters: list[str] = []
    names: list[str] = []
    total = 0
    for batch in range(0, tables.count, BATCH):
        starts, lengths = tables.starts[batch : batch + BATCH], tables.lengths[batch : batch + BATCH]
        numbers = np.frombuffer(data, np.uint8)[_ranges(starts, lengths + 1)].astype(np.int64)
        ends = np.cumsum(lengths + 1) - 1  # the byte after each name stands for its newline
        at, size = token_at[numbers], token_size[numbers]
        at[ends], size[ends] = len(pool) - 1, 1
        out_ends = np.cumsum(size)
        sizes = np.diff(out_ends[ends], prepend=0)
        total += int(out_ends[-1])
        if int(sizes.max()) > NAME_LIMIT or int(sizes.min()) < 3 or total > TEXT_LIMIT:
            raise _bad_names(tables, name)
        text = pool[_ranges(at, size)]
        first = out_ends[ends] - sizes
        letters.append(text[first].tobytes().decode("latin-1"))
        keep = np.ones(len(text), dtype=bool)
        keep[first] = False
        names += text[keep].tobytes().decode("utf-8", "backslashreplace").split("\n")[:-1]
    if len(names) != tables.count:
        raise _bad_names(tables, name)
    return "".join(letters), names


def _bad_names(tables: NameTables, name: str) -> UntoldSymbols:
    return UntoldSymbols(
        "names of kallsyms that are no names",
        place=Place(name, offset=tables.names_at),
        expected=f"names of 2 to {NAME_LIMIT} characters on one line",
        hint="the image is damaged",
    )


def _ranges(starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The numbers `start .. start + length` of all ranges, one after the other."""
    ends = np.cumsum(lengths)
    return np.repeat(starts - (ends - lengths), lengths) + np.arange(int(ends[-1]), dtype=np.int64)


def address_tables(kernel: Vmlinux, tables: NameTables) -> Iterator[tuple[str, Addresses]]:
    """What the bytes where each layout has its addresses give, with the layout's name, for rising ones alone."""
    data, form, count = kernel.data, tables.form, tables.count
    before, after = tables.count_at // form.word * form.word, up(tables.after, form.word)
    size = up(4 * count, form.word)
    yield from _place_relative(kernel, tables)
    for where, at, base_at, words_at in (
        ("6.4 and later", after, after + size, after),
        ("before 6.4", before - form.word - size, before - form.word, before - form.word * count),
    ):
        if at >= 0 and base_at + form.word <= len(data):
            offsets = np.frombuffer(data, form.order + "i4", count, at).astype(np.int64)
            base = int(np.frombuffer(data, f"{form.order}u{form.word}", 1, base_at)[0])
            yield from _rising(f"base-relative, {where}", _masked(offsets & 0xFFFFFFFF, base, form))
            absolute = np.where(offsets >= 0, offsets.astype(np.uint64), _masked(-1 - offsets, base, form))
            yield from _rising(f"base-relative with absolute per-CPU symbols, {where}", absolute)
        if words_at >= 0 and words_at + form.word * count <= len(data):
            words = np.frombuffer(data, f"{form.order}u{form.word}", count, words_at).astype(np.uint64)
            yield from _rising(f"absolute, {where}", words)


def _place_relative(kernel: Vmlinux, tables: NameTables) -> Iterator[tuple[str, Addresses]]:
    at = tables.after
    place = section_address(kernel, at)
    if place is not None and at + 4 * tables.count <= len(kernel.data):
        offsets = np.frombuffer(kernel.data, tables.form.order + "i4", tables.count, at).astype(np.int64)
        if offsets[0] >= 0:  # text comes before the tables
            return
        offsets += 4 * np.arange(tables.count)
        yield from _rising("place-relative, 7.0 and later", _masked(offsets, place, tables.form))


def _letters(kernel: Vmlinux, letters: str, addresses: Addresses) -> str:
    """The type letters, with what lies in sections without text as data."""
    kinds = np.frombuffer(letters.encode("latin-1"), np.uint8).copy()
    for section in kernel.sections:
        if not section.executable:
            first, last = _between(addresses, section)
            part = kinds[first:last]
            part[part == ord("T")] = ord("D")
            part[part == ord("t")] = ord("d")
    return kinds.tobytes().decode("latin-1")


def section_address(kernel: Vmlinux, offset: int) -> int | None:
    """The address of the byte at `offset` of the unpacked kernel, or None where no section holds it."""
    for section in kernel.sections:
        if section.offset <= offset < section.offset + section.size:
            return section.address + offset - section.offset
    return None


def _masked(offsets: npt.NDArray[np.int64], base: int, form: Form) -> Addresses:
    """`base + offsets` in the arithmetic of the kernel's pointers."""
    sums = offsets.astype(np.uint64) + np.uint64(base)
    return sums if form.word == 8 else sums & np.uint64(0xFFFFFFFF)


def _rising(layout: str, addresses: Addresses) -> Iterator[tuple[str, Addresses]]:
    if bool((addresses[1:] >= addresses[:-1]).all()) and addresses[0] != addresses[-1]:
        yield layout, addresses


def _plausible(kernel: Vmlinux, letters: str, addresses: Addresses) -> bool:
    """Whether nearly all functions lie in sections, of which there must be some."""
    kinds = np.frombuffer(letters.encode("latin-1"), np.uint8)
    functions = addresses[(kinds == ord("t")) | (kinds == ord("T"))]
    inside = 0
    for section in kernel.sections:
        first, last = _between(functions, section)
        inside += last - first
    return inside > WITHIN * len(functions)


def _between(addresses: Addresses, section: ImageSection) -> tuple[int, int]:
    """The range of indexes of the addresses that lie in a section."""
    ends = np.array((section.address, section.address + section.size), dtype=np.uint64)
    first, last = np.searchsorted(addresses, ends)
    return int(first), int(last)
