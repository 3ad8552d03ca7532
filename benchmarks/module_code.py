"""What sites and digests of code cost on the modules of a kernel package, by part and by batch, on one core.

    python benchmarks/module_code.py [PACKAGE]

All modules are unpacked in memory first. Seconds of processor time: reading alone, then with questions (the interfaces of
the catalogue), with so many modules at a time. With a second package of the same series it also says how many digests are
the same in both:

    python benchmarks/module_code.py NEW-PACKAGE OLD-PACKAGE
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from elf_readers import modules

from hostproof.artefacts.kernel.facts import Module
from hostproof.artefacts.kernel.module import read_modules
from hostproof.artefacts.kernel.questions import Interface, Questions
from hostproof.knowledge.load import catalogue

BATCHES = (1, 8, 64, 256)


def questions() -> Questions:
    """The interfaces of the catalogue, and nothing else."""
    return Questions(
        tuple(
            Interface(record.id, tuple(record.functions), tuple(record.instructions))
            for record in catalogue().interfaces.values()
        )
    )


def timed(files: list[bytes], batch: int, asked: Questions | None) -> tuple[float, list[Module]]:
    """Seconds of processor time, and what was read."""
    start = time.process_time()
    read: list[Module] = []
    for first in range(0, len(files), batch):
        part = [(data, "x.ko", "x.ko") for data in files[first : first + batch]]
        read += [file.module for file in read_modules(part, questions=asked)]
    return time.process_time() - start, read


def main() -> int:
    """Prints seconds, totals and, for two packages, how many digests are the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", nargs="?", type=Path)
    parser.add_argument("older", nargs="?", type=Path)
    args = parser.parse_args()
    found = sorted(Path(os.environ.get("HOSTPROOF_KERNELS", ".kernels")).glob("linux-image-*.deb"))
    package = args.package or next(iter(found), None)
    if package is None:
        parser.error("no package given, and none in HOSTPROOF_KERNELS (make kernels)")
    files = modules(package, 1)
    asked = questions()
    print(
        f"{package.name}: {len(files)} modules, {sum(map(len, files)) / 1e6:.0f} MB, {len(asked.interfaces)} interfaces"
    )
    timed(files[:1], 1, asked)
    print(f"  without questions   {timed(files, 1, None)[0]:6.2f} s")
    read: list[Module] = []
    for batch in BATCHES:
        seconds, read = timed(files, batch, asked)
        print(f"  {batch:4} at a time      {seconds:6.2f} s")
    print(f"  {sum(sites.count for module in read for sites in module.sites.values())} sites")
    if args.older is not None:
        older = {module.name: module for module in timed(modules(args.older, 1), 64, asked)[1]}
        both = [(module, older[module.name]) for module in read if module.name in older]
        text = sum(new.text_sha256 == old.text_sha256 for new, old in both)
        code = sum(new.code_sha256 == old.code_sha256 for new, old in both)
        print(f"  against {args.older.name}: of {len(both)} modules {text} have the same text, {code} the same code")
    return 0


if __name__ == "__main__":
    sys.exit(main())
