"""Calls that register something, and what they pass: the address of a structure is a constant in the code.

`pci_register_driver(&nvme_driver)` compiles to an address in the first argument's register and a direct call or jump.
SOURCE: System V AMD64 ABI 3.2.3 (rdi, rsi, rdx), AAPCS64 6.8 (x0, x1, x2); Intel SDM volume 2 (E8 CALL rel32, E9 JMP
rel32, REX.W C7 /0 MOV imm32, REX.W 8D /r LEA with rip, B8+r MOV imm32); Arm ARM C6.2 (BL, B, ADRP, ADR, ADD, MOVZ, ORR).

On x86 the last constant that was put into a register counts, along the bytes and not along the flow of control: callers
must check that such a structure lies there. On arm64 registers are followed along forward branches.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from hostproof.artefacts.kernel.symbols import Symbol, Symbols
from hostproof.artefacts.kernel.vmlinux import ImageSection, Vmlinux
from hostproof.errors import InputError
from hostproof.place import Place

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Numbers = npt.NDArray[np.int64]

__all__ = ["ARCHITECTURES", "MAX_WORK", "Budget", "Call", "Calls", "callers_up", "initcall_modules", "read_calls"]

ARCHITECTURES = ("x86_64", "aarch64")
"""Architectures whose calls are read."""
BEFORE = 4096
"""Bytes of code before a call that are looked at, at most."""
MAX_WORK = 300_000
"""Steps of all searches together; images of Debian take 3,000 to 11,000."""
MAX_CALLERS = 64
_LEAVING = (0xD61F0000, 0xD65F0000, 0xD65F001F)
"""BR, RET, and RETAA or RETAB, without their registers."""
ALL_ONES = (1 << 64) - 1
_INITCALL = re.compile(r"__initcall__kmod_(.+?)__\d+_\d+_")

_X86_SMALL = {1: b"\xbe", 2: b"\xba"}
_X86 = {
    0: (b"\x48\xc7\xc7", b"\x48\x8d\x3d"),
    1: (b"\x48\xc7\xc6", b"\x48\x8d\x35"),
    2: (b"\x48\xc7\xc2", b"\x48\x8d\x15"),
}
"""Argument -> MOV and LEA into its register."""


class Budget:
    """What may be spent on one image."""

    __slots__ = ("left", "name")

    def __init__(self, name: str, limit: int) -> None:
        self.left, self.name = limit, name

    def spend(self, cost: int = 1) -> None:
        """Raises InputError where nothing is left."""
        self.left -= cost
        if self.left < 0:
            raise InputError(
                "more structures and calls than a search is spent on",
                place=Place(self.name),
                expected="the drivers of one kernel",
                hint="is this the image of a kernel as it was built?",
            )


@dataclass(frozen=True, slots=True)
class Call:
    """A direct call or tail jump: where it stands, and the function it stands in."""

    site: int
    caller: Symbol


@dataclass(frozen=True, slots=True)
class Calls:
    """Every direct call and jump out of the image's code, sorted by target; targets may be no function at all where
    bytes only look like a call.
    """

    kernel: Vmlinux
    symbols: Symbols
    budget: Budget
    _targets: Numbers = field(repr=False)
    _sites: Numbers = field(repr=False)
    _ordered: Numbers = field(repr=False)
    """The sites, by rising address."""

    def of(self, function: Symbol) -> Iterator[Call]:
        """The calls of a function, by rising address, those from within it left out."""
        import numpy as np

        wanted = _signed(function.address)
        first, last = np.searchsorted(self._targets, [wanted, wanted + 1])
        for site in self._sites[first:last].tolist():
            self.budget.spend()
            caller = self.symbols.at(site & ALL_ONES)
            if caller is not None and caller.is_function and caller.address != function.address:
                yield Call(site & ALL_ONES, caller)

    def arguments(self, call: Call, number: int) -> tuple[int, ...]:
        """Constants that argument `number` (0 to 2) may have, the likeliest first: on x86 those that were put into its
        register since the call before, which may have clobbered it.
        """
        if self.kernel.architecture == "aarch64":
            value = self._registers(call).get(number)
            return () if value is None else (value,)
        code, base = self._before(call, self._previous(call))
        moves, addresses = _X86[number]
        return _nearest(code, base, (moves,), (addresses,))

    def count(self, call: Call, number: int) -> int | None:
        """A small number that argument 1 or 2 has (`mov esi, imm32`, `mov w1, #imm`), or None."""
        if self.kernel.architecture == "aarch64":
            return self._registers(call).get(number)
        code, _ = self._before(call, self._previous(call))
        values = [int.from_bytes(code[at + 1 : at + 5], "little") for at in _all(code, _X86_SMALL[number], 5)]
        return next((value for value in reversed(values) if value < 4096), None)

    def constants(self, call: Call) -> tuple[int, ...]:
        """Every address that the caller's code has as a constant before the call, the nearest first."""
        if self.kernel.architecture == "aarch64":
            return tuple(self._registers(call).values())
        code, base = self._before(call, call.caller.address)
        return _nearest(code, base, (b"\x48\xc7", b"\x49\xc7"), (b"\x48\x8d", b"\x4c\x8d"))

    def _previous(self, call: Call) -> int:
        """Where the call or jump before this one ends."""
        import numpy as np

        index = int(np.searchsorted(self._ordered, _signed(call.site))) - 1
        return (int(self._ordered[index]) & ALL_ONES) + 5 if index >= 0 else 0

    def _before(self, call: Call, start: int) -> tuple[bytes, int]:
        """The caller's code before the call, and the address it begins at."""
        start = min(max(start, call.caller.address, call.site - BEFORE), call.site)
        self.budget.spend(1 + (call.site - start) // 64)
        return self.kernel.read(start, call.site - start) or b"", start

    def _registers(self, call: Call) -> dict[int, int]:
        """What is known of the registers of arm64 when the call is made, what was set last coming last."""
        code, start = self._before(call, call.caller.address)
        self.budget.spend(len(code) // 16)
        known: dict[int, int] = {}
        waiting: dict[int, dict[int, int]] = {}
        for at in range(0, len(code) & ~3, 4):
            word, address = int.from_bytes(code[at : at + 4], "little"), start + at
            if address in waiting:
                known = _both(known, waiting.pop(address))
            target = _branch(word, address)
            if target is not None and target > address:
                waiting[target] = _both(known, waiting[target]) if target in waiting else dict(known)
            if word & 0xFC000000 == 0x14000000 or word & 0xFFFFF01F in _LEAVING:  # B, BR, RET
                known = dict(waiting.get(address + 4, {}))
            else:
                _step(word, address, known)
        return _both(known, waiting[call.site]) if call.site in waiting else known


def read_calls(kernel: Vmlinux, symbols: Symbols, budget: Budget) -> Calls | None:
    """The direct calls in the code of an image, or None for an architecture whose code is not read."""
    import numpy as np

    if kernel.architecture not in ARCHITECTURES:
        return None
    targets: list[Numbers] = []
    sites: list[Numbers] = []
    for section in kernel.sections:
        if section.executable and section.size > 8:
            finder = _x86_calls if kernel.architecture == "x86_64" else _arm64_calls
            for code_targets, code_sites in finder(kernel, section):
                targets.append(code_targets)
                sites.append(code_sites)
    joined = np.concatenate([*targets, np.empty(0, np.int64)])
    origins = np.concatenate([*sites, np.empty(0, np.int64)])
    order = np.argsort(joined, kind="stable")
    return Calls(kernel, symbols, budget, joined[order], origins[order], np.sort(origins))


def _x86_calls(kernel: Vmlinux, section: ImageSection) -> Iterator[tuple[Numbers, Numbers]]:
    import numpy as np

    code = np.frombuffer(kernel.bytes_of(section), np.uint8)
    at = np.flatnonzero((code[:-4] & 0xFE) == 0xE8)
    distance: Numbers = code[at + 1].astype(np.int64)
    for byte in range(1, 4):
        distance |= code[at + 1 + byte].astype(np.int64) << 8 * byte
    distance -= (distance >> 31) << 32
    inside = at + 5 + distance
    site = at + _signed(section.address)
    # most bytes that only look like calls lead out of every section with code
    keep = np.zeros(len(at), bool)
    for other in kernel.sections:
        if other.executable:
            low = other.address - section.address
            keep |= (inside >= low) & (inside < low + other.size)
    yield inside[keep] + _signed(section.address), site[keep]


def _arm64_calls(kernel: Vmlinux, section: ImageSection) -> Iterator[tuple[Numbers, Numbers]]:
    import numpy as np

    body = kernel.bytes_of(section)
    words = np.frombuffer(body[: len(body) & ~3], "<u4")
    at = np.flatnonzero((words & 0x7C000000) == 0x14000000)
    distance = (words[at] & 0x3FFFFFF).astype(np.int64)
    distance = distance - ((distance >> 25) << 26)
    site = at * 4 + _signed(section.address)
    yield site + distance * 4, site


def _both(one: dict[int, int], other: dict[int, int]) -> dict[int, int]:
    """What is known whichever way the code came."""
    return {register: value for register, value in one.items() if other.get(register) == value}


def _branch(word: int, address: int) -> int | None:
    """Where a branch of arm64 goes: B, B.cond, CBZ, CBNZ, TBZ, TBNZ; None for anything else."""
    if word & 0xFC000000 == 0x14000000:
        bits, field_of = 26, word & 0x3FFFFFF
    elif word & 0xFF000010 == 0x54000000 or word & 0x7E000000 == 0x34000000:
        bits, field_of = 19, word >> 5 & 0x7FFFF
    elif word & 0x7E000000 == 0x36000000:
        bits, field_of = 14, word >> 5 & 0x3FFF
    else:
        return None
    return address + 4 * (field_of - (field_of >> bits - 1 << bits))


def _step(word: int, address: int, known: dict[int, int]) -> None:
    """What one instruction of arm64 does to the constants in registers."""
    target, source = word & 31, word >> 5 & 31
    moved = word >> 16 & 31
    if word & 0x9F000000 in (0x90000000, 0x10000000):  # ADRP, ADR
        distance = (word >> 5 & 0x7FFFF) << 2 | word >> 29 & 3
        distance -= distance >> 20 << 21
        known[target] = (address & ~0xFFF) + (distance << 12) if word >> 31 else address + distance
    elif word & 0xFF800000 == 0x91000000 and source in known:  # ADD immediate
        known[target] = known[source] + ((word >> 10 & 0xFFF) << (12 if word >> 22 & 1 else 0))
    elif word & 0xFFE0FFE0 == 0xAA0003E0 and moved in known:  # MOV register
        known[target] = known[moved]
    elif word & 0x7FE00000 == 0x52800000:  # MOVZ, not shifted
        known[target] = word >> 5 & 0xFFFF
    elif word & 0xFC000000 == 0x94000000 or word & 0xFFFFFC1F == 0xD63F0000:  # BL, BLR: these may be clobbered
        for register in range(19):
            known.pop(register, None)
    elif word & 0x0A000000 == 0x08000000:  # loads and stores; only loads change their register
        if word >> 22 & 1:
            known.pop(target, None)
            if word & 0x38000000 == 0x28000000:  # LDP
                known.pop(word >> 10 & 31, None)
    elif word & 0x1C000000 != 0x14000000:  # no branch
        known.pop(target, None)


def _signed(address: int) -> int:
    return address - (1 << 64) if address >> 63 else address


def _all(code: bytes, prefix: bytes, length: int) -> Iterator[int]:
    """Where an instruction of this length and beginning may stand."""
    at = code.find(prefix)
    while at >= 0:
        if at + length <= len(code):
            yield at
        at = code.find(prefix, at + 1)


def _nearest(code: bytes, base: int, moves: tuple[bytes, ...], addresses: tuple[bytes, ...]) -> tuple[int, ...]:
    """The constants of MOV r64, imm32 and LEA r64, [rip + disp32], the last first."""
    found = [(at, _immediate(code, at)) for move in moves for at in _all(code, move, 7)]
    found += [
        (at, _relative(code, at, base)) for lea in addresses for at in _all(code, lea, 7) if code[at + 2] & 0xC7 == 5
    ]
    return tuple(value for _, value in sorted(found, reverse=True))


def _immediate(code: bytes, at: int) -> int:
    value: int = struct.unpack_from("<i", code, at + 3)[0]
    return value & ALL_ONES


def _relative(code: bytes, at: int, base: int) -> int:
    distance: int = struct.unpack_from("<i", code, at + 3)[0]
    return (base + at + 7 + distance) & ALL_ONES


def callers_up(calls: Calls, function: Symbol, known: Mapping[int, str], depth: int = 3) -> str:
    """The module of the only initcalls that lead to a function by direct calls, at most `depth` steps up; empty where
    none or several do. `known` is the module of an initcall by the address of its function.
    """
    seen, level = {function.address}, [function]
    for _ in range(depth + 1):
        modules = {known[symbol.address] for symbol in level if symbol.address in known}
        if modules:
            return modules.pop() if len(modules) == 1 else ""
        above: dict[int, Symbol] = {}
        for symbol in level[:MAX_CALLERS]:
            for call in islice(calls.of(symbol), MAX_CALLERS):
                if call.caller.address not in seen:
                    above[call.caller.address] = call.caller
        seen |= above.keys()
        level = list(above.values())
    return ""


def initcall_modules(kernel: Vmlinux, symbols: Symbols) -> dict[int, str]:
    """The module of every initcall by the address of its function: the kernel names the entries of its table
    `__initcall__kmod_MODULE__NUMBER_LINE_FUNCTIONLEVEL` (since 3578ad11f3fb, Linux 5.12; with data in kallsyms).

    Entries are distances from themselves (CONFIG_HAVE_ARCH_PREL32_RELOCATIONS: x86, arm64, s390).
    """
    found: dict[int, str] = {}
    addresses = symbols.addresses
    for index, name in enumerate(symbols.names):
        if name.startswith("__initcall__kmod_") and (match := _INITCALL.match(name)):
            raw = kernel.read(addresses[index], 4)
            if raw is not None:
                distance = int.from_bytes(raw, "big" if kernel.architecture == "s390x" else "little", signed=True)
                found[(addresses[index] + distance) & ALL_ONES] = match[1].replace("-", "_")
    return found
