"""Small linked kernels for tests: functions assembled by hand, their calls resolved, with the symbols of kallsyms."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from hostproof.artefacts.kernel.symbols import Symbols
from hostproof.artefacts.kernel.vmlinux import ImageSection, Vmlinux

TEXT = 0xFFFF_FFFF_8100_0000
INIT_TEXT = TEXT + 0x10_0000
DATA = TEXT + 0x20_0000

Code = Sequence[bytes | tuple[str, str]]
"""Bytes, and branches by mnemonic and the function that they go to."""

_X86 = {"call": b"\xe8", "jmp": b"\xe9", "je": b"\x0f\x84"}
_AARCH64 = {"bl": 0x94000000, "b": 0x14000000}


@dataclass(frozen=True)
class Function:
    name: str
    code: Code
    init: bool = False
    letter: str = "t"


def x86(text: str) -> bytes:
    return bytes.fromhex(text)


def words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}I", *values)


def _size(item: bytes | tuple[str, str], architecture: str) -> int:
    if isinstance(item, bytes):
        return len(item)
    return 4 if architecture == "aarch64" else len(_X86[item[0]]) + 4


def _branch(mnemonic: str, at: int, target: int, architecture: str) -> bytes:
    if architecture == "aarch64":
        return struct.pack("<I", _AARCH64[mnemonic] | ((target - at) >> 2) & 0x03FFFFFF)
    opcode = _X86[mnemonic]
    return opcode + struct.pack("<i", target - at - len(opcode) - 4)


def link(
    functions: Sequence[Function],
    *,
    data: Sequence[tuple[str, str, bytes]] = (),
    architecture: str = "x86_64",
    complete: bool = True,
    flat: bool = False,
    executable: Sequence[tuple[str, bytes]] = (),
) -> tuple[Vmlinux, Symbols]:
    """A kernel with these functions in `.text` or `.init.text`.

    `data` are sections from `DATA` on, a page or more apart: name, the symbols at start and end (`start,end`, either may be
    empty), bytes. `executable` are more executable sections, without symbols.
    """
    addresses = addresses_of(functions, architecture)
    table: list[tuple[int, str, str]] = [(addresses[each.name], each.letter, each.name) for each in functions]
    bodies = {False: bytearray(), True: bytearray()}
    for each in functions:
        body = bodies[each.init]
        base = INIT_TEXT if each.init else TEXT
        body.extend(b"\xcc" * (addresses[each.name] - base - len(body)))
        for item in each.code:
            if isinstance(item, bytes):
                body.extend(item)
            else:
                body.extend(_branch(item[0], base + len(body), addresses[item[1]], architecture))
    parts: list[tuple[str, int, bytes, bool]] = [
        (".text", TEXT, bytes(bodies[False]) + b"\xcc" * 16, True),
        (".init.text", INIT_TEXT, bytes(bodies[True]) + b"\xcc" * 16, True),
    ]
    address = DATA
    for name, names, body_of in data:
        parts.append((name, address, body_of, False))
        start, _, end = names.partition(",")
        table.extend((where, "d", label) for where, label in ((address, start), (address + len(body_of), end)) if label)
        address += (len(body_of) + 0xFFF) & ~0xFFF
    for name, body_of in executable:
        parts.append((name, address, body_of, True))
        address += (len(body_of) + 0xFFF) & ~0xFFF
    table.append((TEXT + len(bodies[False]) + 16, "T", "_etext"))
    table.sort(key=lambda entry: entry[0])
    whole, sections = b"\x7fELF" + bytes(60), []
    for name, where, body_of, runs in parts:
        sections.append(ImageSection(name, where, len(whole), len(body_of), runs))
        whole += body_of + bytes(-len(body_of) % 16)
    kernel = Vmlinux("vmlinux", architecture, whole, hashlib.sha256(whole).hexdigest(), tuple(sections), flat)
    kept = [entry for entry in table if complete or entry[1] in "TtWw"]
    symbols = Symbols(
        [where for where, _, _ in kept],
        "".join(letter for _, letter, _ in kept),
        [name for _, _, name in kept],
        complete,
    )
    return kernel, symbols


def addresses_of(functions: Sequence[Function], architecture: str = "x86_64") -> dict[str, int]:
    """Where `link` puts each function: one after the other, at multiples of 16; an empty one shares the next one's."""
    at = {False: TEXT, True: INIT_TEXT}
    addresses = {}
    for each in functions:
        addresses[each.name] = at[each.init]
        at[each.init] += (sum(_size(item, architecture) for item in each.code) + 15) & ~15
    return addresses
