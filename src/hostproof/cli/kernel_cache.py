"""Kernels read before: facts by the digest of what was read, so that a second look costs a fraction of a second.

An entry is named by a digest over the bytes of every input, the names they were given by, the questions asked and the
code of the readers, so that it cannot be stale: another input, question or reader is another name. Entries carry a
digest of themselves and are written whole or not at all; a damaged one is read anew. The directory holds nothing else
and is safe to delete at any time.

It is `$HOSTPROOF_CACHE`, else `$XDG_CACHE_HOME/hostproof`, else `~/.cache/hostproof`; `HOSTPROOF_CACHE=off` turns it off.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from hostproof.artefacts.kernel import facts_file
from hostproof.artefacts.kernel.facts import KernelFacts
from hostproof.errors import InputError

__all__ = ["KernelCache", "Key", "opened"]

MAX_ENTRIES = 64
MAX_BYTES = 1 << 30
SUFFIX = ".kernel-facts"
DIGEST = 32
NEW = ".new."
LEFT_BEHIND = 86_400  # seconds

Key = str
"""Hexadecimal SHA-256 that names an entry."""


class KernelCache:
    """Facts of kernels, one file per entry below `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @staticmethod
    def key(paths: Sequence[Path], questions: str) -> Key | None:
        """The name of the entry for these inputs, or None where one of them is no regular file: it is then read anew.

        `questions` is the digest of what is asked of the kernel.
        """
        digest = hashlib.sha256(f"{_readers()}\n{questions}\n".encode())
        for path in paths:
            try:
                if not path.is_file():
                    return None
                with path.open("rb") as file:
                    content = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError:
                return None
            digest.update(f"{os.fsencode(path)!r} {content}\n".encode())
        return digest.hexdigest()

    def get(self, key: Key) -> KernelFacts | None:
        """The facts of an entry, or None where there is none that is whole."""
        try:
            data = _regular(self._directory / f"{key}{SUFFIX}")
        except OSError:
            return None
        digest, body = data[:DIGEST], data[DIGEST:]
        if hashlib.sha256(body).digest() != digest:
            return None
        try:
            return facts_file.decode(body, "kernel cache")
        except InputError:
            return None

    def put(self, key: Key, facts: KernelFacts) -> None:
        """Keep facts. A directory that cannot be written, or a full disk, costs the next run time and nothing else."""
        body = facts_file.encode(facts)
        with contextlib.suppress(OSError):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self._directory, prefix=NEW)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(hashlib.sha256(body).digest() + body)
                Path(temporary).replace(self._directory / f"{key}{SUFFIX}")
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(temporary).unlink()
                raise
            self._trim()

    def _trim(self) -> None:
        """Leave the newest entries, within the bounds. Another run may be removing the same ones. What killed runs left
        behind goes after a day.
        """
        entries = []
        for path in self._directory.glob(f"{NEW}*"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > LEFT_BEHIND:
                    path.unlink()
        for path in self._directory.glob(f"*{SUFFIX}"):
            with contextlib.suppress(OSError):
                status = path.stat()
                entries.append((status.st_mtime_ns, status.st_size, path))
        total = 0
        for number, (_, size, path) in enumerate(sorted(entries, reverse=True)):
            total += size
            if number >= MAX_ENTRIES or total > MAX_BYTES:
                with contextlib.suppress(OSError):
                    path.unlink()


def opened() -> KernelCache | None:
    """The cache of this user, or None where it is turned off or there is no place for it."""
    asked = os.environ.get("HOSTPROOF_CACHE", "")
    if asked.lower() in ("off", "0", "no"):
        return None
    if asked:
        return KernelCache(Path(asked))
    base = os.environ.get("XDG_CACHE_HOME", "")
    if base and Path(base).is_absolute():
        return KernelCache(Path(base) / "hostproof")
    try:
        return KernelCache(Path.home() / ".cache/hostproof")
    except RuntimeError:  # no home directory
        return None


def _regular(path: Path) -> bytes:
    """The bytes of a regular file, one more than the bound at most; nothing of what else stands in its place: a pipe would
    be waited for, and a device has no end. Raises OSError.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags), "rb") as file:
        return file.read(MAX_BYTES + 1) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""


def _readers() -> str:
    """Digest of the code that reads kernels: what another version of it read is not taken for what this one reads."""
    digest = hashlib.sha256()
    for package in ("hostproof.artefacts.archive", "hostproof.artefacts.kernel"):
        for item in sorted(resources.files(package).iterdir(), key=lambda item: item.name):
            if item.name.endswith(".py"):
                digest.update(item.read_bytes())
    return digest.hexdigest()
