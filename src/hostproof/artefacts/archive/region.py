"""A range of bytes of an input that can be read at any offset."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator

from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["Region"]

STEP = 1 << 20


class Region:
    """Bytes `0 .. size` of an input or of an uncompressed member of it; reads from threads do not disturb each other.

    `name` is the artefact in places; `base` is where the region starts in it, so that offsets are those of the file.
    """

    __slots__ = ("_read", "base", "name", "size")

    def __init__(self, read: Callable[[int, int], bytes], size: int, name: str, base: int = 0) -> None:
        self._read = read
        self.size = size
        self.name = name
        self.base = base

    @classmethod
    def of_bytes(cls, data: bytes, name: str) -> Region:
        return cls(lambda offset, length: data[offset : offset + length], len(data), name)

    @classmethod
    def of_descriptor(cls, descriptor: int, name: str) -> Region:
        """The file behind an open descriptor, which must stay open."""
        size = os.fstat(descriptor).st_size
        return cls(lambda offset, length: os.pread(descriptor, length, offset), size, name)

    def part(self, offset: int, size: int, name: str) -> Region:
        """A member that lies in this region as it is. Raises InputError where it runs past the end."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise InputError(
                f"{name.rpartition('!')[2]} says {size} bytes, the input ends after {max(self.size - offset, 0)}",
                place=self.place(offset),
                expected="a complete file",
                hint="download the package again",
            )
        return Region(self._read, size, name, self.base + offset)

    def place(self, offset: int) -> Place:
        return Place(self.name, offset=self.base + offset)

    def read(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer at the end."""
        if offset >= self.size:
            return b""
        return self._read(self.base + offset, min(length, self.size - offset))

    def exactly(self, offset: int, length: int, what: str) -> bytes:
        """`length` bytes from `offset`. Raises InputError where the region ends before."""
        data = self.read(offset, length)
        if len(data) != length:
            raise InputError(
                f"the input ends inside {what}",
                place=self.place(offset),
                expected=f"{length} bytes, {len(data)} are left",
                hint="download the file again",
            )
        return data

    def chunks(self, start: int = 0) -> Generator[bytes, None, None]:
        """All bytes from `start` in steps of a megabyte."""
        offset = start
        while offset < self.size:
            data = self.exactly(offset, min(STEP, self.size - offset), "the file (it shrank while it was read)")
            yield data
            offset += len(data)
