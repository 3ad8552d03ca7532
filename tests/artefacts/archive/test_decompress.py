"""Decompression: every packing gives back what was packed, and nothing else gives more than its limit."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import time
import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.archive import xz_blocks
from hostproof.artefacts.archive.decompress import chunks, detect, leading, whole
from hostproof.artefacts.archive.limits import Limits
from hostproof.artefacts.archive.region import Region
from hostproof.errors import HostproofError, InputError
from tests.artefacts.archive import samples

DATA = b"".join(b"%d lines of kernel text\n" % number for number in range(20_000)) + random.Random(1).randbytes(70_000)
packings = pytest.mark.parametrize("packing", samples.PACKINGS)


def unpack(packed: bytes, workers: int = 0, limits: Limits | None = None) -> bytes:
    return b"".join(chunks(Region.of_bytes(packed, "x"), limits or Limits(), workers=workers))


@packings
@pytest.mark.parametrize("workers", [0, 2])
def test_gives_back_what_was_packed(packing: str, workers: int) -> None:
    packed = samples.PACKINGS[packing](DATA)

    assert unpack(packed, workers) == DATA


@packings
def test_is_told_by_its_first_bytes(packing: str) -> None:
    assert packing.removesuffix("-blocks") == detect(samples.PACKINGS[packing](b"x" * 5000)[:8])


def test_bytes_that_are_not_packed_pass_as_they_are() -> None:
    assert unpack(DATA) == DATA


def test_concatenated_streams_are_one() -> None:
    for pack in (gzip.compress, lzma.compress, samples.zstd, bz2.compress):
        assert unpack(pack(b"one") + pack(b"two")) == b"onetwo"


def test_an_xz_stream_of_several_blocks_is_unpacked_block_by_block() -> None:
    packed = samples.xz_blocks(DATA, 100_000)
    blocks = xz_blocks.find(Region.of_bytes(packed, "x"))

    assert blocks is not None
    assert -(-len(DATA) // 100_000) == len(blocks)
    assert len(DATA) == sum(block.unpacked for block in blocks)
    assert lzma.decompress(packed) == DATA


def test_a_block_whose_index_lies_is_refused() -> None:
    packed = bytearray(samples.xz_blocks(b"a" * 1000 + b"b" * 1000, 1000))
    region = Region.of_bytes(bytes(packed), "x")
    blocks = xz_blocks.find(region)
    assert blocks is not None
    lying = [xz_blocks.Block(block.offset, block.size, block.unpacked + 1) for block in blocks]

    with pytest.raises(InputError, match="its index says 1001"):
        list(xz_blocks.chunks(region, lying, 2))


@packings
@pytest.mark.parametrize("workers", [0, 2])
def test_a_cut_stream_is_refused_at_any_place(packing: str, workers: int) -> None:
    packed = samples.PACKINGS[packing](DATA)
    for part in (0.999, 0.9, 0.5, 0.1, 0.01):
        cut = packed[: max(16, int(len(packed) * part))]
        if packing == "lz4-legacy" and len(packed) * part < 16:
            continue
        with pytest.raises(InputError):
            unpack(cut, workers)


@packings
def test_the_first_stream_is_read_whatever_follows_it(packing: str) -> None:
    packed = samples.PACKINGS[packing](DATA)

    assert leading(packed + b"\xff" * 5000, "x") == DATA
    assert leading(packed, "x") == DATA


def test_what_is_not_packed_has_no_first_stream() -> None:
    with pytest.raises(InputError, match="no compressed stream"):
        leading(DATA, "x")


BOMBS = {
    "gzip": lambda size: _repeated(zlib.compressobj(9, zlib.DEFLATED, 31), size),
    "xz": lambda size: _repeated(lzma.LZMACompressor(preset=1), size),
    "zstd": lambda size: samples.zstd(bytes(size)),
    "bzip2": lambda size: _repeated(bz2.BZ2Compressor(9), size),
    "lz4": lambda size: samples.PACKINGS["lz4"](bytes(size)),
    "lz4-legacy": lambda size: samples.lz4_legacy(bytes(size)),
    "lzo": lambda size: samples.lzo(bytes(size)),
}


def _repeated(packer: object, size: int) -> bytes:
    block = bytes(1 << 20)
    return b"".join(packer.compress(block) for _ in range(size >> 20)) + packer.flush()  # type: ignore[attr-defined]


@pytest.mark.parametrize("packing", BOMBS)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_bomb_is_refused_early_and_in_little_memory(packing: str, workers: int) -> None:
    limits = Limits(slack=4 << 20, ratio=10)
    bomb = BOMBS[packing](100 << 20)
    tracemalloc.start()
    start = time.monotonic()
    try:
        with pytest.raises(InputError, match="unpack to more than"):
            for _ in chunks(Region.of_bytes(bomb, "bomb"), limits, workers=workers):
                pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 48 << 20
    assert time.monotonic() - start < 10


def test_a_stream_that_asks_for_a_huge_dictionary_is_refused() -> None:
    packed = lzma.compress(b"x" * 100, lzma.FORMAT_XZ, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29}])

    with pytest.raises(InputError, match=r"[Mm]emory"):
        unpack(packed)


def test_a_file_that_unpacks_to_more_than_a_member_may_hold_is_refused() -> None:
    with pytest.raises(InputError, match="unpacks to more than 1 MiB"):
        whole(gzip.compress(bytes(3 << 20)), "x.ko.gz", Limits(member_bytes=1 << 20))


@given(st.binary(max_size=300), st.sampled_from(["gzip", "xz", "zstd", "bzip2", "lz4", "lzma"]))
def test_arbitrary_bytes_after_a_magic_give_bytes_or_an_error(data: bytes, packing: str) -> None:
    head = samples.PACKINGS[packing](b"")[:6]
    try:
        assert isinstance(unpack(head + data), bytes)
    except HostproofError as error:
        assert error.place is not None


@settings(max_examples=200)
@given(st.data(), st.sampled_from(sorted(samples.PACKINGS)))
def test_a_changed_byte_gives_bytes_or_an_error(data: st.DataObject, packing: str) -> None:
    packed = bytearray(samples.PACKINGS[packing](b"the same kernel text, " * 200))
    for _ in range(data.draw(st.integers(1, 3))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert isinstance(unpack(bytes(packed), limits=Limits(slack=1 << 22, ratio=1)), bytes)
    except HostproofError as error:
        assert error.place is not None
