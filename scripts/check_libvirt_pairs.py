#!/usr/bin/env python3
"""Compare the libvirt reader with the QEMU reader on pairs of a domain and the command line that it becomes

libvirt's own tests (`tests/qemuxmlconfdata` of its sources) hold such pairs: `NAME.xml` is a domain,
`NAME.ARCH-VERSION.args` the QEMU command line that libvirt makes of it. Both readers must find the same devices (model
by model, as often), the same confidentiality and the same boot facts.

    scripts/check_libvirt_pairs.py libvirt/tests/qemuxmlconfdata --architecture x86_64 --threshold 0.95

Exit status 0 where the share of agreeing pairs is at least the threshold, 1 where it is not, 3 where there is no pair.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hostproof.artefacts.machine import libvirt, qemu
from hostproof.artefacts.machine.model import Machine, Origin
from hostproof.errors import HostproofError

_FIELDS = frozenset(
    {
        "cbitpos",
        "reduced-phys-bits",
        "kernel-hashes",
        "guest-visible-workarounds",
        "id-block",
        "id-auth",
        "host-data",
        "author-key-enabled",
        "vcek-disabled",
        "mrconfigid",
        "mrowner",
        "mrownerconfig",
    }
)
"""Launch fields that both forms carry with the same value (certificates become files on the command line)."""

_FROM_THE_HOST = frozenset({"cbitpos", "reduced-phys-bits"})
"""Fields that libvirt fills from the host's capabilities where the domain leaves them out."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one pair; no differences means that the readers agree."""

    name: str
    architecture: str
    board: str
    confidential: bool
    differences: tuple[str, ...]


def pairs(directory: Path) -> Iterator[tuple[Path, Path]]:
    """Each `.args` file with the domain that it was made from: the file with the shortest name before a dot."""
    for arguments in sorted(directory.glob("*.args")):
        parts = arguments.name.removesuffix(".args").split(".")
        for length in range(1, len(parts) + 1):
            domain = directory / (".".join(parts[:length]) + ".xml")
            if domain.is_file():
                yield domain, arguments
                break


def compare(domain: Path, arguments: Path) -> Outcome:
    """Read both and list in which facts they differ."""
    try:
        first = libvirt.read(domain.read_bytes(), domain.name)
        second = qemu.read(arguments.read_bytes(), arguments.name)
    except HostproofError as error:
        return Outcome(arguments.name, "?", "?", False, (f"error: {error.diagnosis()}",))
    differences = [*_devices(first, second), *_confidential(first, second), *_boot(first, second)]
    return Outcome(
        arguments.name,
        second.architecture or "?",
        second.board or "?",
        bool(first.confidential or second.confidential),
        tuple(differences),
    )


def _models(machine: Machine) -> Counter[str]:
    return Counter(device.model for device in machine.devices if device.origin is not Origin.BOARD)


def _devices(first: Machine, second: Machine) -> list[str]:
    expected, actual = _models(second), _models(first)
    missing = [f"missing {model}" + (f" x{n}" if n > 1 else "") for model, n in sorted((expected - actual).items())]
    extra = [f"extra {model}" + (f" x{n}" if n > 1 else "") for model, n in sorted((actual - expected).items())]
    return missing + extra


def _confidential(first: Machine, second: Machine) -> list[str]:
    if first.confidential is None or second.confidential is None:
        if first.confidential is second.confidential:
            return []
        return [f"confidential: {first.confidential} / {second.confidential}"]
    found = []
    for what in ("technology", "policy"):
        one, other = getattr(first.confidential, what), getattr(second.confidential, what)
        if one != other:
            found.append(f"{what}: {one} / {other}")
    one_fields, other_fields = dict(first.confidential.fields), dict(second.confidential.fields)
    for name in sorted(_FIELDS & (set(one_fields) | set(other_fields))):
        if name in _FROM_THE_HOST and name not in one_fields:
            continue
        if _truth(one_fields.get(name)) != _truth(other_fields.get(name)):
            found.append(f"{name}: {one_fields.get(name)!r} / {other_fields.get(name)!r}")
    return found


def _truth(value: str | None) -> str | None:
    return {"true": "on", "false": "off", "yes": "on", "no": "off"}.get(value, value) if value else value


def _boot(first: Machine, second: Machine) -> list[str]:
    found = []
    for what in ("kernel", "initrd", "command_line", "kernel_hashes"):
        one, other = getattr(first.boot, what), getattr(second.boot, what)
        if one != other:
            found.append(f"{what}: {one!r} / {other!r}")
    if first.boot.firmware is not None and first.boot.firmware != second.boot.firmware:
        found.append(f"firmware: {first.boot.firmware!r} / {second.boot.firmware!r}")
    return found


def main() -> int:
    """Compare every pair of a directory, print one line each and the sums."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--architecture", default="", help="only pairs whose command line is of this architecture")
    parser.add_argument("--threshold", type=float, default=1.0, help="least share of agreeing pairs (0 to 1)")
    parser.add_argument("--quiet", action="store_true", help="only differing pairs and the sums")
    options = parser.parse_args()
    outcomes = [compare(domain, arguments) for domain, arguments in pairs(options.directory)]
    if options.architecture:
        outcomes = [one for one in outcomes if one.architecture == options.architecture]
    if not outcomes:
        print(f"{options.directory}: no pair of NAME.xml and NAME.*.args", file=sys.stderr)
        return 3
    for outcome in outcomes:
        if outcome.differences:
            print(f"differ {outcome.name}: {'; '.join(outcome.differences)}")
        elif not options.quiet:
            print(f"agree  {outcome.name}")
    agreeing = sum(1 for one in outcomes if not one.differences)
    secure = [one for one in outcomes if one.confidential]
    secure_agreeing = sum(1 for one in secure if not one.differences)
    print(f"pairs: {agreeing} of {len(outcomes)} agree ({agreeing / len(outcomes):.2%})")
    if secure:
        print(f"confidential pairs: {secure_agreeing} of {len(secure)} agree ({secure_agreeing / len(secure):.2%})")
    return 0 if agreeing >= options.threshold * len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
