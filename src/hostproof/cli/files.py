"""Files that a person names: read with a bound, written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import sys
import tempfile
import time
from pathlib import Path

from hostproof.errors import InputError, UsageError
from hostproof.place import Place

__all__ = ["STANDARD_INPUT", "is_json", "label", "read_bytes", "sha256", "write_output"]

STANDARD_INPUT = "-"
MAX_BYTES = 64 * 1024 * 1024
WRITER_SECONDS = 5


def label(name: str) -> str:
    """The name of a file as it stands in reports: bytes of it that are no UTF-8 are written as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def read_bytes(name: str, what: str, *, limit: int = MAX_BYTES) -> bytes:
    """The bytes of the file `name` (`-` for standard input). `what` names the input in errors.

    Raises InputError where it cannot be read, is a directory, is larger than `limit` bytes, or is a FIFO that nobody
    writes to.
    """
    place = Place(label(name))
    try:
        if name == STANDARD_INPUT:
            if sys.stdin is None:
                raise InputError(f"{what} cannot be read: standard input is closed", place=place)
            data = sys.stdin.buffer.read(limit + 1)
        else:
            data = _read_file(Path(name), what, limit)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"{what} cannot be read: {reason}", place=place) from None
    if len(data) > limit:
        raise InputError(f"{what} is larger than {limit >> 20} MiB", place=place)
    return data


def is_json(name: str) -> bool:
    """Whether the file `name` begins as a JSON object does. What cannot be looked at (it is absent) or not without taking it
    (standard input, a FIFO) is taken for JSON, so that who reads it says what is wrong; a directory is not.
    """
    if name == STANDARD_INPUT:
        return True
    try:
        status = Path(name).stat()
        if not stat.S_ISREG(status.st_mode):
            return not stat.S_ISDIR(status.st_mode)
        with Path(name).open("rb") as file:
            return file.read(64).lstrip()[:1] == b"{"
    except (OSError, ValueError):
        return True


def _read_file(path: Path, what: str, limit: int) -> bytes:
    """The file's bytes, one more than `limit` at most. Opening does not block, so that a FIFO cannot hold us up."""
    place = Place(label(str(path)))
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"{what} is a directory", place=place, expected="a file")
        begun = _first_bytes(file.fileno(), what, place) if stat.S_ISFIFO(mode) else b""
        os.set_blocking(file.fileno(), True)
        return begun + file.read(limit + 1 - len(begun))


def _first_bytes(fifo: int, what: str, place: Place) -> bytes:
    """What a FIFO holds now; nothing where its writer is still at work. Raises InputError where none comes."""
    deadline = time.monotonic() + WRITER_SECONDS
    while time.monotonic() < deadline:
        try:
            if begun := os.read(fifo, 4096):
                return begun
        except BlockingIOError:  # there is a writer, however slow (`<(ssh host virsh dumpxml vm)`)
            return b""
        time.sleep(0.05)
    raise InputError(
        f"{what} is a FIFO, and nobody wrote to it for {WRITER_SECONDS} seconds",
        place=place,
        expected="a file, or a FIFO with a writer",
    )


def write_output(data: str | bytes, output: str | None) -> None:
    """Write to the file `output`, or to standard output where it is None. A file appears whole or not at all.

    Raises UsageError where it cannot be written.
    """
    raw = data.encode() if isinstance(data, str) else data
    if output is None:
        try:
            if isinstance(data, str):
                sys.stdout.write(data)
            else:
                sys.stdout.flush()
                sys.stdout.buffer.write(data)
            sys.stdout.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            _give_up_standard_output()
            raise UsageError(f"cannot write to standard output: {error.strerror}") from None
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
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = "make room there" if full else "name a file in a directory that exists and that you may write to"
        raise UsageError(f"cannot write {output}: {error.strerror}", hint=hint) from None


def _give_up_standard_output() -> None:
    """What is left in the buffer cannot be written: let the interpreter's exit not try again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def sha256(data: bytes) -> str:
    """Hexadecimal SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()
