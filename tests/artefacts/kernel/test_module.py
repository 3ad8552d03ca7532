"""Modules: ELF of both classes and byte orders, `.modinfo`, text, packings, and what is malformed."""

from __future__ import annotations

import hashlib
import io
import random
import time

import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.kernel.elf import read_elf
from hostproof.artefacts.kernel.module import ModuleFile, canonical, modinfo, read_module
from hostproof.errors import HostproofError, InputError
from tests.artefacts.archive import samples as archives
from tests.artefacts.kernel import samples

KINDS = [
    (64, "little", 62, "x86_64"),
    (64, "big", 22, "s390x"),
    (32, "little", 40, "arm"),
    (32, "big", 20, "elf-machine-20"),
]
VIRTIO = samples.module("virtio_pci", ["pci:v00001AF4d*sv*sd*bc*sc*i*", "pci:v1d1*"], "virtio,virtio-ring")


def read(data: bytes) -> ModuleFile:
    return read_module(data, "kernel/drivers/virtio/virtio_pci.ko", "k.deb!virtio_pci.ko")


@pytest.mark.parametrize(("bits", "order", "machine", "architecture"), KINDS)
def test_a_module_of_any_class_and_byte_order_is_read(bits: int, order: str, machine: int, architecture: str) -> None:
    file = read(samples.module("virtio_pci", ["a", "b"], "virtio,virtio-ring", bits=bits, order=order, machine=machine))

    assert file.architecture == architecture
    assert file.release == samples.RELEASE
    assert file.module.name == "virtio_pci"
    assert file.module.aliases == ("a", "b")
    assert file.module.depends == ("virtio", "virtio_ring")
    assert file.module.text_bytes == 101


def test_text_is_what_stays_executable_after_loading() -> None:
    text = b"\x90" * 100 + b"\xc3"  # .text and .text.unlikely; neither .init.text nor .exit.text

    assert read(VIRTIO).module.text_sha256 == hashlib.sha256(text).hexdigest()


@pytest.mark.parametrize("packing", ["gzip", "xz", "zstd", "lz4", "bzip2"])
def test_a_packed_module_is_the_same_module(packing: str) -> None:
    assert read(archives.PACKINGS[packing](VIRTIO)) == read(VIRTIO)


def test_the_name_falls_back_to_the_file() -> None:
    nameless = samples.elf([(".modinfo", 1, 2, b"license=GPL\0")])

    assert read_module(nameless, "kernel/fs/nls/nls_iso8859-1.ko.xz", "x").module.name == "nls_iso8859_1"


def test_canonical_names_have_underscores_and_no_suffix() -> None:
    names = ["kernel/a/i2c-i801.ko", "i2c_i801.ko.zst", "x.ko.gz", "plain"]

    assert [canonical(name) for name in names] == ["i2c_i801", "i2c_i801", "x", "plain"]


def test_modinfo_strings_without_an_equals_sign_are_padding() -> None:
    assert modinfo(b"a=1\0\0\0junk\0alias=x=y\0b=") == [("a", "1"), ("alias", "x=y"), ("b", "")]


def test_sections_agree_with_pyelftools() -> None:
    for bits, order, machine, _ in KINDS:
        data = samples.module("m", ["x"], bits=bits, order=order, machine=machine)
        oracle = ELFFile(io.BytesIO(data))
        mine = read_elf(data, "m")
        theirs = [(s["sh_offset"], s["sh_size"], s["sh_flags"]) for s in oracle.iter_sections()]

        assert [(s.offset, s.size, s.flags) for s in mine.sections] == theirs
        assert bytes(mine.bytes_of(mine.section(".modinfo"))) == oracle.get_section_by_name(".modinfo").data()  # type: ignore[arg-type]


def changed(position: int, new: bytes) -> bytes:
    return VIRTIO[:position] + new + VIRTIO[position + len(new) :]


TABLE = int.from_bytes(VIRTIO[40:48], "little")
MODINFO = TABLE + 5 * 64
MALFORMED = {
    "empty": (b"", "not an ELF file"),
    "text": (b"#!/bin/sh\n" * 20, "not an ELF file"),
    "a header alone": (VIRTIO[:40], "damaged ELF header"),
    "class 3": (changed(4, b"\3"), "damaged ELF header"),
    "byte order 0": (changed(5, b"\0"), "damaged ELF header"),
    "a section table past the end": (changed(40, b"\xff" * 8), "damaged section table"),
    "no section table": (changed(40, bytes(8)), "without sections"),
    "section entries of another size": (changed(58, b"\x20\0"), "damaged section table"),
    "too many sections": (changed(60, b"\xff\xfe"), "section table of 65279 entries"),
    "a names section that is not there": (changed(62, b"\xf0\0"), "section names in section 240"),
    "a count of a billion in section 0": (
        changed(60, bytes(2))[: TABLE + 32] + (10**9).to_bytes(8, "little") + VIRTIO[TABLE + 40 :],
        "section table of 1000000000 entries",
    ),
    "modinfo past the end": (changed(MODINFO + 24, (10**6).to_bytes(8, "little")), "runs past the end"),
    "modinfo of sixteen exabytes": (changed(MODINFO + 32, b"\xff" * 8), "no usable .modinfo"),
    "no modinfo": (samples.elf([(".text", 1, 6, b"x")]), "no usable .modinfo"),
    "packed twice": (archives.PACKINGS["gzip"](archives.PACKINGS["gzip"](VIRTIO)), "not an ELF file"),
    "a cut package": (archives.PACKINGS["xz"](VIRTIO)[:-20], "damaged xz data"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_modules_are_refused_by_name_and_offset(name: str) -> None:
    data, message = MALFORMED[name]

    with pytest.raises(InputError) as caught:
        read(data)
    assert message in str(caught.value)
    assert caught.value.place is not None
    assert caught.value.place.artefact == "k.deb!virtio_pci.ko"
    assert caught.value.place.offset is not None


def test_a_module_cut_anywhere_is_refused() -> None:
    for length in range(0, len(VIRTIO), 13):
        with pytest.raises(InputError):
            read(VIRTIO[:length])


@given(st.binary(max_size=500))
def test_arbitrary_bytes_after_the_magic_give_an_error(data: bytes) -> None:
    with pytest.raises(HostproofError):
        read(b"\x7fELF" + data)


@settings(max_examples=400)
@given(st.data())
def test_a_changed_module_gives_a_module_or_an_error(data: st.DataObject) -> None:
    raw = bytearray(VIRTIO)
    for _ in range(data.draw(st.integers(1, 6))):
        area = data.draw(st.sampled_from([(0, 64), (TABLE, len(VIRTIO)), (0, len(VIRTIO))]))
        raw[data.draw(st.integers(area[0], area[1] - 1))] = data.draw(st.integers(0, 255))
    try:
        assert read(bytes(raw)).module.text_bytes >= 0
    except HostproofError as error:
        assert error.place is not None


def test_many_overlapping_text_sections_do_not_take_long() -> None:
    """Each of 20,000 sections claims the whole file: without a bound the digest would read gigabytes."""
    count = 20_000
    body = samples.module("m", [], text=random.Random(3).randbytes(1 << 20))
    sections = [(".text", 1, 6, b"")] * count + [(".modinfo", 1, 2, samples.modinfo("m"))]
    data = bytearray(samples.elf(sections) + body)
    table = int.from_bytes(data[40:48], "little")
    for number in range(1, count + 1):
        data[table + number * 64 + 24 : table + number * 64 + 40] = (64).to_bytes(8, "little") + (1 << 20).to_bytes(
            8, "little"
        )
    start = time.monotonic()
    with pytest.raises(InputError, match="sections overlap"):
        read(bytes(data))
    assert time.monotonic() - start < 2
