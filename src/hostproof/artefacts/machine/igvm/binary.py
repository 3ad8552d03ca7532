"""The headers of an IGVM file: which platforms it is for, and with which policy each is launched.

An IGVM file is a fixed header, then variable headers (type, length, content, each aligned to 8 bytes), then data. The
content says which pages are loaded where, which of them are measured, and what the loader (the host) fills in at
launch: parameters.

SOURCE: microsoft/igvm `igvm_defs/src/lib.rs`, commit e6c3ff1c34c3.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["MAGIC", "PARAMETERS", "PLATFORMS", "Header", "Image", "Platform", "parse"]

MAGIC = b"IGVM"
FIXED = struct.Struct("<4s5I")
"""magic, format_version, variable_header_offset, variable_header_size, total_file_size, checksum"""
VARIABLE = struct.Struct("<II")
"""type, length"""
SUPPORTED_PLATFORM = struct.Struct("<IBBHQ")
"""compatibility_mask, highest_vtl, platform_type, platform_version, shared_gpa_boundary"""
GUEST_POLICY = struct.Struct("<QII")
"""policy, compatibility_mask, reserved"""
PAGE_DATA = struct.Struct("<QIII")
"""gpa, compatibility_mask, file_offset, flags; then a page type of 16 bits and 16 reserved bits"""

MAX_HEADERS = 300_000
TYPE_PLATFORM, TYPE_POLICY, TYPE_PAGE, TYPE_ID_BLOCK = 0x1, 0x101, 0x302, 0x30B
OPTIONAL = 1 << 31
FLAG_UNMEASURED, FLAG_SHARED = 0x2, 0x4

PLATFORMS = {0: "native", 1: "vbs", 2: "sev-snp", 3: "tdx", 4: "sev", 5: "sev-es", 6: "cca"}
PARAMETERS = {
    0x307: ("the number of vCPUs", "C09"),
    0x308: ("the ACPI SRAT", "C04"),
    0x309: ("the ACPI MADT", "C04"),
    0x30A: ("the ranges for MMIO", "C05"),
    0x30C: ("the memory map", "C05"),
    0x30E: ("a command line", "C03"),
    0x30F: ("the ACPI SLIT", "C04"),
    0x310: ("the ACPI PPTT", "C04"),
    0x312: ("a device tree", "C05"),
    0x313: ("what the environment is (shared memory by default or not)", "C05"),
}
"""Parameters that the loader fills in and that no launch measurement covers: type -> what, channel."""


@dataclass(frozen=True, slots=True)
class Header:
    """A variable header: its type without the optional bit, and its content."""

    type: int
    content: bytes
    place: Place


@dataclass(frozen=True, slots=True)
class Platform:
    """A platform that the file supports. `policy` is as the file writes it, None where it has none for this
    platform.
    """

    name: str
    mask: int
    highest_vtl: int
    shared_gpa_boundary: int
    place: Place
    policy: int | None = None
    policy_place: Place | None = None
    pages: int = 0
    unmeasured_pages: int = 0
    shared_pages: int = 0
    id_block: bool = False


@dataclass(frozen=True, slots=True)
class Image:
    """An IGVM file. `checksum_right` tells whether the CRC-32 over the headers is right."""

    version: int
    platforms: tuple[Platform, ...]
    parameters: tuple[Header, ...]
    checksum_right: bool


def parse(data: bytes, name: str) -> Image:
    """The headers of `data`. Raises InputError with the offset of what is wrong."""
    place = Place(name)
    if len(data) < FIXED.size or data[:4] != MAGIC:
        raise InputError(
            "not an IGVM file", place=place.at(offset=0), expected='the bytes "IGVM" and a header of 24 bytes'
        )
    _, version, start, size, _, checksum = FIXED.unpack_from(data)
    if version not in (1, 2):
        raise InputError(f"IGVM version {version}", place=place.at(offset=4), expected="version 1 or 2")
    fixed = FIXED.size if version == 1 else FIXED.size + 8
    if start % 8 or start < fixed or start + size > len(data):
        raise InputError(
            f"variable headers of {size} bytes at {start:#x}",
            place=place.at(offset=8),
            expected=f"headers aligned to 8 within the {len(data)} bytes of the file",
        )
    headers = _headers(data, start, start + size, place)
    covered = data[:20] + b"\0\0\0\0" + data[24:fixed] + data[start : start + size]
    return Image(
        version=version,
        platforms=_platforms(headers),
        parameters=tuple(header for header in headers if header.type in PARAMETERS),
        checksum_right=zlib.crc32(covered) == checksum,
    )


def _headers(data: bytes, offset: int, end: int, place: Place) -> list[Header]:
    headers: list[Header] = []
    while offset + VARIABLE.size <= end:
        kind, length = VARIABLE.unpack_from(data, offset)
        content = offset + VARIABLE.size
        if kind == 0 or content + length > end or len(headers) >= MAX_HEADERS:
            raise InputError(
                f"a variable header of type {kind:#x} and {length} bytes",
                place=place.at(offset=offset),
                expected=f"a type above 0, at most {end - content} bytes, and at most {MAX_HEADERS} headers",
            )
        headers.append(Header(kind & ~OPTIONAL, data[content : content + length], place.at(offset=offset)))
        offset = content + (length + 7) // 8 * 8
    return headers


def _content(header: Header, layout: struct.Struct) -> tuple[int, ...]:
    if len(header.content) < layout.size:
        raise InputError(
            f"a header of type {header.type:#x} has {len(header.content)} bytes",
            place=header.place,
            expected=f"at least {layout.size} bytes",
        )
    return layout.unpack_from(header.content)


def _platforms(headers: list[Header]) -> tuple[Platform, ...]:
    policies: dict[int, tuple[int, Place]] = {}
    pages: dict[int, list[int]] = {}
    id_blocks = 0
    for header in headers:
        if header.type == TYPE_POLICY:
            policy, mask, _ = _content(header, GUEST_POLICY)
            policies.update({1 << bit: (policy, header.place) for bit in range(32) if mask & 1 << bit})
        elif header.type == TYPE_PAGE:
            _, mask, _, flags = _content(header, PAGE_DATA)
            counts = pages.setdefault(mask, [0, 0, 0])
            counts[0] += 1
            counts[1] += bool(flags & FLAG_UNMEASURED)
            counts[2] += bool(flags & FLAG_SHARED)
        elif header.type == TYPE_ID_BLOCK and len(header.content) >= 4:
            id_blocks |= int.from_bytes(header.content[:4], "little")
    found: list[Platform] = []
    for header in headers:
        if header.type != TYPE_PLATFORM:
            continue
        mask, vtl, kind, _, boundary = _content(header, SUPPORTED_PLATFORM)
        policy_found = policies.get(mask)
        totals = [sum(counts[i] for known, counts in pages.items() if known & mask) for i in range(3)]
        found.append(
            Platform(
                name=PLATFORMS.get(kind, f"platform {kind}"),
                mask=mask,
                highest_vtl=vtl,
                shared_gpa_boundary=boundary,
                place=header.place,
                policy=policy_found[0] if policy_found else None,
                policy_place=policy_found[1] if policy_found else None,
                pages=totals[0],
                unmeasured_pages=totals[1],
                shared_pages=totals[2],
                id_block=bool(id_blocks & mask),
            )
        )
    return tuple(found)
