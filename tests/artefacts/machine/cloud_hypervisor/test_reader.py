"""Cloud Hypervisor, as JSON and as a command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostproof.artefacts.machine import cloud_hypervisor, read
from hostproof.artefacts.machine.model import Machine, Origin
from hostproof.errors import InputError

CORPUS = Path(__file__).resolve().parents[3] / "corpus" / "cloud-hypervisor"
BOARD = ["i8042", "mc146818rtc", "isa-debugcon", "acpi-ged", "ioapic", "clh-pcie-host"]


def sample(name: str) -> Machine:
    (machine,) = read.read((CORPUS / name).read_bytes(), name)
    return machine


def json(text: str) -> Machine:
    return cloud_hypervisor.read(text.encode(), "vm.json")


def test_an_snp_guest_boots_igvm_and_carries_host_data() -> None:
    machine = sample("snp.json")

    assert machine.confidential is not None
    assert (
        machine.confidential.technology,
        machine.confidential.policy,
        machine.confidential.fields,
    ) == ("sev-snp", None, (("host-data", "00ff"),))
    assert (machine.boot.igvm, machine.boot.igvm_place and machine.boot.igvm_place.line) == ("/images/guest.igvm", 4)
    assert (machine.vcpus, machine.memory_mib) == (2, 1024)


def test_devices_come_with_the_line_that_asks_for_them() -> None:
    found = [(device.model, device.place.line) for device in sample("snp.json").devices]

    assert [
        ("virtio-blk-pci", 6),
        ("vhost-user-blk-pci", 6),
        ("virtio-net-pci", 7),
        ("virtio-rng-pci", 8),
        ("vhost-vsock-pci", 11),
        ("vfio-pci", 12),
        ("pvpanic-pci", 13),
        *((model, 1) for model in BOARD),
    ] == found


def test_without_a_word_the_vmm_adds_entropy_console_and_serial() -> None:
    machine = json('{"payload": {"kernel": "k"}}')

    assert [device.model for device in machine.devices if device.origin is Origin.DEFAULT] == [
        "virtio-rng-pci",
        "virtio-serial-pci",
        "virtconsole",
        "isa-serial",
    ]


def test_strings_hot_plug_and_unknown_fields_are_not_silent() -> None:
    machine = sample("snp.json")

    assert [(host.name, host.channel, host.value) for host in machine.host_inputs] == [
        ("platform.oem_strings", "C05", "one, two"),
        ("cpus.max_vcpus", "C29", "4"),
    ]
    assert [unread.option for unread in machine.unread] == ["warp"]


def test_a_command_line_says_the_same() -> None:
    machine = sample("tdx.command")

    assert (
        machine.confidential and machine.confidential.technology,
        machine.vcpus,
        machine.memory_mib,
        machine.boot.firmware,
        machine.boot.command_line,
    ) == ("tdx", 2, 512, "TDVF.fd", "root=/dev/vda console=hvc0")
    assert [(device.model, device.place.line) for device in machine.devices[:3]] == [
        ("virtio-blk-pci", 5),
        ("virtio-blk-pci", 5),
        ("virtio-net-pci", 5),
    ]
    assert "virtconsole" not in [device.model for device in machine.devices]
    assert machine.unread == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"payload": {}, "platform": {"tdx": true, "sev_snp": true}}', "one of them"),
        ('{"payload": {}, "disks": 4}', "a mapping"),
        ('{"payload": {}, "memory": {"size": "much"}}', "a whole number"),
        ('{"payload": 1}', "a mapping"),
        ('{"payload": {}, "payload": {}}', "every field once"),
        ("cloud-hypervisor --kernel", "--kernel VALUE"),
        ('cloud-hypervisor --cmdline "open', "balanced quotes"),
        ("cloud-hypervisor --memory size=much", "a size"),
    ],
)
def test_malformed_definitions_say_what_was_expected(text: str, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        cloud_hypervisor.read(text.encode(), "vm")

    assert expected in (caught.value.expected or "")


def test_devices_that_qemu_does_not_have_carry_their_own_aliases() -> None:
    machine = json('{"payload": {}, "watchdog": true, "rtc": {"iommu": false}, "iommu": true, "balloon": {"size": 0}}')
    aliases = {device.model: device.aliases for device in machine.devices}

    assert "virtio:d00000023v00001AF4" in aliases["virtio-watchdog-pci"]
    assert "virtio:d00000011v00001AF4" in aliases["virtio-rtc-pci"]
    assert {"virtio-iommu-pci", "virtio-balloon-pci"} <= set(aliases)
