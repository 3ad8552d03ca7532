"""QEMU as an oracle: what a stopped machine says of its devices.

QEMU is started with its CPUs stopped, under TCG, without display or disk, and is asked through QMP. Nothing of a guest
runs. What QEMU cannot tell (ACPI, USB, serio and device-tree ids) stands in `boards/aliases.json`, written by hand.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BOARDS = Path(__file__).resolve().parent.parent / "src/hostproof/artefacts/machine/boards"
TIME_LIMIT = 60.0
BUS_NAMES = {
    "System": "sysbus",
    "PCI": "pci",
    "PCIE": "pci",
    "CXL": "pci",
    "ISA": "isa",
    "i2c-bus": "i2c",
    "usb-bus": "usb",
    "IDE": "ide",
    "SCSI": "scsi",
    "HDA": "hda",
    "floppy-bus": "floppy",
    "sd-bus": "sd",
    "sdhci-bus": "sd",
    "virtio-serial-bus": "virtio-serial",
    "virtual-css-bus": "ccw",
    "s390-sclp-events-bus": "sclp",
    "vmbus": "vmbus",
    "ccid-bus": "ccid",
    "nvme-bus": "nvme",
    "ssi": "ssi",
    "xen-bus": "xen",
    "tpm": "tpm",
}
VIRTIO_VENDOR = {"virtio-pci-bus": 0x1AF4, "virtio-mmio-bus": 0x554D4551, "virtio-ccw-bus": 0x3832}

ECAM = (0x4010000000, 0x3F000000)
"""Configuration space of `virt`, new and old (QEMU hw/arm/virt.c, VIRT_HIGH_PCIE_ECAM and VIRT_PCIE_ECAM)."""


class QemuError(Exception):
    """QEMU refused to start or to answer."""


class Qemu:
    """A stopped QEMU that answers questions. Use as a context manager."""

    def __init__(self, binary: str, arguments: Sequence[str]) -> None:
        command = [binary, "-S", "-accel", "tcg", "-display", "none", "-qmp", "stdio", *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(binary)
        )
        self.watchdog = threading.Timer(TIME_LIMIT, self.process.kill)
        self.watchdog.start()

    def __enter__(self) -> Qemu:
        self.greeting = self._read()
        self.ask("qmp_capabilities")
        return self

    def __exit__(self, *_: object) -> None:
        self.watchdog.cancel()
        self.process.kill()
        self.process.communicate()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout
        while True:
            line = self.process.stdout.readline()
            if not line:
                assert self.process.stderr
                raise QemuError(self.process.stderr.read().decode(errors="replace").strip())
            answer: dict[str, Any] = json.loads(line)
            if "event" not in answer:
                return answer

    def ask(self, command: str, **arguments: object) -> Any:
        """The answer to a QMP command. Raises QemuError where QEMU answers with an error."""
        assert self.process.stdin
        message = {"execute": command, "arguments": arguments} if arguments else {"execute": command}
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        try:
            self.process.stdin.flush()
        except BrokenPipeError:
            raise QemuError("QEMU went away") from None
        answer = self._read()
        if "error" in answer:
            raise QemuError(answer["error"]["desc"])
        return answer["return"]

    def monitor(self, line: str) -> str:
        """The text that the human monitor answers."""
        return str(self.ask("human-monitor-command", **{"command-line": line})).replace("\r", "")


def environment(binary: str) -> dict[str, str]:
    """The environment for `binary`: loadable parts come from beside it where an unpacked package holds them."""
    modules = Path(binary).resolve().parent.parent / "lib/x86_64-linux-gnu/qemu"
    extra = {"QEMU_MODULE_DIR": str(modules)} if modules.is_dir() else {}
    return {**os.environ, **extra}


@dataclass
class Node:
    """A device of `info qtree`."""

    model: str
    id: str
    bus_type: str
    properties: dict[str, str] = field(default_factory=dict)
    mmio: list[str] = field(default_factory=list)
    pci: tuple[str, str, str] | None = None
    """Address, `vendor:device` and `vendor:device` of the subsystem, as QEMU prints them."""


def read_qtree(text: str) -> list[Node]:
    """The devices of `info qtree`, in its order."""
    nodes: list[Node] = []
    buses: list[tuple[int, str]] = []
    for line in text.splitlines():
        depth, words = len(line) - len(line.lstrip()), line.strip()
        if words.startswith(("bus: ", "dev: ")):
            while buses and depth <= buses[-1][0]:
                buses.pop()
        if words.startswith("bus: "):
            buses.append((depth, ""))
        elif words.startswith("type ") and buses and not buses[-1][1]:
            buses[-1] = (buses[-1][0], words.removeprefix("type "))
        elif match := re.fullmatch(r'dev: (.*), id "(.*)"', words):
            nodes.append(Node(match[1], match[2], buses[-1][1]))
        elif match := re.fullmatch(r"class .*, addr (\S+), pci id (\S+) \(sub (\S+)\)", words):
            nodes[-1].pci = (match[1], match[2], match[3])
        elif match := re.fullmatch(r"mmio ([0-9a-f]+)/[0-9a-f]+", words):
            nodes[-1].mmio.append(match[1])
        elif match := re.fullmatch(r"(\S+) = (.*)", words):
            nodes[-1].properties[match[1]] = match[2]
    return nodes


class Configuration:
    """Reads PCI configuration space of bus 0 through the monitor: ports on x86, the ECAM window of `virt`."""

    def __init__(self, qemu: Qemu, architecture: str) -> None:
        self.qemu, self.architecture = qemu, architecture

    def dword(self, slot: int, function: int, offset: int) -> int:
        """A 32-bit register."""
        where = slot << 3 | function
        if self.architecture == "x86_64":
            self.qemu.monitor(f"o /w 0xcf8 {0x80000000 | where << 8 | offset:#x}")
            return int(self.qemu.monitor("i /w 0xcfc").split("=")[1], 16)
        for window in ECAM:
            answer = self.qemu.monitor(f"xp /1wx {window + (where << 12) + offset:#x}").split(":")[1].strip()
            if answer.startswith("0x"):
                return int(answer, 16)
        return 0xFFFFFFFF

    def alias(self, address: str) -> str | None:
        """What the kernel's `modalias` file shows for the function at `address` (drivers/pci/pci-sysfs.c), bus 0 only."""
        bus, slot, function = (int(part, 16) for part in re.split("[:.]", address))
        if bus:
            return None
        identity = self.dword(slot, function, 0)
        if identity & 0xFFFF == 0xFFFF:
            return None
        class_code = self.dword(slot, function, 8) >> 8
        subsystem = 0
        if self.dword(slot, function, 0xC) >> 16 & 0x7F == 0:
            subsystem = self.dword(slot, function, 0x2C)
        else:
            subsystem = self._bridge_subsystem(slot, function)
        return pci_alias(identity & 0xFFFF, identity >> 16, subsystem & 0xFFFF, subsystem >> 16, class_code)

    def _bridge_subsystem(self, slot: int, function: int) -> int:
        """Bridges carry subsystem ids in a capability (13) of their own, or none."""
        pointer = self.dword(slot, function, 0x34) & 0xFC
        for _ in range(48):
            if not pointer:
                break
            header = self.dword(slot, function, pointer)
            if header & 0xFF == 0x0D:
                return self.dword(slot, function, pointer + 4)
            pointer = header >> 8 & 0xFC
        return 0


def pci_alias(vendor: int, device: int, subvendor: int, subdevice: int, class_code: int) -> str:
    """A PCI module alias as the kernel writes it."""
    return (
        f"pci:v{vendor:08X}d{device:08X}sv{subvendor:08X}sd{subdevice:08X}"
        f"bc{class_code >> 16:02X}sc{class_code >> 8 & 0xFF:02X}i{class_code & 0xFF:02X}"
    )


def virtio_id(pci: str) -> int | None:
    """The virtio device id of a PCI alias: modern ids are 0x1040 + id, transitional ones have it as subsystem id."""
    match = re.match(r"pci:v00001AF4d0000(\w{4})sv\w{8}sd(\w{8})", pci)
    if not match:
        return None
    device = int(match[1], 16)
    if 0x1040 <= device < 0x1080:
        return device - 0x1040
    return int(match[2], 16) if 0x1000 <= device < 0x1040 else None


class Known:
    """The ids that stand in `aliases.json`."""

    def __init__(self) -> None:
        data = json.loads((BOARDS / "aliases.json").read_text())
        self.models: dict[str, list[str]] = data["models"]
        self.virtio: dict[str, int] = data["virtio"]
        self.virtio_class: dict[str, str] = data["virtio_pci_class"]

    def virtio_number(self, model: str) -> int | None:
        """The virtio device id behind a model name such as `vhost-user-blk-pci-non-transitional`."""
        stem = re.sub(r"(-pci(-(non-)?transitional)?|-ccw|-device)$", "", model)
        stem = stem if stem in self.virtio else re.sub(r"-(gl|rutabaga)$|^vhost-user-", "", stem)
        return self.virtio.get(stem) or self.virtio.get("virtio-" + stem)

    def pci_class(self, model: str) -> int:
        """The PCI class of a virtio model that cannot be started; `other` where nothing is known of it."""
        stem = re.sub(r"-pci(-(non-)?transitional)?$", "", model)
        return int(self.virtio_class.get(stem, "00FF00"), 16)


def aliases_of(node: Node, configuration: Configuration, known: Known) -> list[str]:
    """Every module alias of a device, sorted."""
    found = set(known.models.get(node.model, [])) | set(
        known.models.get(f"{node.model}@{configuration.architecture}", [])
    )
    if node.pci and (alias := configuration.alias(node.pci[0])):
        found.add(alias)
        if (number := virtio_id(alias)) is not None:
            found.add(f"virtio:d{number:08X}v00001AF4")
    number = known.virtio_number(node.model)
    if number and node.bus_type in VIRTIO_VENDOR:
        found.add(f"virtio:d{number:08X}v{VIRTIO_VENDOR[node.bus_type]:08X}")
    if number and node.bus_type == "virtual-css-bus":
        found |= {f"ccw:t3832m{number:02X}dtdm", f"virtio:d{number:08X}v00003832"}
    return sorted(found)


def bus_of(node: Node) -> str:
    """The project's word for the bus."""
    if node.bus_type in VIRTIO_VENDOR:
        return "virtio"
    return BUS_NAMES.get(node.bus_type, node.bus_type.lower())


def row_of(node: Node, configuration: Configuration, known: Known) -> str:
    """A device as one line of canonical JSON."""
    properties = {}
    if node.pci:
        properties["addr"] = node.pci[0]
    bases = [base.lstrip("0") or "0" for base in node.mmio if base != "f" * 16]
    if bases:
        properties["mmio"] = "0x" + bases[0]
    for name in ("iobase", "address"):
        if value := re.match(r"\d+", node.properties.get(name, "")):
            properties[name] = hex(int(value[0]))
    row = {"aliases": aliases_of(node, configuration, known), "bus": bus_of(node), "model": node.model}
    return canonical({**row, "properties": properties} if properties else row)


def canonical(value: object) -> str:
    """One line of JSON, keys sorted."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def read_eisa(code: bytes) -> str:
    """A compressed EISA id (ACPI 6.5, 19.3.4): three letters of five bits and four hexadecimal digits."""
    number = int.from_bytes(code, "big")
    return "".join(chr(0x40 + (number >> shift & 0x1F)) for shift in (26, 21, 16)) + f"{number & 0xFFFF:04X}"


def read_hids(tables: bytes) -> set[str]:
    """The `_HID` names of AML, integers and strings."""
    found = {read_eisa(match[1]) for match in re.finditer(rb"\x08_HID\x0c(.{4})", tables, re.DOTALL)}
    return found | {match[1].decode() for match in re.finditer(rb"\x08_HID\x0d([A-Za-z0-9]{7,8})\0", tables)}


def read_acpi(qemu: Qemu) -> list[str]:
    """The ACPI ids of the board's tables, read through the ports of fw_cfg (docs/specs/fw_cfg.rst)."""

    def item(selector: int, size: int) -> bytes:
        qemu.monitor(f"o /h 0x510 {selector:#x}")
        return bytes(int(qemu.monitor("i /b 0x511").split("=")[1], 16) for _ in range(size))

    if item(0, 4) != b"QEMU":
        return []
    count = int.from_bytes(item(0x19, 4), "big")
    directory = item(0x19, 4 + 64 * count)[4:]
    for at in range(0, len(directory), 64):
        if directory[at + 8 : at + 64].rstrip(b"\0") == b"etc/acpi/tables":
            size, selector = directory[at : at + 4], directory[at + 4 : at + 6]
            return sorted(read_hids(item(int.from_bytes(selector, "big"), min(int.from_bytes(size, "big"), 0x8000))))
    return []


def format_file(head: dict[str, Any], **lists: list[str]) -> str:
    """JSON with the members of `head` one per line, then each list with one element per line."""
    members = [f"{canonical(key)}:{canonical(value)}" for key, value in sorted(head.items())]
    members += [f"{canonical(name)}:[\n" + ",\n".join(lines) + "\n]" for name, lines in sorted(lists.items())]
    return "{\n" + ",\n".join(members) + "\n}\n"
