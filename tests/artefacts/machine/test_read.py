"""The dispatcher: every real definition is told by its content, read, and shows the facts that people checked by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostproof.artefacts.machine import detect, read
from hostproof.artefacts.machine.model import Machine
from hostproof.errors import HostproofError, InputError

CORPUS = Path(__file__).resolve().parents[2] / "corpus"
SAMPLES = {
    path: path.read_bytes()
    for room in ("kata", "avf", "firecracker", "cloud-hypervisor", "igvm", "pods", "cloud", "dstack", "dts", "acpi")
    for path in sorted((CORPUS / room).iterdir())
    if path.is_file()
}

REAL = {
    "microsoft__igvm-tooling__DSDT_sample.dsl": "acpi-dsl",
    "microsoft__igvm-tooling__FACP_sample.dsl": "acpi-dsl",
    "Azure__confidential-computing-cvm__SNPCVM.json": "arm-template",
    "LineageOS__android_packages_modules_Virtualization__assets__vm_config.json": "avf-json",
    "LineageOS__android_packages_modules_Virtualization__vm_config.json": "avf-json",
    "snvd-io__platform_packages_modules_Virtualization__microdroid_gki-android15-6.6.json": "avf-json",
    "Dstack-TEE__dstack__vmm.toml": "dstack-toml",
    "snvd-io__platform_packages_modules_Virtualization__platform.dts": "dts",
    "coconut-svsm__svsm__qemu-target.json": "igvm-build",
    "microsoft__openvmm__openhcl-x64-cvm-release.json": "igvm-manifest",
    "confidential-containers__confidential-containers__k8s-cc-ssh.yaml": "k8s-pod",
    "kata-containers__kata-containers__pod-attestable-gpu.yaml.in": "k8s-pod",
    "kata-containers__kata-containers__pod-attestable.yaml.in": "k8s-pod",
    "kata-containers__kata-containers__configuration-clh.toml.in": "kata-toml",
    "kata-containers__kata-containers__configuration-fc.toml.in": "kata-toml",
    "kata-containers__kata-containers__configuration-qemu-coco-dev.toml.in": "kata-toml",
    "kata-containers__kata-containers__configuration-qemu-nvidia-gpu-snp.toml.in": "kata-toml",
    "kata-containers__kata-containers__configuration-qemu-se.toml.in": "kata-toml",
    "kata-containers__kata-containers__configuration-qemu-snp.toml.in": "kata-toml",
    "kata-containers__kata-containers__configuration-qemu-tdx.toml.in": "kata-toml",
    "kata-containers__kata-containers__configuration-remote.toml.in": "kata-toml",
    "Dstack-TEE__dstack__dstack-tdx.cfg": "kconfig-fragment",
    "kata-containers__kata-containers__cca.conf": "kconfig-fragment",
    "kata-containers__kata-containers__snp.conf": "kconfig-fragment",
    "kata-containers__kata-containers__tdx.conf": "kconfig-fragment",
    "kubevirt__kubevirt__domcapabilities_sevsnp.xml": "libvirt-domcaps",
    "kubevirt__kubevirt__domcapabilities_tdx.xml": "libvirt-domcaps",
    "canonical__tdx__regular_vm.xml.template": "libvirt-xml",
    "canonical__tdx__trust_domain.xml.template": "libvirt-xml",
    "intel__tdx-tools__tdx_libvirt_direct.xml.template": "libvirt-xml",
    "libvirt__libvirt__launch-security-tdx.xml": "libvirt-xml",
    "virt-manager__virt-manager__virt-install-amd-sev.xml": "libvirt-xml",
    "virt-manager__virt-manager__virt-install-x86_64-launch-security-sev-snp.xml": "libvirt-xml",
    "virt-manager__virt-manager__virt-install-x86_64-launch-security-tdx-qgs.xml": "libvirt-xml",
    "confidential-containers__cloud-api-adaptor__libvirt.yaml": "peerpods-yaml",
    "proxmox__qemu-server__sev-snp.conf": "pve-conf",
    "proxmox__qemu-server__sev-std.conf": "pve-conf",
    "proxmox__qemu-server__sev-snp.conf.cmd": "qemu-argv",
    "proxmox__qemu-server__sev-std.conf.cmd": "qemu-argv",
}

KATA = "kata-containers__kata-containers__configuration-"
FACTS: dict[str, list[tuple[str, str | None, int | None]]] = {
    f"{KATA}qemu-snp.toml.in": [("qemu", "sev-snp", 0x30000)],
    f"{KATA}qemu-nvidia-gpu-snp.toml.in": [("qemu", "sev-snp", 0x30000)],
    f"{KATA}qemu-tdx.toml.in": [("qemu", "tdx", 0x10000000)],
    f"{KATA}qemu-se.toml.in": [("qemu", "s390-pv", None)],
    f"{KATA}qemu-coco-dev.toml.in": [("qemu", None, None)],
    f"{KATA}clh.toml.in": [("cloud-hypervisor", None, None)],
    f"{KATA}fc.toml.in": [("firecracker", None, None)],
    f"{KATA}remote.toml.in": [("provider", None, None)],
    "microsoft__openvmm__openhcl-x64-cvm-release.json": [
        ("openvmm", "sev-snp", 0x3001F),
        ("openvmm", "tdx", 0x10000000),
        ("openvmm", "vbs", None),
    ],
    "coconut-svsm__svsm__qemu-target.json": [
        ("qemu", "sev-snp", 0x30000),
        ("qemu", "tdx", None),
        ("qemu", None, None),
    ],
    "Azure__confidential-computing-cvm__SNPCVM.json": [("provider", "sev-snp", None)],
    "Dstack-TEE__dstack__vmm.toml": [("qemu", None, None)],
    "snvd-io__platform_packages_modules_Virtualization__microdroid_gki-android15-6.6.json": [("crosvm", None, None)],
    "proxmox__qemu-server__sev-snp.conf.cmd": [("qemu", "sev-snp", 0xB0000)],
    "proxmox__qemu-server__sev-std.conf.cmd": [("qemu", "sev", 0x8)],
    "intel__tdx-tools__tdx_libvirt_direct.xml.template": [("qemu", "tdx", 0x10000001)],
    "canonical__tdx__trust_domain.xml.template": [("qemu", "tdx", 0x10000000)],
    "canonical__tdx__regular_vm.xml.template": [("qemu", None, None)],
}


def test_the_table_names_every_real_definition(shared: Path) -> None:
    directory = shared / "vm-definitions"

    assert sorted(REAL) == sorted(path.name for path in directory.iterdir() if path.name != "README.md")


@pytest.mark.parametrize(("name", "kind"), sorted(REAL.items()))
def test_a_real_definition_is_told_by_its_content_and_read(shared: Path, name: str, kind: str) -> None:
    data = (shared / "vm-definitions" / name).read_bytes()

    assert kind == detect.kind(data, "input")
    if kind in detect.NEIGHBOURS:
        with pytest.raises(InputError) as caught:
            read.read(data, "input")
        assert detect.NEIGHBOURS[kind][1] == caught.value.hint
    else:
        machines = read.read(data, "input")
        assert machines
        assert all(device.place.artefact == "input" for machine in machines for device in machine.devices)


@pytest.mark.parametrize(("name", "expected"), sorted(FACTS.items()))
def test_a_real_definition_shows_what_people_found_in_it(
    shared: Path, name: str, expected: list[tuple[str, str | None, int | None]]
) -> None:
    machines = read.read((shared / "vm-definitions" / name).read_bytes(), name)

    assert expected == [
        (
            machine.vmm,
            machine.confidential.technology if machine.confidential else None,
            machine.confidential.policy if machine.confidential else None,
        )
        for machine in machines
    ]


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "the file is empty"),
        (b" \n\t\n", "the file is empty"),
        (b"hello", "no VM definition that hostproof knows: it begins with 'hello'"),
        (b"\x00\x01\x02", "begins with the bytes 00 01 02"),
        (b'{"a": 1}', "no VM definition"),
        (b"<html></html>", "no VM definition"),
        (b"<!-- never closed", "no VM definition"),
        (b"CONFIG_SMP=y\n# CONFIG_KVM is not set\n", "not a VM definition but a kernel configuration"),
        (b"\x7fELF" + b"\0" * 60, "an ELF file"),
        (b"!<arch>\ndebian-binary", "a Debian package"),
        (b'{"format": "hostproof-ledger/1"}', "a ledger of hostproof"),
        (b'version = "0.1.0"\nalgorithm = "sha256"\n[data]\n"a" = "b"\n', "initdata"),
    ],
)
def test_what_is_no_definition_is_refused_and_named(data: bytes, what: str) -> None:
    with pytest.raises(InputError) as caught:
        read.read(data, "input")

    assert what in caught.value.diagnosis()
    assert caught.value.expected


def test_a_file_beyond_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(InputError, match="too many"):
        read.read(b"a" * (detect.MAX_BYTES + 1), "input")


def test_every_readable_kind_has_a_reader() -> None:
    assert set(detect.DEFINITIONS) == set(read.READERS)


def check(data: bytes) -> tuple[Machine, ...]:
    """What `read` gives; an error of the project counts as no machine, anything else fails the test."""
    try:
        return read.read(data, "input")
    except HostproofError:
        return ()


@given(st.binary(max_size=400))
@settings(max_examples=150, deadline=None)
def test_arbitrary_bytes_give_an_error_of_the_project(data: bytes) -> None:
    check(data)


@given(st.sampled_from(sorted(SAMPLES.values())), st.data())
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_mutated_samples_give_machines_or_an_error_of_the_project(sample: bytes, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(sample)))
    end = data.draw(st.integers(start, min(len(sample), start + 40)))
    put = data.draw(
        st.one_of(st.binary(max_size=6), st.sampled_from([b"[", b"{", b'"', b"null", b"-1", b"1e99", b"[]", b"{}"]))
    )
    mutated = sample[:start] + put + sample[end:]

    assert check(mutated) == check(mutated)


@given(st.sampled_from(sorted(SAMPLES.values())), st.integers(0, 5000))
@settings(max_examples=100, deadline=None)
def test_truncated_samples_give_machines_or_an_error_of_the_project(sample: bytes, length: int) -> None:
    check(sample[:length])


def test_a_file_that_readconfig_names_is_read_where_it_is_given_beside() -> None:
    line = b"qemu-system-x86_64 -machine q35 -nodefaults -readconfig vm.cfg"
    config = b'[device "net0"]\n  driver = "virtio-net-pci"\n'

    alone, whole = read.read(line, "vm.args"), read.read(line, "vm.args", companions={"vm.cfg": config})

    assert [unread.option for unread in alone[0].unread] == ["-readconfig vm.cfg"]
    assert whole[0].unread == ()
    assert [(d.model, str(d.place)) for d in whole[0].devices if d.id == "net0"] == [
        ("virtio-net-pci", 'vm.cfg:1 ([device "net0"])')
    ]


def test_a_companion_that_nobody_reads_is_refused_and_not_ignored() -> None:
    data = (CORPUS / "firecracker/vm.json").read_bytes()

    with pytest.raises(InputError, match="takes no companion") as caught:
        read.read(data, "vm.json", companions={"beside.cfg": b""})

    assert caught.value.place is not None
    assert caught.value.place.artefact == "beside.cfg"
