"""What the tests of QEMU command lines ask of a machine."""

from __future__ import annotations

from pathlib import Path

from hostproof.artefacts.machine.model import Confidential, Device, Machine
from hostproof.artefacts.machine.qemu import read

CORPUS = Path(__file__).parents[3] / "corpus" / "qemu"


def sample(name: str) -> Machine:
    return read((CORPUS / name).read_bytes(), name)


def line(text: str) -> Machine:
    return read(text.encode(), "line")


def confidential(machine: Machine) -> Confidential:
    assert machine.confidential is not None
    return machine.confidential


def named(machine: Machine, model: str) -> Device:
    (device,) = [device for device in machine.devices if device.model == model]
    return device


def written(machine: Machine) -> list[str]:
    """The models that the command line asks for."""
    return [device.model for device in machine.devices if device.origin == "definition"]


def unread(machine: Machine) -> list[str]:
    """The options that were not understood, unknown device models aside."""
    return [row.option for row in machine.unread if not row.why.startswith("no device model")]
