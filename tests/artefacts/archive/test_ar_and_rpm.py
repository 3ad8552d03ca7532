"""ar and RPM: their headers, and what is malformed in them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.archive import ar
from hostproof.artefacts.archive.region import Region
from hostproof.artefacts.archive.rpm import read_rpm
from hostproof.errors import HostproofError, InputError
from tests.artefacts.archive import samples

AR = samples.ar({"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": b"data"})
RPM = samples.rpm(b"payload")


def members(archive: bytes) -> list[tuple[str, bytes]]:
    return [(name, part.read(0, part.size)) for name, part in ar.members(Region.of_bytes(archive, "a.deb"))]


def test_ar_members_come_with_their_bytes_and_without_padding() -> None:
    assert members(AR) == [("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), ("data.tar.xz", b"data")]


def test_a_member_knows_where_it_lies_in_the_file() -> None:
    (_, _), (name, part), _ = ar.members(Region.of_bytes(AR, "a.deb"))

    assert ("control.tar.xz", "a.deb!control.tar.xz", AR.index(b"odd")) == (name, part.name, part.place(0).offset)


AR_MALFORMED = {
    "no archive": (b"PK\3\4" + bytes(100), "not an ar archive"),
    "a cut header": (AR[:40], "ends inside an ar member's header"),
    "a cut member": (AR[:-2], "the input ends after"),
    "a size of no digits": (AR[:56] + b"-1        " + AR[66:], "malformed ar member header"),
    "a size past the end": (AR[:56] + b"9999999999" + AR[66:], "says 9999999999 bytes"),
    "another end of the header": (AR[:66] + b"xx" + AR[68:], "malformed ar member header"),
    "a hundred members": (samples.ar({f"m{number}": b"" for number in range(100)}), "more than 64"),
}


@pytest.mark.parametrize("name", AR_MALFORMED)
def test_malformed_ar_archives_are_refused(name: str) -> None:
    archive, message = AR_MALFORMED[name]

    with pytest.raises(InputError) as caught:
        members(archive)
    assert message in str(caught.value)


def test_an_rpm_gives_its_words_and_its_payload() -> None:
    package = read_rpm(Region.of_bytes(RPM, "k.rpm"))

    assert (
        package.name,
        package.version,
        package.release,
        package.architecture,
        package.format,
    ) == ("kernel-core", "6.12.0", "1.fc42", "x86_64", "cpio")
    assert package.payload.read(0, 100) == b"payload"


SECOND = RPM.index(b"\x8e\xad\xe8\x01", 100)
RPM_MALFORMED = {
    "no rpm": (b"\0" * 200, "not an RPM"),
    "a lead alone": (RPM[:96], "ends inside an RPM header"),
    "a cut header": (RPM[: SECOND + 40], "ends inside an RPM header"),
    "no entries": (RPM[: SECOND + 8] + bytes(4) + RPM[SECOND + 12 :], "malformed RPM header"),
    "four billion entries": (RPM[: SECOND + 8] + b"\xff" * 4 + RPM[SECOND + 12 :], "malformed RPM header"),
    "four gigabytes of data": (RPM[: SECOND + 12] + b"\xff" * 4 + RPM[SECOND + 16 :], "malformed RPM header"),
}


@pytest.mark.parametrize("name", RPM_MALFORMED)
def test_malformed_rpms_are_refused(name: str) -> None:
    package, message = RPM_MALFORMED[name]

    with pytest.raises(InputError) as caught:
        read_rpm(Region.of_bytes(package, "k.rpm"))
    assert message in str(caught.value)


@settings(max_examples=200)
@given(st.data())
def test_changed_archives_give_a_result_or_an_error(data: st.DataObject) -> None:
    for sample, read in ((AR, members), (RPM, lambda raw: read_rpm(Region.of_bytes(raw, "x")))):
        raw = bytearray(sample)
        for _ in range(data.draw(st.integers(1, 4))):
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
        try:
            read(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
        except HostproofError as error:
            assert error.place is not None
