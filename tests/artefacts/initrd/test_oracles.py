"""Agreement with the tools of the field: cpio and the packers write, lsinitramfs lists what Debian's and dracut's tools built.

Initrds that real tools built are found in the directory that HOSTPROOF_INITRDS names, for example

    mkinitramfs -o it-most-$(uname -r).img $(uname -r); dracut --no-hostonly dracut-$(uname -r).img
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from hostproof.artefacts.initrd.read import read_initrd
from tests.artefacts.initrd.samples import RELEASE

pytestmark = pytest.mark.slow

PACKERS = {
    "gzip": ["gzip", "-c"], "bzip2": ["bzip2", "-c"], "xz": ["xz", "-c", "--check=crc32"], "lzo": ["lzop", "-c"],
    "lzma": ["xz", "-c", "--format=lzma"], "lz4": ["lz4", "-l", "-c"], "zstd": ["zstd", "-c", "-19", "-T0"],
}  # fmt: skip


def needs(tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")


def written(root: Path, form: str) -> bytes:
    """The tree as cpio(1) writes it."""
    needs("cpio")
    names = b"\0".join(os.fsencode(str(path.relative_to(root))) for path in sorted(root.rglob("*")))
    command = ["cpio", "--null", "--create", "--quiet", "--format", form]
    return subprocess.run(command, input=names, cwd=root, capture_output=True, check=True, timeout=60).stdout


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "root/usr/lib/modules" / RELEASE
    folder.mkdir(parents=True)
    (folder / "virtio-blk.ko").write_bytes(bytes(range(256)) * 2000)
    (tmp_path / "root/lib").symlink_to("usr/lib")
    os.link(folder / "virtio-blk.ko", folder / "again.ko")
    (tmp_path / "root/init").write_text("#!/bin/sh\nexec switch_root /root /sbin/init\n")
    return tmp_path / "root"


@pytest.mark.parametrize("form", ["newc", "crc"])
def test_what_cpio_writes_is_read(tree: Path, form: str) -> None:
    initrd = read_initrd(written(tree, form), "initrd")

    assert [module.name for module in initrd.modules] == ["again", "virtio_blk"]
    assert initrd.switches_root is True


@pytest.mark.parametrize("kind", PACKERS)
def test_what_the_packers_write_is_read(tree: Path, kind: str) -> None:
    needs(PACKERS[kind][0])
    packed = subprocess.run(
        PACKERS[kind], input=written(tree, "newc"), capture_output=True, check=True, timeout=60
    ).stdout

    initrd = read_initrd(bytes(512) + packed + bytes(7), "initrd")

    assert [(segment.compression, segment.size) for segment in initrd.segments] == [(kind, len(packed))]
    assert [module.name for module in initrd.modules] == ["again", "virtio_blk"]


def built() -> list[Path]:
    name = os.environ.get("HOSTPROOF_INITRDS")
    return sorted(Path(name).glob("*.img")) if name else []


def test_what_real_tools_built_is_listed_alike_and_read_in_two_seconds() -> None:
    needs("lsinitramfs")
    if not built():
        pytest.skip("no initrds: set HOSTPROOF_INITRDS to a directory of *.img that mkinitramfs or dracut built")
    for path in built():
        listed = subprocess.run(
            ["lsinitramfs", str(path.resolve())], capture_output=True, check=True, timeout=300
        ).stdout.decode()
        started = time.perf_counter()
        initrd = read_initrd(path.read_bytes(), path.name)
        seconds = time.perf_counter() - started

        names = {name for name in listed.splitlines() if name.endswith((".ko", ".ko.xz", ".ko.zst"))}
        assert {module.path for module in initrd.modules} == names, path.name
        assert initrd.switches_root is True, path.name
        assert {"modprobe", "udev"} <= {loader.kind for loader in initrd.loaders}, path.name
        assert initrd.kind == ("dracut" if "dracut" in path.name else "initramfs-tools"), path.name
        assert seconds < 4 if initrd.segments[-1].compression == "xz" else seconds < 2, (path.name, seconds)
