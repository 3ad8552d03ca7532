"""Relative relocations of flat kernels, found and applied."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.artefacts.kernel.dynamic_relocations import applied, find_relocations
from hostproof.artefacts.kernel.vmlinux import ImageSection
from hostproof.errors import InputError

BASE = 0xFFFF800080000000
KINDS = {"aarch64": ("<", 1027), "s390x": (">", 12)}


def image(entries: list[tuple[int, int]], architecture: str, at: int = 0x1000) -> bytes:
    order, kind = KINDS[architecture]
    table = b"".join(struct.pack(order + "QQQ", place, kind, value) for place, value in entries)
    return bytes(at) + table + bytes(0x1000)


def whole(data: bytes) -> list[ImageSection]:
    return [ImageSection("", BASE, 0, len(data), True)]


@given(
    st.sampled_from(sorted(KINDS)),
    st.lists(st.tuples(st.integers(0, 0xF0), st.integers(0, (1 << 64) - 1)), min_size=64, unique_by=lambda row: row[0]),
    st.sampled_from([0x1000, 0x1008, 0x1010]),
)
def test_every_word_holds_its_value_after(architecture: str, rows: list[tuple[int, int]], at: int) -> None:
    entries = [(BASE + 8 * word, value) for word, value in rows]
    data = image(entries, architecture, at)
    found = find_relocations(data, architecture)

    assert found is not None
    assert (found.at, len(found.places)) == (at, len(entries))
    out = applied(data, found, whole(data), architecture, "Image")
    order = KINDS[architecture][0]
    assert [struct.unpack_from(order + "Q", out, place - BASE)[0] for place, _ in entries] == [
        value for _, value in entries
    ]
    assert out[0x800:] == data[0x800:]


def test_the_longest_table_is_the_one() -> None:
    short = image([(BASE + 8 * number, 1) for number in range(80)], "aarch64")
    long = image([(BASE + 8 * number, 2) for number in range(90)], "aarch64")
    found = find_relocations(short + long, "aarch64")

    assert found is not None
    assert len(found.places) == 90


def test_a_few_entries_are_chance() -> None:
    assert find_relocations(image([(BASE, 1)] * 63, "aarch64"), "aarch64") is None
    assert find_relocations(bytes(4096), "aarch64") is None
    assert find_relocations(image([(BASE, 1)] * 80, "aarch64"), "x86_64") is None


@pytest.mark.parametrize("place", [BASE - 8, BASE + 0x100000, 0, (1 << 64) - 1])
def test_a_place_outside_of_the_image_is_refused(place: int) -> None:
    data = image([(BASE + 8 * number, 1) for number in range(80)] + [(place, 1)], "aarch64")
    found = find_relocations(data, "aarch64")

    assert found is not None
    with pytest.raises(InputError, match="a relocation of") as caught:
        applied(data, found, whole(data), "aarch64", "Image")
    assert caught.value.place is not None
    assert caught.value.place.offset == 0x1000 + 24 * 80


def test_words_are_found_through_the_sections_of_a_vmlinux() -> None:
    data = image([(BASE + 0x4000 + 8 * number, number + 1) for number in range(80)], "aarch64")
    sections = [ImageSection(".text", BASE, 0, 0x100, True), ImageSection(".data", BASE + 0x4000, 0x800, 0x400, False)]
    found = find_relocations(data, "aarch64")

    assert found is not None
    out = applied(data, found, sections, "aarch64", "vmlinux")
    assert struct.unpack_from("<80Q", out, 0x800) == tuple(range(1, 81))
    with pytest.raises(InputError, match="a relocation of"):
        applied(data, found, sections[:1], "aarch64", "vmlinux")
