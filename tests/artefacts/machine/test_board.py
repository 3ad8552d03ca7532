"""What machine types add without being asked. The counts are those that QEMU 7.2 answered when it was asked by hand."""

from __future__ import annotations

import json
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.artefacts.machine.board import BoardDevices, board_devices
from hostproof.artefacts.machine.model import Origin
from hostproof.place import Place

PLACE = Place("vm.args", path="-machine")
ALL_OFF = dict.fromkeys(("vmport", "i8042", "hpet", "smm", "smbus", "sata", "pit", "pic"), "off")
INVENTORIES = sorted(
    entry.name
    for entry in (resources.files("hostproof.artefacts.machine") / "boards").iterdir()
    if entry.name.endswith(".json") and entry.name not in {"aliases.json", "devices.json"}
)


def ask(
    machine: str,
    *,
    architecture: str = "x86_64",
    version: str | None = "7.2",
    defaults: bool = False,
    switches: dict[str, str] | None = None,
) -> BoardDevices:
    return board_devices(
        machine,
        architecture=architecture,
        vmm_version=version,
        defaults=defaults,
        switches=switches or {},
        place=PLACE,
    )


def models(board: BoardDevices) -> list[str]:
    return [device.model for device in board.devices]


@pytest.mark.parametrize(
    ("machine", "defaults", "switches", "devices", "functions"),
    [
        ("pc", True, {}, 37, 6),
        ("q35", True, {}, 35, 6),
        ("q35", False, {}, 30, 4),
        ("q35", False, ALL_OFF, 9, 2),
        ("microvm", False, {}, 34, 0),
        ("microvm", False, dict.fromkeys(("pic", "pit", "rtc", "isa-serial", "acpi"), "off"), 12, 0),
    ],
)
def test_a_board_has_as_many_devices_as_qemu_lists(
    machine: str, defaults: bool, switches: dict[str, str], devices: int, functions: int
) -> None:
    board = ask(machine, defaults=defaults, switches=switches)

    assert (devices, functions, ()) == (
        len(board.devices),
        sum(device.bus == "pci" for device in board.devices),
        board.notes,
    )


def test_microvm_has_24_virtio_slots_that_the_kernel_finds_by_acpi_or_device_tree() -> None:
    slots = [device for device in ask("microvm").devices if device.model == "virtio-mmio"]
    expected = 24

    assert expected == len(slots)
    assert {("acpi:LNRO0005:", "of:Nvirtio_mmioT(null)Cvirtio,mmio")} == {slot.aliases for slot in slots}


def test_what_the_switches_leave_of_q35_is_named() -> None:
    expected = [
        "ICH9-LPC",
        "fw_cfg_io",
        "i8257",
        "i8257",
        "ioapic",
        "kvmvapic",
        "mc146818rtc",
        "mch",
        "q35-pcihost",
    ]

    assert expected == sorted(models(ask("q35", switches=ALL_OFF)))


def test_every_device_stands_at_the_place_that_was_given_and_says_why_it_is_there() -> None:
    board = ask("q35", defaults=True, switches={"usb": "on"})

    assert {PLACE} == {device.place for device in board.devices}

    expected = [Origin.DEFINITION] * 4

    assert expected == [device.origin for device in board.devices if device.model.startswith("ich9-usb")]

    expected = {"e1000e": "net", "VGA": "vga", "isa-serial": "serial", "isa-parallel": "parallel", "ide-cd": "cdrom"}

    assert expected == {
        device.model: dict(device.properties)["default"] for device in board.devices if device.origin is Origin.DEFAULT
    }


def test_a_default_that_the_definition_replaces_can_be_taken_away() -> None:
    with_net = ask("q35", defaults=True)
    without = ask("q35", defaults=True, switches={"net": "none", "vga": "none"})

    assert {"e1000e", "VGA"} == set(models(with_net)) - set(models(without))


def test_taking_a_default_away_changes_nothing_under_nodefaults() -> None:
    assert ask("q35").devices == ask("q35", switches={"net": "none"}).devices


@pytest.mark.parametrize(
    ("machine", "version", "resolved", "inventory", "notes"),
    [
        ("", "7.2", "pc-i440fx-7.2", "qemu 7.2.22 x86_64", 0),
        ("pc", "7.2.0", "pc-i440fx-7.2", "qemu 7.2.22 x86_64", 0),
        ("pc+pve0", "7.2", "pc-i440fx-7.2", "qemu 7.2.22 x86_64", 0),
        ("pc-q35-8.1+pve0", "10.0", "pc-q35-8.1", "qemu 10.0.2 x86_64", 0),
        ("pc-q35-9.1", "8.2", "pc-q35-7.2", "qemu 7.2.22 x86_64", 2),
        ("pc-q35-9.1", None, "pc-q35-9.1", "qemu 10.0.2 x86_64", 1),
        ("pc-i440fx-1.4", None, "pc-i440fx-1.4", "qemu 7.2.22 x86_64", 1),
        ("pc-q35-jammy", "7.2", "pc-q35-7.2", "qemu 7.2.22 x86_64", 1),
        ("ubuntu-q35", "7.2", "pc-q35-7.2", "qemu 7.2.22 x86_64", 0),
        ("pc-q35-rhel9.4.0", "10.0.2", "pc-q35-10.0", "qemu 10.0.2 x86_64", 1),
        ("pc-i440fx-rhel7.6.0", "5.2", "pc-i440fx-7.2", "qemu 7.2.22 x86_64", 2),
        ("pc-q35-99.9", "99.9", "pc-q35-10.0", "qemu 10.0.2 x86_64", 2),
        ("pc-q35-0.9", "7.2", "pc-q35-2.4", "qemu 7.2.22 x86_64", 1),
    ],
)
def test_a_machine_type_is_resolved_to_the_nearest_one_that_was_measured(
    machine: str, version: str | None, resolved: str, inventory: str, notes: int
) -> None:
    board = ask(machine, version=version)

    assert (resolved, inventory, notes) == (board.machine, board.inventory, len(board.notes))


@pytest.mark.parametrize(
    ("machine", "architecture"),
    [("raspi3b", "aarch64"), ("q35", "aarch64"), ("q35", "riscv64"), ("crosvm", "x86_64"), ("pcx", "x86_64")],
)
def test_an_unknown_board_gives_no_devices_and_says_so(machine: str, architecture: str) -> None:
    board = ask(machine, architecture=architecture)

    assert (machine, "", ()) == (board.machine, board.inventory, board.devices)
    assert [f"the board {machine!r} is not known on {architecture!r}, so the devices it adds are not listed"] == list(
        board.notes
    )


def test_a_switch_whose_effect_nobody_measured_is_told() -> None:
    board = ask("q35", switches={"frobnicate": "on", "kernel_irqchip": "split", "confidential-guest-support": "sev0"})
    expected = ("what the machine option 'frobnicate=on' changes among the devices was not measured",)

    assert expected == board.notes


@pytest.mark.parametrize("word", ["off", "no", "false", "OFF"])
def test_qemu_knows_several_words_for_off(word: str) -> None:
    assert "hpet" not in models(ask("q35", switches={"hpet": word}))


def test_two_switches_that_take_away_the_same_device_take_it_away_once() -> None:
    both = ask("q35", switches={"vmport": "off", "i8042": "off"})

    assert models(ask("q35", switches={"i8042": "off"})) == models(both)


def test_arm_and_s390_boards_carry_the_aliases_of_their_buses() -> None:
    arm = {device.model: device.aliases for device in ask("virt", architecture="aarch64").devices}
    s390 = {
        device.model: device.aliases for device in ask("s390-ccw-virtio", architecture="s390x", defaults=True).devices
    }
    expected = ("acpi:ARMH0011:", "amba:d00041011")

    assert expected == arm["pl011"]

    expected = ("pci:v00001B36d00000008sv00001AF4sd00001100bc06sc00i00",)

    assert expected == arm["gpex-root"]

    expected = ("ccw:t3832m01dtdm", "virtio:d00000001v00003832")

    assert expected == s390["virtio-net-ccw"]


@pytest.mark.parametrize(
    ("machine", "architecture", "needed"),
    [
        ("cloud-hypervisor", "x86_64", {"i8042", "mc146818rtc", "isa-debugcon", "acpi-ged", "ioapic"}),
        ("firecracker", "x86_64", {"i8042", "isa-serial", "vmgenid", "vmclock"}),
        ("crosvm", "aarch64", {"isa-serial", "pl030", "vmwdt", "pvpanic-pci"}),
    ],
)
def test_boards_of_other_vmms_have_inventories_with_sources(machine: str, architecture: str, needed: set[str]) -> None:
    board = ask(machine, architecture=architecture, version=None)

    assert needed <= set(models(board))
    assert board.inventory.startswith(machine)


@pytest.mark.parametrize("name", [name for name in INVENTORIES if not name.startswith("qemu")])
def test_an_inventory_written_by_hand_names_its_sources(name: str) -> None:
    path = resources.files("hostproof.artefacts.machine") / "boards" / name

    assert json.loads(path.read_text())["sources"]


@pytest.mark.parametrize("name", [name for name in INVENTORIES if name.startswith("qemu")])
def test_every_acpi_id_of_a_board_belongs_to_a_device_of_it(name: str) -> None:
    data = json.loads((resources.files("hostproof.artefacts.machine") / "boards" / name).read_text())
    orphans = set()
    for layout in data["layouts"]:
        owned = {
            part
            for number in layout["base"]
            for alias in data["devices"][number]["aliases"]
            if alias.startswith("acpi:")
            for part in alias.split(":")[1:]
        }
        orphans |= set(layout.get("acpi", [])) - owned

    assert set() == orphans


@given(
    st.text(max_size=30) | st.sampled_from(["q35", "pc-q35-", "pc", "virt-", "pc-i440fx-9999999999.1"]),
    st.sampled_from(["x86_64", "aarch64", "s390x", "", "ppc64"]),
    st.none() | st.text(max_size=12),
    st.booleans(),
    st.dictionaries(st.text(max_size=8) | st.sampled_from(["hpet", "usb", "net"]), st.text(max_size=4)),
)
def test_whatever_a_definition_says_there_is_an_answer(
    machine: str, architecture: str, version: str | None, defaults: bool, switches: dict[str, str]
) -> None:
    board = ask(machine, architecture=architecture, version=version, defaults=defaults, switches=switches)

    assert bool(board.inventory) == bool(board.devices)
    assert board.inventory or board.notes
