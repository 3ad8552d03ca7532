#!/usr/bin/env python3
"""Ask QEMU for bus and ids of every device model that starts without a host's resources, and write the answers as data.

    device_inventory.py --qemu A --qemu B ... --output src/hostproof/artefacts/machine/boards/devices.json

Each model is started alone on the usual board of its architecture, with null backends (no file, no socket, no network).
A model that will not start so gets its bus from `-device help`, and its ids from `boards/aliases.json` as far as they are
there. Binaries are asked in the order given; a later one replaces what an earlier one said of a model.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qemu_oracle import BOARDS as INVENTORIES
from qemu_oracle import (
    Configuration,
    Known,
    Node,
    Qemu,
    QemuError,
    aliases_of,
    bus_of,
    canonical,
    environment,
    format_file,
    pci_alias,
    read_qtree,
)

FORMAT = "hostproof-device-models/1"
BOARDS = {
    "x86_64": [["-machine", "q35"], ["-machine", "pc"]],
    "aarch64": [["-machine", "virt", "-cpu", "max"]],
    "s390x": [["-machine", "s390-ccw-virtio"]],
}
BACKENDS = {
    "drive": ["-blockdev", "null-co,node-name=drive0,size=1048576,read-zeroes=on"],
    "chardev": ["-chardev", "null,id=chardev0"],
    "netdev": ["-netdev", "hubport,id=netdev0,hubid=0"],
    "rng": ["-object", "rng-builtin,id=rng0"],
    "cryptodev": ["-object", "cryptodev-backend-builtin,id=cryptodev0"],
    "memdev": ["-object", "memory-backend-ram,id=memdev0,size=16M"],
    "audiodev": ["-audiodev", "none,id=audiodev0"],
    "bmc": ["-device", "ipmi-bmc-sim,id=bmc0"],
    "fsdev": ["-fsdev", "synth,id=fsdev0"],
    "canbus": ["-object", "can-bus,id=canbus0"],
}
CONTROLLERS = {
    "usb-bus": ["-device", "qemu-xhci"],
    "SCSI": ["-device", "virtio-scsi"],
    "virtio-serial-bus": ["-device", "virtio-serial"],
    "sd-bus": ["-device", "sdhci-pci"],
    "HDA": ["-device", "intel-hda"],
    "ccid-bus": ["-device", "qemu-xhci", "-device", "usb-ccid"],
    "nvme-bus": ["-device", "nvme,serial=0"],
    "floppy-bus": ["-device", "isa-fdc"],
    "vmbus": ["-device", "vmbus-bridge"],
}
EXTRA = {"mount_tag": "mount_tag=tag", "chassis_nr": "chassis_nr=1", "romfile": "romfile="}
"""Properties without which a model does not start, or starts only where a ROM file is installed."""
TRANSITIONAL = {1: 0x1000, 5: 0x1002, 2: 0x1001, 3: 0x1003, 8: 0x1004, 4: 0x1005, 9: 0x1009}
"""PCI device ids of virtio devices that have a legacy one (Linux include/uapi/linux/virtio_ids.h)."""


@dataclass(frozen=True)
class Model:
    """A line of `-device help`."""

    name: str
    bus_type: str
    alias: str


def list_models(binary: str) -> Iterator[Model]:
    """The device models that the binary offers to `-device`."""
    output = subprocess.run(
        [binary, "-device", "help"], capture_output=True, text=True, check=True, timeout=60, env=environment(binary)
    ).stdout
    for line in output.splitlines():
        match = re.match(r'name "([^"]+)"(?:, bus ([^",]+))?(?:, alias "([^"]+)")?', line)
        if match and not match[1].endswith("-cpu"):
            yield Model(match[1], match[2] or "System", match[3] or "")


def attempts(model: Model, properties: set[str], boards: list[list[str]]) -> Iterator[list[str]]:
    """Ways to start a model, the one with every backend that it has a property for first."""
    wanted = [name for name in BACKENDS if name in properties]
    extra = [text for name, text in EXTRA.items() if name in properties]
    extra += ["serial=0"] if model.name == "nvme" else []
    for board in boards:
        for names in (wanted, []) if wanted else ([],):
            device = ",".join([model.name, *extra, *(f"{name}={name}0" for name in names), "id=probe"])
            backends = [word for name in names for word in BACKENDS[name]]
            yield [*board, *backends, "-device", device]
            if controllers := CONTROLLERS.get(model.bus_type):
                yield [*board, *backends, *controllers, "-device", device]


class Prober:
    """Starts device models of one binary."""

    def __init__(self, binary: str) -> None:
        self.binary, self.known = binary, Known()
        with Qemu(binary, ["-nodefaults", "-machine", "none"]) as qemu:
            number = qemu.greeting["QMP"]["version"]["qemu"]
            self.architecture = str(qemu.ask("query-target")["arch"])
        self.version = f"{number['major']}.{number['minor']}.{number['micro']}"
        self.source = f"qemu {self.version} {self.architecture}"

    def properties(self, model: Model) -> set[str]:
        """The properties of a model."""
        try:
            with Qemu(self.binary, ["-nodefaults", *BOARDS[self.architecture][0]]) as qemu:
                return {entry["name"] for entry in qemu.ask("device-list-properties", typename=model.name)}
        except QemuError:
            return set()

    def start(self, arguments: list[str]) -> tuple[Node, list[str]] | None:
        """The node called `probe` and its aliases, None where QEMU does not start so."""
        try:
            with Qemu(self.binary, ["-nodefaults", *arguments]) as qemu:
                nodes = [node for node in read_qtree(qemu.monitor("info qtree")) if node.id == "probe"]
                if not nodes:
                    return None
                return nodes[0], aliases_of(nodes[0], Configuration(qemu, self.architecture), self.known)
        except QemuError:
            return None

    def probe(self, model: Model) -> dict[str, Any]:
        """Bus and aliases of a model, and whether they were measured or derived."""
        for arguments in attempts(model, self.properties(model), BOARDS[self.architecture]):
            answer = self.start(arguments)
            if answer:
                node, aliases = answer
                found = set(aliases)
                number = self.known.virtio_number(model.name)
                if number and not model.name.endswith("-transitional"):
                    found |= set(modern(aliases, number))
                return {"aliases": sorted(found), "bus": bus_of(node), "source": self.source}
        return {**self.derive(model), "source": f"{self.source}, not started"}

    def derive(self, model: Model) -> dict[str, Any]:
        """What is known of a model that does not start without a host's resources."""
        node = Node(model.name, "", model.bus_type)
        found = set(self.known.models.get(model.name, []))
        number = self.known.virtio_number(model.name)
        if number and model.bus_type in {"PCI", "PCIE"}:
            found |= set(virtio_pci(self.known.pci_class(model.name), number, model.name))
        if number and model.bus_type == "virtual-css-bus":
            found |= {f"ccw:t3832m{number:02X}dtdm", f"virtio:d{number:08X}v00003832"}
        if number and model.bus_type == "virtio-bus":
            found.add(f"virtio:d{number:08X}v554D4551")
        bus = "virtio" if model.bus_type == "virtio-bus" else bus_of(node)
        return {"aliases": sorted(found), "bus": bus}


def modern(aliases: list[str], number: int) -> list[str]:
    """What a transitional virtio function shows behind a PCI Express port: there it has the modern id alone
    (QEMU hw/virtio/virtio-pci.c, `disable-legacy=auto`).
    """
    return [
        pci_alias(0x1AF4, 0x1040 + number, 0x1AF4, 0x1100, int(match[1] + match[2] + match[3], 16))
        for alias in aliases
        if (match := re.search(r"^pci:v00001AF4d000010[0-3]\w.*bc(\w\w)sc(\w\w)i(\w\w)$", alias))
    ]


def virtio_pci(class_code: int, number: int, model: str) -> list[str]:
    """The aliases of a virtio device on PCI: modern and transitional, unless the model's name says which of them."""
    found = [f"virtio:d{number:08X}v00001AF4"]
    if model.endswith("-non-transitional") or not model.endswith("-transitional"):
        found.append(pci_alias(0x1AF4, 0x1040 + number, 0x1AF4, 0x1100, class_code))
    if number in TRANSITIONAL and not model.endswith("-non-transitional"):
        found.append(pci_alias(0x1AF4, TRANSITIONAL[number], 0x1AF4, number, class_code))
    return found


def board_models() -> Iterator[tuple[str, dict[str, Any]]]:
    """The models that only boards bring, from the committed inventories, newest first."""
    files = [json.loads(path.read_text()) for path in sorted(INVENTORIES.glob("qemu-*.json"))]
    for data in sorted(files, key=lambda data: [int(part) for part in data["version"].split(".")], reverse=True):
        for row in data["devices"]:
            source = f"board of qemu {data['version']} {data['architecture']}"
            yield row["model"], {"aliases": row["aliases"], "bus": row["bus"], "source": source}


def measure(binaries: list[str]) -> str:
    """The table of all models, as the text of its file."""
    models: dict[str, dict[str, Any]] = {}
    aliases: dict[tuple[str, str], set[str]] = {}
    versions = []
    for binary in binaries:
        prober = Prober(binary)
        versions.append(prober.source)
        for model in list_models(binary):
            record = prober.probe(model)
            known = models.get(model.name)
            if not known or "not started" not in record["source"] or "not started" in known["source"]:
                models[model.name] = record
            if model.alias:
                aliases.setdefault((model.alias, model.name), set()).add(prober.architecture)
        print(f"{prober.source}: {len(models)} models so far", file=sys.stderr)
    for name, record in board_models():
        models.setdefault(name, record)
    for name, known_aliases in Known().models.items():
        if "@" not in name:
            models.setdefault(name, {"aliases": sorted(known_aliases), "bus": "platform", "source": "aliases.json"})
    head = {
        "command": "scripts/device_inventory.py " + " ".join(f"--qemu '{version}'" for version in versions),
        "format": FORMAT,
        "versions": versions,
    }
    return format_file(
        head,
        aliases=[
            canonical({"alias": alias, "architectures": sorted(found), "model": model})
            for (alias, model), found in sorted(aliases.items())
        ],
        models=[canonical({"model": name, **record}) for name, record in sorted(models.items())],
    )


def main() -> None:
    """Writes the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--qemu", required=True, action="append", help="a qemu-system binary to ask; may be repeated")
    parser.add_argument("--output", type=Path, help="where the table goes; standard output without it")
    options = parser.parse_args()
    text = measure(options.qemu)
    if options.output:
        options.output.write_text(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
