"""Which functions of a kernel image read host input, and what they call: the image's own text, disassembled where it matters.

A linked image has no relocations any more, so that a call is found by its bytes: a relative branch whose target is exactly
a function that is asked for, where a sweep from the function's start says that an instruction begins.

=========== ================================ ==============================================================
x86_64      e8, e9, 0f 80 to 0f 8f           call, jmp, jcc with a displacement of 32 bits from the next
                                             instruction (Intel SDM volume 2, CALL, JMP, Jcc)
aarch64     000101, 100101 in bits 31 to 26  b, bl with 26 bits in words from the instruction (Arm ARM, C6.2)
=========== ================================ ==============================================================

Not seen: indirect calls (also those that paravirt and static calls patch to direct ones when the kernel boots), calls that
were inlined, and the code of `.altinstr_replacement`, which belongs to no function.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hostproof.artefacts.kernel.facts import Sites
from hostproof.artefacts.kernel.instructions import find_instructions
from hostproof.artefacts.kernel.questions import Interface
from hostproof.artefacts.kernel.symbols import Symbol, Symbols, base_name
from hostproof.artefacts.kernel.vmlinux import ImageSection, Vmlinux
from hostproof.artefacts.kernel.x86_lengths import REACH, Offsets, follow

__all__ = [
    "ARCHITECTURES",
    "REPLACEMENTS",
    "Functions",
    "branches",
    "calls_of",
    "holder",
    "image_sites",
    "source_name",
    "starts_in",
    "text_sections",
]

ARCHITECTURES = frozenset({"x86_64", "aarch64"})
"""Architectures whose text is read."""
REPLACEMENTS = ".altinstr_replacement"
"""Instructions that the kernel copies over others when it boots; they stand in no function."""

Addresses = NDArray[np.uint64]
_WORD = (1 << 64) - 1
_LONGEST = 1 << 20
"""Bytes of a function, its variants included, that are searched for calls; the longest of Debian's 7.2.13 is `do_jit`
with 20 KiB."""


def source_name(name: str) -> str:
    """A symbol's name as the source has it: without what compilers add, and without `__pi_`, which the build puts before
    all symbols of the code that runs before the kernel is mapped (`arch/x86/boot/startup/Makefile`,
    `arch/arm64/kernel/pi/Makefile`; Linux 6.17, 6.1).
    """
    return (base_name(name) if "." in name else name).removeprefix("__pi_")


def text_sections(kernel: Vmlinux) -> list[ImageSection]:
    """The executable sections whose code runs where it stands."""
    return [section for section in kernel.sections if section.executable and section.name != REPLACEMENTS]


class Functions:
    """Which function an address belongs to, as `Symbols.at` tells, at a cost that no number of equal addresses changes."""

    def __init__(self, symbols: Symbols) -> None:
        self.symbols = symbols
        addresses = np.asarray(symbols.addresses, dtype=np.uint64)
        letters = np.frombuffer(symbols.types.encode("latin-1", "replace"), dtype=np.uint8)
        first = np.append(True, addresses[1:] != addresses[:-1])[: addresses.size]
        functions = np.flatnonzero(np.isin(letters, np.frombuffer(b"TtWw", dtype=np.uint8)))
        self._addresses: Addresses = addresses[first]
        groups = (np.cumsum(first) - 1)[functions]
        once = np.append(True, groups[1:] != groups[:-1])[: groups.size]
        self._index = np.full(self._addresses.size, -1, dtype=np.intp)
        self._index[groups[once]] = functions[once]
        self.starts: Addresses = self._addresses[groups[once]]
        """The addresses of all functions, rising, each once."""

    def of(self, addresses: Addresses) -> list[int]:
        """The position in the table of symbols of the function that each address lies in, -1 where that is none."""
        place = np.searchsorted(self._addresses, addresses, side="right") - 1
        inside = place >= 0
        if self._addresses.size:
            inside &= (place < self._addresses.size - 1) | (addresses == self._addresses[-1])
        found: list[int] = np.where(inside, np.append(self._index, -1)[place], -1).tolist()
        return found

    def at(self, address: int) -> str:
        """The name of the function that `address` lies in, empty where that is none."""
        (index,) = self.of(np.array([address & _WORD], dtype=np.uint64))
        return self.symbols.names[index] if index >= 0 else ""


def holder(functions: Functions, address: int) -> str:
    """The function that the instruction at `address` belongs to, by the name that the source has; empty if none."""
    return source_name(functions.at(address))


def starts_in(section: ImageSection, functions: Functions) -> Offsets:
    """Offsets into the section where functions begin, its first byte among them."""
    starts = functions.starts
    first = np.searchsorted(starts, np.uint64(section.address))
    last = np.searchsorted(starts, np.uint64(min(section.address + section.size, _WORD)))
    offsets = (starts[first:last] - np.uint64(section.address)).astype(np.intp)
    return offsets if offsets.size and offsets[0] == 0 else np.append(np.zeros(1, dtype=np.intp), offsets)


def branches(code: memoryview | bytes, architecture: str) -> tuple[Offsets, Offsets]:
    """Where the bytes of a direct branch stand, and the offset of its target, both from the first byte of `code`.

    On x86_64 an instruction need not begin there. Raises ValueError for an architecture that is not read.
    """
    if architecture == "aarch64":
        words = np.frombuffer(code, dtype="<u4", count=len(code) // 4)
        at = np.flatnonzero((words & np.uint32(0x7C000000)) == np.uint32(0x14000000))
        distance = ((words[at] & np.uint32(0x03FFFFFF)) << np.uint32(6)).view(np.int32).astype(np.intp) >> 6
        return at * 4, (at + distance) * 4
    if architecture != "x86_64":
        raise ValueError(f"the text of {architecture} is not read")
    text = np.frombuffer(code, dtype=np.uint8)
    one = np.flatnonzero((text[:-4] & 0xFE) == 0xE8) if text.size > 4 else np.zeros(0, dtype=np.intp)
    two = (
        np.flatnonzero((text[:-5] == 0x0F) & ((text[1:-4] & 0xF0) == 0x80))
        if text.size > 5
        else np.zeros(0, dtype=np.intp)
    )
    found = np.concatenate((one, two))
    after = np.concatenate((one + 1, two + 2))
    distance = text[after].astype(np.uint32)
    for byte in (1, 2, 3):
        distance |= text[after + byte].astype(np.uint32) << np.uint32(8 * byte)
    return found, after + 4 + distance.view(np.int32)


def _confirmed(code: memoryview | bytes, begins: Offsets, at: Offsets) -> set[int]:
    """Those of the offsets at which a sweep finds an instruction's opcode."""
    reached, _ = follow(bytes(code) + bytes(REACH), begins, np.unique(at))
    return {opcode for _, opcode in reached}


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The functions of all interfaces: ids by address, and by name."""

    by_address: dict[int, frozenset[str]]
    by_name: dict[str, frozenset[str]]

    def of(self, function: str) -> frozenset[str]:
        """The interfaces that this function belongs to."""
        return self.by_name.get(function, frozenset())


def _wanted(symbols: Symbols, interfaces: Sequence[Interface]) -> _Wanted:
    exact: dict[str, set[str]] = {}
    heads: dict[str, set[str]] = {}
    for interface in interfaces:
        for function in interface.functions:
            table, name = (heads, function[:-1]) if function.endswith("*") else (exact, function)
            table.setdefault(name, set()).add(interface.id)
    prefixes = tuple(heads)
    by_address: dict[int, frozenset[str]] = {}
    by_name: dict[str, frozenset[str]] = {}
    for name, letter, address in zip(symbols.names, symbols.types, symbols.addresses, strict=True):
        if letter not in "TtWw":
            continue
        source = source_name(name)
        if source not in exact and not source.startswith(prefixes):
            continue
        ids = frozenset(exact.get(source, ())).union(*(heads[head] for head in prefixes if source.startswith(head)))
        by_name[source] = ids
        if not name.endswith(".cold"):  # nothing calls the unlikely part of a function but the function
            by_address[address] = by_address.get(address, frozenset()) | ids
    return _Wanted(by_address, by_name)


def image_sites(kernel: Vmlinux, symbols: Symbols, interfaces: Sequence[Interface]) -> dict[str, Sites]:
    """The sites of each interface in the image's own text, by id; an interface without any is left out.

    A site is a direct call or jump to one of its functions, or one of its instructions. It is counted for the function
    that holds it, by the name that the source has. What a function does to itself is no site, and what functions of an
    interface do (`ioread32` that calls `readl`) is none of that interface: they are the interface, not its consumers.
    Of an architecture that is not among `ARCHITECTURES` nothing is counted.
    """
    if kernel.architecture not in ARCHITECTURES:
        return {}
    wanted = _wanted(symbols, interfaces)
    by_instruction: dict[str, list[str]] = {}
    for interface in interfaces:
        for mnemonic in interface.instructions:
            by_instruction.setdefault(mnemonic, []).append(interface.id)
    counts: dict[str, int] = {}
    functions: dict[str, set[str]] = {}
    table = Functions(symbols)
    for section in text_sections(kernel):
        code, begins = kernel.bytes_of(section), starts_in(section, table)
        found = _call_sites(code, section, begins, kernel.architecture, wanted.by_address)
        for mnemonic, offsets in find_instructions(code, begins.tolist(), kernel.architecture, by_instruction).items():
            found.extend((offset, by_instruction[mnemonic]) for offset in offsets)
        places = np.array([offset for offset, _ in found], dtype=np.uint64) + np.uint64(section.address)
        for (_, ids), index in zip(found, table.of(places), strict=True):
            if index < 0 and kernel.flat:
                continue  # data that looks like an instruction
            name = source_name(symbols.names[index]) if index >= 0 else ""
            for id in set(ids) - wanted.of(name):
                counts[id] = counts.get(id, 0) + 1
                functions.setdefault(id, set()).update([name] if name else [])
    return {id: Sites(counts[id], tuple(sorted(functions[id]))) for id in sorted(counts)}


def _call_sites(
    code: memoryview,
    section: ImageSection,
    begins: Offsets,
    architecture: str,
    wanted: dict[int, frozenset[str]],
) -> list[tuple[int, Collection[str]]]:
    """Offsets of the branches to wanted functions, with the ids of the interfaces."""
    near = {
        address - section.address: ids for address, ids in wanted.items() if abs(address - section.address) < 1 << 62
    }
    if not near:
        return []
    at, target = branches(code, architecture)
    sorted_targets = np.array(sorted(near), dtype=np.intp)
    place = np.minimum(np.searchsorted(sorted_targets, target), len(sorted_targets) - 1)
    hit = np.flatnonzero(sorted_targets[place] == target)
    at, target = at[hit], target[hit]
    if architecture == "x86_64":
        real = _confirmed(code, begins, at)
        keep = np.array([place in real for place in at.tolist()], dtype=bool)
        at, target = at[keep], target[keep]
    return [(place, near[goal]) for place, goal in zip(at.tolist(), target.tolist(), strict=True)]


def calls_of(kernel: Vmlinux, table: Functions, functions: Iterable[Symbol]) -> tuple[str, ...] | None:
    """What the functions call or jump to directly, by the names that the source has, sorted; themselves left out.

    Where several functions share the target's address, all their names are given. None where the functions are longer
    than functions are. Raises ValueError for an architecture that is not among `ARCHITECTURES`.
    """
    parts = {function.address: function.size for function in functions}
    if sum(parts.values()) > _LONGEST:
        return None
    targets: set[int] = set()
    for address, size in parts.items():
        code = kernel.read(address, size)
        if not code:
            continue
        at, target = branches(code, kernel.architecture)
        real = None if kernel.architecture == "aarch64" else _confirmed(code, np.zeros(1, dtype=np.intp), at)
        for place, offset in zip(at.tolist(), target.tolist(), strict=True):
            if (real is None or place in real) and not 0 <= offset < size:
                targets.add(address + offset & _WORD)
    own = {source_name(name) for address in parts for name in _names_at(table, [address])}
    return tuple(sorted(set(_names_at(table, sorted(targets))) - own))


def _names_at(table: Functions, addresses: Sequence[int]) -> Iterator[str]:
    """The functions that the addresses lie in, and all others that begin where one of them points to."""
    symbols = table.symbols
    for address, index in zip(addresses, table.of(np.array(addresses, dtype=np.uint64)), strict=True):
        if index < 0:
            continue
        yield source_name(symbols.names[index])
        if symbols.addresses[index] == address:
            for other in range(index + 1, bisect_right(symbols.addresses, address)):
                if symbols.types[other] in "TtWw":
                    yield source_name(symbols.names[other])
