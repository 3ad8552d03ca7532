"""Peer pods: settings in comments are the chart's defaults, settings that are given win."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostproof.artefacts.machine import peerpods, read
from hostproof.errors import InputError

SAMPLE = Path(__file__).resolve().parents[2] / "corpus" / "pods" / "peerpods.yaml"


def test_launch_security_that_is_given_makes_the_vm_confidential() -> None:
    (machine,) = read.read(SAMPLE.read_bytes(), "libvirt.yaml")

    assert machine.confidential is not None
    assert (
        machine.confidential.technology,
        machine.confidential.place.line,
        machine.architecture,
        machine.vcpus,
    ) == ("s390-pv", 6, "s390x", 2)


def test_the_charts_defaults_turn_confidential_vms_off(shared: Path) -> None:
    name = "confidential-containers__cloud-api-adaptor__libvirt.yaml"
    (machine,) = read.read((shared / "vm-definitions" / name).read_bytes(), name)

    assert (machine.confidential, machine.opaque, machine.vcpus, machine.memory_mib) == (None, True, 2, 8192)
    assert any("DISABLECVM is true by default" in note for note in machine.notes)
    assert ("C01", 60) in [(host.channel, host.place.line) for host in machine.host_inputs]


def test_confidential_without_a_technology_is_declared() -> None:
    text = b"provider: aws\nproviderConfigs:\n  aws: {DISABLECVM: 'false'}\n"
    (machine,) = read.read(text, "aws.yaml")

    assert (machine.confidential, len(machine.declared)) == (None, 1)


@pytest.mark.parametrize(
    "text", ["", "a: 1\n", "provider: [1]\nproviderConfigs: {}\n", "provider: a\nproviderConfigs: 3\n"]
)
def test_malformed_values_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        peerpods.read(text.encode(), "values.yaml")
