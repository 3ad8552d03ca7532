"""A kernel as it lies in memory: its sections, and the way between addresses and bytes.

`read_vmlinux` takes what a bzImage, zboot image or `Image.gz` unpacks to, or a `vmlinux`. An ELF file says where its
sections lie; a flat image (arm64 `Image`, s390) has one section, whose address follows from its kallsyms.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

from hostproof.artefacts.archive.limits import DEFAULT, Limits
from hostproof.artefacts.kernel.symbols import Symbols

__all__ = ["ImageSection", "Vmlinux", "read_vmlinux"]


@dataclass(frozen=True, slots=True)
class ImageSection:
    """A section with bytes in the file: link-time virtual address, offset into the unpacked kernel and size, in bytes.

    `executable` says that it holds code. The linker of x86 7.x flags `.data` executable too; what is writable and named
    `.data` holds none.
    """

    name: str
    address: int
    offset: int
    size: int
    executable: bool


@dataclass(frozen=True, slots=True)
class Vmlinux:
    """An unpacked kernel. `sections` are those with bytes, by address; addresses are link-time virtual addresses.

    `data` holds pointers as they are once the kernel has relocated itself to its link-time address (arm64 images keep
    them in a relocation table). `sha256` is that of the unpacked bytes as they stood in the file. `flat` says that the
    image has no section table.
    """

    name: str
    """The image as messages name it."""
    architecture: str
    data: bytes = field(repr=False)
    sha256: str
    sections: tuple[ImageSection, ...]
    flat: bool = False
    symbols: Symbols | None = field(default=None, repr=False)
    """Symbols that had to be read to know where a flat image lies; `kallsyms.find_kallsyms` is how to ask for symbols."""
    _starts: tuple[int, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_starts", tuple(section.address for section in self.sections))

    def section(self, name: str) -> ImageSection | None:
        """The first section of this name."""
        return next((section for section in self.sections if section.name == name), None)

    def bytes_of(self, section: ImageSection) -> memoryview:
        """The bytes of a section."""
        return memoryview(self.data)[section.offset : section.offset + section.size]

    def offset_of(self, address: int) -> int | None:
        """Where in `data` the byte at `address` lies, or None where no section has it."""
        index = bisect_right(self._starts, address) - 1
        if index < 0:
            return None
        section = self.sections[index]
        delta = address - section.address
        return section.offset + delta if delta < section.size else None

    def read(self, address: int, size: int) -> bytes | None:
        """`size` bytes at `address`, or None where they are not all in one section."""
        index = bisect_right(self._starts, address) - 1
        if index < 0 or size < 0:
            return None
        section = self.sections[index]
        delta = address - section.address
        if delta + size > section.size:
            return None
        return self.data[section.offset + delta : section.offset + delta + size]

    def text_at(self, address: int, limit: int = 256) -> str | None:
        """The NUL-terminated printable ASCII text at `address`, of at most `limit` bytes, or None."""
        offset = self.offset_of(address)
        if offset is None:
            return None
        raw, end, _ = self.data[offset : offset + limit].partition(b"\0")
        return raw.decode("ascii") if end and raw.isascii() and raw.decode("ascii").isprintable() else None


def read_vmlinux(data: bytes, name: str, limits: Limits = DEFAULT) -> Vmlinux:
    """The kernel in an image. Raises InputError where it is no image, a damaged one, or beyond a limit."""
    from hostproof.artefacts.kernel.unpack import open_image  # which needs the types above, and numpy

    return open_image(data, name, limits).kernel
