"""Files that a person names: read with a bound, written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from pathlib import Path

from hostproof.errors import InputError, UsageError
from hostproof.place import Place

__all__ = ["STANDARD_INPUT", "read_bytes", "sha256", "write_output"]

STANDARD_INPUT = "-"
MAX_BYTES = 64 * 1024 * 1024


def read_bytes(name: str, what: str, *, limit: int = MAX_BYTES) -> bytes:
    """The bytes of the file `name` (`-` for standard input). `what` names the input in errors.

    Raises InputError where it cannot be read, is a directory or is larger than `limit` bytes.
    """
    place = Place(name)
    try:
        if name == STANDARD_INPUT:
            data = sys.stdin.buffer.read(limit + 1)
        else:
            path = Path(name)
            if path.is_dir():
                raise InputError(f"{what} is a directory", place=place, expected="a file")
            with path.open("rb") as file:
                data = file.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"{what} cannot be read: {reason}", place=place) from None
    if len(data) > limit:
        raise InputError(f"{what} is larger than {limit >> 20} MiB", place=place)
    return data


def write_output(data: str | bytes, output: str | None) -> None:
    """Write to the file `output`, or to standard output where it is None. A file appears whole or not at all."""
    raw = data.encode() if isinstance(data, str) else data
    if output is None:
        if isinstance(data, str):
            sys.stdout.write(data)
        else:
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
        return
    target = Path(output)
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(raw)  # a device or a pipe cannot be replaced
            return
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(raw)
            umask = os.umask(0)
            os.umask(umask)
            Path(temporary).chmod(0o666 & ~umask)
            Path(temporary).replace(target)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
            raise
    except OSError as error:
        raise UsageError(
            f"cannot write {output}: {error.strerror}", hint="name a file in a directory that exists"
        ) from None


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()
