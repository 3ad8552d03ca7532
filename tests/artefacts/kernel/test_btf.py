from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.kernel.btf import Btf, Kind, find_btf, read_btf
from hostproof.artefacts.kernel.vmlinux import ImageSection, Vmlinux, read_vmlinux
from hostproof.errors import HostproofError, InputError
from tests.artefacts.kernel.btf_samples import BtfBuilder
from tests.artefacts.kernel.driver_packages import CLOUD_61, image_of, package


def sample(order: str = "little") -> bytes:
    """A struct with everything that a driver's has: texts, pointers, an array, an anonymous union, a typedef."""
    types = BtfBuilder(order)
    char, long = types.integer("char", 1), types.integer("unsigned long", 8)
    text = types.pointer(types.const(char))
    inner = types.struct("device_driver", 24, [("name", text, 0), ("bus", text, 8), ("flags", long, 16)])
    either = types.struct("", 8, [("id_table", text, 0), ("ids", long, 0)], union=True)
    size = types.typedef("size_t", types.typedef("ulong", long))
    types.struct(
        "pci_driver",
        64,
        [
            ("name", types.array(char, 8), 0),
            ("", either, 8),
            ("driver", inner, 16),
            ("n", size, 40),
            ("m", types.array(types.array(long, 1), 2), 48),
        ],
    )
    types.add("bits", 4, 4, [types.text("low"), char, 3 << 24, types.text("high"), char, 5 << 24 | 3], 2, flag=True)
    types.add("state", 6, 4, [types.text("DOWN"), 0xFFFFFFFF, types.text("UP"), 1], 2, flag=True)
    types.add("wide", 19, 8, [types.text("BIG"), 0, 1], 1)
    return types.build()


@pytest.fixture(params=["little", "big"])
def btf(request: pytest.FixtureRequest) -> Btf:
    return read_btf(sample(request.param), "vmlinux")


def test_a_struct_is_found_by_name_with_its_members(btf: Btf) -> None:
    found = btf.struct("pci_driver")

    assert found is not None
    assert (found.name, found.size) == ("pci_driver", 64)
    assert [(member.name, member.offset) for member in found.members] == [
        ("name", 0),
        ("", 8),
        ("driver", 16),
        ("n", 40),
        ("m", 48),
    ]
    assert [btf.size_of(member.type) for member in found.members] == [8, 8, 24, 8, 16]
    assert btf.struct("usb_driver") is None


@pytest.mark.parametrize(
    ("path", "offset"),
    [("name", 0), ("ids", 8), ("driver.bus", 24), ("driver.flags", 32), ("absent", None), ("driver.x", None)],
)
def test_a_member_is_looked_up_as_c_does(btf: Btf, path: str, offset: int | None) -> None:
    found = btf.struct("pci_driver")
    assert found is not None
    member = btf.member(found, path)

    assert offset == (member.offset if member else None)


def test_bit_fields_say_their_width_and_place(btf: Btf) -> None:
    found = btf.struct("bits")

    assert found is not None
    assert [(member.name, member.bit, member.bits) for member in found.members] == [("low", 0, 3), ("high", 3, 5)]


def test_enumerators_keep_their_sign(btf: Btf) -> None:
    state, wide = btf.find("state", Kind.ENUM), btf.find("wide", Kind.ENUM64)

    assert state is not None
    assert wide is not None
    assert btf.enumerators(state) == {"DOWN": -1, "UP": 1}
    assert btf.enumerators(wide) == {"BIG": 1 << 32}


def test_typedefs_and_qualifiers_are_seen_through(btf: Btf) -> None:
    size = btf.find("size_t", Kind.TYPEDEF)

    assert size is not None
    assert btf.name_of(btf.resolve(size)) == "unsigned long"
    assert btf.size_of(size) == 8


def test_a_name_that_is_the_end_of_another_string_is_found() -> None:
    types = BtfBuilder()
    types.text("my_driver")
    types.types += struct.pack("<III", types.text("my_driver") + 3, 4 << 24, 0)

    assert read_btf(types.build(), "x").struct("driver") is not None


def image(data: bytes, *, flat: bool) -> Vmlinux:
    sections = (ImageSection("" if flat else ".BTF", 0x1000, 0 if flat else 64, len(data) - (0 if flat else 64), flat),)
    return Vmlinux("vmlinux", "aarch64" if flat else "x86_64", data, "0" * 64, sections, flat)


def test_the_types_of_an_elf_file_are_its_section() -> None:
    found = find_btf(image(bytes(64) + sample(), flat=False))

    assert found is not None
    assert bytes(found) == sample()


def test_the_types_of_a_flat_image_are_what_begins_with_a_consistent_header() -> None:
    lures = b"\x9f\xeb\x01\x00" + bytes(60) + b"\x9f\xeb\x01\x00\x18\0\0\0" + b"\xff" * 56
    found = find_btf(image(lures + sample() + bytes(4096), flat=True))

    assert found is not None
    assert bytes(found) == sample()


def test_an_image_without_types_has_none() -> None:
    assert find_btf(image(bytes(4096), flat=True)) is None
    assert find_btf(Vmlinux("x", "x86_64", b"", "0" * 64, ())) is None


def changed(at: int, value: int, size: int = 4) -> bytes:
    data = bytearray(sample())
    data[at : at + size] = value.to_bytes(size, "little")
    return bytes(data)


@pytest.mark.parametrize("order", ["little", "big"])
def test_a_kind_to_come_is_passed_over_where_a_layout_says_its_length(order: str) -> None:
    types = BtfBuilder(order)
    types.add("newer", 20, 0, [1, 2, 3, 4, 5], 2)
    char = types.integer("char", 1)
    layout = bytes(4 * 20) + bytes([4, 8, 0, 0])
    btf = read_btf(types.build(layout), "x")

    assert len(btf) == 2
    assert btf.find("char") == char
    with pytest.raises(InputError, match="a type of kind 20"):
        btf.kind(1)


def test_a_struct_may_have_more_members_than_16_bits_count() -> None:
    types = BtfBuilder()
    types.integer("char", 1)
    types.add("wide", 4, 70_000, [types.text("a"), 1, 0] * 70_000, 70_000)
    found = read_btf(types.build(), "x").struct("wide")

    assert found is not None
    assert len(found.members) == 70_000


def one_integer(layout: bytes) -> bytes:
    types = BtfBuilder()
    types.integer("char", 1)
    return types.build(layout)


MALFORMED = {
    "empty": b"",
    "cut header": sample()[:20],
    "other magic": changed(0, 0xEB9E, 2),
    "other version": changed(2, 2, 1),
    "header of no bytes": changed(4, 0),
    "types not aligned": changed(12, 13),
    "no types": changed(12, 0),
    "types past the end": changed(12, 1 << 20),
    "strings past the end": changed(20, 1 << 20),
    "no strings": changed(20, 0),
    "strings without an end": sample()[:-1] + b"x",
    "a layout past the end": one_integer(bytes(4))[:-1],
    "a layout of odd sizes": one_integer(bytes(4 * 20) + bytes([3, 0, 0, 0])),
    "kind 0": changed(24 + 4, 0),
    "kind 20": changed(24 + 4, 20 << 24),
    "more members than bytes": changed(24 + 4, 4 << 24 | 0xFFFF),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_types_are_refused(name: str) -> None:
    with pytest.raises(InputError) as caught:
        read_btf(MALFORMED[name], "vmlinux")
    assert caught.value.place is not None


def test_typedefs_in_a_circle_are_refused() -> None:
    types = BtfBuilder()
    types.typedef("a", 2)
    types.typedef("b", 1)
    with pytest.raises(InputError, match="typedefs in a row"):
        read_btf(types.build(), "x").resolve(1)


def test_an_array_of_itself_is_refused() -> None:
    types = BtfBuilder()
    types.array(1, 2)
    with pytest.raises(InputError, match="arrays more than"):
        read_btf(types.build(), "x").size_of(1)


def test_a_name_that_is_everywhere_is_refused() -> None:
    types = BtfBuilder()
    types.integer("char", 1)
    types.strings += b"driver\0" * 2000
    with pytest.raises(InputError, match="ends more than"):
        read_btf(types.build(), "x").struct("driver")


def test_a_struct_in_itself_ends_the_search_for_a_member() -> None:
    types = BtfBuilder()
    types.struct("a", 8, [("", 1, 0)] * 200)
    btf = read_btf(types.build(), "x")
    found = btf.struct("a")

    assert found is not None
    assert btf.member(found, "b") is None


def use(data: bytes) -> None:
    """Asks everything."""
    btf = read_btf(data, "x")
    for number in range(len(btf) + 1):
        for question in (btf.kind, btf.name_of, btf.size_of, btf.struct_of, btf.enumerators, btf.target, btf.count):
            try:
                question(number)
            except InputError as error:
                assert error.place is not None
    found = btf.struct("pci_driver")
    if found is not None:
        btf.member(found, "driver.bus")


@settings(max_examples=300)
@given(st.data())
def test_changed_types_give_a_result_or_an_error(data: st.DataObject) -> None:
    raw = bytearray(sample(data.draw(st.sampled_from(["little", "big"]))))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    try:
        use(bytes(raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw))
    except HostproofError as error:
        assert error.place is not None


@given(st.binary(max_size=200))
def test_any_bytes_give_a_result_or_an_error(body: bytes) -> None:
    head = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(body) & ~3, len(body) & ~3, 2)
    try:
        use(head + body[: len(body) & ~3] + b"\0\0")
    except HostproofError as error:
        assert error.place is not None


@pytest.mark.slow
def test_bpftool_reads_the_same_structs(tmp_path: Path) -> None:
    if shutil.which("bpftool") is None:
        pytest.skip("no bpftool here")
    raw = find_btf(read_vmlinux(image_of(package(CLOUD_61)), CLOUD_61))
    assert raw is not None
    path = tmp_path / "btf"
    path.write_bytes(raw)
    dump = subprocess.run(
        ["bpftool", "btf", "dump", "file", os.fspath(path), "format", "raw"], capture_output=True, text=True, check=True
    ).stdout
    btf = read_btf(raw, "vmlinux")
    lines = re.findall(r"^\[(\d+)\] (\w+) '([^']*)'.*?(?: size=(\d+))?(?: vlen=(\d+))?.*$", dump, re.MULTILINE)

    assert len(lines) == len(btf)
    for number, kind, name, _, _ in lines:
        assert (btf.kind(int(number)).name, btf.name_of(int(number)) or "(anon)") == (kind, name)
    members = re.findall(r"^\t'([^']*)' type_id=(\d+) bits_offset=(\d+)", dump, re.MULTILINE)
    ours = [
        (member.name or "(anon)", str(member.type), str(member.bit))
        for number, kind, *_ in lines
        if kind in ("STRUCT", "UNION")
        for member in btf.struct_of(int(number)).members
    ]
    assert members == ours
