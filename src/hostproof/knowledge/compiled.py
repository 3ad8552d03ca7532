"""The catalogue in one JSON file, so that a command need not parse TOML in Python at every start.

`compiled.json` holds the tables of all catalogue files and the SHA-256 of their bytes. It is used only where that
digest is the digest of the files beside it; a catalogue that somebody has just corrected is read from its TOML.
`python -m hostproof.knowledge.compiled` writes it. Why this exists, with figures: docs/decisions/0003-compiled-catalogue.md.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["FILE", "digest", "load", "write"]

FILE = "compiled.json"


class _Compiled(msgspec.Struct):
    sha256: str
    tables: dict[str, Any]


def digest(texts: Mapping[str, bytes]) -> str:
    """SHA-256 over names and bytes of the catalogue's files, in the order of their names."""
    total = hashlib.sha256()
    for name in sorted(texts):
        total.update(f"{name}\0{len(texts[name])}\0".encode())
        total.update(texts[name])
    return total.hexdigest()


def load(texts: Mapping[str, bytes], compiled: bytes | None) -> dict[str, Any] | None:
    """The tables of `compiled`, or None where it is missing, unreadable or not of these texts."""
    if compiled is None:
        return None
    try:
        value = msgspec.json.decode(compiled, type=_Compiled)
    except msgspec.DecodeError:
        return None
    return value.tables if value.sha256 == digest(texts) else None


def write(folder: Path) -> bool:
    """Compile the catalogue in `folder`; gives whether the file changed."""
    texts = {path.name: path.read_bytes() for path in sorted(folder.glob("*.toml"))}
    tables = {name: tomllib.loads(data.decode()) for name, data in texts.items()}
    data = msgspec.json.encode(_Compiled(digest(texts), tables)) + b"\n"
    target = folder / FILE
    if target.exists() and target.read_bytes() == data:
        return False
    target.write_bytes(data)
    return True


if __name__ == "__main__":
    changed = write(Path(__file__).parent / "catalogue")
    print("catalogue/compiled.json", "written" if changed else "is up to date")
