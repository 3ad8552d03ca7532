"""The compressed parts of an initrd: one frame from a given offset, and where it ends.

SOURCE: `lib/decompress.c` of Linux: the kernel tells the compression by two bytes, unpacks one frame and goes on behind it.
It knows gzip, bzip2, lzma, xz, lzo, legacy LZ4 and zstd (`lib/decompress_*.c`); it does not know the LZ4 frame format.

LZO is lzop's file format (`lib/decompress_unlzo.c`), numbers big-endian::

    0   9  89 4c 5a 4f 00 0d 0a 1a 0a       then version (2), library version (2), needed version (2), method (1)
    level (1) from version 0x940; flags (4), a filter (4) where flag 0x800; mode (4), mtime (4), mtime high (4) from
    version 0x940; length of a name (1), the name, checksum (4)
    blocks: unpacked size (4, 0 ends the file), packed size (4), checksum (4), data
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Generator
from typing import Protocol

from hostproof.artefacts.archive.limits import Limits
from hostproof.artefacts.archive.region import Region
from hostproof.errors import InputError

__all__ = ["FOREIGN", "Frame", "compression"]

STEP = 1 << 20
ZSTD_STEP = 256  # zstandard gives all output of its input at once; so much can hold 8 MiB of runs
LZ4_BLOCK = 8 << 20
LZ4_MAGIC = 0x184C2102
LZO_BLOCK = 256 << 10
LZO_MAGIC = b"\x89LZO\x00\r\n\x1a\n"
LZO_FILTER = 0x800

_MAGICS: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"BZ", "bzip2"),
    (b"\x5d\x00", "lzma"),
    (b"\xfd7", "xz"),
    (b"\x89L", "lzo"),
    (b"\x02\x21", "lz4"),
    (b"\x28\xb5", "zstd"),
)
FOREIGN: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x04\x22\x4d\x18", "an LZ4 frame, which the kernel does not know: it takes the legacy format (lz4 -l)"),
    (0, b"MZ", "a PE file; if it is a unified kernel image, give the initrd in its .initrd section as a file"),
    (0, b"070707", "cpio's old format; the kernel takes `cpio -H newc` alone"),
    (0, b"hsqs", "a squashfs image, which is no initramfs"),
    (0, b"E=\xcd\x28", "a cramfs image, which is no initramfs"),
    (1080, b"\x53\xef", "an ext2, ext3 or ext4 image, which is no initramfs"),
    (0, b"\x27\x05\x19\x56", "a U-Boot image; strip its header of 64 bytes"),
)
"""Offset and bytes by which to tell what people hand over instead of an initramfs."""


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = ...) -> bytes: ...


def compression(head: bytes) -> str | None:
    """The kernel's name for the compression that starts with `head`, or None where it knows none."""
    return next((name for magic, name in _MAGICS if head.startswith(magic)), None)


class Frame:
    """One compressed frame of `packed`, from `start`. `end` is where it ends, once `chunks` has been read to its end.

    `budget` is how many bytes it may give.
    """

    def __init__(self, packed: Region, start: int, kind: str, limits: Limits, *, budget: int) -> None:
        self._packed, self.start, self.kind, self._limits, self._budget = packed, start, kind, limits, budget
        self.end = start

    def chunks(self) -> Generator[bytes, None, None]:
        """What it unpacks to. Raises InputError where it is damaged, ends early or gives more than the limits allow."""
        total = 0
        source = {"lz4": self._lz4, "lzo": self._lzo}.get(self.kind, self._stream)
        for chunk in source():
            total += len(chunk)
            if total > self._budget:
                raise InputError(
                    f"a {self.kind} segment unpacks to more than {self._budget >> 20} MiB",
                    place=self._packed.place(self.start),
                    expected="an initrd, whose contents are a few times its size",
                    hint="it looks like a decompression bomb",
                )
            yield chunk

    def _damaged(self, position: int, why: str) -> InputError:
        return InputError(
            f"damaged {self.kind} data: {why}"[:300],
            place=self._packed.place(position),
            expected="a complete initrd",
            hint="build it again, or copy it again",
        )

    def _stream(self) -> Generator[bytes, None, None]:
        decoder, step = _decoder(self.kind, self._limits)
        position = self.start
        failures = (lzma.LZMAError, zlib.error, OSError, EOFError, RuntimeError, ValueError, MemoryError, _zstd_error())
        try:
            while not decoder.eof:
                data = self._packed.read(position, STEP)
                if not data:
                    raise self._damaged(position, "it ends early")
                position += len(data)
                for offset in range(0, len(data), step):
                    part = data[offset : offset + step]
                    while True:
                        out = decoder.decompress(part, STEP)
                        if out:
                            yield out
                        if decoder.eof:
                            fed = position - len(data) + min(offset + step, len(data))
                            self.end = fed - len(decoder.unused_data)
                            return
                        if not out:
                            break
                        part = b""
        except failures as error:
            raise self._damaged(position, str(error)) from None

    def _lz4(self) -> Generator[bytes, None, None]:
        """Blocks of a 32-bit little-endian size and data; a size of zero, or the end of the input, ends it."""
        import lz4.block  # type: ignore[import-untyped]

        offset = self.start + 4
        while offset < self._packed.size:
            if self._packed.size - offset < 4 and not self._packed.read(offset, 4).strip(b"\0"):
                break  # padding of the file
            (size,) = struct.unpack("<I", self._packed.exactly(offset, 4, "an LZ4 block's size"))
            if size == 0:
                break
            offset += 4
            if size == LZ4_MAGIC:
                continue
            if size > LZ4_BLOCK + LZ4_BLOCK // 255 + 16:
                raise self._damaged(offset - 4, f"a block of {size} bytes")
            data = self._packed.exactly(offset, size, "an LZ4 block")
            try:
                yield lz4.block.decompress(data, uncompressed_size=LZ4_BLOCK)
            except (lz4.block.LZ4BlockError, ValueError, OverflowError, MemoryError) as error:
                raise self._damaged(offset, str(error)) from None
            offset += size
        self.end = offset

    def _lzo(self) -> Generator[bytes, None, None]:
        from lzallright import LZOCompressor, LZOError

        offset = self._lzo_header()
        while True:
            (unpacked,) = struct.unpack(">I", self._packed.exactly(offset, 4, "an LZO block's size"))
            if unpacked == 0:
                self.end = offset + 4
                return
            (size,) = struct.unpack(">I", self._packed.exactly(offset + 4, 4, "an LZO block's size"))
            if unpacked > LZO_BLOCK or not 0 < size <= unpacked:
                raise self._damaged(offset, f"a block of {size} bytes that unpack to {unpacked}")
            data = self._packed.exactly(offset + 12, size, "an LZO block")
            if size < unpacked:
                try:
                    data = LZOCompressor.decompress(data, unpacked)
                except (LZOError, ValueError, MemoryError) as error:
                    raise self._damaged(offset, str(error)) from None
            if len(data) != unpacked:
                raise self._damaged(offset, f"a block gives {len(data)} bytes, not {unpacked}")
            yield data
            offset += 12 + size

    def _lzo_header(self) -> int:
        head = self._packed.read(self.start, 320)
        if not head.startswith(LZO_MAGIC) or len(head) < 40:
            raise self._damaged(self.start, "its header is not that of lzop")
        newer = int.from_bytes(head[9:11], "big") >= 0x940
        position = 16 + newer
        filtered = bool(int.from_bytes(head[position : position + 4], "big") & LZO_FILTER)
        position += (8 if filtered else 4) + (12 if newer else 8)
        return self.start + position + 1 + head[position] + 4


class _Zlib:
    """zlib keeps input that it could not use apart; here it is fed again."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    def decompress(self, data: bytes, max_length: int = STEP) -> bytes:
        return self._decoder.decompress(self._decoder.unconsumed_tail + data, max_length)


class _Zstd:
    def __init__(self, limits: Limits) -> None:
        import zstandard

        window = min(limits.decoder_bytes, 1 << 27)
        self._decoder = zstandard.ZstdDecompressor(max_window_size=window).decompressobj()

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    def decompress(self, data: bytes, max_length: int = STEP) -> bytes:
        return self._decoder.decompress(data) if data else b""


def _decoder(kind: str, limits: Limits) -> tuple[_Decoder, int]:
    """The decoder of a compression, and how many bytes to feed it at once."""
    match kind:
        case "gzip":
            return _Zlib(), STEP
        case "bzip2":
            return bz2.BZ2Decompressor(), STEP
        case "zstd":
            return _Zstd(limits), ZSTD_STEP
        case _:
            form = lzma.FORMAT_XZ if kind == "xz" else lzma.FORMAT_ALONE
            return lzma.LZMADecompressor(form, memlimit=limits.decoder_bytes), STEP


def _zstd_error() -> type[Exception]:
    import zstandard

    return zstandard.ZstdError
