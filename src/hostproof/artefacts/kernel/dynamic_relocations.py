"""Relocations that a position-independent kernel applies to itself, found by their structure.

SOURCE: System V gABI, "Relocation"; "ELF for the Arm 64-bit Architecture", R_AARCH64_RELATIVE (1027); "ELF Application
Binary Interface s390x Supplement", R_390_RELATIVE (12); `arch/arm64/kernel/pi/relocate.c`, `arch/s390/boot/startup.c`.
An entry of RELA, in the byte order of the machine::

    0   8  r_offset   link-time address of the word
    8   8  r_info     symbol (0) in the upper half, type in the lower
    16  8  r_addend   what the word is to hold, before the kernel is moved

The words in the image are zero until the kernel has applied the table. With RELR (CONFIG_RELR) the table holds places
alone and the words in the image are their link-time values already: there is nothing to apply.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hostproof.artefacts.kernel.vmlinux import ImageSection
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["Relocations", "applied", "find_relocations"]

ENTRY = 24
FEWEST = 64  # entries in a row; fewer are chance, and no kernel has as few
RELATIVE = {"aarch64": ("<", 1027), "s390x": (">", 12)}


@dataclass(frozen=True, slots=True)
class Relocations:
    """Relative relocations: where the table starts in the image, the link-time addresses of the words, their values."""

    at: int
    places: npt.NDArray[np.uint64]
    values: npt.NDArray[np.uint64]


def find_relocations(data: bytes, architecture: str) -> Relocations | None:
    """The longest table of relative relocations in an image, or None where there is none."""
    if architecture not in RELATIVE:
        return None
    order, kind = RELATIVE[architecture]
    words = np.frombuffer(data, f"{order}u8", len(data) // 8)
    best = (0, 0)
    for phase in range(3):
        lane = np.flatnonzero(words[phase::3] == kind)
        if not len(lane):
            continue
        breaks = np.flatnonzero(np.diff(lane) != 1)
        firsts = np.concatenate(([0], breaks + 1))
        lasts = np.concatenate((breaks, [len(lane) - 1]))
        longest = int(np.argmax(lasts - firsts))
        best = max(best, (int(lasts[longest] - firsts[longest]) + 1, phase + 3 * int(lane[firsts[longest]])))
    count, first = best
    if count < FEWEST or first < 1 or first + 3 * (count - 1) + 2 > len(words):
        return None
    table = words[first - 1 : first - 1 + 3 * count].reshape(-1, 3).astype(np.uint64)
    return Relocations(8 * (first - 1), table[:, 0], table[:, 2])


def applied(
    data: bytes, relocations: Relocations, sections: Sequence[ImageSection], architecture: str, name: str
) -> bytes:
    """The image with every word at its link-time value, where `sections`, by address, say what lies where.

    Raises InputError where the table points out of them.
    """
    starts = np.array([section.address for section in sections], dtype=np.uint64)
    ends = np.array([section.size for section in sections], dtype=np.uint64)
    file_offsets = np.array([section.offset for section in sections], dtype=np.uint64)
    index = np.searchsorted(starts, relocations.places, side="right") - 1
    inside = relocations.places - starts[index]
    outside = np.flatnonzero((index < 0) | (inside + np.uint64(8) > ends[index]) | (inside > ends[index]))
    if len(outside):
        worst = int(outside[0])
        raise InputError(
            f"a relocation of {int(relocations.places[worst]):#x}",
            place=Place(name, offset=relocations.at + ENTRY * worst),
            expected=f"an address in the kernel, which is linked at {sections[0].address:#x}",
            hint="the image is damaged",
        )
    order = RELATIVE[architecture][0]
    out = np.frombuffer(data, np.uint8).copy()
    places = (file_offsets[index] + inside).astype(np.int64)
    values = relocations.values.astype(f"{order}u8").view(np.uint8).reshape(-1, 8)
    for byte in range(8):
        out[places + byte] = values[:, byte]
    return out.tobytes()
