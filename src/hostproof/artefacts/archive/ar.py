r"""ar archives, as `.deb` packages are.

SOURCE: deb(5) and ar(5). After the eight bytes `!<arch>\n` come members, each at an even offset::

    0   16  name, padded with spaces (a trailing `/` as GNU writes it is no part of it)
    16  12  modification time      28  6  owner      34  6  group      40  8  mode
    48  10  size in bytes, decimal, padded with spaces
    58   2  "`\n"
"""

from __future__ import annotations

from collections.abc import Iterator

from hostproof.artefacts.archive.limits import DEFAULT, Limits
from hostproof.artefacts.archive.region import Region
from hostproof.errors import InputError

__all__ = ["MAGIC", "members"]

MAGIC = b"!<arch>\n"
HEADER = 60
MAX_MEMBERS = 64


def members(archive: Region, limits: Limits = DEFAULT) -> Iterator[tuple[str, Region]]:
    """Name and bytes of every member. Raises InputError naming the offset of a malformed header."""
    if archive.read(0, len(MAGIC)) != MAGIC:
        raise InputError("not an ar archive", place=archive.place(0), expected="the bytes `!<arch>\\n`")
    offset = len(MAGIC)
    count = 0
    while offset < archive.size:
        header = archive.exactly(offset, HEADER, "an ar member's header")
        count += 1
        if count > min(MAX_MEMBERS, limits.members):
            raise InputError(f"more than {MAX_MEMBERS} ar members", place=archive.place(offset), expected="a .deb")
        name, size = _fields(header, archive, offset)
        yield name, archive.part(offset + HEADER, size, f"{archive.name}!{name}")
        offset += HEADER + size + size % 2


def _fields(header: bytes, archive: Region, offset: int) -> tuple[str, int]:
    digits = header[48:58].rstrip(b" ")
    if header[58:60] != b"`\n" or not digits.isdigit():
        raise InputError(
            "a malformed ar member header",
            place=archive.place(offset),
            expected="a decimal size and the bytes 60 0a at its end",
            hint="the package is damaged; download it again",
        )
    name = header[:16].rstrip(b" ").decode("ascii", "backslashreplace")
    return name.removesuffix("/"), int(digits)
