"""Images and lists of built-in modules out of distribution packages, for slow tests.

The packages are found in the directory that HOSTPROOF_KERNELS names.
"""

from __future__ import annotations

import functools
import os
from contextlib import closing
from pathlib import Path

import pytest

from hostproof.artefacts.archive import ar, tar
from hostproof.artefacts.archive.decompress import chunks
from hostproof.artefacts.archive.region import Region
from hostproof.artefacts.archive.stream import ByteStream

STOCK_61 = "linux-image-6.1.0-55-amd64-unsigned_6.1.192-1_amd64.deb"
CLOUD_61 = "linux-image-6.1.0-55-cloud-amd64-unsigned_6.1.192-1_amd64.deb"


def package(pattern: str) -> Path:
    """The package of this name or pattern; skips the test where it is not there."""
    name = os.environ.get("HOSTPROOF_KERNELS")
    found = sorted(Path(name).glob(pattern)) if name else []
    if not found:
        pytest.skip(f"no {pattern}: run `make kernels` and set HOSTPROOF_KERNELS")
    return found[-1]


@functools.lru_cache(maxsize=32)
def image_of(path: Path) -> bytes:
    """The kernel image in a package."""
    return _member(path, "vmlinuz")


@functools.lru_cache(maxsize=32)
def list_of(path: Path, name: str) -> bytes:
    """A list in a package: `modules.builtin` or `modules.builtin.modinfo`."""
    return _member(path, name)


def _member(path: Path, name: str) -> bytes:
    with path.open("rb") as file:
        region = Region.of_descriptor(file.fileno(), path.name)
        data = next(part for member, part in ar.members(region) if member.startswith("data.tar"))
        with closing(chunks(data, workers=2)) as stream:
            for member in tar.members(ByteStream(stream, data.name)):
                base = member.name.rpartition("/")[2]
                if base == name or (name == "vmlinuz" and base.startswith("vmlinuz")):
                    return bytes(member.read())
    raise AssertionError(f"{path.name} has no {name}")
