"""A forward-only stream of bytes, as archive formats are read: exact reads and skips, with the offset for messages."""

from __future__ import annotations

from collections.abc import Iterator

from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["ByteStream"]


class ByteStream:
    """Reads from chunks without copying where a read lies within one chunk."""

    __slots__ = ("_chunk", "_chunks", "_next", "name", "offset")

    def __init__(self, chunks: Iterator[bytes], name: str) -> None:
        self._chunks = chunks
        self._chunk = memoryview(b"")
        self._next = 0
        self.name = name
        self.offset = 0

    def place(self) -> Place:
        return Place(self.name, offset=self.offset)

    def read(self, length: int, what: str) -> memoryview:
        """`length` bytes. Raises InputError where the stream ends before."""
        end = self._next + length
        if end <= len(self._chunk):
            data = self._chunk[self._next : end]
            self._next = end
            self.offset += length
            return data
        return self._gather(length, what)

    def _gather(self, length: int, what: str) -> memoryview:
        gathered = bytearray()
        while len(gathered) < length:
            if self._next == len(self._chunk) and not self._advance():
                raise self._ended(what, length - len(gathered))
            part = self._chunk[self._next : self._next + length - len(gathered)]
            gathered += part
            self._next += len(part)
        self.offset += length
        return memoryview(gathered).toreadonly()

    def skip(self, length: int, what: str) -> None:
        """Passes over `length` bytes. Raises InputError where the stream ends before."""
        left = length
        while left:
            if self._next == len(self._chunk) and not self._advance():
                raise self._ended(what, left)
            step = min(left, len(self._chunk) - self._next)
            self._next += step
            left -= step
        self.offset += length

    def drain(self) -> None:
        """Passes over the rest, so that a decompressor sees (and checks) the end of its stream."""
        self.offset += len(self._chunk) - self._next
        while self._advance():
            self.offset += len(self._chunk)
        self._next = len(self._chunk)

    def _advance(self) -> bool:
        for chunk in self._chunks:
            if chunk:
                self._chunk = memoryview(chunk)
                self._next = 0
                return True
        return False

    def _ended(self, what: str, missing: int) -> InputError:
        return InputError(
            f"the archive ends inside {what}",
            place=self.place(),
            expected=f"{missing} more bytes",
            hint="the file is truncated; download it again",
        )
