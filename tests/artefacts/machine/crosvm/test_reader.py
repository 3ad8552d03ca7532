"""crosvm, as a command line and as JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostproof.artefacts.machine import crosvm, read
from hostproof.artefacts.machine.model import Machine, Origin
from hostproof.errors import InputError

SAMPLE = Path(__file__).resolve().parents[3] / "corpus" / "avf" / "crosvm.command"


def argv(text: str) -> Machine:
    return crosvm.read(f"crosvm run {text}".encode(), "command")


def models(machine: Machine) -> list[str]:
    return [device.model for device in machine.devices if device.origin is not Origin.BOARD]


def test_a_protected_vm_has_neither_entropy_device_nor_usb() -> None:
    (machine,) = read.read(SAMPLE.read_bytes(), "command")

    assert machine.confidential is not None
    assert (
        machine.confidential.technology,
        machine.boot.kernel,
        machine.boot.command_line,
        machine.memory_mib,
        machine.vcpus,
    ) == ("pkvm-arm64", "vmlinux", "console=hvc0 quiet", 512, 2)
    assert models(machine) == ["virtio-blk-pci", "virtio-blk-pci", "vhost-vsock-pci", "virtio-serial-pci"]
    assert [unread.option for unread in machine.unread] == ["warp-drive"]


def test_an_unprotected_vm_gets_what_crosvm_adds() -> None:
    assert models(argv("vmlinux")) == ["virtio-balloon-pci", "virtio-rng-pci", "qemu-xhci"]
    assert models(argv("--no-balloon --no-rng --no-usb vmlinux")) == []


def test_json_takes_the_same_names() -> None:
    text = b'{"kernel": "k", "mem": {"size": 256}, "block": [{"path": "a"}], "protected-vm": true, "no-balloon": true}'
    (machine,) = read.read(text, "vm.json")

    assert (models(machine), machine.memory_mib, machine.boot.kernel) == (["virtio-blk-pci"], 256, "k")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("crosvm stop /sock", "crosvm run"),
        ("crosvm run --mem", "--mem VALUE"),
        ("crosvm run --mem lots vmlinux", "a whole number"),
        ('{"kernel": [[]], "mem": 3}', "a text"),
    ],
)
def test_malformed_definitions_say_what_was_expected(text: str, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        crosvm.read(text.encode(), "vm")

    assert expected in (caught.value.expected or "")
