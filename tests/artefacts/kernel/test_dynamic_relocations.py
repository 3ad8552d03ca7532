"""Relative relocations of flat kernels, found and applied."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.artefacts.kernel.dynamic_relocations import applied, find_relocations
from hostproof.errors import InputError

BASE = 0xFFFF800080000000
KINDS = {"aarch64": ("<", 1027), "s390x": (">", 12)}


def image(entries: list[tuple[int, int]], architecture: str, at: int = 0x1000) -> bytes:
    order, kind = KINDS[architecture]
    table = b"".join(struct.pack(order + "QQQ", place, kind, value) for place, value in entries)
    return bytes(at) + table + bytes(0x1000)


@given(
    st.sampled_from(sorted(KINDS)),
    st.lists(st.tuples(st.integers(0, 0xF0), st.integers(0, (1 << 64) - 1)), min_size=16, unique_by=lambda row: row[0]),
    st.sampled_from([0x1000, 0x1008, 0x1010]),
)
def test_every_word_holds_its_value_after(architecture: str, rows: list[tuple[int, int]], at: int) -> None:
    entries = [(BASE + 8 * word, value) for word, value in rows]
    data = image(entries, architecture, at)
    found = find_relocations(data, architecture)

    assert found is not None
    assert (found.at, len(found.places)) == (at, len(entries))
    out = applied(data, found, BASE, architecture, "Image")
    order = KINDS[architecture][0]
    assert [struct.unpack_from(order + "Q", out, place - BASE)[0] for place, _ in entries] == [
        value for _, value in entries
    ]
    assert out[0x800:] == data[0x800:]


def test_the_longest_table_is_the_one() -> None:
    short = image([(BASE + 8 * number, 1) for number in range(20)], "aarch64")
    long = image([(BASE + 8 * number, 2) for number in range(30)], "aarch64")
    found = find_relocations(short + long, "aarch64")

    assert found is not None
    assert len(found.places) == 30


def test_a_few_entries_are_chance() -> None:
    assert find_relocations(image([(BASE, 1)] * 15, "aarch64"), "aarch64") is None
    assert find_relocations(bytes(4096), "aarch64") is None
    assert find_relocations(image([(BASE, 1)] * 20, "aarch64"), "x86_64") is None


@pytest.mark.parametrize("place", [BASE - 8, BASE + 0x100000, 0, (1 << 64) - 1])
def test_a_place_outside_of_the_image_is_refused(place: int) -> None:
    data = image([(BASE + 8 * number, 1) for number in range(20)] + [(place, 1)], "aarch64")
    found = find_relocations(data, "aarch64")

    assert found is not None
    with pytest.raises(InputError, match="a relocation of") as caught:
        applied(data, found, BASE, "aarch64", "Image")
    assert caught.value.place is not None
    assert caught.value.place.offset == 0x1000 + 24 * 20
