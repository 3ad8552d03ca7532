"""tar archives: POSIX ustar and pax, and GNU tar's long names.

SOURCE: IEEE Std 1003.1 (pax, "ustar Interchange Format", "pax Extended Header"); GNU tar manual, "Basic Tar Format".
A member is a header of 512 bytes, then its data padded to 512 bytes. Two blocks of zeros end the archive::

    0    100  name            124  12  size        156  1  type        257  6  magic "ustar"
    100    8  mode            136  12  mtime       157  100  link name 345  155  prefix of the name
    108   16  owner, group    148   8  checksum

Numbers are octal text; where the first byte has its top bit set the rest is a big-endian two's complement number (GNU).
The checksum is the sum of the header's bytes, with the checksum field itself counted as spaces.
"""

from __future__ import annotations

from collections.abc import Iterator

from hostproof.artefacts.archive.limits import DEFAULT, Limits
from hostproof.artefacts.archive.member import Member
from hostproof.artefacts.archive.stream import ByteStream
from hostproof.errors import InputError

__all__ = ["is_header", "members"]

BLOCK = 512
ZEROS = bytes(BLOCK)
MAX_EXTENSION = 1 << 20  # bytes of one pax header or long name
KINDS = {b"0": "file", b"\0": "file", b"7": "file", b"1": "hardlink", b"2": "symlink", b"5": "directory"}


def is_header(block: bytes) -> bool:
    """Whether `block` starts a tar archive: its checksum fits, or it is an empty archive's zeros."""
    return len(block) >= BLOCK and block[:BLOCK] != ZEROS and _checksum_fits(block[:BLOCK])


def members(stream: ByteStream, limits: Limits = DEFAULT) -> Iterator[Member]:
    """Every member in order. Raises InputError naming the offset of what is malformed, too much or cut off."""
    extension: dict[str, str] = {}
    count = 0
    while True:
        header = bytes(stream.read(BLOCK, "a tar header (there is no end-of-archive mark)"))
        if header == ZEROS:
            return
        count += 1
        if count > limits.members:
            raise InputError(
                f"more than {limits.members} tar members", place=stream.place(), expected="a kernel package"
            )
        if not _checksum_fits(header):
            raise InputError(
                "a tar header whose checksum does not fit",
                place=stream.place().at(offset=stream.offset - BLOCK),
                hint="the archive is damaged; download it again",
            )
        size = _number(header[124:136], stream)
        kind = header[156:157]
        if kind in b"LKxg":
            _extend(extension, kind, _extension_data(stream, size), stream)
            continue
        member = _member(header, size, extension, stream, limits)
        extension = {}
        end = stream.offset + member.size + -member.size % BLOCK
        yield member
        if stream.offset > end:
            raise InputError("a tar member was read past its end", place=stream.place())
        stream.skip(end - stream.offset, repr(member.name[:200]))


def _member(header: bytes, size: int, extension: dict[str, str], stream: ByteStream, limits: Limits) -> Member:
    kind = KINDS.get(header[156:157], "other")
    if header[156:157] == b"S" or any(key.startswith("GNU.sparse") for key in extension):
        kind = "sparse"
    if "size" in extension:
        size = _decimal(extension["size"], stream)
    if kind in ("hardlink", "symlink", "directory"):
        size = 0
    name = extension.get("path") or _name(header)
    target = extension.get("linkpath") or _text(header[157:257])
    if len(name) > limits.name_bytes or len(target) > limits.name_bytes:
        raise InputError(f"a tar member's name of {len(name)} characters", place=stream.place())
    if size > limits.total_bytes:
        raise InputError(
            f"{name[:200]!r} says {size} bytes",
            place=stream.place(),
            expected=f"at most {limits.total_bytes >> 20} MiB in the whole archive",
        )
    return Member(name, kind, size, stream, limits, target)


def _extension_data(stream: ByteStream, size: int) -> bytes:
    if size > MAX_EXTENSION:
        raise InputError(
            f"a tar extension header of {size} bytes", place=stream.place(), expected=f"at most {MAX_EXTENSION}"
        )
    data = bytes(stream.read(size, "a tar extension header"))
    stream.skip(-size % BLOCK, "a tar extension header")
    return data


def _extend(extension: dict[str, str], kind: bytes, data: bytes, stream: ByteStream) -> None:
    """Takes a long name (`L`), a long link name (`K`) or pax records (`x`) for the next member.

    Global pax headers (`g`) carry no names that kernel packages need; they are passed over.
    """
    if kind == b"L":
        extension["path"] = _text(data)
    elif kind == b"K":
        extension["linkpath"] = _text(data)
    elif kind == b"x":
        position = 0
        while position < len(data):
            space = data.find(b" ", position, position + 20)
            length = data[position:space] if space > 0 else b""
            if not length.isdigit() or not (space < position + int(length) <= len(data)):
                raise InputError("a malformed pax record", place=stream.place(), expected="LENGTH KEYWORD=VALUE")
            key, _, value = data[space + 1 : position + int(length) - 1].partition(b"=")
            extension[key.decode("utf-8", "backslashreplace")] = value.decode("utf-8", "backslashreplace")
            position += int(length)


def _name(header: bytes) -> str:
    name = _text(header[:100])
    prefix = _text(header[345:500]) if header[257:263] == b"ustar\0" else ""
    return f"{prefix}/{name}" if prefix else name


def _text(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "backslashreplace")


def _checksum_fits(header: bytes) -> bool:
    digits = header[148:156].strip(b" \0")
    if not digits or any(digit not in b"01234567" for digit in digits):
        return False
    return int(digits, 8) == sum(header) - sum(header[148:156]) + 8 * 0x20


def _number(field: bytes, stream: ByteStream) -> int:
    if field[0] & 0x80:
        value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        if field[0] & 0x40 or value < 0:
            raise InputError("a tar member of negative size", place=stream.place())
        return value
    digits = field.strip(b" \0")
    if any(digit not in b"01234567" for digit in digits):
        raise InputError(f"a tar member's size {field!r}", place=stream.place(), expected="octal digits")
    return int(digits or b"0", 8)


def _decimal(text: str, stream: ByteStream) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise InputError(f"a pax size {text[:40]!r}", place=stream.place(), expected="decimal digits")
    return int(text)
