"""Kernel packages: Debian's `.deb`, RPM, and plain archives of a root file system.

SOURCE: deb(5): an ar archive of `debian-binary`, `control.tar[.gz|.xz|.zst]` with the file `control`, and
`data.tar[.gz|.xz|.zst|.bz2]`. For RPM see `hostproof.artefacts.archive.rpm`.

A package is read in one pass from beginning to end; nothing is written anywhere.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from hostproof.artefacts.archive import ar, cpio, rpm, tar
from hostproof.artefacts.archive.decompress import chunks
from hostproof.artefacts.archive.limits import Limits
from hostproof.artefacts.archive.member import Member, inside
from hostproof.artefacts.archive.region import Region
from hostproof.artefacts.archive.stream import ByteStream
from hostproof.artefacts.kernel.tree import Progress, Tree, workers
from hostproof.errors import InputError

__all__ = ["Label", "archive_format", "read_archive", "read_deb", "read_rpm"]

MAX_CONTROL = 1 << 20
_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64", "i386": "i686", "ppc64el": "ppc64", "loong64": "loongarch64"}


@dataclass(frozen=True, slots=True)
class Label:
    """What a package says it is; empty words where it does not."""

    package: str = ""
    architecture: str = ""


def read_deb(package: Region, tree: Tree, progress: Progress | None) -> Label:
    """Offers the contents of a `.deb` to `tree`. Raises InputError."""
    label, data = None, False
    for name, member in ar.members(package):
        if name.startswith("control.tar"):
            label = _control(member, tree.limits)
        elif name.startswith("data.tar"):
            data = True
            read_archive(member, tree, progress)
    if label is None or not data:
        raise InputError(
            "an ar archive without control.tar and data.tar",
            place=package.place(0),
            expected="a Debian package",
            hint="give the .deb of a kernel, for example from `apt-get download linux-image-...`",
        )
    return label


def read_rpm(package: Region, tree: Tree, progress: Progress | None) -> Label:
    """Offers the contents of an RPM to `tree`. Raises InputError."""
    header = rpm.read_rpm(package)
    if header.format != "cpio":
        raise InputError(f"an RPM payload of format {header.format!r}", place=package.place(0), expected="cpio")
    read_archive(header.payload, tree, progress)
    version = "-".join(part for part in (header.version, header.release) if part)
    return Label(f"{header.name} {version}".strip(), header.architecture)


def archive_format(packed: Region, limits: Limits) -> str | None:
    """`tar` or `cpio`, where `packed` starts (unpacked) as such an archive. Raises InputError where it is damaged."""
    with closing(chunks(packed, limits, workers=0)) as unpacked:
        head = bytearray()
        for chunk in unpacked:
            head += chunk
            if len(head) >= 512:
                break
    return _format(bytes(head))


def read_archive(packed: Region, tree: Tree, progress: Progress | None) -> None:
    """Offers every file of a tar or cpio archive, packed or not, to `tree`. Raises InputError."""
    seen = None if progress is None else (lambda done: progress(f"reading {packed.name}", done, packed.size))
    form = archive_format(packed, tree.limits)
    if form is None:
        raise InputError(
            "neither a tar nor a cpio archive",
            place=packed.place(0),
            expected="a package that holds a root file system",
        )
    walk = tar.members if form == "tar" else cpio.members
    with closing(chunks(packed, tree.limits, workers=workers(), seen=seen)) as unpacked:
        stream = ByteStream(unpacked, packed.name)
        for member in walk(stream, tree.limits):
            _offer(member, tree)
        stream.drain()
    if progress is not None:
        progress(f"reading {packed.name}", packed.size, packed.size)


def _offer(member: Member, tree: Tree) -> None:
    tree.members += 1
    path = inside(member.name)
    if path is None:
        tree.note(f"a member named {member.name[:200]!r} leads out of the archive and was passed over")
    elif member.kind == "directory":
        tree.directory(path)
    elif member.kind in ("symlink", "hardlink"):
        tree.link(path, member.target, hard=member.kind == "hardlink")
    elif member.kind == "file":
        names = [name for name in (path, *map(inside, member.also)) if name is not None and tree.wants(name)]
        if names and not (member.size == 0 and not member.also and path.endswith(".ko")):
            data = member.read()
            for name in names:
                tree.add(name, data)
    elif tree.wants(path):
        tree.note(f"{path} is a {member.kind} member, which holds no plain bytes, and was passed over")


def _format(head: bytes) -> str | None:
    if head[:6] in cpio.MAGICS:
        return "cpio"
    return "tar" if tar.is_header(head) else None


def _control(member: Region, limits: Limits) -> Label:
    """Package, Version and Architecture of the `control` file."""
    unpacked = chunks(member, limits, workers=0)
    for entry in tar.members(ByteStream(unpacked, member.name), limits):
        if inside(entry.name) == "control" and entry.kind == "file" and entry.size <= MAX_CONTROL:
            fields = dict[str, str]()
            for line in bytes(entry.read()).decode("utf-8", "backslashreplace").splitlines():
                key, colon, value = line.partition(":")
                if colon and not line.startswith((" ", "\t")):
                    fields.setdefault(key.lower(), value.strip())
            word = fields.get("architecture", "")
            name = f"{fields.get('package', '')} {fields.get('version', '')}".strip()
            return Label(name, _ARCHITECTURES.get(word, "" if word == "all" else word))
    raise InputError("a control archive without a control file", place=member.place(0), expected="a Debian package")
