"""From the bytes of an image to the kernel in it: bzImage, EFI zboot, arm64 `Image`, `Image.gz`, s390, `vmlinux`.

`open_image` unpacks once for all that is asked of an image; `hostproof.artefacts.kernel.vmlinux.read_vmlinux` is for callers
that need the kernel alone.
What an x86 image unpacks to is an ELF file whose sections survived, and relocations after it. What others unpack to is flat
(`hostproof.artefacts.kernel.flat_image`).
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from hostproof.artefacts.archive.limits import DEFAULT, Limits
from hostproof.artefacts.kernel.dynamic_relocations import applied, find_relocations
from hostproof.artefacts.kernel.elf import SHF_EXECINSTR, SHT_NOBITS, read_elf
from hostproof.artefacts.kernel.flat_image import read_flat
from hostproof.artefacts.kernel.image import ELF, Image, config_in, image_of, unpacked
from hostproof.artefacts.kernel.vmlinux import ImageSection, Vmlinux
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["OpenImage", "open_image"]

SHF_WRITE, SHF_ALLOC = 1, 2
MAX_SECTIONS = 8192


@dataclass(frozen=True, slots=True)
class OpenImage:
    """An image, unpacked once."""

    kernel: Vmlinux
    data: bytes
    inner: bytes
    limits: Limits

    def image(self) -> Image:
        """What the image says of itself. Raises InputError."""
        return image_of(self.data, self.inner, self.kernel.name)

    def config(self) -> bytes | None:
        """The configuration that it carries, or None. Raises InputError where that is damaged."""
        return config_in(self.inner, self.kernel.name, self.limits)


def open_image(data: bytes, name: str, limits: Limits = DEFAULT) -> OpenImage:
    """Unpacks an image. Raises InputError where it is no image, a damaged one, or beyond a limit."""
    inner = unpacked(data, name, limits)
    if inner[:4] == ELF:
        kernel = _elf(inner, name)
    elif inner[56:60] == b"ARM\x64":
        kernel = read_flat(inner, name, "aarch64")
    elif inner is not data and image_of(data, inner, name).architecture == "s390x":
        kernel = read_flat(inner, name, "s390x")
    else:
        raise InputError(
            "no kernel that can be read in this image",
            place=Place(name, offset=0),
            expected="an ELF file, an arm64 Image, or a packed kernel of s390",
            hint="give the vmlinux of this kernel",
        )
    return OpenImage(kernel, data, inner, limits)


def _elf(data: bytes, name: str) -> Vmlinux:
    elf = read_elf(data, name)
    if len(elf.sections) > MAX_SECTIONS:
        raise InputError(
            f"a vmlinux of {len(elf.sections)} sections",
            place=Place(name, offset=0),
            expected=f"at most {MAX_SECTIONS}; those of kernels have below a hundred",
        )
    mark = "<" if data[5] == 1 else ">"
    wide = elf.bits == 64
    (table,) = struct.unpack_from(f"{mark}{'Q' if wide else 'I'}", data, 40 if wide else 32)
    entry, address_at = (64, 16) if wide else (40, 12)
    sections = []
    for index, section in enumerate(elf.sections):
        flags_at = table + index * entry
        if section.type == SHT_NOBITS or not section.flags & SHF_ALLOC or not section.size:
            continue
        elf.bytes_of(section)
        (address,) = struct.unpack_from(f"{mark}{'Q' if wide else 'I'}", data, flags_at + address_at)
        text = elf.names[section.name_offset :].partition(b"\0")[0].decode("ascii", "backslashreplace")
        data_too = section.flags & SHF_WRITE and text.startswith(".data")
        executable = bool(section.flags & SHF_EXECINSTR) and not data_too
        sections.append(ImageSection(text, address, section.offset, section.size, executable))
    if not any(section.executable for section in sections):
        raise InputError(
            "an ELF file without executable sections that are loaded",
            place=Place(name, offset=table),
            expected="a vmlinux, whose .text is loaded",
        )
    sections.sort(key=lambda section: (section.address, section.offset))
    sha256 = hashlib.sha256(data).hexdigest()
    relocations = find_relocations(data, elf.architecture)
    if relocations is not None:  # a position-independent vmlinux
        data = applied(data, relocations, sections, elf.architecture, name)
    return Vmlinux(name, elf.architecture, data, sha256, tuple(sections))
