"""Android VMs: raw and payload configurations, and pvmfw's template beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostproof.artefacts.machine import read
from hostproof.artefacts.machine.model import Machine, Origin
from hostproof.errors import InputError

CORPUS = Path(__file__).resolve().parents[2] / "corpus"
TEMPLATE = {"template.dts": (CORPUS / "dts" / "template.dts").read_bytes()}


def sample(name: str, companions: dict[str, bytes] | None = None) -> Machine:
    (machine,) = read.read((CORPUS / "avf" / name).read_bytes(), name, companions=companions)
    return machine


def models(machine: Machine, origin: Origin) -> list[str]:
    return [device.model for device in machine.devices if device.origin is origin]


def test_a_protected_vm_is_pkvm_and_its_consoles_and_vsock_come_from_virtmgr() -> None:
    machine = sample("raw.json")

    assert machine.confidential is not None
    assert (
        machine.confidential.technology,
        machine.confidential.place.line,
        machine.memory_mib,
    ) == ("pkvm-arm64", 11, 512)
    assert models(machine, Origin.DEFINITION) == ["virtio-blk-pci", "virtio-blk-pci", "vfio-platform"]
    assert models(machine, Origin.DEFAULT) == ["virtio-serial-pci"] * 3 + ["vhost-vsock-pci"]
    assert [unread.option for unread in machine.unread] == ["mystery"]


def test_without_protection_the_vm_is_plain_and_has_an_entropy_device() -> None:
    (machine,) = read.read(b'{"kernel": "k", "disks": [], "memory_mib": 1}', "vm.json")

    assert machine.confidential is None
    assert "virtio-rng-pci" in models(machine, Origin.DEFAULT)
    assert any("`protected` is not set" in note for note in machine.notes)


def test_a_payload_leaves_protection_to_the_app() -> None:
    machine = sample("payload.json")

    assert machine.confidential is None
    assert len(machine.declared) == 1
    assert [(host.name, host.value) for host in machine.host_inputs] == [
        ("apexes[0]", "com.android.art"),
        ("extra_apks[0]", "/system/app/extra.apk"),
    ]


def test_platform_devices_of_a_protected_vm_are_those_of_the_template() -> None:
    machine = sample("raw.json", TEMPLATE)
    board = [device for device in machine.devices if device.origin is Origin.BOARD]

    assert [(d.id, d.place.line) for d in board] == [("/uart@3f8", 19), ("/pci", 25), ("/rtc@2000", 30)]
    assert board[0].aliases == ("of:NuartT(null)Cvendor,uartCns16550a",)
    assert board[2].aliases == ("amba:d00041030",)


@pytest.mark.parametrize(
    "text",
    [
        '{"kernel": "k", "disks": 1}',
        '{"kernel": "k", "disks": [{"partitions": [{"path": 1}, 3]}]}',
        '{"kernel": "k", "memory_mib": "many"}',
        '{"kernel": "k", "protected": "perhaps"}',
        '{"os": 1, "task": {}}',
    ],
)
def test_malformed_configurations_are_refused_with_a_place(text: str) -> None:
    with pytest.raises(InputError) as caught:
        read.read(text.encode(), "vm.json")

    assert caught.value.place is not None
