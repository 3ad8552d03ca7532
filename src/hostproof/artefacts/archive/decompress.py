"""Decompression as bounded streams: gzip, xz, lzma, zstd, bzip2, LZ4 and LZO, told apart by their first bytes.

SOURCE: RFC 1952 (gzip); "The .xz File Format" 1.2.1; RFC 8878 (zstd); lz4 "Frame Format" 1.6.4, which also describes the
legacy frame that the Linux kernel packs its payload with (magic 0x184c2102, then blocks of a 32-bit little-endian size
and data that unpacks to 8 MiB at most). For LZO see `hostproof.artefacts.archive.lzop`.

Output is counted against `Limits.output`, so that a bomb is refused after its slack; a stream that ends early or goes
on with something else is refused too.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Protocol

import lz4.block  # type: ignore[import-untyped]
import lz4.frame  # type: ignore[import-untyped]
import zstandard

from hostproof.artefacts.archive import lzop, xz_blocks
from hostproof.artefacts.archive.limits import DEFAULT, Limits
from hostproof.artefacts.archive.region import Region
from hostproof.errors import InputError

__all__ = ["MAGICS", "chunks", "detect", "leading", "whole"]

STEP = 1 << 20
AHEAD = 4  # chunks that the decompressing thread may be ahead of the reader
LZ4_LEGACY_BLOCK = 8 << 20
LZ4_LEGACY_PACKED = LZ4_LEGACY_BLOCK + LZ4_LEGACY_BLOCK // 255 + 16  # the largest that it packs to

MAGICS: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"BZh", "bzip2"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x02\x21\x4c\x18", "lz4-legacy"),
    (lzop.MAGIC[:8], "lzo"),
    (b"\x5d\x00\x00", "lzma"),
)
_FAILURES = (lzma.LZMAError, zlib.error, zstandard.ZstdError, OSError, EOFError, RuntimeError, ValueError, MemoryError)


class _Decoder(Protocol):
    """One compressed frame: give it input, take at most `STEP` bytes of output at a time."""

    eof: bool

    def feed(self, data: bytes) -> bytes: ...

    def left(self) -> bytes:
        """Input after the end of the frame."""


def detect(head: bytes) -> str | None:
    """The compression that `head` (at least six bytes) starts, or None."""
    return next((name for magic, name in MAGICS if head.startswith(magic)), None)


def chunks(
    packed: Region, limits: Limits = DEFAULT, *, workers: int = 1, seen: Callable[[int], None] | None = None
) -> Generator[bytes, None, None]:
    """The unpacked bytes of `packed`, or its bytes as they are where it is not compressed.

    With `workers` decompression runs ahead in threads (the decoders release the interpreter's lock). `seen` is told how
    many bytes of `packed` were taken. Close the iterator to stop the threads. Raises InputError.
    """
    kind = detect(packed.read(0, 8))
    if kind is None:
        return _counted(packed.chunks(), packed, limits.total_bytes)
    blocks = xz_blocks.find(packed) if kind == "xz" and workers else None
    if blocks:
        return _counted(xz_blocks.chunks(packed, blocks, workers, seen), packed, limits.output(packed.size))
    unpacked = _counted(_frames(kind, packed, limits, seen), packed, limits.output(packed.size))
    return _ahead(unpacked) if workers else unpacked


def whole(packed: bytes, name: str, limits: Limits = DEFAULT) -> memoryview:
    """All unpacked bytes of a small file, at most `limits.member_bytes`. Raises InputError."""
    region = Region.of_bytes(packed, name)
    return _gathered(chunks(region, limits, workers=0), region, limits)


def leading(packed: bytes, name: str, limits: Limits = DEFAULT) -> memoryview:
    """All unpacked bytes of the first stream in `packed`, whatever follows it, at most `limits.member_bytes`.

    Raises InputError where no stream starts there, or it is damaged.
    """
    region = Region.of_bytes(packed, name)
    kind = detect(packed[:8])
    if kind is None:
        raise InputError("no compressed stream", place=region.place(0), expected="one of the packings of kernels")
    frames = _frames(kind, region, limits, None, alone=False)
    return _gathered(_counted(frames, region, limits.output(region.size)), region, limits)


def _gathered(stream: Generator[bytes, None, None], region: Region, limits: Limits) -> memoryview:
    parts = bytearray()
    for chunk in stream:
        parts += chunk
        if len(parts) > limits.member_bytes:
            raise InputError(
                f"unpacks to more than {limits.member_bytes >> 20} MiB",
                place=region.place(0),
                expected="a smaller file",
            )
    return memoryview(parts).toreadonly()


def _counted(stream: Generator[bytes, None, None], packed: Region, limit: int) -> Generator[bytes, None, None]:
    """`stream`, refused once it gives more than `limit` bytes."""
    total = 0
    with closing(stream):
        for chunk in stream:
            total += len(chunk)
            if total > limit:
                raise InputError(
                    f"{packed.size} bytes unpack to more than {limit >> 20} MiB",
                    place=packed.place(0),
                    expected="a package, whose contents are a few times its size",
                    hint="the archive looks like a decompression bomb",
                )
            yield chunk


def _ahead(stream: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
    """`stream`, computed in a thread that runs a few chunks ahead."""
    with ThreadPoolExecutor(1) as pool:
        pending: deque[Future[bytes | None]] = deque(pool.submit(next, stream, None) for _ in range(AHEAD))
        try:
            while (chunk := pending.popleft().result()) is not None:
                pending.append(pool.submit(next, stream, None))
                yield chunk
        finally:
            for future in pending:
                future.cancel()


def _frames(
    kind: str, packed: Region, limits: Limits, seen: Callable[[int], None] | None, *, alone: bool = True
) -> Generator[bytes, None, None]:
    """Frame after frame of one compression, to the end of the region; the first one where they are not `alone` in it."""
    if kind in {"lz4-legacy", "lzo"}:
        yield from _lz4_legacy(packed, alone=alone) if kind == "lz4-legacy" else lzop.blocks(packed, alone=alone)
        return
    position = 0
    try:
        decoder = _DECODERS[kind](limits)
        unfinished = True
        for data in packed.chunks():
            position += len(data)
            if seen is not None:
                seen(position)
            while data or not decoder.eof:
                if decoder.eof:
                    if not alone:
                        return
                    if not data.strip(b"\0"):
                        break  # padding between and after streams
                    decoder = _DECODERS[kind](limits)
                out = decoder.feed(data)
                data = decoder.left() if decoder.eof else b""  # noqa: PLW2901 (what is left goes to the next frame)
                if out:
                    yield out
                elif not decoder.eof:
                    break
        unfinished = not decoder.eof
    except _FAILURES as error:
        raise _damaged(kind, packed, position, str(error)) from None
    if unfinished:
        raise _damaged(kind, packed, position, "the stream ends early")


def _damaged(kind: str, packed: Region, position: int, why: str) -> InputError:
    return InputError(
        f"damaged {kind} data: {why}"[:300],
        place=packed.place(position),
        expected="a complete file",
        hint="download the file again",
    )


def _lz4_legacy(packed: Region, *, alone: bool) -> Iterator[bytes]:
    """Block after block; nothing ends the stream but a size that no block has."""
    offset = 4
    while offset < packed.size:
        (size,) = struct.unpack("<I", packed.exactly(offset, 4, "an LZ4 block's size"))
        offset += 4
        if size == 0x184C2102:
            continue
        if not alone and not 0 < size <= min(LZ4_LEGACY_PACKED, packed.size - offset):
            return
        try:
            yield lz4.block.decompress(packed.exactly(offset, size, "an LZ4 block"), uncompressed_size=LZ4_LEGACY_BLOCK)
        except (lz4.block.LZ4BlockError, ValueError, OverflowError, MemoryError) as error:
            raise _damaged("lz4", packed, offset, str(error)) from None
        offset += size


class _Standard:
    """The decoders of the standard library, which hold input back once they gave `STEP` bytes."""

    def __init__(self, decoder: bz2.BZ2Decompressor | lzma.LZMADecompressor) -> None:
        self._decoder = decoder
        self.eof = False

    def feed(self, data: bytes) -> bytes:
        out = self._decoder.decompress(data, STEP)
        self.eof = self._decoder.eof
        return out

    def left(self) -> bytes:
        return self._decoder.unused_data


class _Gzip:
    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(wbits=31)
        self.eof = False

    def feed(self, data: bytes) -> bytes:
        out = self._decoder.decompress(self._decoder.unconsumed_tail + data, STEP)
        self.eof = self._decoder.eof
        return out

    def left(self) -> bytes:
        return self._decoder.unused_data


class _Lz4:
    def __init__(self) -> None:
        self._decoder = lz4.frame.LZ4FrameDecompressor()
        self.eof = False

    def feed(self, data: bytes) -> bytes:
        out: bytes = self._decoder.decompress(data, STEP)
        self.eof = self._decoder.eof
        return out

    def left(self) -> bytes:
        return self._decoder.unused_data or b""


class _Zstd:
    """zstandard's decompressobj gives all output of its input at once; 256 bytes can hold 8 MiB of runs."""

    FEED = 256

    def __init__(self, limits: Limits) -> None:
        window = min(limits.decoder_bytes, 1 << 27)
        self._decoder = zstandard.ZstdDecompressor(max_window_size=window).decompressobj()
        self._held = memoryview(b"")
        self.eof = False

    def feed(self, data: bytes) -> bytes:
        if data:
            self._held = memoryview(bytes(self._held) + data) if self._held else memoryview(data)
        out: list[bytes] = []
        size = 0
        while self._held and size < STEP and not self.eof:
            part = self._decoder.decompress(bytes(self._held[: self.FEED]))
            self._held = self._held[self.FEED :]
            out.append(part)
            size += len(part)
            self.eof = self._decoder.eof
        return b"".join(out)

    def left(self) -> bytes:
        return self._decoder.unused_data + bytes(self._held)


_DECODERS: dict[str, Callable[[Limits], _Decoder]] = {
    "gzip": lambda limits: _Gzip(),
    "xz": lambda limits: _Standard(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=limits.decoder_bytes)),
    "lzma": lambda limits: _Standard(lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=limits.decoder_bytes)),
    "bzip2": lambda limits: _Standard(bz2.BZ2Decompressor()),
    "zstd": _Zstd,
    "lz4": lambda limits: _Lz4(),
}
