"""cpio archives in the "new ASCII" format, as RPM payloads and initramfs images are.

SOURCE: `Documentation/driver-api/early-userspace/buffer-format.rst` of Linux; cpio(5). A header of 110 bytes::

    0    6  "070701", or "070702" with checksums
    6   8 each  ino, mode, uid, gid, nlink, mtime, filesize, major, minor, rmajor, rminor, namesize, chksum (hexadecimal)
    110     name with its NUL, padded so that header and name fill a multiple of 4; then the data, padded to 4

The member `TRAILER!!!` ends the archive. Of a file with several links only the last one carries the data.

An initramfs is looser (`init/initramfs.c`, the same document): archives stand one after the other with zero bytes between
them, each header at a multiple of 4, the trailer may be missing, any of a file's links may carry its data, and the sum of
the bytes in a "070702" header must be right: `archives` reads that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hostproof.artefacts.archive.limits import DEFAULT, Limits
from hostproof.artefacts.archive.member import Member
from hostproof.artefacts.archive.stream import ByteStream
from hostproof.errors import InputError

__all__ = ["MAGICS", "Peeking", "archives", "members"]

MAGICS = (b"070701", b"070702")
TRAILER = "TRAILER!!!"
HEADER = 110
MAX_PENDING = 10_000
_HEX = frozenset(b"0123456789abcdefABCDEF")
_KINDS = {0o100000: "file", 0o120000: "symlink", 0o040000: "directory"}


def members(stream: ByteStream, limits: Limits = DEFAULT) -> Iterator[Member]:
    """Every member in order. Raises InputError naming the offset of what is malformed, too much or cut off."""
    linked: dict[tuple[int, int, int], list[str]] = {}
    count = 0
    while True:
        header = _header(stream, "a cpio header (there is no TRAILER!!!)")
        name = _name(stream, header.name_bytes, limits)
        if name == TRAILER:
            return
        count = _counted(count, stream, limits, "a kernel package")
        end = stream.offset + header.size + -header.size % 4
        member = Member(name, header.kind, header.size, stream, limits)
        if header.kind == "symlink":
            member.target = _target(stream, header.size, limits)
        elif header.kind == "file" and header.links > 1:
            names = linked.setdefault(header.inode, [])
            if header.size == 0 and len(linked) < MAX_PENDING and len(names) < MAX_PENDING:
                names.append(name)
            member.also = tuple(linked.pop(header.inode)) if header.size else ()
        yield member
        if stream.offset > end:
            raise InputError("a cpio member was read past its end", place=stream.place())
        stream.skip(end - stream.offset, repr(name[:200]))


class Peeking(ByteStream):
    """A stream that shows its next byte before it is read."""

    __slots__ = ()

    def peek(self) -> int | None:
        """The next byte, or None at the end."""
        if self._next == len(self._chunk) and not self._advance():
            return None
        return self._chunk[self._next]

    def skip_zeros(self) -> None:
        """Passes over zero bytes."""
        while self.peek() == 0:
            rest = self._chunk[self._next :]
            length = len(rest) - len(bytes(rest).lstrip(b"\0"))
            self._next += length
            self.offset += length


def archives(stream: Peeking, limits: Limits = DEFAULT) -> Iterator[Member]:
    """Every member of the archives that `stream` holds one after the other, as the kernel unpacks them.

    A further link to a file whose data came before is of kind `hardlink` with that name as its target. Stops before the
    first byte between archives that is neither zero nor the `0` of a header; what stands there is for the caller to say.
    Raises InputError naming the offset of what is malformed, too much or cut off.
    """
    linked: dict[tuple[int, int, int], tuple[str, bool]] = {}
    count = 0
    while True:
        stream.skip_zeros()
        if stream.peek() != ord("0"):
            return
        if stream.offset % 4:
            raise InputError(
                "a cpio header between multiples of 4, where the kernel reads none",
                place=stream.place(),
                expected="zero bytes up to the next multiple of 4",
            )
        header = _header(stream, "a cpio header")
        name = _name(stream, header.name_bytes, limits)
        if name == TRAILER:
            linked.clear()
            stream.skip(header.size + -header.size % 4, TRAILER)
            continue
        count = _counted(count, stream, limits, "an initrd")
        start = stream.offset
        member = Member(name, header.kind, header.size, _summed(stream, header, name, limits), limits)
        if header.kind == "symlink":
            member.target = _target(member.stream, header.size, limits)
        elif header.links > 1 and header.kind == "file":
            first, filled = linked.get(header.inode, (name, False))
            if filled and not header.size:
                member.kind, member.target = "hardlink", first
            elif header.size and first != name:
                member.also = (first,)
            if len(linked) < MAX_PENDING:
                linked[header.inode] = (name if header.size else first, filled or bool(header.size))
        yield member
        if stream.offset > start + header.size:
            raise InputError("a cpio member was read past its end", place=stream.place())
        stream.skip(start + header.size - stream.offset, repr(name[:200]))
        for _ in range(-header.size % 4):  # the last archive may end without its padding
            if stream.peek() is not None:
                stream.skip(1, "padding")


@dataclass(frozen=True, slots=True)
class _Header:
    magic: bytes
    offset: int
    inode: tuple[int, int, int]
    kind: str
    links: int
    size: int
    name_bytes: int
    checksum: int


def _header(stream: ByteStream, what: str) -> _Header:
    at = stream.offset
    header = bytes(stream.read(HEADER, what))
    if header[:6] not in MAGICS or not _HEX.issuperset(header[6:]):
        hint = "RPM writes this form only for files above 4 GiB" if header[:6] == b"07070X" else None
        raise InputError(
            f"a malformed cpio header ({header[:6]!r})",
            place=stream.place().at(offset=at),
            expected="070701 or 070702 and hexadecimal digits",
            hint=hint or "the archive is damaged; download it again",
        )
    ino, mode, _, _, nlink, _, size, major, minor, _, _, length, checksum = (
        int(header[position : position + 8], 16) for position in range(6, HEADER, 8)
    )
    kind = _KINDS.get(mode & 0o170000, "other")
    return _Header(header[:6], at, (ino, major, minor), kind, nlink, size, length, checksum)


def _counted(count: int, stream: ByteStream, limits: Limits, expected: str) -> int:
    if count >= limits.members:
        raise InputError(f"more than {limits.members} cpio members", place=stream.place(), expected=expected)
    return count + 1


def _summed(stream: ByteStream, header: _Header, name: str, limits: Limits) -> ByteStream:
    """The stream that gives the member's bytes: of a "070702" file those whose sum was compared with its header."""
    if header.magic != MAGICS[1] or header.kind != "file" or not header.size:
        return stream
    data = Member(name, header.kind, header.size, stream, limits).read()
    if sum(data) & 0xFFFFFFFF != header.checksum:
        raise InputError(
            f"{name[:200]!r}: the sum of its bytes is not the one in its header",
            place=stream.place().at(offset=header.offset),
            expected=f"{header.checksum:#010x}, found {sum(data) & 0xFFFFFFFF:#010x}",
            hint="the archive is damaged; the kernel stops unpacking here",
        )
    return ByteStream(iter([bytes(data)]), stream.name)


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
