"""The sweep for instructions against a whole sweep by capstone, on the image and the modules of a kernel package.

    python benchmarks/instruction_sweep.py PACKAGE [--without-capstone]

Both look for the same instructions in the same functions; it is checked that they agree. Times are of the processor.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

from hostproof.artefacts.archive import ar, tar
from hostproof.artefacts.archive.decompress import chunks, detect, whole
from hostproof.artefacts.archive.region import Region
from hostproof.artefacts.archive.stream import ByteStream
from hostproof.artefacts.kernel.elf import read_elf
from hostproof.artefacts.kernel.image_code import Functions, starts_in
from hostproof.artefacts.kernel.instructions import Piece, find_in_many, find_instructions
from hostproof.artefacts.kernel.kallsyms import read_kallsyms
from hostproof.artefacts.kernel.module import SUFFIXES
from hostproof.artefacts.kernel.module_code import read_code
from hostproof.artefacts.kernel.vmlinux import read_vmlinux

ALL = ("in", "out", "rdmsr", "cpuid", "rdtsc", "vmcall")


def members(package: Path) -> Iterator[tuple[str, bytes]]:
    """The image and the modules in a Debian package."""
    with package.open("rb") as file:
        region = Region.of_descriptor(file.fileno(), package.name)
        data = next(part for name, part in ar.members(region) if name.startswith("data.tar"))
        with closing(chunks(data, workers=2)) as stream:
            for member in tar.members(ByteStream(stream, data.name)):
                name = member.name.rpartition("/")[2]
                if name.startswith("vmlinuz") or name.endswith(SUFFIXES):
                    yield name, bytes(member.read())


def image_text(data: bytes, name: str) -> Piece:
    """The image's `.text`, with the functions in it."""
    kernel = read_vmlinux(data, name)
    section = kernel.section(".text")
    if kernel.architecture != "x86_64" or section is None:
        sys.exit(f"{name}: an x86_64 image is needed")
    return kernel.bytes_of(section), starts_in(section, Functions(read_kallsyms(kernel))).tolist()


def module_text(data: bytes, name: str) -> Piece:
    """A module's code, with the functions in it."""
    code = read_code(read_elf(data, name))
    starts = {start for _, start in code.parts}.union(code.functions.starts.tolist())
    return code.code, sorted(starts)


def by_capstone(pieces: list[Piece], names: tuple[str, ...]) -> dict[str, int]:
    """How many of the instructions a sweep by capstone sees."""
    import capstone

    disassembler = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
    disassembler.skipdata = True
    counts = dict.fromkeys(names, 0)
    for code, starts in pieces:
        for begin, end in pairwise(sorted({0, *starts, len(code)})):
            for _, _, mnemonic, _ in disassembler.disasm_lite(bytes(code[begin:end]), begin):
                if mnemonic in counts:
                    counts[mnemonic] += 1
    return counts


def timed(what: str, pieces: list[Piece], names: tuple[str, ...]) -> dict[str, int]:
    """Sweep, print the time, and give the counts."""
    start = time.process_time()
    found = find_in_many(pieces, "x86_64", names)
    spent = time.process_time() - start
    counts = {name: sum(len(each[name]) for each in found) for name in names}
    size = sum(len(code) for code, _ in pieces) / (1 << 20)
    print(f"{what:<34} {spent:7.2f} s {size:7.1f} MiB in {len(pieces):5} pieces  {counts}", flush=True)
    return counts


def main() -> int:
    """Print the times; 1 where the two do not agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path)
    parser.add_argument("--without-capstone", action="store_true")
    arguments = parser.parse_args()
    image: list[Piece] = []
    modules: list[Piece] = []
    for name, data in members(arguments.package):
        if name.startswith("vmlinuz"):
            image.append(image_text(data, name))
        else:
            modules.append(module_text(bytes(whole(data, name)) if detect(data[:8]) else data, name))
    find_instructions(b"\x0f\x32", [0], "x86_64", ALL)  # tables and capstone's import
    disagree = 0
    for what, pieces in (("image", image), ("modules", modules)):
        if not pieces:
            continue
        timed(f"{what}, in", pieces, ("in",))
        counts = timed(f"{what}, {len(ALL)} instructions", pieces, ALL)
        if arguments.without_capstone:
            continue
        start = time.process_time()
        expected = by_capstone(pieces, ALL)
        print(f"{what + ', capstone on everything':<34} {time.process_time() - start:7.2f} s")
        disagree += counts != expected
    start = time.process_time()
    for code, starts in modules:
        find_instructions(code, starts, "x86_64", ("in",))
    print(f"{'modules one by one, in':<34} {time.process_time() - start:7.2f} s")
    return 1 if disagree else 0


if __name__ == "__main__":
    sys.exit(main())
