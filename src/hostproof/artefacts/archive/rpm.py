"""RPM packages: what the header says, and where the payload lies.

SOURCE: rpm's `docs/manual/format_*.md` and `include/rpm/rpmtag.h`; numbers are big-endian::

    lead        96 bytes, starts with ed ab ee db
    signature   a header, padded to a multiple of 8
    header      8e ad e8 01, 4 bytes reserved, number of entries, bytes of data,
                entries of 16 (tag, type, offset into the data, count), then the data
    payload     a cpio archive, packed with gzip, xz, zstd, bzip2 or lzma

Type 6 is one NUL-terminated string. Signatures are not checked here: a verifier of packages does that.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from hostproof.artefacts.archive.region import Region
from hostproof.errors import InputError

__all__ = ["MAGIC", "Package", "read_rpm"]

MAGIC = b"\xed\xab\xee\xdb"
LEAD = 96
MAX_ENTRIES = 65_535
MAX_DATA = 64 << 20
_STRING = 6
_TAGS = {1000: "name", 1001: "version", 1002: "release", 1022: "architecture", 1124: "format"}


@dataclass(frozen=True, slots=True)
class Package:
    """Name, version and architecture as the header gives them (empty where it does not), and the packed payload."""

    name: str
    version: str
    release: str
    architecture: str
    format: str
    payload: Region


def read_rpm(package: Region) -> Package:
    """The header and payload of an RPM. Raises InputError naming the offset of what is malformed or cut off."""
    if package.read(0, 4) != MAGIC:
        raise InputError("not an RPM", place=package.place(0), expected="the bytes ed ab ee db")
    _, signature_end = _header(package, LEAD, wanted=False)
    start = signature_end + -signature_end % 8
    values, end = _header(package, start, wanted=True)
    return Package(
        name=values.get("name", ""),
        version=values.get("version", ""),
        release=values.get("release", ""),
        architecture=values.get("architecture", ""),
        format=values.get("format", "cpio"),
        payload=package.part(end, max(package.size - end, 0), f"{package.name}!payload"),
    )


def _header(package: Region, start: int, *, wanted: bool) -> tuple[dict[str, str], int]:
    """The strings of a header structure that starts at `start`, and where it ends."""
    magic, _, entries, size = struct.unpack(">4s4sII", package.exactly(start, 16, "an RPM header"))
    if magic != b"\x8e\xad\xe8\x01" or not 0 < entries <= MAX_ENTRIES or size > MAX_DATA:
        raise InputError(
            f"a malformed RPM header of {entries} entries and {size} bytes",
            place=package.place(start),
            expected=f"8e ad e8 01, at most {MAX_ENTRIES} entries and {MAX_DATA >> 20} MiB",
            hint="the package is damaged; download it again",
        )
    data_start = start + 16 + entries * 16
    end = data_start + size
    if end > package.size:
        raise InputError("the input ends inside an RPM header", place=package.place(start), expected=f"{size} bytes")
    values: dict[str, str] = {}
    if wanted:
        for tag, kind, offset, _ in struct.iter_unpack(">IIII", package.exactly(start + 16, entries * 16, "RPM tags")):
            if tag in _TAGS and kind == _STRING and offset < size:
                text = package.read(data_start + offset, min(256, size - offset)).partition(b"\0")[0]
                values[_TAGS[tag]] = text.decode("utf-8", "backslashreplace")
    return values, end
