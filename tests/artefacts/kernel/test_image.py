"""Images: which release, for which architecture, and the configuration they carry."""

from __future__ import annotations

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.kernel.image import embedded_config, looks_like_image, read_image
from hostproof.errors import HostproofError, InputError
from tests.artefacts.archive import samples as archives
from tests.artefacts.kernel import samples

BZIMAGE = samples.bzimage()


def test_a_bzimage_says_its_release_and_debian_says_the_upstream_version() -> None:
    image = read_image(BZIMAGE, "vmlinuz")

    assert (image.kind, image.release, image.version, image.architecture) == (
        "bzImage",
        samples.RELEASE,
        "6.1.7",
        "x86_64",
    )


def test_a_32_bit_bzimage_says_so() -> None:
    image = read_image(BZIMAGE[:0x236] + b"\0\0" + BZIMAGE[0x238:], "vmlinuz")

    assert image.architecture == "i686"


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("arm64 Image", samples.arm64_image()),
        ("EFI zboot", samples.zboot(samples.arm64_image())),
        ("arm64 Image", gzip.compress(samples.arm64_image())),
    ],
)
def test_an_arm64_image_says_its_release_in_its_banner(kind: str, data: bytes) -> None:
    image = read_image(data, "Image")

    assert (image.kind, image.release, image.architecture) == (kind, samples.RELEASE, "aarch64")


def test_a_vmlinux_says_its_release_and_machine() -> None:
    data = bytearray(samples.elf([(".rodata", 1, 2, b"Linux version 6.9.0 (a@b) (gcc) #1\n")], machine=22, order="big"))
    data[16:18] = b"\0\2"

    assert looks_like_image(bytes(data))
    assert (read_image(bytes(data), "vmlinux").release, read_image(bytes(data), "vmlinux").architecture) == (
        "6.9.0",
        "s390x",
    )


def test_an_s390_image_is_told_by_its_parameter_area() -> None:
    data = bytes(0x10008) + b"S390EP" + bytes(4096)

    assert (read_image(data, "image").kind, read_image(data, "image").architecture) == ("s390 image", "s390x")


def test_the_configuration_is_found_in_the_payload() -> None:
    data = samples.bzimage(payload=samples.payload(samples.kernel_with_config()))

    assert embedded_config(data, "vmlinuz") == samples.CONFIG


@pytest.mark.parametrize("packing", ["gzip", "xz", "zstd", "bzip2", "lzma", "lz4-legacy"])
def test_every_packing_of_the_payload_is_unpacked(packing: str) -> None:
    kernel = samples.kernel_with_config()
    packed = archives.PACKINGS[packing](kernel) + (b"" if packing == "gzip" else len(kernel).to_bytes(4, "little"))

    assert embedded_config(samples.bzimage(payload=packed), "vmlinuz") == samples.CONFIG


def test_an_image_without_a_configuration_gives_none() -> None:
    assert embedded_config(samples.bzimage(payload=samples.payload(bytes(1000))), "vmlinuz") is None


MALFORMED = {
    "empty": b"",
    "text": b"vmlinuz" * 1000,
    "an old boot protocol": BZIMAGE[:0x206] + b"\x04\x02" + BZIMAGE[0x208:],
    "a version outside of the set-up": BZIMAGE[:0x20E] + b"\xff\xff" + BZIMAGE[0x210:],
    "no version": BZIMAGE[:0x20E] + b"\0\0" + BZIMAGE[0x210:],
    "a cut set-up": BZIMAGE[:0x210],
    "a zboot payload outside of the file": samples.zboot(samples.arm64_image())[:-40],
    "packed twice": gzip.compress(gzip.compress(samples.arm64_image())),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_images_are_refused(name: str) -> None:
    with pytest.raises(InputError) as caught:
        read_image(MALFORMED[name], "vmlinuz")
    assert caught.value.place is not None


def test_a_payload_outside_of_the_image_is_refused() -> None:
    data = bytearray(samples.bzimage(payload=samples.payload(bytes(1000))))
    data[0x24C:0x250] = b"\xff" * 4

    with pytest.raises(InputError, match="payload of 4294967295 bytes"):
        embedded_config(bytes(data), "vmlinuz")


@settings(max_examples=200)
@given(st.data())
def test_a_changed_image_gives_words_or_an_error(data: st.DataObject) -> None:
    sample = samples.bzimage(payload=samples.payload(samples.kernel_with_config()))
    raw = bytearray(data.draw(st.sampled_from([sample, samples.zboot(samples.arm64_image())])))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.one_of(st.integers(0x1F0, 0x250), st.integers(0, min(len(raw) - 1, 64))))
        raw[position % len(raw)] = data.draw(st.integers(0, 255))
    try:
        read_image(bytes(raw), "x")
        embedded_config(bytes(raw), "x")
    except HostproofError as error:
        assert error.place is not None
