"""Our ELF reader against pyelftools, and lief where it is installed, on the modules of a kernel package, in one run.

    python benchmarks/elf_readers.py [PACKAGE] [--every N]

All readers get the same bytes in memory and give the same answer per module: bytes of text that stays after loading,
and aliases. It is checked that they agree. pyelftools is slow, so that every eighth module is taken by default.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import os
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from hostproof.artefacts.archive import ar, tar
from hostproof.artefacts.archive.decompress import chunks, detect, whole
from hostproof.artefacts.archive.region import Region
from hostproof.artefacts.archive.stream import ByteStream
from hostproof.artefacts.kernel.module import SUFFIXES, modinfo, read_module

Answer = tuple[int, tuple[str, ...]]
PASSING = (".init", ".exit")
EXECINSTR = 4


def modules(package: Path, every: int) -> list[bytes]:
    """Every n-th module of a Debian package, unpacked."""
    found: list[bytes] = []
    with package.open("rb") as file:
        region = Region.of_descriptor(file.fileno(), package.name)
        data = next(part for name, part in ar.members(region) if name.startswith("data.tar"))
        with closing(chunks(data, workers=2)) as stream:
            names = (member for member in tar.members(ByteStream(stream, data.name)) if member.name.endswith(SUFFIXES))
            found.extend(bytes(member.read()) for number, member in enumerate(names) if number % every == 0)
    return [bytes(whole(data, package.name)) if detect(data[:8]) else data for data in found]


def ours(data: bytes) -> Answer:
    """Also computes the digest of the text, which the others do not."""
    module = read_module(data, "x.ko", "x.ko").module
    return module.text_bytes, module.aliases


def aliases(section: bytes) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for key, value in modinfo(section) if key == "alias"))


def pyelftools(data: bytes) -> Answer:
    from elftools.elf.elffile import ELFFile

    file = ELFFile(io.BytesIO(data))
    text, info = 0, b""
    for section in file.iter_sections():
        if section["sh_flags"] & EXECINSTR and not section.name.startswith(PASSING):
            text += section["sh_size"]
        if section.name == ".modinfo":
            info = section.data()
    return text, aliases(info)


def lief(data: bytes) -> Answer:
    import lief as library

    file = library.ELF.parse(list(data))
    text, info = 0, b""
    for section in file.sections:
        if section.flags & EXECINSTR and not section.name.startswith(PASSING):
            text += section.size
        if section.name == ".modinfo":
            info = bytes(section.content)
    return text, aliases(info)


def timed(read: Callable[[bytes], Answer], files: list[bytes]) -> tuple[float, list[Answer]]:
    read(files[0])
    start = time.perf_counter()
    answers = [read(data) for data in files]
    return time.perf_counter() - start, answers


def main() -> int:
    """Prints seconds and ratios; 1 where readers disagree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", nargs="?", type=Path)
    parser.add_argument("--every", type=int, default=8)
    args = parser.parse_args()
    found = sorted(Path(os.environ.get("HOSTPROOF_KERNELS", ".kernels")).glob("*.deb"))
    package = args.package or next(iter(found), None)
    if package is None:
        parser.error("no package given, and none in HOSTPROOF_KERNELS (make kernels)")
    files = modules(package, args.every)
    print(f"{package.name}: {len(files)} modules, {sum(map(len, files)) / 1e6:.0f} MB")
    seconds, expected = timed(ours, files)
    print(f"  hostproof   {seconds:7.3f} s  (with a digest of the text)")
    disagree = False
    for reader, part in ((pyelftools, "elftools"), (lief, "lief")):
        if importlib.util.find_spec(part) is None:
            print(f"  {reader.__name__:<11} not installed")
            continue
        other, answers = timed(reader, files)
        disagree |= answers != expected
        verdict = "same answers" if answers == expected else "OTHER ANSWERS"
        print(f"  {reader.__name__:<11} {other:7.3f} s  {other / seconds:5.1f} times, {verdict}")
    return int(disagree)


if __name__ == "__main__":
    sys.exit(main())
