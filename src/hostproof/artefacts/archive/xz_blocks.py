"""The blocks of an .xz stream, so that several threads can unpack one package.

SOURCE: "The .xz File Format" 1.2.1. A stream is::

    stream header   12   fd 37 7a 58 5a 00, stream flags (2), CRC32 of the flags
    blocks               each padded to four bytes
    index                00, number of records, then (unpadded size, uncompressed size) per block, padding, CRC32
    stream footer   12   CRC32 of the next six bytes, backward size (index size / 4 - 1), stream flags (2), "YZ"

Numbers in the index are seven bits per byte, low bits first. `xz -T` and dpkg-deb write several blocks; each is
unpacked here by giving liblzma the stream header and the block alone, so that the block's own check is verified.
"""

from __future__ import annotations

import lzma
import struct
import zlib
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from hostproof.artefacts.archive.region import Region
from hostproof.errors import InputError

__all__ = ["Block", "chunks", "find"]

HEADER = 12
FOOTER = 12
MAX_INDEX = 1 << 20
MAX_BLOCK = 72 << 20  # uncompressed; `xz -9` writes blocks of 192 MiB, which are then unpacked serially
MEMORY = 160 << 20
STEP = 4 << 20


@dataclass(frozen=True, slots=True)
class Block:
    """One block: where it lies in the stream, and how many bytes it unpacks to."""

    offset: int
    size: int
    unpacked: int


def find(stream: Region) -> list[Block] | None:
    """The blocks of a single well-formed stream, or None where it has one block, large blocks, or any doubt.

    None is no verdict: the serial decoder reads the stream then and reports what is wrong with it.
    """
    footer = stream.read(stream.size - FOOTER, FOOTER) if stream.size > HEADER + FOOTER else b""
    if (
        len(footer) != FOOTER
        or footer[10:] != b"YZ"
        or zlib.crc32(footer[4:10]) != int.from_bytes(footer[:4], "little")
    ):
        return None
    index_size = (int.from_bytes(footer[4:8], "little") + 1) * 4
    start = stream.size - FOOTER - index_size
    if index_size > MAX_INDEX or start < HEADER or footer[8:10] != stream.read(6, 2):
        return None
    index = stream.read(start, index_size)
    if len(index) != index_size or index[0] != 0 or zlib.crc32(index[:-4]) != struct.unpack("<I", index[-4:])[0]:
        return None
    blocks = _records(index)
    if len(blocks) < 2 or any(block.unpacked > MAX_BLOCK for block in blocks):
        return None
    last = blocks[-1]
    return blocks if last.offset + last.size == start else None


def _records(index: bytes) -> list[Block]:
    """The records of an index, empty where it does not parse."""
    position = 1
    numbers: list[int] = []
    value = shift = 0
    for position in range(1, len(index) - 4):
        value |= (index[position] & 0x7F) << shift
        shift += 7
        if not index[position] & 0x80:
            numbers.append(value)
            value = shift = 0
            if len(numbers) == 1 + 2 * numbers[0]:
                break
        elif shift > 63:
            return []
    if not numbers or len(numbers) != 1 + 2 * numbers[0]:
        return []
    blocks: list[Block] = []
    offset = HEADER
    for unpadded, unpacked in zip(numbers[1::2], numbers[2::2], strict=True):
        size = unpadded + -unpadded % 4
        blocks.append(Block(offset, size, unpacked))
        offset += size
    return blocks


def chunks(
    stream: Region, blocks: list[Block], workers: int, seen: Callable[[int], None] | None = None
) -> Generator[bytes, None, None]:
    """The unpacked bytes in order, `workers` blocks at a time; at most one block more than that waits in memory."""
    header = stream.read(0, HEADER)
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Future[list[bytes]]] = deque()
        try:
            for number in range(len(blocks) + workers):
                if number < len(blocks):
                    pending.append(pool.submit(_unpack, stream, header, blocks[number]))
                if number < workers:
                    continue
                done = blocks[number - workers]
                parts = pending.popleft().result()
                if seen is not None:
                    seen(done.offset + done.size)
                parts.reverse()
                while parts:
                    yield parts.pop()
        finally:
            for future in pending:
                future.cancel()


def _unpack(stream: Region, header: bytes, block: Block) -> list[bytes]:
    decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY)
    parts: list[bytes] = []
    total = 0
    try:
        decoder.decompress(header)
        packed = stream.exactly(block.offset, block.size, "an xz block")
        while True:
            part = decoder.decompress(packed, STEP)
            packed = b""
            parts.append(part)
            total += len(part)
            if not part or total > block.unpacked:
                break
    except lzma.LZMAError as error:
        raise _damaged(stream, block, str(error)) from None
    if total != block.unpacked or decoder.eof:
        raise _damaged(stream, block, f"it unpacks to {total} bytes, its index says {block.unpacked}")
    return parts


def _damaged(stream: Region, block: Block, why: str) -> InputError:
    return InputError(
        f"a damaged xz block: {why}",
        place=stream.place(block.offset),
        expected="a complete file",
        hint="download the file again",
    )
