r"""Kernel images: which release an image is, for which architecture, and the configuration it may carry.

SOURCE: `Documentation/arch/x86/boot.rst`, `Documentation/arch/arm64/booting.rst`,
`drivers/firmware/efi/libstub/zboot-header.S`, `arch/s390/boot/head.S`, `kernel/configs.c`. All little-endian::

    x86     0x1f1  1  setup_sects (0 stands for 4)         arm64   56  4  magic "ARM\x64"
            0x202  4  "HdrS"                               zboot    0  2  "MZ"
            0x206  2  protocol version                              4  4  "zimg"
            0x20e  2  kernel_version, less 0x200                    8  4  payload offset
            0x236  2  xloadflags (bit 0: 64-bit kernel)            12  4  payload size
            0x248  4  payload_offset, from the end of the set-up   24     compression, NUL-terminated
            0x24c  4  payload_length                       s390  0x10008  "S390EP"

An unpacked kernel carries `Linux version RELEASE (...`, and with CONFIG_IKCONFIG its configuration, packed with gzip,
between `IKCFG_ST` and `IKCFG_ED`.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from hostproof.artefacts.archive.decompress import MAGICS, detect, leading, whole
from hostproof.artefacts.archive.limits import DEFAULT, Limits
from hostproof.artefacts.kernel.elf import MACHINES
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["Image", "config_in", "embedded_config", "image_of", "looks_like_image", "read_image", "unpacked"]

S390_HEAD = 0x11000  # the loader's code starts here (arch/s390/boot/head.S), its payload comes after
S390_TRIES = 8  # places that are tried
ELF = b"\x7fELF"
_BANNER = re.compile(rb"Linux version ([!-~]{1,120}) \([ -~\n]{0,1024}")
_DEBIAN = re.compile(r"Debian (\d+(?:\.\d+)+(?:~rc\d+)?)")


@dataclass(frozen=True, slots=True)
class Image:
    """What an image says of itself: `kind` (`bzImage`, `arm64 Image`, `EFI zboot`, `s390 image`, `vmlinux`), the
    banner, release and upstream version (empty where it does not say), and the architecture.
    """

    kind: str
    banner: str
    release: str
    version: str
    architecture: str


def looks_like_image(head: bytes) -> bool:
    """Whether the first 72 KiB of a file are those of a kernel image."""
    return _kind(head) is not None or (
        head[:4] == b"\x7fELF" and len(head) > 18 and head[16:18] in (b"\2\0", b"\0\2", b"\3\0", b"\0\3")
    )


def read_image(data: bytes, name: str, limits: Limits = DEFAULT) -> Image:
    """What the image in `data` says of itself. Raises InputError where it is no kernel image, or a damaged one.

    Only a zboot image and an `Image.gz` are unpacked for that.
    """
    packed = _kind(data) in {"EFI zboot", None} and data[:4] != ELF
    return image_of(data, unpacked(data, name, limits) if packed else data, name)


def image_of(data: bytes, kernel: bytes, name: str) -> Image:
    """The same where the kernel in the image is unpacked already."""
    kind = _kind(data)
    if kind == "bzImage":
        return _bzimage(data, name)
    if kind == "s390 image":
        return _with_banner(kind, _banner(kernel) or _banner(data), "s390x")
    if kind == "arm64 Image":
        return _with_banner(kind, _banner(kernel), "aarch64")
    if kind == "EFI zboot":
        return _with_banner(kind, _banner(kernel), "aarch64" if _kind(kernel) == "arm64 Image" else "")
    if data[:4] == ELF and len(data) > 20:
        machine = int.from_bytes(data[18:20], "little" if data[5] == 1 else "big")
        banner = _banner(data)
        if not banner:
            raise InputError(
                "an ELF file without the banner of a kernel",
                place=Place(name),
                expected="a vmlinux, which holds `Linux version RELEASE (...`",
            )
        return _with_banner("vmlinux", banner, MACHINES.get((machine, data[4]), ""))
    if detect(data[:8]) == "gzip" and kernel[:8] != data[:8]:  # an arm64 Image.gz
        return image_of(kernel, kernel, name)
    raise _no_image(name)


def unpacked(data: bytes, name: str, limits: Limits = DEFAULT) -> bytes:
    """The kernel as it lies in memory: the payload of a bzImage or zboot image unpacked, others as they are.

    Raises InputError where this is no image, or one whose payload is damaged.
    """
    kind = _kind(data)
    if kind == "bzImage":
        sectors = data[0x1F1] or 4
        offset, length = struct.unpack_from("<II", data, 0x248)
        start = (sectors + 1) * 512 + offset
    elif kind == "EFI zboot":
        start, length = struct.unpack_from("<II", data, 8)
    elif kind == "s390 image":
        return _s390_payload(data, name, limits) or data
    elif kind is None and data[:4] != ELF:
        if detect(data[:8]) != "gzip":
            raise _no_image(name)
        return unpacked(_nested(data, name, limits), name, limits)
    else:
        return data
    payload = data[start : start + length]
    if length < 8 or len(payload) != length:
        raise InputError(
            f"a payload of {length} bytes at {start:#x}",
            place=Place(name, offset=start),
            expected="one inside the file",
        )
    packing = detect(payload[:8])
    if packing is None:
        return payload
    if packing != "gzip" and kind == "bzImage":
        payload = payload[:-4]  # the build appends the unpacked size, which gzip has of its own
    unpack = leading if kind == "EFI zboot" else whole  # a zboot payload may have its unpacked size behind it too
    return bytes(unpack(payload, f"{name}+{start:#x}", limits))


def _s390_payload(data: bytes, name: str, limits: Limits) -> bytes | None:
    """The kernel in an s390 image: the first stream after the loader's head that unpacks to a kernel, or None.

    The image has no field for it: `.vmlinux.bin.compressed` lies where the loader was linked (arch/s390/boot).
    """
    hits = []
    for magic, packing in MAGICS:
        position = S390_HEAD
        for _ in range(2 if packing != "lzma" else 1):  # three bytes that are no rare ones
            position = data.find(magic, position + 1)
            if position < 0:
                break
            hits.append(position)
    for start in sorted(hits)[:S390_TRIES]:
        try:
            kernel = leading(data[start:], f"{name}+{start:#x}", limits)
        except InputError:  # the bytes of a magic, and no stream
            continue
        if _BANNER.search(kernel):
            return bytes(kernel)
    return None


def embedded_config(data: bytes, name: str, limits: Limits = DEFAULT) -> bytes | None:
    """The configuration that the image carries (CONFIG_IKCONFIG=y), or None. Raises InputError where it is damaged."""
    return config_in(unpacked(data, name, limits), name, limits)


def config_in(kernel: bytes, name: str, limits: Limits = DEFAULT) -> bytes | None:
    """The same for a kernel that is unpacked already."""
    start = kernel.find(b"IKCFG_ST\x1f\x8b")
    end = kernel.find(b"IKCFG_ED", start)
    if start < 0 or end < 0:
        return None
    return bytes(whole(kernel[start + 8 : end], f"{name}!IKCONFIG", limits))


def _kind(data: bytes) -> str | None:
    if data[0x202:0x206] == b"HdrS" and len(data) >= 0x268:
        return "bzImage"
    if data[:2] == b"MZ" and data[4:8] == b"zimg" and len(data) >= 64:
        return "EFI zboot"
    if data[56:60] == b"ARM\x64":
        return "arm64 Image"
    if data[0x10008:0x1000E] == b"S390EP":
        return "s390 image"
    return None


def _bzimage(data: bytes, name: str) -> Image:
    protocol, pointer = struct.unpack_from("<H", data, 0x206)[0], struct.unpack_from("<H", data, 0x20E)[0]
    sectors = data[0x1F1] or 4
    if protocol < 0x0208 or not 0 < pointer < 0x200 * sectors:
        raise InputError(
            f"a boot protocol {protocol:#06x} with its version string at {pointer + 0x200:#x}",
            place=Place(name, offset=0x206),
            expected="protocol 2.08 or later, and a version string inside the set-up sectors",
        )
    text = data[pointer + 0x200 : pointer + 0x600].partition(b"\0")[0].decode("ascii", "backslashreplace")
    flags = struct.unpack_from("<H", data, 0x236)[0]
    return _with_banner("bzImage", text, "x86_64" if protocol >= 0x020C and flags & 1 else "i686")


def _banner(kernel: bytes) -> str:
    """The banner from the release on, empty where there is none."""
    found = _BANNER.search(kernel)
    return found[0].decode("ascii")[len("Linux version ") :].strip() if found else ""


def _with_banner(kind: str, banner: str, architecture: str) -> Image:
    release = banner.partition(" ")[0]
    debian = _DEBIAN.search(banner.rpartition(" #")[2])  # before the build number stands the compiler, also Debian's
    return Image(kind, banner, release, debian[1] if debian else "", architecture)


def _no_image(name: str) -> InputError:
    return InputError(
        "not a kernel image",
        place=Place(name, offset=0),
        expected="a bzImage (HdrS at 0x202), an arm64 Image (ARM\\x64 at 56), an EFI zboot image, an s390 image or vmlinux",
    )


def _nested(data: bytes, name: str, limits: Limits) -> bytes:
    inner = bytes(whole(data, name, limits))
    if detect(inner[:8]) is not None:
        raise InputError("an image packed twice", place=Place(name, offset=0), expected="an Image.gz")
    return inner
