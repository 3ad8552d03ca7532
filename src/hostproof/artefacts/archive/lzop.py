"""The container of `lzop`, which the kernel's build packs an LZO payload in.

SOURCE: `lib/decompress_unlzo.c` (`parse_header`, `unlzo`) and `scripts/Makefile.lib` (`lzop -9`) of Linux. Big-endian::

    9   magic 89 "LZO" 00 0d 0a 1a 0a
    2   version; below 0x0940 the fields marked * are not there
    2+2 version of the library, version needed to unpack
    1+1 method, *level
    4   flags: 0x1 Adler-32 and 0x100 CRC-32 of unpacked blocks, 0x2 and 0x200 of packed ones, 0x800 a filter
    4   filter, where the flags say so
    4+4 mode, time of change
    4   *upper half of that time
    1   length of the name, then the name
    4   checksum of the header

and blocks: unpacked size 4 (0 ends the file), packed size 4, checksums 4 each (those of packed data only where it is
packed), data.
Where the sizes are equal the block is stored. Blocks hold 256 KiB at most.
"""

from __future__ import annotations

from collections.abc import Iterator

from hostproof.artefacts.archive.region import Region
from hostproof.errors import InputError

__all__ = ["MAGIC", "blocks"]

MAGIC = b"\x89LZO\0\r\n\x1a\n"
BLOCK = 256 << 10
ADLER32_UNPACKED, ADLER32_PACKED, CRC32_UNPACKED, CRC32_PACKED, FILTER = 0x1, 0x2, 0x100, 0x200, 0x800
_OPTIONAL = 0x0940


def blocks(packed: Region, *, alone: bool = True) -> Iterator[bytes]:
    """The unpacked blocks of a file. Raises InputError where it is damaged, or where other data follows and `alone` is
    set (zeros may follow).
    """
    import lzallright  # heavy parts are imported where they are used

    position, flags = _header(packed)
    checksums = 4 * sum(bool(flags & flag) for flag in (ADLER32_UNPACKED, CRC32_UNPACKED))
    packed_checksums = 4 * sum(bool(flags & flag) for flag in (ADLER32_PACKED, CRC32_PACKED))
    while unpacked_size := _number(packed, position, "a block's unpacked size"):
        size = _number(packed, position + 4, "a block's packed size")
        if not 0 < size <= unpacked_size <= BLOCK:
            raise InputError(
                f"an LZO block of {size} bytes that unpacks to {unpacked_size}",
                place=packed.place(position),
                expected=f"at most {BLOCK} bytes, packed to no more than that",
            )
        position += 8 + checksums + (packed_checksums if size < unpacked_size else 0)
        data = packed.exactly(position, size, "an LZO block")
        if size < unpacked_size:
            try:
                data = lzallright.LZOCompressor.decompress(data, unpacked_size)
            except lzallright.LZOError as error:
                raise _damaged(packed, position, str(error)) from None
            if len(data) != unpacked_size:
                raise _damaged(packed, position, f"a block of {len(data)} bytes instead of {unpacked_size}")
        yield data
        position += size
    if alone and any(chunk.strip(b"\0") for chunk in packed.chunks(position + 4)):
        raise _damaged(packed, position + 4, "other data follows")


def _header(packed: Region) -> tuple[int, int]:
    """Where the blocks start, and the flags."""
    packed.exactly(0, len(MAGIC), "the header of lzop")
    version = int.from_bytes(packed.exactly(9, 2, "the version"), "big")
    position = 9 + 7 + (1 if version >= _OPTIONAL else 0)
    flags = _number(packed, position, "the flags")
    position += 4 + (4 if flags & FILTER else 0) + 8 + (4 if version >= _OPTIONAL else 0)
    length = packed.exactly(position, 1, "the length of the name")[0]
    return position + 1 + length + 4, flags


def _number(packed: Region, offset: int, what: str) -> int:
    return int.from_bytes(packed.exactly(offset, 4, what), "big")


def _damaged(packed: Region, position: int, why: str) -> InputError:
    return InputError(
        f"damaged lzo data: {why}",
        place=packed.place(position),
        expected="a complete file",
        hint="download the file again",
    )
