"""cpio: members in order, hard links whose data comes last, and hostile headers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.archive.cpio import Peeking, archives, members
from hostproof.artefacts.archive.limits import Limits
from hostproof.artefacts.archive.stream import ByteStream
from hostproof.errors import HostproofError, InputError
from tests.artefacts.archive.samples import cpio, cpio_member

FILES = {"./lib/a.ko": b"\x7fELF", "./lib/empty": b"", "./x": b"12345"}
END = cpio_member("TRAILER!!!", b"")


def read(archive: bytes, limits: Limits | None = None) -> list[tuple[str, str, bytes, str, tuple[str, ...]]]:
    stream = ByteStream(iter([archive[start : start + 61] for start in range(0, len(archive), 61)]), "c.cpio")
    return [
        (
            member.name,
            member.kind,
            b"" if member.kind == "symlink" else bytes(member.read()),
            member.target,
            member.also,
        )
        for member in members(stream, limits or Limits())
    ]


def test_members_come_in_order_with_their_bytes() -> None:
    assert [(name, "file", data, "", ()) for name, data in FILES.items()] == read(cpio(FILES))


def test_a_symbolic_link_gives_its_target() -> None:
    archive = cpio_member("lib", b"usr/lib", mode=0o120777) + END

    assert read(archive) == [("lib", "symlink", b"", "usr/lib", ())]


def test_hard_links_share_the_data_that_comes_with_the_last() -> None:
    archive = cpio_member("a", b"", ino=7, nlink=2) + cpio_member("b", b"data", ino=7, nlink=2) + END

    assert read(archive) == [("a", "file", b"", "", ()), ("b", "file", b"data", "", ("a",))]


GOOD = cpio(FILES)
MALFORMED = {
    "another magic": (b"070707" + GOOD[6:], "malformed cpio header"),
    "rpm's form for large files": (b"07070X" + GOOD[6:], "malformed cpio header"),
    "a size of no digits": (GOOD[:54] + b"+1234567" + GOOD[62:], "malformed cpio header"),
    "a name of length zero": (GOOD[:94] + b"00000000" + GOOD[102:], "name of 0 bytes"),
    "a name of four gigabytes": (GOOD[:94] + b"FFFFFFFF" + GOOD[102:], "name of 4294967295 bytes"),
    "a file of four gigabytes": (GOOD[:54] + b"FFFFFFFF" + GOOD[62:], "at most 256 MiB"),
    "a link's target of a megabyte": (
        cpio_member("l", b"t", mode=0o120777)[:54] + b"00100000" + cpio_member("l", b"t", mode=0o120777)[62:] + END,
        "target of 1048576 bytes",
    ),
    "no trailer": (GOOD[: -len(END)], "no TRAILER"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_archives_are_refused(name: str) -> None:
    archive, message = MALFORMED[name]

    with pytest.raises(InputError) as caught:
        read(archive)
    assert message in str(caught.value)


def test_an_archive_cut_anywhere_is_refused() -> None:
    for length in range(0, len(GOOD) - 4, 7):
        with pytest.raises(InputError):
            read(GOOD[:length])


def test_too_many_members_are_refused() -> None:
    with pytest.raises(InputError, match="more than 2 cpio members"):
        read(GOOD, Limits(members=2))


@settings(max_examples=300)
@given(st.data())
def test_changed_archives_give_members_or_an_error(data: st.DataObject) -> None:
    archive = bytearray(GOOD)
    for _ in range(data.draw(st.integers(1, 4))):
        archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.sampled_from(b"0123456789abcdefX\0\xff"))
    try:
        read(bytes(archive))
    except HostproofError as error:
        assert error.place is not None


@given(st.binary(max_size=400))
def test_arbitrary_bytes_after_a_magic_give_an_error(data: bytes) -> None:
    with pytest.raises(HostproofError):
        read(b"070701" + data[:100])


def unpacked(data: bytes, step: int = 61) -> tuple[list[tuple[str, str, bytes, str]], int | None]:
    """What the kernel's rules give: members, and the byte that stopped them."""
    stream = Peeking(iter([data[start : start + step] for start in range(0, len(data), step)]), "i.cpio")
    found = [
        (member.name, member.kind, bytes(member.read()) if member.kind == "file" else b"", member.target)
        for member in archives(stream)
    ]
    return found, stream.peek()


class TestAnInitramfsIsLooser:
    @pytest.mark.parametrize("step", [1, 61, 1 << 20])
    def test_archives_follow_each_other_with_zeros_between(self, step: int) -> None:
        found, stopped = unpacked(bytes(8) + cpio({"a": b"1"}) + bytes(512) + cpio({"b": b"22222"}) + bytes(3), step)

        assert found == [("a", "file", b"1", ""), ("b", "file", b"22222", "")]
        assert stopped is None

    def test_the_first_byte_that_is_neither_zero_nor_a_header_stops(self) -> None:
        found, stopped = unpacked(cpio({"a": b"1"}) + b"\x1f\x8b")

        assert ([name for name, *_ in found], stopped) == (["a"], 0x1F)

    def test_the_trailer_and_the_last_padding_may_be_missing(self) -> None:
        assert unpacked(cpio_member("a", b"12345")[:-3])[0] == [("a", "file", b"12345", "")]

    def test_a_link_after_its_data_names_it(self) -> None:
        data = cpio_member("a", b"data", ino=7, nlink=2) + cpio_member("b", b"", ino=7, nlink=2) + END

        assert unpacked(data)[0] == [("a", "file", b"data", ""), ("b", "hardlink", b"", "a")]

    def test_a_trailer_ends_what_hard_links_may_refer_to(self) -> None:
        data = cpio_member("a", b"data", ino=7, nlink=2) + END + cpio_member("b", b"", ino=7, nlink=2) + END

        assert unpacked(data)[0][1] == ("b", "file", b"", "")

    def test_a_header_between_multiples_of_four_is_refused(self) -> None:
        with pytest.raises(InputError, match="between multiples of 4"):
            unpacked(cpio({"a": b"1"}) + bytes(5) + cpio({"b": b"2"}))

    @settings(max_examples=200)
    @given(st.data())
    def test_changed_archives_give_members_or_an_error(self, data: st.DataObject) -> None:
        archive = bytearray(GOOD + bytes(4) + GOOD)
        for _ in range(data.draw(st.integers(1, 4))):
            archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(
                st.sampled_from(b"0123456789abcdefX\0\xff")
            )
        try:
            unpacked(bytes(archive))
        except HostproofError as error:
            assert error.place is not None
