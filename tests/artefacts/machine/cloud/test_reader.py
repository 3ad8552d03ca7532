"""EC2, Compute Engine and Terraform: the technology, and nothing that cannot be seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostproof.artefacts.machine import cloud, read
from hostproof.errors import InputError

CORPUS = Path(__file__).resolve().parents[3] / "corpus" / "cloud"


def found(name: str) -> list[tuple[str, str | None, int | None]]:
    machines = read.read((CORPUS / name).read_bytes(), name)

    assert all(machine.opaque for machine in machines)
    return [
        (m.name, m.confidential.technology, m.confidential.place.line) if m.confidential else (m.name, None, None)
        for m in machines
    ]


def test_terraform_in_its_own_language() -> None:
    assert found("machines.tf") == [
        ("google_compute_instance.gcp", "sev-snp", 6),
        ("aws_instance.aws", "sev-snp", 22),
        ("azurerm_linux_virtual_machine.azure", "sev-snp", 29),
    ]


def test_terraform_as_json_without_a_type_is_plain_sev() -> None:
    assert found("terraform.json") == [("google_compute_instance.t", "sev", 1)]


def test_cloudformation() -> None:
    assert found("stack.json") == [("Vm", "sev-snp", 5), ("Plain", None, None)]


def test_compute_engine() -> None:
    assert found("instance.json") == [("g", "tdx", 1)]


def test_secure_boot_and_inputs_of_the_guests_agent_are_seen() -> None:
    machine = read.read((CORPUS / "machines.tf").read_bytes(), "machines.tf")[0]

    assert machine.confidential is not None
    assert machine.confidential.fields == (("secure-boot", "true"),)
    assert [host.channel for host in machine.host_inputs] == ["C42", "C02"]


@pytest.mark.parametrize(
    "text",
    [
        'resource "aws_instance" "a" {',
        'resource "aws_instance" "a" { x = [1 }',
        'resource "aws_instance" "a" { x = <<END\nno end\n}',
        'resource "aws_instance" "a" { = }',
        'resource "aws_instance" "a" {\n' + "a {\n" * 100,
        'resource "aws_s3_bucket" "a" {}\n',
        'resource "google_compute_instance" "a" { confidential_instance_config { confidential_instance_type = "SGX" } }',
        '{"Resources": {}}',
        '{"resource": {"aws_instance": 3}}',
        '{"confidentialInstanceConfig": {"confidentialInstanceType": "SGX"}}',
    ],
)
def test_malformed_templates_are_refused(text: str) -> None:
    with pytest.raises(InputError):
        cloud.read(text.encode(), "cloud")
