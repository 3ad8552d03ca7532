"""The questions that are put to QEMU, and whether it still answers as the committed inventories say."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hostproof.artefacts.machine.board import board_devices
from hostproof.place import Place

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import board_inventory  # noqa: E402
import device_inventory  # noqa: E402
import qemu_oracle  # noqa: E402

BOARDS = ROOT / "src/hostproof/artefacts/machine/boards"
QTREE = """bus: main-system-bus
  type System
  dev: hpet, id ""
    timers = 3 (0x3)
    mmio 00000000fed00000/0000000000000400
  dev: host, id "h0"
    bus: pcie.0
      type PCIE
      dev: smb, id ""
        addr = 1f.3
        class SMBus, addr 00:1f.3, pci id 8086:2930 (sub 1af4:1100)
        bus: i2c
          type i2c-bus
          dev: smbus-eeprom, id ""
            address = 87 (0x57)
  dev: last, id ""
"""


def installed(architecture: str) -> tuple[str, str]:
    """The installed QEMU and its committed inventory; skips the test where there is none of that version."""
    binary = shutil.which(f"qemu-system-{architecture}")
    if not binary:
        pytest.skip(f"qemu-system-{architecture} is not installed")
    text = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"version (\d+\.\d+)\.(\d+)", text)
    assert version
    path = BOARDS / f"qemu-{version[1]}-{architecture}.json"
    if not path.is_file() or json.loads(path.read_text())["version"] != f"{version[1]}.{version[2]}":
        pytest.skip(f"no inventory of QEMU {version[1]}.{version[2]} for {architecture} is committed")
    return binary, path.read_text()


def test_qtree_is_read_with_the_bus_of_each_device() -> None:
    expected = [
        ("hpet", "", "System"),
        ("host", "h0", "System"),
        ("smb", "", "PCIE"),
        ("smbus-eeprom", "", "i2c-bus"),
        ("last", "", "System"),
    ]

    assert expected == [(node.model, node.id, node.bus_type) for node in qemu_oracle.read_qtree(QTREE)]


def test_qtree_gives_addresses_and_properties() -> None:
    hpet, _, smb, eeprom, _ = qemu_oracle.read_qtree(QTREE)
    address, base, pci = "87 (0x57)", ["00000000fed00000"], ("00:1f.3", "8086:2930", "1af4:1100")

    assert base == hpet.mmio
    assert pci == smb.pci
    assert address == eeprom.properties["address"]


def test_a_pci_alias_is_spelled_as_the_kernel_spells_it() -> None:
    alias = "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01"

    assert alias == qemu_oracle.pci_alias(0x8086, 0x2922, 0x1AF4, 0x1100, 0x010601)


@pytest.mark.parametrize(
    ("device", "subsystem", "number"), [(0x1000, 1, 1), (0x1041, 0x1100, 1), (0x105A, 0x1100, 26), (0x1110, 1, None)]
)
def test_the_virtio_id_is_in_the_pci_ids(device: int, subsystem: int, number: int | None) -> None:
    assert number == qemu_oracle.virtio_id(qemu_oracle.pci_alias(0x1AF4, device, 0x1AF4, subsystem, 0x020000))


def test_acpi_ids_are_read_as_numbers_and_as_text() -> None:
    tables = b"..\x08_HID\x0c\x41\xd0\x0b\x00..\x08_HID\x0dQEMU0002\x00..\x08_HID\x0dnot an id\x00"
    expected = {"PNP0B00", "QEMU0002"}

    assert expected == qemu_oracle.read_hids(tables)


def test_a_difference_counts_equal_devices() -> None:
    expected = {"added": ["c"], "removed": ["a"]}

    assert expected == board_inventory.difference(["a", "a", "b"], ["a", "b", "c"])


def test_a_device_that_only_moved_is_not_missing() -> None:
    before = [json.dumps({"model": name, "properties": {"addr": addr}}) for name, addr in (("VGA", "1"), ("nic", "2"))]
    after = [json.dumps({"model": "nic", "properties": {"addr": "1"}})]

    assert before[:1] == board_inventory.missing_models(before, after)


@pytest.mark.parametrize(
    ("model", "number"),
    [
        ("virtio-net-pci-non-transitional", 1),
        ("vhost-user-blk-pci", 2),
        ("vhost-user-fs-device", 26),
        ("virtio-gpu-gl-pci", 16),
        ("vhost-vsock-ccw", 19),
        ("vhost-user-snd-pci", 25),
        ("e1000", None),
    ],
)
def test_the_virtio_id_is_known_from_the_model_name(model: str, number: int | None) -> None:
    assert number == qemu_oracle.Known().virtio_number(model)


def test_a_transitional_function_shows_its_modern_id_behind_a_port() -> None:
    measured = ["pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00", "virtio:d00000001v00001AF4"]
    expected = ["pci:v00001AF4d00001041sv00001AF4sd00001100bc02sc00i00"]

    assert expected == device_inventory.modern(measured, 1)


@pytest.mark.parametrize("path", sorted(BOARDS.glob("*.json")), ids=lambda path: path.name)
def test_committed_files_have_one_device_per_line_and_sorted_keys(path: Path) -> None:
    data = json.loads(path.read_text())
    lines = path.read_text().splitlines()
    listed = data.get("devices", data.get("models"))
    rows = [line.rstrip(",") for line in lines if line.startswith('{"aliases"')]

    if isinstance(listed, list):
        assert [board_inventory.canonical(row) for row in listed] == rows

    expected = "{"

    assert expected == lines[0]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["x86_64", "aarch64", "s390x"])
def test_the_installed_qemu_answers_as_the_committed_inventory_says(architecture: str) -> None:
    binary, committed = installed(architecture)

    assert committed == board_inventory.measure_boards(board_inventory.Prober(binary))


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["q35", "pc", "microvm"])
@pytest.mark.parametrize("defaults", [False, True])
def test_switches_together_do_what_they_do_alone(machine: str, defaults: bool) -> None:
    """Inventories hold the effect of each switch alone; here QEMU starts with several of them."""
    binary, committed = installed("x86_64")
    data = json.loads(committed)
    layout = data["layouts"][data["machines"][data["aliases"].get(machine, machine)]]
    choose = random.Random(7)
    names = sorted({switch.split("=")[0] for switch in layout["switches"]})
    prober = board_inventory.Prober(binary)
    for _ in range(12):
        chosen = {name: switch_value(layout, name) for name in choose.sample(names, choose.randint(1, len(names)))}
        options = ",".join([machine, *(f"{name}={value}" for name, value in chosen.items())])
        try:
            rows = prober.rows(options, *([] if defaults else ["-nodefaults"]))
        except qemu_oracle.QemuError:
            continue
        board = board_devices(
            machine,
            architecture="x86_64",
            vmm_version=data["version"],
            defaults=defaults,
            switches=chosen,
            place=Place("t"),
        )

        assert sorted(json.loads(row)["model"] for row in rows) == sorted(d.model for d in board.devices), options


def switch_value(layout: dict[str, dict[str, object]], name: str) -> str:
    """The position of a switch that changes something."""
    return next(switch.split("=")[1] for switch in sorted(layout["switches"]) if switch.split("=")[0] == name)
