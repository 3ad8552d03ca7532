"""How much an archive may hold before it is refused.

Every archive is hostile. A compressed stream may give `slack` bytes whatever its size and beyond that `ratio` times its
own size, never more than `total_bytes`; kernel packages stay near a ratio of 6 and below half a gigabyte.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT", "MIB", "Limits"]

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for one archive; bytes are those after decompression."""

    members: int = 100_000
    name_bytes: int = 4096
    member_bytes: int = 256 * MIB
    """A member that is looked into. Others are skipped and bounded by `total_bytes` alone."""
    total_bytes: int = 8192 * MIB
    ratio: int = 100
    slack: int = 64 * MIB
    decoder_bytes: int = 160 * MIB
    """Memory of one decompressor: the dictionary or window that a stream may ask for."""

    def output(self, compressed: int) -> int:
        """The bytes that a stream of `compressed` bytes may give."""
        return min(self.total_bytes, self.slack + self.ratio * compressed)


DEFAULT = Limits()
