"""Kernels in a directory: an unpacked package, a root file system, or `lib/modules/RELEASE` alone.

Symbolic links are not followed, so that nothing outside of the directory is read; only regular files are opened.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hostproof.artefacts.kernel.tree import Progress, Tree
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["encodable", "open_regular", "read_directory", "read_file"]

MAX_DEPTH = 24
ROOTS = ("boot", "lib/modules", "usr/lib/modules", "usr/share/doc")


def read_directory(path: Path, tree: Tree, progress: Progress | None) -> None:
    """Offers the kernel files below `path` to `tree`. Raises InputError."""
    if (path / "modules.builtin").is_file() or (path / "modules.order").is_file() or (path / "kernel").is_dir():
        release = encodable(path.resolve().name)
        starts = [(path, f"lib/modules/{release}")]
        tree.directory(f"lib/modules/{release}")
    else:
        starts = [(path / root, root) for root in ROOTS if _is_directory(path, root)]
    wanted = [found for start, name in starts for found in _walk(start, name, tree)]
    for number, (file, name) in enumerate(wanted):
        if progress is not None:
            progress(f"reading {path}", number, len(wanted))
        tree.add(name, read_file(file, tree.limits.member_bytes))


def read_file(path: Path, limit: int) -> bytes:
    """The bytes of a regular file that is no symbolic link. Raises InputError."""
    try:
        with open_regular(path, follow=False) as file:
            size = os.fstat(file.fileno()).st_size
            if size > limit:
                raise InputError(
                    f"a file of {size} bytes",
                    place=Place(encodable(str(path))),
                    expected=f"at most {limit >> 20} MiB",
                )
            return file.read(limit + 1)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", place=Place(encodable(str(path)))) from None


def open_regular(path: Path, *, follow: bool) -> BinaryIO:
    """A regular file opened for reading; a pipe or device is refused and never waited for. Raises OSError, InputError."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    file = os.fdopen(os.open(path, flags), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise InputError(
            "not a regular file",
            place=Place(encodable(str(path))),
            expected="a file or directory",
            hint="save it to a file",
        )
    return file


def encodable(path: str) -> str:
    """A file name as text that can be encoded: bytes that are no UTF-8 are written as escapes."""
    return path.encode("utf-8", "backslashreplace").decode()


def _is_directory(path: Path, root: str) -> bool:
    """Whether `root` is a directory below `path` that is reached without a symbolic link."""
    current = path
    for part in root.split("/"):
        current = current / part
        if current.is_symlink() or not current.is_dir():
            return False
    return True


def _other(path: str) -> bool:
    """Whether a directory below `usr/share/doc` is another package's than a kernel's."""
    return path.startswith("usr/share/doc/") and not path.startswith("usr/share/doc/linux-")


def _walk(start: Path, name: str, tree: Tree) -> Iterator[tuple[Path, str]]:
    """Wanted files below `start` with their paths in the tree, sorted; notes links and directories."""
    stack = [(start, name, 0)]
    while stack:
        directory, prefix, depth = stack.pop()
        try:
            entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", place=Place(str(directory))) from None
        for entry in entries:
            path = f"{prefix}/{encodable(entry.name)}"
            tree.members += 1
            if tree.members > tree.limits.members * 10:
                raise InputError("too many files", place=Place(str(start)), expected="a kernel's directory")
            if entry.is_symlink():
                tree.link(path, encodable(str(Path(entry.path).readlink())), hard=False)
            elif entry.is_dir(follow_symlinks=False):
                tree.directory(path)
                if depth < MAX_DEPTH and not (prefix == "boot" or path.endswith(("/build", "/source")) or _other(path)):
                    stack.append((directory / entry.name, path, depth + 1))
            elif tree.wants(path):
                yield directory / entry.name, path
