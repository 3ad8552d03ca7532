"""Jobs that read the code of a kernel, and those that take what was read from the cache; `run.py` times them.

    python benchmarks/surface.py

takes the newest two stock packages for amd64 in HOSTPROOF_KERNELS and prints the table of these jobs alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from run import Job, environment, packages, table

from hostproof.artefacts.archive import ar, tar
from hostproof.artefacts.archive.decompress import chunks
from hostproof.artefacts.archive.region import Region
from hostproof.artefacts.archive.stream import ByteStream


def surface_jobs(stock: list[Path], scratch: Path) -> list[Job]:
    """The jobs for these packages, oldest first; the cache is filled on the way."""
    newest = str(stock[-1])
    image = scratch / "vmlinuz"
    image.write_bytes(image_in(stock[-1]))
    cache = str(scratch / "cache")
    kept = [str(package) for package in stock[-2:]]
    for package in kept:
        words = [sys.executable, "-m", "hostproof", "surface", package, "--output", os.devnull]
        subprocess.run(words, check=True, env=environment(cache))
    found = [
        Job("surface, stock package, cold", ["surface", newest], 8.0, 1024),
        Job("surface, its image alone, cold", ["surface", str(image)], 1.5),
        Job("surface, stock package, from cache", ["surface", newest], 0.6, runs=5, cache=cache),
    ]
    if len(kept) == 2:
        found.append(Job("diff, two stock packages, from cache", ["diff", *kept], 1.0, runs=5, cache=cache))
    return found


def image_in(package: Path) -> bytes:
    """The kernel image in a Debian package."""
    with package.open("rb") as file:
        region = Region.of_descriptor(file.fileno(), package.name)
        data = next(part for name, part in ar.members(region) if name.startswith("data.tar"))
        with closing(chunks(data, workers=2)) as stream:
            for member in tar.members(ByteStream(stream, data.name)):
                if member.name.rpartition("/")[2].startswith("vmlinuz"):
                    return bytes(member.read())
    sys.exit(f"{package}: no image in it")


def main() -> int:
    """Print the table; 1 where a budget is not kept."""
    folder = Path(os.environ.get("HOSTPROOF_KERNELS", ".kernels"))
    stock = packages(folder, "linux-image-*-amd64*.deb", without=("cloud", "rt"))
    if not stock:
        sys.exit(f"no stock kernel package in {folder} (HOSTPROOF_KERNELS)")
    with tempfile.TemporaryDirectory() as scratch:
        return table(surface_jobs(stock, Path(scratch)))


if __name__ == "__main__":
    sys.exit(main())
