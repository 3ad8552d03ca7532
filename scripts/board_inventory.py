#!/usr/bin/env python3
"""Ask QEMU what its boards present without being asked, and write the answer as data.

    board_inventory.py --qemu qemu-system-x86_64 --output src/hostproof/artefacts/machine/boards/qemu-7.2-x86_64.json

Every machine type is measured with and without `-nodefaults`, and so is the effect of every on-off switch of the machine,
alone and with every other switch that has an effect. Machine types with the same devices and the same switches are
measured once. The same QEMU gives the same bytes.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

from qemu_oracle import Configuration, Known, Qemu, QemuError, canonical, format_file, read_acpi, read_qtree, row_of

FORMAT = "hostproof-board-inventory/1"
MACHINES = {
    "x86_64": r"(pc|q35|microvm|isapc)(-.*)?",
    "aarch64": r"virt(-.*)?",
    "s390x": r"s390-ccw-virtio(-.*)?",
}
CPU = {"aarch64": ["-cpu", "max"]}
"""The default CPU of `virt` is a 32-bit one, which no confidential guest has."""
WORDS = {"gic-version": ["2", "3", "4"], "iommu": ["smmuv3"], "msi": ["gicv2m", "its", "off"]}
"""Switches of `virt` that are words."""
DROPS = {
    "net": ["-net", "none"],
    "vga": ["-vga", "none"],
    "serial": ["-serial", "none"],
    "parallel": ["-parallel", "none"],
}


class Prober:
    """Measures boards of one QEMU binary."""

    def __init__(self, binary: str) -> None:
        self.binary, self.known = binary, Known()
        with Qemu(binary, ["-nodefaults", "-machine", "none"]) as qemu:
            version = qemu.greeting["QMP"]["version"]
            self.architecture = str(qemu.ask("query-target")["arch"])
            self.machines: list[dict[str, Any]] = qemu.ask("query-machines")
        number = version["qemu"]
        self.version = f"{number['major']}.{number['minor']}.{number['micro']}"
        self.package = str(version["package"])

    def start(self, machine: str, *arguments: str) -> Qemu:
        """A QEMU with this machine type."""
        return Qemu(self.binary, ["-machine", machine, *CPU.get(self.architecture, []), *arguments])

    def rows(self, machine: str, *arguments: str) -> list[str]:
        """The devices of a board, one row each, sorted. Raises QemuError where QEMU does not start so."""
        with self.start(machine, *arguments) as qemu:
            configuration = Configuration(qemu, self.architecture)
            return sorted(row_of(node, configuration, self.known) for node in read_qtree(qemu.monitor("info qtree")))

    def switches(self, machine: str) -> list[str]:
        """Every on-off switch of the machine type at both positions, and the words of WORDS."""
        with self.start(machine, "-nodefaults") as qemu:
            listed = qemu.ask("qom-list", path="/machine")
        found = []
        for entry in listed:
            if entry["type"] in {"bool", "OnOffAuto"}:
                found += [f"{entry['name']}=off", f"{entry['name']}=on"]
            found += [f"{entry['name']}={word}" for word in WORDS.get(entry["name"], [])]
        return sorted(found)


def difference(before: Iterable[str], after: Iterable[str]) -> dict[str, list[str]]:
    """What must be taken away from `before` and put to it to get `after`."""
    old, new = Counter(before), Counter(after)
    return {"added": sorted((new - old).elements()), "removed": sorted((old - new).elements())}


def missing_models(before: Iterable[str], after: Iterable[str]) -> list[str]:
    """The rows whose model `after` has less often than `before`; a device that only moved to another slot is not missing."""
    left = Counter(json.loads(row)["model"] for row in after)
    gone = []
    for row in before:
        model = json.loads(row)["model"]
        left[model] -= 1
        if left[model] < 0:
            gone.append(row)
    return gone


def measure_pair(prober: Prober, machine: str, layout: dict[str, Any], pair: tuple[str, str]) -> dict[str, list[str]]:
    """Where two switches together do something else than both alone: what to add to their effects, and to take away."""
    if pair[0].split("=")[0] == pair[1].split("=")[0]:
        return {}
    added, removed = Counter[str](), Counter[str]()
    for switch in pair:
        added |= Counter(layout["switches"][switch]["added"])
        removed |= Counter(layout["switches"][switch]["removed"])
    expected = Counter(layout["base"]) + added - removed
    try:
        return difference(expected.elements(), prober.rows(f"{machine},{pair[0]},{pair[1]}", "-nodefaults"))
    except QemuError:
        return {}


def measure_under_defaults(
    prober: Prober, machine: str, default: list[str], switch: str, effect: dict[str, list[str]]
) -> dict[str, list[str]]:
    """What a switch adds and takes away besides, where QEMU's defaults hold (without SATA there is no default drive).
    Devices that only moved to another slot do not count.
    """
    expected = Counter(default) + Counter(effect["added"]) - Counter(effect["removed"])
    expected_rows = sorted(expected.elements())
    measured = prober.rows(f"{machine},{switch}")
    return {
        "added": missing_models(measured, expected_rows),
        "removed": missing_models(expected_rows, measured),
    }


def measure_layout(prober: Prober, machine: str, base: list[str], default: list[str]) -> dict[str, Any]:
    """The effect of every switch on a board, alone."""
    layout: dict[str, Any] = {"base": base, "defaults": difference(base, default), "drops": {}, "switches": {}}
    layout |= {"neutral": [], "refused": [], "together": {}, "under_defaults": {}}
    for switch in prober.switches(machine):
        try:
            effect = difference(base, prober.rows(f"{machine},{switch}", "-nodefaults"))
        except QemuError:
            layout["refused"].append(switch)
            continue
        if not any(effect.values()):
            layout["neutral"].append(switch)
            continue
        layout["switches"][switch] = effect
        correction = measure_under_defaults(prober, machine, default, switch, effect)
        if any(correction.values()):
            layout["under_defaults"][switch] = correction
    for one, two in combinations(sorted(layout["switches"]), 2):
        correction = measure_pair(prober, machine, layout, (one, two))
        if any(correction.values()):
            layout["together"][f"{one},{two}"] = correction
    for name, arguments in DROPS.items():
        dropped = missing_models(default, prober.rows(machine, *arguments))
        if dropped:
            layout["drops"][name] = dropped
    if prober.architecture == "x86_64":
        with prober.start(machine, "-nodefaults") as qemu:
            layout["acpi"] = read_acpi(qemu)
    return layout


def measure_boards(prober: Prober) -> str:
    """The inventory of every machine type of interest, as the text of its file."""
    pattern = re.compile(MACHINES[prober.architecture])
    layouts: list[dict[str, Any]] = []
    seen: dict[str, int] = {}
    machines: dict[str, int] = {}
    aliases: dict[str, str] = {}
    default_machine = ""
    for entry in sorted(prober.machines, key=lambda entry: str(entry["name"])):
        name = str(entry["name"])
        if not pattern.fullmatch(name):
            continue
        if "alias" in entry:
            aliases[entry["alias"]] = name
        default_machine = name if entry.get("is-default") else default_machine
        base, default = prober.rows(name, "-nodefaults"), prober.rows(name)
        key = canonical([base, default, prober.switches(name)])
        if key not in seen:
            seen[key] = len(layouts)
            layouts.append(measure_layout(prober, name, base, default))
            print(f"{name}: {len(base)} devices, {len(default)} with defaults", file=sys.stderr)
        machines[name] = seen[key]
    head = {
        "aliases": aliases,
        "architecture": prober.architecture,
        "command": f"scripts/board_inventory.py --qemu qemu-system-{prober.architecture}",
        "default_machine": default_machine,
        "format": FORMAT,
        "machines": machines,
        "package": prober.package,
        "version": prober.version,
        "vmm": "qemu",
    }
    return format_boards(head, layouts)


def each_row(layout: dict[str, Any]) -> Iterator[list[str]]:
    """Every list of rows of a layout, to be replaced in place by numbers."""
    yield layout["base"]
    for effect in (
        layout["defaults"],
        *layout["switches"].values(),
        *layout["together"].values(),
        *layout["under_defaults"].values(),
    ):
        yield from (effect["added"], effect["removed"])
    yield from layout["drops"].values()


def format_boards(head: dict[str, Any], layouts: list[dict[str, Any]]) -> str:
    """The file: devices once each, one per line; layouts refer to them by number."""
    rows = sorted({row for layout in layouts for part in each_row(layout) for row in part})
    number = {row: index for index, row in enumerate(rows)}
    for layout in layouts:
        for part in each_row(layout):
            part[:] = [number[row] for row in part]  # type: ignore[misc]
    return format_file(head, devices=rows, layouts=[canonical(layout) for layout in layouts])


def main() -> None:
    """Writes the inventory."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--qemu", required=True, help="the qemu-system binary to ask")
    parser.add_argument("--output", type=Path, help="where the inventory goes; standard output without it")
    options = parser.parse_args()
    text = measure_boards(Prober(options.qemu))
    if options.output:
        options.output.write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
