"""Patterns over row ids: `CHANNEL/INSTANCE/THREAT`, with `*` within a part. `C22/int80/*`, `C34/virtio_*/T3`."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

__all__ = ["meets", "parts_meet"]


def meets(row_id: str, pattern: str) -> bool:
    """Whether a row's id is one that the pattern names; most parts are a word or a lone star, which need no glob."""
    return parts_meet(row_id.split("/"), pattern.split("/"))


def parts_meet(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    """`meets` for an id and a pattern that are split already, as they are where thousands meet."""
    if len(parts) != len(wanted):
        return False
    for part, want in zip(parts, wanted, strict=True):
        if want not in ("*", part) and not ("*" in want and fnmatch.fnmatchcase(part, want)):
            return False
    return True
