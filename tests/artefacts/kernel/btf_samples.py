"""Types as a kernel carries them, built here: a writer of BTF for the tests of its reader."""

from __future__ import annotations

import struct
from collections.abc import Sequence

Field = tuple[str, int, int]
"""Name, type and offset in bytes of a member."""


class BtfBuilder:
    """Collects types; each method gives the number of the type that it adds."""

    def __init__(self, order: str = "little") -> None:
        self.mark = "<" if order == "little" else ">"
        self.order = order
        self.types = b""
        self.strings = b"\0"
        self.count = 0

    def text(self, name: str) -> int:
        if not name:
            return 0
        at = self.strings.find(b"\0" + name.encode() + b"\0")
        if at >= 0:
            return at + 1
        self.strings += name.encode() + b"\0"
        return len(self.strings) - len(name) - 1

    def add(self, name: str, kind: int, size: int, words: Sequence[int] = (), vlen: int = 0, flag: bool = False) -> int:
        info = flag << 31 | kind << 24 | vlen
        self.types += struct.pack(f"{self.mark}{3 + len(words)}I", self.text(name), info, size, *words)
        self.count += 1
        return self.count

    def integer(self, name: str, size: int) -> int:
        return self.add(name, 1, size, [8 * size])

    def pointer(self, target: int = 0) -> int:
        return self.add("", 2, target)

    def array(self, target: int, count: int, index: int = 0) -> int:
        return self.add("", 3, 0, [target, index, count])

    def struct(self, name: str, size: int, members: Sequence[Field], *, union: bool = False) -> int:
        words = [word for member, kind, offset in members for word in (self.text(member), kind, 8 * offset)]
        return self.add(name, 5 if union else 4, size, words, len(members))

    def typedef(self, name: str, target: int) -> int:
        return self.add(name, 8, target)

    def const(self, target: int) -> int:
        return self.add("", 10, target)

    def build(self, layout: bytes = b"") -> bytes:
        """The section; with a layout as kernels since 7.1 write it."""
        size, types, strings = 32 if layout else 24, len(self.types), len(self.strings)
        head = struct.pack(f"{self.mark}HBBIIIII", 0xEB9F, 1, 0, size, 0, types, types, strings)
        if layout:
            head += struct.pack(f"{self.mark}II", types + strings, len(layout))
        return head + self.types + self.strings + layout
