"""LZO files as the kernel's build makes them."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.artefacts.archive import lzop
from hostproof.artefacts.archive.region import Region
from hostproof.errors import InputError
from tests.artefacts.archive import samples

DATA = b"".join(b"%d lines of kernel text\n" % number for number in range(20_000)) + random.Random(2).randbytes(300_000)


def unpack(packed: bytes) -> bytes:
    return b"".join(lzop.blocks(Region.of_bytes(packed, "vmlinux.bin.lzo")))


@pytest.mark.parametrize("version", [0x0900, 0x0940, 0x1040])
@pytest.mark.parametrize("flags", [0, 0x1, 0x3, 0x100, 0x303, 0x800, 0x03000001])
@pytest.mark.parametrize("name", [b"", b"vmlinux.bin"])
def test_every_form_of_the_header_gives_back_what_was_packed(version: int, flags: int, name: bytes) -> None:
    assert unpack(samples.lzo(DATA, version=version, flags=flags, name=name)) == DATA


@given(st.binary(max_size=3000))
def test_whatever_is_packed_is_given_back(data: bytes) -> None:
    assert unpack(samples.lzo(data)) == data


def first_block() -> int:
    return len(samples.lzo(b"")) - 4


MALFORMED = {
    "no end": samples.lzo(DATA)[:-4],
    "a cut header": samples.lzo(DATA)[:20],
    "a cut block": samples.lzo(DATA)[:5000],
    "a block of nothing": samples.lzo(DATA)[: first_block()] + b"\0\0\0\x10\0\0\0\0" + bytes(20),
    "a block larger than any": samples.lzo(DATA)[: first_block()] + b"\0\x04\0\x01\0\0\0\x01" + bytes(20),
    "a block packed to more than it holds": samples.lzo(DATA)[: first_block()] + b"\0\0\0\x10\0\0\0\x11" + bytes(40),
    "another size than said": samples.lzo(bytes(1000)).replace(b"\0\0\x03\xe8", b"\0\0\x03\xe9", 1),
    "no LZO": samples.lzo(DATA)[: first_block()] + b"\0\0\x01\0\0\0\0\x40" + bytes(4) + b"\xff" * 64 + bytes(4),
    "something behind it": samples.lzo(DATA) + b"x",
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_damaged_file_is_refused_with_its_place(what: str) -> None:
    with pytest.raises(InputError) as caught:
        unpack(MALFORMED[what])

    assert caught.value.place is not None
    assert caught.value.place.offset is not None
