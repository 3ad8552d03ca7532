"""CVE records of the Linux kernel: which files a fix touched, and which versions had the flaw

SOURCE: CVE JSON record format 5.0 to 5.2 (cve.org schema); records of the kernel CNA (assigner `Linux`), as its tool `bippy`
writes them and CVEProject/cvelistV5 stores them under `cves/YEAR/NNxxx/CVE-YEAR-N.json`.

What is read of `containers.cna`: `title`; of each `affected` entry `programFiles`, and of its `versions` `version`,
`lessThan`, `lessThanOrEqual`, `status`, `versionType`; of `cpeApplicability` the ranges `versionStartIncluding` to
`versionEndExcluding`; addresses of `references`. The kernel CNA writes two entries: one with commits (`versionType` `git`),
and one with `defaultStatus` `affected` whose versions read::

    6.1                            affected       the release in which the flaw came
    0         lessThan        6.1  unaffected     nothing before it
    6.1.84    lessThanOrEqual 6.1.*  unaffected   fixed in this stable series (`semver`, older records `custom`)
    6.9       lessThanOrEqual *    unaffected     fixed upstream (`original_commit_for_fix`)

A flaw that a stable series took with a backport has a range of its own: in `cpeApplicability`, and in newer records as an
affected version with `lessThan`.

An input is one record, an array of records, records line by line, or a directory, of which every `*.json` below it is read.
Records that are of no kernel, or rejected, are named and passed over.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn, TypeVar

import msgspec
from msgspec import Meta, Struct

from hostproof.errors import InputError
from hostproof.place import Place

T = TypeVar("T")

__all__ = ["Cve", "CveRecords", "VersionRange", "read_cves", "read_directory", "together"]

MAX_BYTES = 64 * 1024 * 1024
MAX_RECORDS = 50_000
MAX_DIRECTORY_BYTES = 1024 * 1024 * 1024
MAX_ENTRIES = 1000
MAX_VERSIONS = 5000
MAX_FILES = 5000
_ID = re.compile(r"CVE-(?:19|20)[0-9]{2}-[0-9]{4,19}")
_FILE = re.compile(r"[A-Za-z0-9_.,+@-]+(?:/[A-Za-z0-9_.,+@-]+)*")
_PRODUCTS = ("linux", "linux kernel", "linux_kernel", "kernel")
EXPECTED = "a CVE record in JSON format 5 (https://github.com/CVEProject/cvelistV5), an array of them, or one per line"


@dataclass(frozen=True, slots=True)
class VersionRange:
    """A range of upstream versions and whether they are `affected` or `unaffected`. `before` is excluded, `through` is a
    last version, a series (`6.1.*`) or `*`; both empty where the range is the one version or commit.
    """

    status: str
    version: str
    before: str = ""
    through: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Cve:
    """A flaw of the kernel: the files that its fix touched, as the record says, and the versions that had it.

    `cpe_ranges` are pairs of the first version that has it and the first that has it no more, empty where there is none;
    `introduced` are the commits that brought it.
    """

    id: str
    title: str
    files: tuple[str, ...]
    ranges: tuple[VersionRange, ...]
    cpe_ranges: tuple[tuple[str, str], ...]
    introduced: tuple[str, ...]
    references: tuple[str, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class CveRecords:
    """The kernel's records of an input, sorted by id, and why others of it were passed over: (id, reason)."""

    cves: tuple[Cve, ...]
    passed_over: tuple[tuple[str, str], ...] = ()


_Item = Cve | tuple[str, str]
Word = Annotated[str, Meta(max_length=4096)]


class _Version(Struct):
    version: Word = ""
    lessThan: Word = ""
    lessThanOrEqual: Word = ""
    status: Word = ""
    versionType: Word = ""


class _Affected(Struct):
    vendor: Word = ""
    product: Word = ""
    repo: Word = ""
    programFiles: Annotated[list[Word], Meta(max_length=MAX_FILES)] = []
    versions: Annotated[list[_Version], Meta(max_length=MAX_VERSIONS)] = []


class _CpeMatch(Struct):
    vulnerable: bool = False
    versionStartIncluding: Word = ""
    versionEndExcluding: Word = ""


class _Node(Struct):
    cpeMatch: Annotated[list[_CpeMatch], Meta(max_length=MAX_VERSIONS)] = []


class _Applicability(Struct):
    nodes: Annotated[list[_Node], Meta(max_length=MAX_ENTRIES)] = []


class _Reference(Struct):
    url: Word = ""


class _Cna(Struct):
    title: Word = ""
    affected: Annotated[list[_Affected], Meta(max_length=MAX_ENTRIES)] = []
    cpeApplicability: Annotated[list[_Applicability], Meta(max_length=MAX_ENTRIES)] = []
    references: Annotated[list[_Reference], Meta(max_length=MAX_ENTRIES)] = []


class _Containers(Struct):
    cna: _Cna


class _Metadata(Struct):
    cveId: Word
    state: Word = ""
    assignerShortName: Word = ""


class _Record(Struct):
    cveMetadata: _Metadata
    containers: _Containers


def read_cves(data: bytes, name: str) -> CveRecords:
    """The records in `data`. Raises InputError with the line, or the field that is wrong."""
    place = Place(name)
    if len(data) > MAX_BYTES:
        raise InputError(f"CVE records are larger than {MAX_BYTES >> 20} MiB", place=place)
    return _sorted(_items(data, place))


def _items(data: bytes, place: Place) -> Iterator[_Item]:
    for record, where in _records(data, place):
        yield _read(record, where)


def read_directory(path: Path) -> CveRecords:
    """The records of every `*.json` below `path`, links aside. Raises InputError where one is damaged or there is none."""
    parts, budget = [], MAX_DIRECTORY_BYTES
    for file in _files(path):
        try:
            data = file.read_bytes() if file.stat().st_size <= MAX_BYTES else b" " * (MAX_BYTES + 1)
        except OSError as error:
            raise _not_read(error, str(file)) from None
        budget -= len(data)
        if budget < 0:
            raise InputError(
                f"CVE records are larger than {MAX_DIRECTORY_BYTES >> 20} MiB together",
                place=Place(str(path)),
                hint="name fewer of them",
            )
        parts.append(read_cves(data, str(file)))
    if not parts:
        raise InputError("no *.json below this directory", place=Place(str(path)), expected=EXPECTED)
    return together(parts)


def together(parts: Sequence[CveRecords]) -> CveRecords:
    """The records of several inputs; of one id the first."""
    items: list[_Item] = []
    for part in parts:
        items += [*part.cves, *part.passed_over]
    return _sorted(items)


def _files(path: Path) -> Iterator[Path]:
    """Regular `*.json` files below a directory, in the order of their names. Links are not followed."""
    count = 0
    for base, directories, names in os.walk(path, onerror=_unreadable):
        directories.sort()
        for name in sorted(names):
            file = Path(base) / name
            if not name.endswith(".json") or file.is_symlink() or not file.is_file():
                continue
            count += 1
            if count > MAX_RECORDS:
                raise InputError(
                    f"more than {MAX_RECORDS} files", place=Place(str(path)), hint="name a directory with fewer of them"
                )
            yield file


def _unreadable(error: OSError) -> NoReturn:
    raise _not_read(error, str(error.filename))


def _not_read(error: OSError, name: str) -> InputError:
    return InputError(f"it cannot be read: {error.strerror}", place=Place(name))


def _records(data: bytes, place: Place) -> Iterator[tuple[_Record, Place]]:
    if data.lstrip()[:1] == b"[":
        for index, record in enumerate(_decoded(data, place, list[msgspec.Raw])):
            if index >= MAX_RECORDS:
                raise InputError(f"more than {MAX_RECORDS} records", place=place)
            where = place.at(path=f"[{index}]")
            yield _decoded(bytes(record), where, _Record), where
        return
    lines = [(number, line) for number, line in enumerate(data.split(b"\n"), start=1) if line.strip()]
    if len(lines) > 1 and all(line.strip().endswith(b"}") and line.startswith(b"{") for _, line in lines[:2]):
        if len(lines) > MAX_RECORDS:
            raise InputError(f"more than {MAX_RECORDS} records", place=place)
        for number, line in lines:
            where = place.at(line=number)
            yield _decoded(line, where, _Record), where
        return
    yield _decoded(data, place, _Record), place


def _decoded(data: bytes, place: Place, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(data, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"not a CVE record: {error}", place=place, expected=EXPECTED) from None


def _read(record: _Record, place: Place) -> _Item:
    """The record's flaw, or its id and why it is passed over."""
    identifier, cna = record.cveMetadata.cveId, record.containers.cna
    if not _ID.fullmatch(identifier):
        raise InputError(f"{identifier[:80]!r} is no CVE id", place=place, expected="CVE-2024-57843")
    if record.cveMetadata.state == "REJECTED":
        return identifier, "rejected by its CNA"
    entries = [entry for entry in cna.affected if _is_kernel(entry, record.cveMetadata.assignerShortName)]
    if not entries:
        return identifier, "no record of the Linux kernel"
    files = dict.fromkeys(file for entry in entries for file in entry.programFiles)
    for file in files:
        if not _FILE.fullmatch(file) or ".." in file.split("/"):
            raise InputError(f"{file[:120]!r} is no file of a source tree", place=place, expected="drivers/net/tun.c")
    versions = [version for entry in entries for version in entry.versions]
    commits = (item.version for item in versions if item.versionType == "git" and item.status == "affected")
    matches = (match for part in cna.cpeApplicability for node in part.nodes for match in node.cpeMatch)
    return Cve(
        id=identifier,
        title=cna.title,
        files=tuple(files),
        ranges=tuple(
            VersionRange(item.status, item.version, item.lessThan, item.lessThanOrEqual, item.versionType)
            for item in versions
            if item.versionType != "git"
        ),
        cpe_ranges=tuple(
            (match.versionStartIncluding, match.versionEndExcluding) for match in matches if match.vulnerable
        ),
        introduced=tuple(dict.fromkeys(commits)),
        references=tuple(reference.url for reference in cna.references if reference.url),
        place=place,
    )


def _is_kernel(entry: _Affected, assigner: str) -> bool:
    named = entry.product.lower() in _PRODUCTS and entry.vendor.lower() in (
        "linux",
        "kernel",
        "the linux foundation",
        "",
    )
    return named or (assigner == "Linux" and "git.kernel.org" in entry.repo)


def _sorted(items: Iterable[_Item]) -> CveRecords:
    cves: dict[str, Cve] = {}
    passed_over: dict[str, str] = {}
    for item in items:
        if isinstance(item, Cve):
            cves.setdefault(item.id, item)
        else:
            passed_over.setdefault(item[0], item[1])
    return CveRecords(
        tuple(sorted(cves.values(), key=lambda cve: _order(cve.id))),
        tuple(sorted(passed_over.items(), key=lambda pair: _order(pair[0]))),
    )


def _order(identifier: str) -> tuple[int, int]:
    _, year, number = identifier.split("-")
    return int(year), int(number)
