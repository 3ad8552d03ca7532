"""tar: what the standard library and GNU tar write is read alike, and hostile headers are refused."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.archive.limits import Limits
from hostproof.artefacts.archive.stream import ByteStream
from hostproof.artefacts.archive.tar import members
from hostproof.errors import HostproofError, InputError
from tests.artefacts.archive import samples

END = bytes(1024)
LONG = "lib/modules/" + "/".join("a-directory-with-a-long-name" for _ in range(12)) + "/x.ko"
FILES = {"./boot/config": b"CONFIG_PCI=y\n", "./lib/empty": b"", "./" + LONG: bytes(range(256)) * 5, "./é.ko": b"1"}


def read(archive: bytes, step: int = 777, limits: Limits | None = None) -> list[tuple[str, str, bytes, str]]:
    pieces: Iterator[bytes] = (archive[start : start + step] for start in range(0, len(archive), step))
    return [
        (member.name, member.kind, bytes(member.read()), member.target)
        for member in members(ByteStream(pieces, "t.tar"), limits or Limits())
    ]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_reads_what_the_standard_library_writes(form: int) -> None:
    files = {name: data for name, data in FILES.items() if form != tarfile.USTAR_FORMAT or len(name) < 250}
    extra = (samples.link("./lib/l", "usr/" + "x" * 90), samples.link("./h", "./boot/config", tarfile.LNKTYPE))
    archive = samples.tar(files, form, extra)

    assert [
        *((name, "file", data, "") for name, data in files.items()),
        ("./lib/l", "symlink", b"", "usr/" + "x" * 90),
        ("./h", "hardlink", b"", "./boot/config"),
    ] == read(archive)


@pytest.mark.skipif(shutil.which("tar") is None, reason="no tar command")
@pytest.mark.parametrize("form", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_reads_what_the_tar_command_writes(form: str, tmp_path: Path) -> None:
    files = {"d/one": b"1" * 600, "d/two": b""}
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    command = ["tar", f"--format={form}", "-cf", "-", "d/one", "d/two"]
    archive = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout

    assert [(name, "file", data, "") for name, data in files.items()] == read(archive)


def test_members_that_nobody_reads_are_skipped() -> None:
    archive = samples.tar({"a": b"x" * 5000, "b": b"y"})

    assert [member.name for member in members(ByteStream(iter([archive]), "t"))] == ["a", "b"]


def test_a_size_in_base_256_is_read() -> None:
    archive = samples.tar_header(b"big", b"\x80" + (3).to_bytes(11, "big")) + b"abc".ljust(512, b"\0") + END

    assert read(archive) == [("big", "file", b"abc", "")]


def test_a_sparse_member_is_no_plain_file() -> None:
    archive = samples.tar_header(b"s", b"00000000003\0", b"S") + b"abc".ljust(512, b"\0") + END

    assert read(archive) == [("s", "sparse", b"abc", "")]


GOOD = samples.tar({"boot/config": b"CONFIG_PCI=y\n" * 100})
MALFORMED = {
    "a huge size": (
        samples.tar_header(b"x", b"\x80" + (1 << 60).to_bytes(11, "big")) + END,
        "says 1152921504606846976",
    ),
    "a size of eight gigabytes in octal": (samples.tar_header(b"x", b"777777777777") + END, "says 68719476735"),
    "a negative size": (samples.tar_header(b"x", b"\xff" * 12) + END, "negative size"),
    "a size of no digits": (samples.tar_header(b"x", b"12345678x") + END, "octal digits"),
    "a long name of a megabyte and more": (samples.tar_header(b"x", b"00010000000\0", b"L") + END, "extension header"),
    "a pax record that runs past its end": (
        samples.tar_header(b"x", b"00000000010\0", b"x") + b"99 path=a\n".ljust(512, b"\0") + END,
        "malformed pax record",
    ),
    "a pax record of length zero": (
        samples.tar_header(b"x", b"00000000010\0", b"x") + b"0 path=ab\n".ljust(512, b"\0") + END,
        "malformed pax record",
    ),
    "a pax size of no digits": (
        samples.tar_header(b"x", b"00000000012\0", b"x")
        + b"10 size=-1".ljust(512, b"\0")
        + samples.tar_header(b"y", b"0")
        + END,
        "pax size",
    ),
    "a checksum that does not fit": (GOOD[:50] + b"!" + GOOD[51:], "checksum"),
    "no end mark": (GOOD[:2048], "end-of-archive"),
    "an empty stream": (b"", "end-of-archive"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_archives_are_refused(name: str) -> None:
    archive, message = MALFORMED[name]

    with pytest.raises(InputError, match=message) as caught:
        read(archive)
    assert caught.value.place.artefact == "t.tar"  # type: ignore[union-attr]


def test_an_archive_cut_at_any_boundary_is_refused() -> None:
    end = len(GOOD.rstrip(b"\0"))
    for length in [*range(0, end + 512, 97), 512, 511, 513]:
        with pytest.raises(InputError):
            read(GOOD[:length])


def test_a_million_members_are_refused_fast_and_in_little_memory() -> None:
    one = samples.tar_header(b"x", b"0")
    tracemalloc.start()
    start = time.monotonic()
    with pytest.raises(InputError, match="more than 20000 tar members"):
        for _ in members(ByteStream((one * 1000 for _ in range(1000)), "t"), Limits(members=20_000)):
            pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 8 << 20
    assert time.monotonic() - start < 10


@given(st.binary(max_size=2048))
def test_arbitrary_bytes_give_members_or_an_error(data: bytes) -> None:
    try:
        read(data)
    except HostproofError as error:
        assert error.place is not None


PAX = samples.tar({"./" + LONG: b"z" * 700, "b": b"2"}, tarfile.PAX_FORMAT)


@settings(max_examples=300)
@given(st.data())
def test_changed_headers_give_members_or_an_error(data: st.DataObject) -> None:
    archive = bytearray(PAX)
    start = data.draw(st.sampled_from([0, 512, 1024, 3072]))
    position = start + data.draw(st.integers(0, 511))
    archive[position] = data.draw(st.integers(0, 255))
    header = archive[start : start + 512]
    header[148:156] = b" " * 8
    archive[start + 148 : start + 156] = b"%06o\0 " % sum(header)
    try:
        read(bytes(archive))
    except HostproofError as error:
        assert error.place is not None


NAMES = st.from_regex(r"[abé]{1,70}(/[abé]{1,70}){0,3}", fullmatch=True)


@given(st.dictionaries(NAMES, st.binary(max_size=1500), max_size=5))
def test_agrees_with_the_standard_library(files: dict[str, bytes]) -> None:
    archive = samples.tar(files, tarfile.PAX_FORMAT)
    with tarfile.open(fileobj=io.BytesIO(archive)) as oracle:
        expected = [(info.name, oracle.extractfile(info).read()) for info in oracle if info.isreg()]  # type: ignore[union-attr]

    assert expected == [(name, data) for name, kind, data, _ in read(archive) if kind == "file"]
