"""Kinds are told by content: the name of a file decides nothing, placement of comments neither."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostproof.artefacts.machine import detect

CORPUS = Path(__file__).resolve().parents[2] / "corpus"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("kata/snp.toml", "kata-toml"),
        ("kata/declared.toml.in", "kata-toml"),
        ("avf/raw.json", "avf-json"),
        ("avf/payload.json", "avf-json"),
        ("avf/crosvm.command", "crosvm-argv"),
        ("firecracker/vm.json", "firecracker-json"),
        ("cloud-hypervisor/snp.json", "cloud-hypervisor-json"),
        ("cloud-hypervisor/tdx.command", "cloud-hypervisor-argv"),
        ("igvm/manifest.json", "igvm-manifest"),
        ("igvm/target.json", "igvm-build"),
        ("pods/snp.yaml", "k8s-pod"),
        ("pods/deployment.yaml", "k8s-pod"),
        ("pods/peerpods.yaml", "peerpods-yaml"),
        ("cloud/azure.json", "arm-template"),
        ("cloud/machines.tf", "terraform-hcl"),
        ("cloud/terraform.json", "terraform-json"),
        ("cloud/stack.json", "cloudformation"),
        ("cloud/instance.json", "gcloud-json"),
        ("dts/template.dts", "dts"),
        ("acpi/ssdt.dsl", "acpi-dsl"),
        ("dstack/vmm.toml", "dstack-toml"),
    ],
)
def test_a_sample_is_told_by_its_content(path: str, kind: str) -> None:
    assert kind == detect.kind((CORPUS / path).read_bytes(), "vm.xml")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- one --><!-- two -->\n<domain type='kvm'/>", "libvirt-xml"),
        (b"<domainCapabilities/>", "libvirt-domcaps"),
        (b"<network/>", "libvirt-other"),
        (b"IGVM\x01\0\0\0", "igvm"),
        (b"\xd0\x0d\xfe\xed\0\0\0\0", "dtb"),
        (b"APIC\x24\0\0\0" + b"\0" * 28, "acpi-table"),
        (b"\0" * 0x202 + b"HdrS", "kernel-image"),
        (b"\0" * 40 + b"_FVH", "firmware-volume"),
        (b"070701", "initrd"),
        (b"apiVersion: kubevirt.io/v1\nkind: VirtualMachine\n", "kubevirt"),
        (b'{"apiVersion": "v1", "kind": "Pod"}', "k8s-pod"),
        (b'{"format": "hostproof-kernel-facts/1"}', "hostproof-kernel-facts"),
        (b"exec /usr/bin/crosvm run vmlinux", "crosvm-argv"),
    ],
)
def test_magics_and_markers(data: bytes, kind: str) -> None:
    assert kind == detect.kind(data, "input")


def test_every_neighbour_says_what_it_is_and_what_to_do() -> None:
    assert all(what and hint for what, hint in detect.NEIGHBOURS.values())
    assert not set(detect.NEIGHBOURS) & set(detect.DEFINITIONS)
    assert "--kernel" in detect.NEIGHBOURS["kconfig-fragment"][1]
