"""Small kernels, built here: modules, images, trees and packages for the tests of readers."""

from __future__ import annotations

import gzip
import lzma
import struct
import zlib
from collections.abc import Sequence

from tests.artefacts.archive import samples as archives

RELEASE = "6.1.0-test"
Section = tuple[str, int, int, bytes]
"""Name, sh_type, sh_flags, bytes."""

CONFIG = b"""#
# Automatically generated file; DO NOT EDIT.
# Linux/x86 6.1.7 Kernel Configuration
#
CONFIG_X86_64=y
CONFIG_PCI=y
CONFIG_VIRTIO=m
# CONFIG_ACPI is not set
CONFIG_LOCALVERSION="-\\"quoted\\""
CONFIG_HZ=250
"""


def elf(sections: Sequence[Section], *, bits: int = 64, order: str = "little", machine: int = 62) -> bytes:
    """A relocatable file with these sections, a null section before and the names after them."""
    mark = "<" if order == "little" else ">"
    names = b"\0"
    rows = [(0, 0, 0, 0, 0)]
    body = bytearray(64)
    for name, kind, flags, data in [*sections, (".shstrtab", 3, 0, b"")]:
        at = len(names)
        names += name.encode() + b"\0"
        data = names if name == ".shstrtab" else data  # noqa: PLW2901 (the names are complete only now)
        rows.append((at, kind, flags, len(body), len(data)))
        body += data if kind != 8 else b""
    table = len(body)
    for at, kind, flags, offset, size in rows:
        layout = "IIQQQQIIQQ" if bits == 64 else "IIIIIIIIII"
        body += struct.pack(mark + layout, at, kind, flags, 0, offset, size, 0, 0, 1, 0)
    layout, header, entry = ("HHIQQQIHHHHHH", 64, 64) if bits == 64 else ("HHIIIIIHHHHHH", 52, 40)
    head = b"\x7fELF" + bytes([bits // 32, 1 if order == "little" else 2, 1]) + bytes(9)
    head += struct.pack(mark + layout, 1, machine, 1, 0, 0, table, 0, header, 0, 0, entry, len(rows), len(rows) - 1)
    body[: len(head)] = head
    return bytes(body)


def modinfo(
    name: str, aliases: Sequence[str] = (), depends: str = "", release: str = RELEASE, extra: bytes = b""
) -> bytes:
    pairs = [("license", "GPL"), *(("alias", alias) for alias in aliases), ("depends", depends), ("name", name)]
    pairs.append(("vermagic", f"{release} SMP preempt mod_unload "))
    return b"\0".join(f"{key}={value}".encode() for key, value in pairs) + b"\0" + extra


def module(
    name: str,
    aliases: Sequence[str] = (),
    depends: str = "",
    text: bytes = b"\x90" * 100,
    release: str = RELEASE,
    **layout: object,
) -> bytes:
    sections = [
        (".text", 1, 6, text),
        (".init.text", 1, 6, b"\xcc" * 30),
        (".text.unlikely", 1, 6, b"\xc3"),
        (".exit.text", 1, 6, b"\xcc" * 7),
        (".modinfo", 1, 2, modinfo(name, aliases, depends, release)),
        (".bss", 8, 3, b""),
    ]
    return elf(sections, **layout)  # type: ignore[arg-type]


PLAIN = lzma.compress(bytes(1000)) + struct.pack("<I", 1000)


def bzimage(banner: str = f"{RELEASE} (x@y) #1 SMP Debian 6.1.7-1 (2026-01-01)", payload: bytes = PLAIN) -> bytes:
    setup = bytearray(0x2000)
    sectors = len(setup) // 512 - 1
    setup[0x1F1] = sectors
    setup[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", setup, 0x206, 0x020F)
    struct.pack_into("<H", setup, 0x20E, 0x1000)
    struct.pack_into("<H", setup, 0x236, 1)
    struct.pack_into("<II", setup, 0x248, 0x40, len(payload))
    text = banner.encode() + b"\0"
    setup[0x1200 : 0x1200 + len(text)] = text
    return bytes(setup) + bytes(0x40) + payload + bytes(64)


def kernel_with_config(config: bytes = CONFIG) -> bytes:
    """An unpacked kernel that carries a configuration."""
    return bytes(500) + b"IKCFG_ST" + gzip.compress(config) + b"IKCFG_ED" + bytes(100)


def payload(kernel: bytes) -> bytes:
    """A kernel packed as the x86 build packs it: the unpacked size follows the stream."""
    return lzma.compress(kernel) + struct.pack("<I", len(kernel))


def arm64_image(release: str = RELEASE) -> bytes:
    image = bytearray(4096)
    image[56:60] = b"ARM\x64"
    banner = f"Linux version {release} (root@host) (gcc) #1 SMP\n".encode()
    image[1024 : 1024 + len(banner)] = banner
    return bytes(image)


def zboot(image: bytes) -> bytes:
    packed = zlib.compress(image, wbits=31)
    head = b"MZ\0\0zimg" + struct.pack("<II", 64, len(packed)) + bytes(8) + b"gzip\0"
    return head.ljust(64, b"\0") + packed


def tree(prefix: str = "./", root: str = "lib", suffix: str = "", pack: object = None) -> archives.Files:
    """A kernel of three modules as a root file system holds it."""
    packed = pack if callable(pack) else (lambda data: data)
    base = f"{prefix}{root}/modules/{RELEASE}"
    modules = {
        "drivers/virtio/virtio_pci.ko": module("virtio_pci", ["pci:v00001AF4d*sv*sd*bc*sc*i*"], "virtio,virtio-ring"),
        "drivers/virtio/virtio.ko": module("virtio", [], "", b"\x90" * 10),
        "drivers/virtio/virtio_ring.ko": module("virtio_ring", [], "virtio", b"\x90" * 20),
    }
    return {
        f"{prefix}boot/vmlinuz-{RELEASE}": bzimage(),
        f"{prefix}boot/config-{RELEASE}": CONFIG,
        f"{prefix}boot/System.map-{RELEASE}": b"ffffffff81000000 T _text\n",
        **{f"{base}/kernel/{path}{suffix}": packed(data) for path, data in modules.items()},
        f"{base}/modules.builtin": b"kernel/drivers/pci/pcieport.ko\nkernel/fs/ext4/ext4.ko\n",
        f"{base}/modules.builtin.modinfo": b"ext4.alias=fs-ext4\0ext4.license=GPL\0pcieport.alias=pci:v*d*sv*\0",
        f"{base}/modules.order": b"kernel/drivers/virtio/virtio.o\nkernel/drivers/virtio/virtio_ring.o\n",
        f"{prefix}usr/share/doc/linux/copyright": b"free\n",
    }


CONTROL = b"Package: linux-image-test\nSource: linux\nVersion: 6.1.7-1\nArchitecture: amd64\nDescription: a\n b: c\n"


def deb(files: archives.Files, packing: str = "xz", control: bytes = CONTROL) -> bytes:
    pack = archives.PACKINGS.get(packing, lambda data: data)
    suffix = {"xz": ".xz", "xz-blocks": ".xz", "zstd": ".zst", "gzip": ".gz", "bzip2": ".bz2"}.get(packing, "")
    return archives.ar(
        {
            "debian-binary": b"2.0\n",
            f"control.tar{suffix}": pack(archives.tar({"./control": control})),
            f"data.tar{suffix}": pack(archives.tar(files)),
        }
    )


def rpm(files: archives.Files, packing: str = "zstd") -> bytes:
    return archives.rpm(archives.PACKINGS.get(packing, lambda data: data)(archives.cpio(files)))
