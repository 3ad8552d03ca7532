"""cpio archives in the "new ASCII" format, as RPM payloads and initramfs images are.

SOURCE: `Documentation/driver-api/early-userspace/buffer-format.rst` of Linux; cpio(5). A header of 110 bytes::

    0    6  "070701", or "070702" with checksums
    6   8 each  ino, mode, uid, gid, nlink, mtime, filesize, major, minor, rmajor, rminor, namesize, chksum (hexadecimal)
    110     name with its NUL, padded so that header and name fill a multiple of 4; then the data, padded to 4

The member `TRAILER!!!` ends the archive. Of a file with several links only the last one carries the data.
"""

from __future__ import annotations

from collections.abc import Iterator

from hostproof.artefacts.archive.limits import DEFAULT, Limits
from hostproof.artefacts.archive.member import Member
from hostproof.artefacts.archive.stream import ByteStream
from hostproof.errors import InputError

__all__ = ["MAGICS", "members"]

MAGICS = (b"070701", b"070702")
HEADER = 110
MAX_PENDING = 10_000
_HEX = frozenset(b"0123456789abcdefABCDEF")
_KINDS = {0o100000: "file", 0o120000: "symlink", 0o040000: "directory"}


def members(stream: ByteStream, limits: Limits = DEFAULT) -> Iterator[Member]:
    """Every member in order. Raises InputError naming the offset of what is malformed, too much or cut off."""
    linked: dict[tuple[int, int, int], list[str]] = {}
    count = 0
    while True:
        at = stream.offset
        header = bytes(stream.read(HEADER, "a cpio header (there is no TRAILER!!!)"))
        if header[:6] not in MAGICS or not _HEX.issuperset(header[6:]):
            hint = "RPM writes this form only for files above 4 GiB" if header[:6] == b"07070X" else None
            raise InputError(
                f"a malformed cpio header ({header[:6]!r})",
                place=stream.place().at(offset=at),
                expected="070701 or 070702 and hexadecimal digits",
                hint=hint or "the archive is damaged; download it again",
            )
        ino, mode, _, _, nlink, _, size, major, minor, _, _, length, _ = (
            int(header[position : position + 8], 16) for position in range(6, HEADER, 8)
        )
        name = _name(stream, length, limits)
        if name == "TRAILER!!!":
            return
        count += 1
        if count > limits.members:
            raise InputError(
                f"more than {limits.members} cpio members", place=stream.place(), expected="a kernel package"
            )
        kind = _KINDS.get(mode & 0o170000, "other")
        end = stream.offset + size + -size % 4
        member = Member(name, kind, size, stream, limits)
        if kind == "symlink":
            member.target = _target(stream, size, limits)
        elif kind == "file" and nlink > 1:
            names = linked.setdefault((ino, major, minor), [])
            if size == 0 and len(linked) < MAX_PENDING and len(names) < MAX_PENDING:
                names.append(name)
            member.also = tuple(linked.pop((ino, major, minor))) if size else ()
        yield member
        if stream.offset > end:
            raise InputError("a cpio member was read past its end", place=stream.place())
        stream.skip(end - stream.offset, repr(name[:200]))


def _name(stream: ByteStream, length: int, limits: Limits) -> str:
    if not 1 <= length <= limits.name_bytes:
        raise InputError(f"a cpio member's name of {length} bytes", place=stream.place(), expected="1 to 4096")
    raw = bytes(stream.read(length, "a cpio member's name"))
    stream.skip(-(HEADER + length) % 4, "a cpio member's name")
    return raw.partition(b"\0")[0].decode("utf-8", "backslashreplace")


def _target(stream: ByteStream, size: int, limits: Limits) -> str:
    if size > limits.name_bytes:
        raise InputError(f"a symbolic link's target of {size} bytes", place=stream.place(), expected="a path")
    return bytes(stream.read(size, "a symbolic link's target")).decode("utf-8", "backslashreplace")
