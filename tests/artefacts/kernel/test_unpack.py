"""Images of every kind and packing give the kernel that was packed; flat ones are put where they are linked."""

from __future__ import annotations

import gzip
import hashlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.archive.limits import Limits
from hostproof.artefacts.kernel.image import embedded_config
from hostproof.artefacts.kernel.kallsyms import read_kallsyms
from hostproof.artefacts.kernel.unpack import open_image
from hostproof.artefacts.kernel.vmlinux import ImageSection, read_vmlinux
from hostproof.errors import HostproofError, InputError
from tests.artefacts.archive import samples as archives
from tests.artefacts.kernel import kallsyms_samples as kernels
from tests.artefacts.kernel import samples

VMLINUX = kernels.vmlinux(trailer=b"relocations" * 8)
LAYOUTS = {layout.name: layout for layout in kernels.LAYOUTS}
ARM64_BASE = 0xFFFF800080000000


def packed(kernel: bytes, packing: str) -> bytes:
    """A payload as the x86 build makes it: the unpacked size follows all streams but gzip."""
    stream = archives.PACKINGS[packing](kernel)
    return stream if packing == "gzip" else stream + struct.pack("<I", len(kernel))


def s390(kernel: bytes, packing: str) -> bytes:
    head = bytearray(0x14000)
    head[0x10008:0x1000E] = b"S390EP"
    return bytes(head) + archives.PACKINGS[packing](kernel) + b"what the linker puts behind it" * 100


@pytest.mark.parametrize("packing", ["gzip", "xz", "zstd", "bzip2", "lzma", "lz4-legacy", "lzo"])
def test_a_bzimage_of_every_packing_gives_its_kernel(packing: str) -> None:
    kernel = read_vmlinux(samples.bzimage(payload=packed(VMLINUX, packing)), "vmlinuz")

    assert kernel.data == VMLINUX
    assert kernel.sha256 == hashlib.sha256(VMLINUX).hexdigest()
    assert (kernel.architecture, kernel.flat) == ("x86_64", False)
    assert [section.name for section in kernel.sections] == [".text", ".rodata", ".data"]


def test_a_bzimage_that_is_not_packed_gives_its_kernel() -> None:
    assert read_vmlinux(samples.bzimage(payload=VMLINUX), "vmlinuz").data == VMLINUX


def test_the_bcj_filter_that_the_kernel_packs_xz_with_is_undone() -> None:
    import lzma

    filters = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "dict_size": 1 << 25}]
    stream = lzma.compress(VMLINUX, lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=filters)

    assert read_vmlinux(samples.bzimage(payload=stream + struct.pack("<I", len(VMLINUX))), "vmlinuz").data == VMLINUX


def test_sections_say_where_they_lie_and_which_hold_code() -> None:
    kernel = read_vmlinux(VMLINUX, "vmlinux")
    text, rodata, data = kernel.sections

    assert (text.address, text.size, text.executable) == (kernels.TEXT, 0x20000, True)
    assert (rodata.address, rodata.executable) == (kernels.TEXT + 0x20000, False)
    assert (data.name, data.executable) == (".data", False)  # flagged executable and writable
    assert kernel.read(kernels.TEXT, len(kernels.BANNER)) == kernels.BANNER
    assert kernel.read(rodata.address - 1, 2) is None  # no read runs over the end of a section
    assert kernel.offset_of(rodata.address + 5) == rodata.offset + 5


def test_symbols_of_an_unpacked_bzimage_are_read() -> None:
    kernel = read_vmlinux(samples.bzimage(payload=packed(VMLINUX, "zstd")), "vmlinuz")

    assert list(read_kallsyms(kernel).names) == [name for _, _, name in kernels.entries(percpu=True)]


def test_an_image_that_is_opened_once_says_its_release_and_its_configuration() -> None:
    inner = VMLINUX + samples.kernel_with_config()
    opened = open_image(samples.bzimage(payload=packed(inner, "zstd")), "vmlinuz")

    assert opened.image().release == samples.RELEASE
    assert opened.config() == samples.CONFIG
    assert opened.kernel.data == inner


def rows(sections: tuple[ImageSection, ...], base: int) -> list[tuple[str, int, bool]]:
    return [(section.name, section.address - base, section.executable) for section in sections]


SPLIT = [
    (".head.text", 0, True),
    (".text", 0x1000, True),
    (".rodata", 0x20000, False),
    (".init.text", 0x60000, True),
    (".data", 0x61000, False),
]


@pytest.mark.parametrize("layout", ["4.19", "5.10", "6.1", "6.4", "7.0"])
@pytest.mark.parametrize("relocated", [True, False])
@pytest.mark.parametrize("base", [ARM64_BASE, 0xFFFF800008000000, 0xFFFFFFC008000000])
def test_an_arm64_image_is_put_where_it_is_linked(layout: str, relocated: bool, base: int) -> None:
    image, entries, pointers = kernels.flat(LAYOUTS[layout], base=base, relocated=relocated)
    kernel = read_vmlinux(image, "Image")
    symbols = read_kallsyms(kernel)

    assert (kernel.architecture, kernel.flat) == ("aarch64", True)
    assert rows(kernel.sections, base) == SPLIT
    assert list(zip(symbols.addresses, symbols.names, strict=True)) == [(address, name) for address, _, name in entries]
    assert kernel.sha256 == hashlib.sha256(image).hexdigest()
    addresses = {address for address, _, _ in entries}
    assert all(word in addresses for (word,) in struct.iter_unpack("<Q", kernel.data[pointers : pointers + 1600]))


def test_a_position_independent_vmlinux_of_arm64_is_relocated() -> None:
    image, entries, _ = kernels.flat(LAYOUTS["6.4"])
    bounds = [(".text", 6, 0, 0x20000), (".rodata", 2, 0x20000, 0x61000), (".data", 3, 0x61000, len(image))]
    vmlinux = kernels.elf(
        [(name, flags, ARM64_BASE + start, image[start:end]) for name, flags, start, end in bounds], machine=183
    )
    kernel = read_vmlinux(vmlinux, "vmlinux")
    pointer = kernel.read(ARM64_BASE + 0x61000, 8)

    assert not kernel.flat
    assert pointer is not None
    assert int.from_bytes(pointer, "little") in {address for address, _, _ in entries}
    assert list(read_kallsyms(kernel).addresses) == [address for address, _, _ in entries]


def test_a_vmlinux_of_too_many_sections_is_refused() -> None:
    many = [(f".{number}", 6, kernels.TEXT + 16 * number, b"x") for number in range(8200)]

    with pytest.raises(InputError, match="a vmlinux of 8202 sections"):
        read_vmlinux(kernels.elf(many), "vmlinux")


@pytest.mark.parametrize("wrap", [gzip.compress, samples.zboot], ids=["Image.gz", "zboot"])
def test_packed_arm64_images_are_read(wrap: object) -> None:
    image, entries, _ = kernels.flat(LAYOUTS["6.4"])
    kernel = read_vmlinux(wrap(image), "vmlinuz")  # type: ignore[operator]

    assert kernel.sections[0].address == ARM64_BASE
    assert len(read_kallsyms(kernel)) == len(entries)


@pytest.mark.parametrize("packing", ["gzip", "xz", "zstd", "bzip2", "lzma", "lz4-legacy", "lzo"])
@pytest.mark.parametrize("relocated", [True, False])
def test_an_s390_image_gives_its_kernel(packing: str, relocated: bool) -> None:
    inner, entries, pointers = kernels.flat(LAYOUTS["6.4"], architecture="s390x", base=0x100000, relocated=relocated)
    kernel = read_vmlinux(s390(inner, packing), "image")
    symbols = read_kallsyms(kernel)

    assert (kernel.architecture, kernel.flat, kernel.sections[0].address) == ("s390x", True, 0x100000)
    assert list(symbols.names) == [name for _, _, name in entries]
    assert struct.unpack_from(">Q", kernel.data, pointers)[0] in set(symbols.addresses)


def test_the_btf_of_a_flat_image_is_a_section_of_its_own() -> None:
    from hostproof.artefacts.kernel.flat_image import _sections
    from hostproof.artefacts.kernel.symbols import Symbols

    named = [("_text", 0), ("_stext", 4096), ("_etext", 8192), ("__start_rodata", 8192)]
    named += [("__start_BTF", 9000), ("__stop_BTF", 9500), ("__end_rodata", 12288)]
    base = 0xFFFF800080000000
    symbols = Symbols([base + at for _, at in named], "D" * len(named), [name for name, _ in named], True)

    assert rows(_sections(symbols, base, 16384), base) == [
        (".head.text", 0, True),
        (".text", 4096, True),
        (".rodata", 8192, False),
        (".BTF", 9000, False),
        (".rodata", 9500, False),
        (".data.3000", 12288, False),
    ]


def without_symbols() -> bytes:
    image, _, _ = kernels.flat(LAYOUTS["6.4"])
    return image.replace(b"5\x006\x007\x00", b"5\x006.7\x00")


def placed_outside() -> bytes:
    image = bytearray(kernels.flat(LAYOUTS["6.4"])[0])
    struct.pack_into("<Q", image, 0x58000 + 24 * 5, ARM64_BASE + len(image) - 4)
    return bytes(image)


def no_pointers() -> bytes:
    return kernels.flat(LAYOUTS["7.0"], pointers=0, relocated=False)[0]


def no_text() -> bytes:
    return kernels.elf([(".data", 3, 0x1000, b"Linux version 1")])


def cut_elf() -> bytes:
    return VMLINUX[: len(VMLINUX) // 2]


def section_outside() -> bytes:
    data = bytearray(kernels.vmlinux())
    table = struct.unpack_from("<Q", data, 40)[0]
    struct.pack_into("<Q", data, table + 64 + 32, 1 << 40)
    return bytes(data)


MALFORMED = {
    "a flat image without kallsyms": without_symbols,
    "a relocation past the end": placed_outside,
    "nothing that tells the link address": no_pointers,
    "an ELF file without text": no_text,
    "an ELF file that is cut": cut_elf,
    "a section outside of the file": section_outside,
    "a payload that is no kernel": lambda: samples.bzimage(payload=packed(bytes(5000), "zstd")),
    "an s390 image without a payload": lambda: s390(b"", "gzip")[:0x14000],
    "text": lambda: b"vmlinuz " * 9000,
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_images_are_refused_with_their_place(what: str) -> None:
    with pytest.raises(InputError) as caught:
        read_vmlinux(MALFORMED[what](), "image")

    assert caught.value.place is not None
    assert caught.value.expected


def test_an_image_that_unpacks_to_too_much_is_refused() -> None:
    with pytest.raises(InputError, match="unpacks to more than"):
        read_vmlinux(samples.bzimage(payload=packed(bytes(3 << 20), "lzo")), "vmlinuz", Limits(member_bytes=1 << 20))


def test_an_s390_image_that_is_not_packed_has_no_configuration_to_show() -> None:
    assert embedded_config(s390(b"", "gzip")[:0x14000], "image") is None


SAMPLES = {
    "vmlinux": kernels.vmlinux(),
    "bzImage": samples.bzimage(payload=VMLINUX),
    "arm64": kernels.flat(LAYOUTS["6.4"])[0],
    "arm64 7.0": kernels.flat(LAYOUTS["7.0"])[0],
    "s390": s390(kernels.flat(LAYOUTS["6.4"], architecture="s390x", base=0x100000)[0], "zstd"),
}
SPOTS = {
    "vmlinux": (0, 64),
    "bzImage": (0x1F0, 0x250),
    "arm64": (0x58000, 0x58400),
    "arm64 7.0": (0x20000, 0x28000),
    "s390": (0x14000, 0x14100),
}


@settings(max_examples=150)
@given(st.data())
def test_a_changed_image_gives_a_kernel_or_an_error(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(SAMPLES)))
    raw = bytearray(SAMPLES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.one_of(st.integers(*SPOTS[name]), st.integers(0, len(raw) - 1)))
        raw[position] = data.draw(st.integers(0, 255))
    try:
        kernel = read_vmlinux(bytes(raw), name)
        symbols = read_kallsyms(kernel)
    except HostproofError as error:
        assert error.place is not None
    else:
        assert kernel.sections
        assert len(symbols)


@given(st.binary(max_size=2000), st.sampled_from([b"\x7fELF\x02\x01\x01", b"MZ\0\0zimg", b"\x1f\x8b\x08", b""]))
def test_arbitrary_bytes_give_an_error(raw: bytes, head: bytes) -> None:
    with pytest.raises(HostproofError):
        read_vmlinux(head + raw, "x")
