"""Kernels with symbols, built here: kallsyms tables in every layout, ELF files and flat images around them."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from hostproof.artefacts.kernel.vmlinux import ImageSection, Vmlinux

Entry = tuple[int, str, str]
"""Address, type letter, name."""

TEXT = 0xFFFFFFFF81000000
TOKENS = {0x80: "__", 0x81: "_init", 0x82: "tpci_", 0x83: "virtio", 0x84: "Tdev", 0xC0: "_to_", 0xFE: "read_config"}


@dataclass(frozen=True)
class Layout:
    """What scripts/kallsyms.c wrote in one release."""

    name: str
    addresses: str = "base-relative"  # or: absolute per-CPU, absolute, place-relative
    after: bool = False
    wide: bool = False  # 4.19: the count and the markers are words
    big: bool = False  # lengths above 127 take two bytes
    sequences: int = 0
    aligned: int = 0  # 0: to a word


LAYOUTS = (
    Layout("4.19", wide=True),
    Layout("4.19 x86", "absolute per-CPU", wide=True),
    Layout("5.10", "base-relative"),
    Layout("5.10 x86", "absolute per-CPU"),
    Layout("5.10 absolute", "absolute"),
    Layout("6.1", "base-relative", big=True),
    Layout("6.2-rc1", "base-relative", big=True, sequences=4),
    Layout("6.3 x86", "absolute per-CPU", big=True, sequences=3),
    Layout("6.4", "base-relative", after=True, big=True, sequences=3),
    Layout("6.4 absolute", "absolute", after=True, big=True, sequences=3),
    Layout("6.12 x86", "absolute per-CPU", after=True, big=True, sequences=3),
    Layout("7.0", "place-relative", after=True, big=True, sequences=3, aligned=4),
)


def entries(
    count: int = 1500, base: int = TEXT, *, data: bool = True, percpu: bool = False, long: int = 0
) -> list[Entry]:
    """Symbols by rising address, some at one address; `long` makes one name that long."""
    found: list[Entry] = [(16 * number, "A", f"percpu_{number}") for number in range(20)] if percpu else []
    found.append((base, "T", "_text"))
    address = base
    for number in range(count):
        address += 32 * (number % 7 > 0)
        letter = "dDbr"[number % 4] if data and number % 3 == 0 else "tTtW"[number % 4]
        stem = ("pci_read_config", "virtio_to_dev", "__init", "Rust::x$y")[number % 4]
        found.append(
            (address, letter, f"{stem}_{number}.isra.{number % 10}" if number % 5 == 0 else f"{stem}_{number}")
        )
    if long:
        found[700] = (found[700][0], "t", "x" * long)
    return found


def tokens() -> list[bytes]:
    plain = [chr(code).encode("latin-1") if 0x21 <= code < 0x7F else b"" for code in range(256)]
    for code, text in TOKENS.items():
        plain[code] = text.encode()
    return plain


def _encoded(text: str) -> bytes:
    codes = {value: code for code, value in TOKENS.items()}
    out = bytearray()
    while text:
        token = next((token for token in codes if text.startswith(token)), None)
        out.append(codes[token] if token else ord(text[0]))
        text = text[len(token) if token else 1 :]
    return bytes(out)


def tables(layout: Layout, symbols: Sequence[Entry], at: int, *, word: int = 8, order: str = "little") -> bytes:
    """The tables, where their first byte lies at the address `at`."""
    mark, pointer = "<" if order == "little" else ">", {8: "Q", 4: "I"}[word]
    step = layout.aligned or word
    base = min(address for address, letter, _ in symbols if letter != "A" or layout.addresses != "absolute per-CPU")
    out = bytearray()

    def align() -> None:
        out.extend(bytes(-len(out) % step))

    def addresses() -> None:
        align()
        for address, letter, _ in symbols:
            if layout.addresses == "absolute":
                out.extend(struct.pack(mark + pointer, address))
            elif layout.addresses == "place-relative":
                out.extend(struct.pack(mark + "i", address - at - len(out)))
            elif layout.addresses == "absolute per-CPU":
                value = address if letter == "A" else base - 1 - address
                out.extend(struct.pack(mark + "i", value))
            else:
                out.extend(struct.pack(mark + "I", address - base))
        if layout.addresses in {"base-relative", "absolute per-CPU"}:
            align()
            out.extend(struct.pack(mark + pointer, base))

    def names() -> None:
        align()
        out.extend(struct.pack(mark + (pointer if layout.wide else "I"), len(symbols)))
        align()
        start, markers = len(out), []
        for number, (_, letter, name) in enumerate(symbols):
            if number % 256 == 0:
                markers.append(len(out) - start)
            code = _encoded(letter + name)
            big = layout.big and len(code) > 0x7F
            out.extend(bytes([len(code) & 0x7F | 0x80, len(code) >> 7]) if big else bytes([len(code)]))
            out.extend(code)
        align()
        out.extend(struct.pack(f"{mark}{len(markers)}{pointer if layout.wide else 'I'}", *markers))

    def sequences() -> None:
        align()
        for number in range(len(symbols) if layout.sequences else 0):
            out.extend(number.to_bytes(layout.sequences, "big"))

    def token_table() -> None:
        align()
        texts = tokens()
        out.extend(b"".join(text + b"\0" for text in texts))
        align()
        position = 0
        for text in texts:
            out.extend(struct.pack(mark + "H", position))
            position += len(text) + 1

    steps = (names, token_table, addresses, sequences) if layout.after else (addresses, names, sequences, token_table)
    for part in steps:
        part()
    return bytes(out)


def kernel(
    layout: Layout,
    symbols: Sequence[Entry],
    *,
    word: int = 8,
    order: str = "little",
    architecture: str = "x86_64",
    base: int = TEXT,
) -> Vmlinux:
    """A kernel of one section of text and one with the tables."""
    size = 0x20000
    body = tables(layout, symbols, base + size, word=word, order=order)
    data = bytes(size) + body + bytes(64)
    sections = (
        ImageSection(".text", base, 0, size, True),
        ImageSection(".rodata", base + size, size, len(data) - size, False),
    )
    return Vmlinux("vmlinux", architecture, data, "0" * 64, sections)


def elf(sections: Sequence[tuple[str, int, int, bytes]], *, machine: int = 62) -> bytes:
    """A 64-bit vmlinux; sections are name, sh_flags, sh_addr and bytes."""
    names, body, rows = b"\0", bytearray(64), [bytes(64)]
    for name, flags, address, data in [*sections, (".shstrtab", 0, 0, b"")]:
        at = len(names)
        names += name.encode() + b"\0"
        body += bytes(-len(body) % 8)
        content = names if name == ".shstrtab" else data
        kind = 3 if name == ".shstrtab" else 1
        rows.append(struct.pack("<IIQQQQIIQQ", at, kind, flags, address, len(body), len(content), 0, 0, 8, 0))
        body += content
    body += bytes(-len(body) % 8)
    table = len(body)
    head = b"\x7fELF\x02\x01\x01" + bytes(9)
    head += struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, 0, 0, table, 0, 64, 0, 0, 64, len(rows), len(rows) - 1)
    body[:64] = head
    return bytes(body) + b"".join(rows)


BANNER = b"Linux version 6.12.0-test (a@b) (gcc) #1 SMP\n\0"


def vmlinux(layout: Layout = LAYOUTS[-2], symbols: Sequence[Entry] | None = None, trailer: bytes = b"") -> bytes:
    """An x86 vmlinux with symbols, as a bzImage unpacks to."""
    symbols = entries(percpu=True) if symbols is None else symbols
    rodata = TEXT + 0x20000
    return (
        elf(
            [
                (".text", 6, TEXT, BANNER.ljust(0x20000, b"\xcc")),
                (".rodata", 2, rodata, tables(layout, symbols, rodata)),
                (".data", 7, TEXT + 0x80000, bytes(256)),
                (".comment", 0, 0, b"GCC"),
            ]
        )
        + trailer
    )


def flat(
    layout: Layout,
    *,
    architecture: str = "aarch64",
    base: int = 0xFFFF800080000000,
    relocated: bool = True,
    pointers: int = 200,
) -> tuple[bytes, list[Entry], int]:
    """A flat image, its symbols, and where its pointers lie: `pointers` words that name functions.

    With `relocated` they, and `kallsyms_relative_base`, are in a table of relative relocations alone.
    """
    order, kind = ("little", 1027) if architecture == "aarch64" else ("big", 12)
    mark = "<" if order == "little" else ">"
    marks = [
        (base, "T", "_text"),
        (base + 0x1000, "T", "_stext"),
        (base + 0x20000, "D", "_etext"),
        (base + 0x20000, "D", "__start_rodata"),
        (base + 0x60000, "D", "__end_rodata"),
        (base + 0x60000, "T", "__inittext_begin"),
        (base + 0x61000, "D", "__inittext_end"),
        (base + 0x61000, "D", "_data"),
        (base + 0x62000, "D", "_edata"),
    ]
    symbols = sorted([*marks, *entries(1500, base + 0x2000, data=False)[1:]], key=lambda entry: entry[0])
    image = bytearray(0x62000)
    body = bytearray(tables(layout, symbols, base + 0x20000, order=order))
    functions = [address for address, letter, _ in symbols if letter == "t"]
    places = [(base + 0x61000 + 8 * number, functions[number * 3 % len(functions)]) for number in range(pointers)]
    if relocated and layout.addresses == "base-relative":
        at = body.find(struct.pack(mark + "Q", base))
        body[at : at + 8] = bytes(8)
        places.append((base + 0x20000 + at, base))
    image[0x20000 : 0x20000 + len(body)] = body
    if relocated:
        table = b"".join(struct.pack(mark + "QQQ", place, kind, value) for place, value in places)
        image[0x58000 : 0x58000 + len(table)] = table
    else:
        for place, value in places:
            struct.pack_into(mark + "Q", image, place - base, value)
    if architecture == "aarch64":
        image[:4] = b"MZ@\xfa"
        image[16:24] = len(image).to_bytes(8, "little")
        image[56:60] = b"ARM\x64"
    image[0x1000 : 0x1000 + len(BANNER)] = BANNER
    return bytes(image), symbols, 0x61000
