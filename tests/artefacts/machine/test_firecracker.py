"""Firecracker: the control sample, everything on virtio-mmio."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostproof.artefacts.machine import firecracker, read
from hostproof.errors import InputError

SAMPLE = Path(__file__).resolve().parents[2] / "corpus" / "firecracker" / "vm.json"


def test_a_vm_is_read_with_its_devices_and_is_not_confidential() -> None:
    (machine,) = read.read(SAMPLE.read_bytes(), "vm.json")

    assert (machine.confidential, machine.declared, machine.vcpus, machine.memory_mib) == (None, (), 2, 1024)
    assert [(device.model, device.backend) for device in machine.devices] == [
        ("virtio-blk-device", "file:root.ext4"),
        ("virtio-net-device", "tap:tap0"),
        ("vhost-vsock-device", "unix:/tmp/v.sock"),
        ("virtio-balloon-device", None),
        ("virtio-rng-device", None),
        ("isa-serial", None),
        ("i8042", None),
        ("vmgenid", None),
        ("vmclock", None),
    ]


def test_the_kernel_is_the_hosts_and_the_metadata_service_is_an_input() -> None:
    (machine,) = read.read(SAMPLE.read_bytes(), "vm.json")

    assert (machine.boot.kernel, machine.boot.command_line) == ("vmlinux", "console=ttyS0 pci=off")
    assert [(host.name, host.channel) for host in machine.host_inputs] == [("mmds-config", "C43")]
    assert [(unread.option, unread.place.line) for unread in machine.unread] == [("hologram", 10)]


@pytest.mark.parametrize(
    "text",
    [
        '{"drives": []}',
        '{"boot-source": 1}',
        '{"boot-source": {}, "drives": {}}',
        '{"boot-source": {}, "drives": [3]}',
        '{"boot-source": {}, "machine-config": {"vcpu_count": true}}',
    ],
)
def test_malformed_definitions_are_refused_with_a_place(text: str) -> None:
    with pytest.raises(InputError) as caught:
        firecracker.read(text.encode(), "vm.json")

    assert caught.value.place is not None
