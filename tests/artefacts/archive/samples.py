"""Small archives, built here byte by byte or with the standard library, for the tests of readers."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zlib

import lz4.block
import lz4.frame
import lzallright
import zstandard

Files = dict[str, bytes]


def ar(files: Files) -> bytes:
    out = b"!<arch>\n"
    for name, data in files.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
    return out


def tar(files: Files, form: int = tarfile.GNU_FORMAT, extra: tuple[tarfile.TarInfo, ...] = ()) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for info in extra:
            archive.addfile(info)
    return buffer.getvalue()


def tar_header(name: bytes, size: bytes, kind: bytes = b"0", magic: bytes = b"ustar  \0") -> bytes:
    """A header with these raw fields and a checksum that fits."""
    header = bytearray(512)
    header[0 : len(name)] = name
    header[100:108] = b"0000644\0"
    header[124 : 124 + len(size)] = size
    header[148:156] = b" " * 8
    header[156:157] = kind
    header[257:265] = magic
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info


def cpio_member(
    name: str, data: bytes, *, mode: int = 0o100644, ino: int = 1, nlink: int = 1, magic: bytes = b"070701"
) -> bytes:
    raw = name.encode() + b"\0"
    fields = (ino, mode, 0, 0, nlink, 0, len(data), 0, 0, 0, 0, len(raw), 0)
    head = magic + b"".join(b"%08X" % field for field in fields) + raw
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


def cpio(files: Files) -> bytes:
    members = b"".join(cpio_member(name, data, ino=number) for number, (name, data) in enumerate(files.items(), 1))
    return members + cpio_member("TRAILER!!!", b"")


def rpm_header(strings: dict[int, str]) -> bytes:
    store, entries = b"", b""
    for tag, text in strings.items():
        entries += struct.pack(">IIII", tag, 6, len(store), 1)
        store += text.encode() + b"\0"
    return b"\x8e\xad\xe8\x01" + bytes(4) + struct.pack(">II", len(strings), len(store)) + entries + store


def rpm(payload: bytes, strings: dict[int, str] | None = None) -> bytes:
    strings = strings or {1000: "kernel-core", 1001: "6.12.0", 1002: "1.fc42", 1022: "x86_64", 1124: "cpio"}
    signature = rpm_header({1000: "signature"})
    lead = b"\xed\xab\xee\xdb" + bytes(92)
    return lead + signature + b"\0" * (-(len(lead) + len(signature)) % 8) + rpm_header(strings) + payload


def xz_blocks(data: bytes, size: int) -> bytes:
    """An .xz stream of several blocks, as `xz -T` writes it, put together from single-block streams."""
    blocks, records = b"", []
    header = b""
    for position in range(0, len(data), size):
        part = data[position : position + size]
        stream = lzma.compress(part, lzma.FORMAT_XZ, lzma.CHECK_CRC64)
        header = stream[:12]
        index_size = (int.from_bytes(stream[-8:-4], "little") + 1) * 4
        index = stream[-12 - index_size : -12]
        blocks += stream[12 : -12 - index_size]
        records.append(_numbers(index[2:]))
    index = b"\0" + _number(len(records)) + b"".join(_number(one) + _number(other) for one, other in records)
    index += b"\0" * (-len(index) % 4)
    index += struct.pack("<I", zlib.crc32(index))
    tail = struct.pack("<I", len(index) // 4 - 1) + header[6:8]
    return header + blocks + index + struct.pack("<I", zlib.crc32(tail)) + tail + b"YZ"


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _numbers(data: bytes) -> tuple[int, int]:
    values, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            values.append(value)
            value = shift = 0
    return values[0], values[1]


def lz4_legacy(data: bytes) -> bytes:

    out = b"\x02\x21\x4c\x18"
    for position in range(0, len(data), 8 << 20):
        block = lz4.block.compress(data[position : position + (8 << 20)], store_size=False)
        out += struct.pack("<I", len(block)) + block
    return out


def lzo(data: bytes, *, version: int = 0x1040, flags: int = 0x03000001, name: bytes = b"") -> bytes:
    """A file as `lzop` writes it; checksums are left zero, as no reader of kernels looks at them."""
    out = b"\x89LZO\0\r\n\x1a\n" + struct.pack(">HHHB", version, 0x20A0, 0x0940, 3)
    out += b"\x09" * (version >= 0x0940) + struct.pack(">I", flags) + bytes(4 if flags & 0x800 else 0)
    out += bytes(8 + 4 * (version >= 0x0940)) + bytes([len(name)]) + name + bytes(4)
    for position in range(0, len(data), 256 << 10):
        block = data[position : position + (256 << 10)]
        packed = lzallright.LZOCompressor().compress(block)
        packed = packed if len(packed) < len(block) else block
        sums = sum(bool(flags & flag) for flag in (0x1, 0x100))
        sums += sum(bool(flags & flag) for flag in (0x2, 0x200)) if len(packed) < len(block) else 0
        out += struct.pack(">II", len(block), len(packed)) + bytes(4 * sums) + packed
    return out + bytes(4)


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


PACKINGS = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "xz-blocks": lambda data: xz_blocks(data, max(1000, len(data) // 3)),
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "zstd": zstd,
    "bzip2": bz2.compress,
    "lz4": lz4.frame.compress,
    "lz4-legacy": lz4_legacy,
    "lzo": lzo,
}
