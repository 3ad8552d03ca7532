"""The cache of kernels: never stale, safe to delete, safe under concurrent runs."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from hostproof.artefacts.kernel.facts import KernelFacts
from hostproof.cli import kernel_cache, kernels
from hostproof.cli.kernel_cache import MAX_ENTRIES, SUFFIX, KernelCache, opened
from hostproof.knowledge.load import catalogue

FACTS = KernelFacts(release="6.1.0", version="6.1.0", architecture="x86_64", source="k.deb")


@pytest.fixture
def cache(tmp_path: Path) -> KernelCache:
    return KernelCache(tmp_path / "cache")


def kernel(tmp_path: Path, data: bytes) -> Path:
    path = tmp_path / "k.deb"
    path.write_bytes(data)
    return path


def test_what_was_kept_comes_back(cache: KernelCache, tmp_path: Path) -> None:
    key = cache.key([kernel(tmp_path, b"one")], "q") or ""
    cache.put(key, FACTS)

    assert cache.get(key) == FACTS


def test_another_content_question_or_name_is_another_entry(cache: KernelCache, tmp_path: Path) -> None:
    path = kernel(tmp_path, b"one")
    first, asked = cache.key([path], "q"), cache.key([path], "other")
    path.write_bytes(b"two")
    changed = cache.key([path], "q")
    twin = tmp_path / "twin.deb"
    twin.write_bytes(b"one")

    assert len({first, asked, changed, cache.key([twin], "q")}) == 4


def test_another_reader_is_another_entry(cache: KernelCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = kernel(tmp_path, b"one")
    before = cache.key([path], "q")
    monkeypatch.setattr(kernel_cache, "_readers", lambda: "another")

    assert cache.key([path], "q") != before


def test_what_is_no_regular_file_is_not_cached(cache: KernelCache, tmp_path: Path) -> None:
    assert cache.key([tmp_path], "q") is None
    assert cache.key([tmp_path / "absent"], "q") is None


@pytest.mark.parametrize("damage", [b"", b"x", b"\0" * 4096])
def test_a_damaged_entry_is_none(cache: KernelCache, tmp_path: Path, damage: bytes) -> None:
    cache.put("a" * 64, FACTS)
    path = tmp_path / "cache" / f"{'a' * 64}{SUFFIX}"
    path.write_bytes(damage)

    assert cache.get("a" * 64) is None


@pytest.mark.parametrize("what", ["a pipe", "a device", "a directory"])
def test_what_stands_in_the_place_of_an_entry_is_neither_waited_for_nor_followed(tmp_path: Path, what: str) -> None:
    path = tmp_path / f"{'a' * 64}{SUFFIX}"
    match what:
        case "a pipe":
            os.mkfifo(path)
        case "a device":
            path.symlink_to("/dev/zero")
        case _:
            path.mkdir()

    assert KernelCache(tmp_path).get("a" * 64) is None


def test_a_kernel_that_is_written_to_while_it_is_read_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = kernel(tmp_path, b"one")

    def meanwhile(_: Path, **__: object) -> KernelFacts:
        path.write_bytes(b"two")
        return FACTS

    monkeypatch.setenv("HOSTPROOF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("hostproof.artefacts.kernel.read.read_kernel", meanwhile)
    kernels.read(str(path), catalogue())

    assert not (tmp_path / "cache").exists()


def test_every_flipped_byte_of_an_entry_is_seen(cache: KernelCache, tmp_path: Path) -> None:
    cache.put("a" * 64, FACTS)
    path = tmp_path / "cache" / f"{'a' * 64}{SUFFIX}"
    whole = path.read_bytes()
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])

        assert cache.get("a" * 64) is None


def test_a_directory_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = KernelCache(tmp_path / "file" / "cache")
    cache.put("a" * 64, FACTS)

    assert cache.get("a" * 64) is None


def test_old_entries_make_room(cache: KernelCache, tmp_path: Path) -> None:
    for number in range(MAX_ENTRIES + 3):
        cache.put(f"{number:064}", FACTS)
        os.utime(tmp_path / "cache" / f"{number:064}{SUFFIX}", ns=(number, number))

    kept = sorted(path.name for path in (tmp_path / "cache").glob(f"*{SUFFIX}"))

    assert len(kept) <= MAX_ENTRIES
    assert f"{MAX_ENTRIES + 2:064}{SUFFIX}" in kept


def _keep(directory: str) -> int:
    cache = KernelCache(Path(directory))
    for _ in range(20):
        cache.put("b" * 64, FACTS)
        if cache.get("b" * 64) not in (None, FACTS):
            return 1
    return 0


def test_runs_at_the_same_time_see_whole_entries(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        results = pool.map(_keep, [str(tmp_path)] * 2)

    assert results == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == [f"{'b' * 64}{SUFFIX}"]


@pytest.mark.parametrize("word", ["off", "0", "no", "OFF"])
def test_it_can_be_turned_off(monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setenv("HOSTPROOF_CACHE", word)

    assert opened() is None
