r"""The segments of an initrd: archives one after the other, packed or not, with zero bytes between them.

SOURCE: `Documentation/driver-api/early-userspace/buffer-format.rst` and `init/initramfs.c` of Linux (unpack_to_rootfs): a byte
`0` at a multiple of 4 starts an uncompressed cpio, a zero byte is passed over, anything else must be compressed; a compressed
part holds whole archives. `init/main.c` (get_boot_config_from_initrd): a boot configuration stands at the very end::

    text, size (4, little-endian), sum of its bytes (4, little-endian), "#BOOTCONFIG\n"      up to 3 bytes may follow
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from hostproof.artefacts.archive.cpio import Peeking, archives
from hostproof.artefacts.archive.limits import MIB, Limits
from hostproof.artefacts.archive.member import Member
from hostproof.artefacts.archive.region import Region
from hostproof.artefacts.initrd.frames import FOREIGN, Frame, compression
from hostproof.artefacts.initrd.model import Found, Segment
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["LIMITS", "MAX_SEGMENTS", "bootconfig", "walk"]

LIMITS = Limits(member_bytes=256 * MIB, total_bytes=4096 * MIB, ratio=60, slack=64 * MIB)
MAX_SEGMENTS = 64
BOOTCONFIG = b"#BOOTCONFIG\n"
MAX_BOOTCONFIG = 32 * 1024 - 1  # XBC_DATA_MAX of include/linux/bootconfig.h

Take = Callable[[Member, Place, bool], None]
"""Told each member, the place of its segment and whether the segment is early; it may read the member's bytes."""


def walk(region: Region, limits: Limits, take: Take, *, early: bool = True) -> list[Segment]:
    """The segments of one file, each member handed to `take`. Raises InputError.

    `early` says that nothing compressed was loaded before this file.
    """
    segments: list[Segment] = []
    offset = 0
    end, budget = region.size, limits.output(region.size)
    while (offset := _past_zeros(region, offset, end)) < end:
        if len(segments) == MAX_SEGMENTS:
            raise InputError(f"more than {MAX_SEGMENTS} segments", place=region.place(offset), expected="an initrd")
        head = region.read(offset, 16)
        if head[:1] == b"0" and not head.startswith(b"070707"):
            segment = _plain(region, offset, limits, take, early=early)
        else:
            kind = compression(head)
            if kind is None:
                raise _junk(region, offset, head, first=not segments)
            early = False
            segment = _packed(region, offset, kind, limits, take, budget)
            budget -= segment.unpacked
        segments.append(segment)
        offset += segment.size
    if not segments:
        raise InputError("nothing but zero bytes", place=region.place(0), expected="a cpio archive", hint=_HINT)
    return segments


_HINT = "an initrd is what a bootloader hands to the kernel beside it: /boot/initrd.img-*, /boot/initramfs-*"


def bootconfig(region: Region) -> tuple[Region, Found | None, Segment | None]:
    """The region without the boot configuration at its end, and that configuration. Raises InputError where the block is
    damaged.
    """
    tail = region.read(max(region.size - len(BOOTCONFIG) - 3, 0), len(BOOTCONFIG) + 3)
    at = tail.rfind(BOOTCONFIG)
    if at < 0:
        return region, None, None
    footer = max(region.size - len(BOOTCONFIG) - 3, 0) + at - 8
    if footer < 0:
        raise InputError(
            "the input ends inside the footer of a boot configuration",
            place=region.place(0),
            expected="its size and the sum of its bytes in front of #BOOTCONFIG",
        )
    size, checksum = struct.unpack("<II", region.exactly(footer, 8, "the footer of a boot configuration"))
    start = footer - size
    if not 0 < size <= MAX_BOOTCONFIG or start < 0:
        raise InputError(
            f"a boot configuration of {size} bytes",
            place=region.place(footer),
            expected=f"1 to {MAX_BOOTCONFIG} bytes before the footer",
        )
    text = region.exactly(start, size, "a boot configuration")
    if sum(text) & 0xFFFFFFFF != checksum:
        raise InputError(
            "the sum of the boot configuration's bytes is not the one in its footer",
            place=region.place(start),
            expected=f"{checksum:#x}",
            hint="the kernel would not use it; write it again with tools/bootconfig",
        )
    place = region.place(start)
    found = Found("bootconfig", place, text.rstrip(b"\0").decode("utf-8", "backslashreplace"))
    segment = Segment(place, "bootconfig", "", region.size - start, size, 0, early=False)
    return region.part(0, start, region.name), found, segment


def _past_zeros(region: Region, offset: int, end: int) -> int:
    while offset < end:
        data = region.read(offset, 1 << 16)
        rest = data.lstrip(b"\0")
        offset += len(data) - len(rest)
        if rest:
            break
    return offset


def _plain(region: Region, offset: int, limits: Limits, take: Take, *, early: bool) -> Segment:
    if offset % 4:
        raise InputError(
            "a cpio archive between multiples of 4, where the kernel reads none",
            place=region.place(offset),
            expected="padding with zero bytes to a multiple of 4",
        )
    place = region.place(offset)
    stream = _Offset(region.chunks(offset), region.name, region.base + offset)
    members = 0
    for member in archives(stream, limits):
        take(member, place, early)
        members += 1
    size = stream.offset - region.base - offset
    return Segment(place, "cpio", "", size, size, members, early)


def _packed(region: Region, offset: int, kind: str, limits: Limits, take: Take, budget: int) -> Segment:
    place = region.place(offset)
    frame = Frame(region, offset, kind, limits, budget=budget)
    stream = Peeking(frame.chunks(), f"{region.name}!{kind}@{region.base + offset:#x}")
    members = 0
    for member in archives(stream, limits):
        take(member, place, False)
        members += 1
    if stream.peek() is not None:
        raise InputError("junk in a compressed archive", place=stream.place(), expected="a cpio header or zero bytes")
    stream.drain()
    if not members:
        raise InputError(f"{kind} data that holds no cpio archive", place=place, expected="an initramfs", hint=_HINT)
    return Segment(place, "cpio", kind, frame.end - offset, stream.offset, members, early=False)


class _Offset(Peeking):
    """A stream over uncompressed data, whose offsets are those of the file."""

    __slots__ = ()

    def __init__(self, chunks: Iterator[bytes], name: str, start: int) -> None:
        super().__init__(chunks, name)
        self.offset = start


def _junk(region: Region, offset: int, head: bytes, *, first: bool) -> InputError:
    what = next((words for at, magic, words in FOREIGN if region.read(at, len(magic)) == magic), None)
    if what and first:
        return InputError(
            f"not an initramfs: {what}", place=region.place(offset), expected="a cpio archive", hint=_HINT
        )
    return InputError(
        f"neither a cpio archive nor compressed data ({head[:6]!r})",
        place=region.place(offset),
        expected="070701, 070702, gzip, bzip2, lzma, xz, lzo, legacy lz4 or zstd",
        hint=_HINT if first else "the file is damaged, or something was appended to it",
    )
