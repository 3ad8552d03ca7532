"""Azure templates: the size tells the technology, parameters give their defaults."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostproof.artefacts.machine import read
from hostproof.artefacts.machine.cloud import azure
from hostproof.errors import InputError

SAMPLE = Path(__file__).resolve().parents[3] / "corpus" / "cloud" / "azure.json"


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("Standard_DC2as_v5", "sev-snp"),
        ("Standard_DC96ads_v5", "sev-snp"),
        ("Standard_EC20as_v5", "sev-snp"),
        ("Standard_DC4es_v5", "tdx"),
        ("Standard_EC4eds_v6", "tdx"),
        ("Standard_NCC40ads_H100_v5", "sev-snp"),
        ("Standard_DC4s_v3", None),
        ("Standard_D4s_v5", None),
        ("", None),
    ],
)
def test_a_size_tells_its_technology(size: str, expected: str | None) -> None:
    assert expected == azure.technology_of_size(size)


def test_a_template_is_read_through_its_parameters() -> None:
    (machine,) = read.read(SAMPLE.read_bytes(), "azure.json")

    assert machine.confidential is not None
    assert (
        machine.confidential.technology,
        machine.opaque,
        [device.model for device in machine.devices],
    ) == ("tdx", True, ["tpm-crb"])
    assert {("vm-size", "Standard_DC4es_v6"), ("secure-boot", "false")} <= set(machine.confidential.fields)
    assert "customData" in [host.name for host in machine.host_inputs]


def test_the_real_template_is_snp_with_secure_boot_and_vtpm(shared: Path) -> None:
    name = "Azure__confidential-computing-cvm__SNPCVM.json"
    (machine,) = read.read((shared / "vm-definitions" / name).read_bytes(), name)

    assert machine.confidential is not None
    assert machine.confidential.place.line == 356
    assert machine.confidential.fields == (
        ("vm-size", "Standard_DC2as_v5"),
        ("secure-boot", "true"),
        ("vtpm", "true"),
        ("security-encryption-type", "VMGuestStateOnly"),
    )


def test_confidential_with_an_unknown_size_is_declared() -> None:
    text = SAMPLE.read_text().replace("Standard_DC4es_v6", "Standard_D4s_v5")
    (machine,) = read.read(text.encode(), "azure.json")

    assert (machine.confidential, len(machine.declared)) == (None, 1)


@pytest.mark.parametrize(
    "text",
    [
        '{"$schema": "deploymentTemplate.json", "resources": []}',
        '{"$schema": "deploymentTemplate.json", "resources": 3}',
        '{"securityProfile": 3}',
    ],
)
def test_malformed_templates_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        azure.read(text.encode(), "azure.json")
