"""Patterns over row ids: `CHANNEL/INSTANCE/THREAT`, with `*` within a part. `C22/int80/*`, `C34/virtio_*/T3`."""

from __future__ import annotations

import fnmatch

__all__ = ["meets"]


def meets(row_id: str, pattern: str) -> bool:
    """Whether a row's id is one that the pattern names; most parts are a word or a lone star, which need no glob."""
    parts, wanted = row_id.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(
        want in ("*", part) or ("*" in want and fnmatch.fnmatchcase(part, want))
        for part, want in zip(parts, wanted, strict=True)
    )
