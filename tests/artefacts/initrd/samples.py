"""Initrds built in the test, byte by byte: trees of files as cpio archives, packed as the kernel takes them."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct

import lz4.block
import zstandard
from lzallright import LZOCompressor

from tests.artefacts.archive.samples import cpio_member

TRAILER = cpio_member("TRAILER!!!", b"")
RELEASE = "6.1.0-test"
Tree = dict[str, bytes | str | None]
"""Path -> bytes of a file, target of a symbolic link (str), or None for a directory."""


def elf(*names: str, dynamic: bool = False) -> bytes:
    """An ELF-64 file with one program header (PT_INTERP or PT_LOAD) and these names in it."""
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    return (
        head
        + struct.pack("<I", 3 if dynamic else 1)
        + bytes(52)
        + b"\0"
        + b"\0".join(n.encode() for n in names)
        + b"\0"
    )


BUSYBOX = elf("BusyBox v1.35.0", "init", "insmod", "mdev", "modprobe", "switch_root")


def archive(tree: Tree, *, trailer: bool = True) -> bytes:
    """The tree as one cpio archive."""
    out = b""
    for number, (path, content) in enumerate(tree.items(), start=1):
        if content is None:
            out += cpio_member(path, b"", mode=0o040755, ino=number)
        elif isinstance(content, str):
            out += cpio_member(path, content.encode(), mode=0o120777, ino=number)
        else:
            out += cpio_member(path, content, ino=number)
    return out + (TRAILER if trailer else b"")


def lzo(data: bytes) -> bytes:
    """lzop's file format, in blocks of 256 KiB."""
    out = (
        b"\x89LZO\x00\r\n\x1a\n"
        + struct.pack(">HHHBBIIIIB", 0x1030, 0x2080, 0x940, 3, 5, 1, 0o100644, 0, 0, 0)
        + bytes(4)
    )
    for start in range(0, len(data), 256 << 10):
        block = data[start : start + (256 << 10)]
        packed = LZOCompressor().compress(block)
        packed = packed if len(packed) < len(block) else block
        out += struct.pack(">III", len(block), len(packed), 0) + packed
    return out + bytes(4)


def lz4_legacy(data: bytes) -> bytes:
    out = struct.pack("<I", 0x184C2102)
    for start in range(0, len(data), 8 << 20):
        block = lz4.block.compress(data[start : start + (8 << 20)], store_size=False)
        out += struct.pack("<I", len(block)) + block
    return out


PACKERS = {
    "": lambda data: data,
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bzip2": bz2.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "xz": lambda data: lzma.compress(data, lzma.FORMAT_XZ, check=lzma.CHECK_CRC32),
    "lzo": lzo,
    "lz4": lz4_legacy,
    "zstd": lambda data: zstandard.ZstdCompressor().compress(data),
}


def bootconfig(text: bytes) -> bytes:
    """A boot configuration as `bootconfig -a` writes it behind an initrd."""
    return text + struct.pack("<II", len(text), sum(text) & 0xFFFFFFFF) + b"#BOOTCONFIG\n"


def acpi_table(signature: bytes = b"SSDT") -> bytes:
    return signature + struct.pack("<I", 40) + bytes(32)


def module_path(name: str, release: str = RELEASE) -> str:
    return f"usr/lib/modules/{release}/kernel/drivers/{name}.ko"


def debian(*modules: str, **more: bytes | str | None) -> Tree:
    """What initramfs-tools lays out: kmod, udev, klibc's run-init in `/init`."""
    tree: Tree = {
        "bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "usr": None, "usr/bin": None, "usr/sbin": None,
        "init": b"#!/bin/sh\n# run the real init\nexec run-init ${rootmnt} ${init}\n",
        "conf/initramfs.conf": b"MODULES=most\n", "usr/bin/kmod": elf("init_module", dynamic=True),
        "usr/sbin/modprobe": "/bin/kmod", "usr/bin/udevadm": elf(dynamic=True),
        "usr/lib/systemd/systemd-udevd": "../../bin/udevadm",
        "usr/lib/udev/rules.d/80-drivers.rules": b'ENV{MODALIAS}=="?*", RUN{builtin}+="kmod load \'$env{MODALIAS}\'"\n',
    }  # fmt: skip
    dep = "".join(f"kernel/drivers/{name}.ko:\n" for name in modules)
    tree[f"usr/lib/modules/{RELEASE}/modules.dep"] = dep.encode()
    return {**tree, **{module_path(name): b"\x7fELF module" for name in modules}, **more}


def kata(**more: bytes | str | None) -> Tree:
    """A root file system as the initrd: the agent is the first program, and no loader is there."""
    return {
        "./sbin/init": "../usr/bin/kata-agent", "./init": "/sbin/init", "./usr/bin/kata-agent": elf("kata-agent"),
        "./usr/bin/switch_root": elf(dynamic=True), **more,
    }  # fmt: skip
