"""Kata configurations: technology, the devices that the runtime adds, and what a pod may change."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostproof.artefacts.machine import kata
from hostproof.artefacts.machine.model import Machine, Origin
from hostproof.errors import InputError

CORPUS = Path(__file__).resolve().parents[3] / "corpus" / "kata"
RUNTIME_SNP = [
    "pcie-root-port",
    "pcie-pci-bridge",
    "virtio-serial-pci",
    "virtconsole",
    "virtio-blk-pci",
    "virtio-scsi-pci",
    "vhost-vsock-pci",
    "virtio-net-pci",
]


def sample(name: str) -> Machine:
    (machine,) = kata.read((CORPUS / name).read_bytes(), name)
    return machine


def text(body: str) -> Machine:
    (machine,) = kata.read(f"[hypervisor.qemu]\n{body}\n".encode(), "kata.toml")
    return machine


def without_board(machine: Machine) -> list[str]:
    return [device.model for device in machine.devices if device.origin is not Origin.BOARD]


def test_an_snp_guest_is_read_with_policy_and_the_line_that_sets_it() -> None:
    confidential = sample("snp.toml").confidential

    assert confidential is not None
    assert (
        confidential.technology,
        confidential.policy,
        confidential.policy_place.line if confidential.policy_place else None,
    ) == ("sev-snp", 0xB0000, 11)
    assert ("id-block", "aWQ=") in confidential.fields


def test_the_runtime_gives_a_confidential_guest_neither_entropy_device_nor_balloon() -> None:
    assert [*RUNTIME_SNP, "pcie-root-port", "pcie-root-port"] == without_board(sample("snp.toml"))


def test_a_plain_guest_has_entropy_device_balloon_and_an_nvdimm_for_its_image() -> None:
    machine = text('image = "/i"\nreclaim_guest_freed_memory = true\nshared_fs = "virtio-9p"')

    assert machine.confidential is None
    assert without_board(machine) == [
        "pci-bridge",
        "virtio-serial-pci",
        "virtconsole",
        "nvdimm",
        "virtio-scsi-pci",
        "virtio-rng-pci",
        "virtio-balloon-pci",
        "vhost-vsock-pci",
        "virtio-net-pci",
        "virtio-9p-pci",
    ]


def test_switches_add_their_devices() -> None:
    machine = text(
        'initrd = "/i"\nuse_legacy_serial = true\nenable_iommu = true\nguest_memory_dump_path = "/d"\n'
        'block_device_driver = "virtio-blk"\nenable_virtio_mem = true\nhot_plug_vfio = "switch-port"\npcie_switch_port = 1'
    )

    expected = ["isa-serial", "intel-iommu", "pvpanic", "virtio-mem-pci", "x3130-upstream", "xio3130-downstream"]
    assert expected == [model for model in without_board(machine) if model in expected]
    assert "virtio-scsi-pci" not in without_board(machine)


def test_bridges_are_at_least_one_and_at_most_five() -> None:
    assert [
        without_board(text(f'image = "/i"\ndefault_bridges = {number}')).count("pci-bridge") for number in (0, 1000000)
    ] == [1, 5]


def test_a_shared_file_system_that_kata_does_not_have_is_unread() -> None:
    assert [unread.option for unread in text('image = "/i"\nshared_fs = "nfs"').unread] == ["shared_fs = nfs"]


def test_what_a_pod_may_change_becomes_host_inputs_with_their_channels() -> None:
    found = {host.name.rsplit(".hypervisor.")[-1]: host.channel for host in sample("snp.toml").host_inputs}

    expected = {
        "kernel_params": "C03",
        "default_vcpus": "C09",
        "default_memory": "C09",
        "default_maxvcpus": "C29",
        "cc_init_data": "C10",
        "a(b|c)+": "",
        "guest_hook_path": "C02",
        "cold_plug_vfio": "C38",
        "agent.debug_console_enabled": "C34",
        "agent.kernel_modules": "C02",
    }
    assert expected.items() <= found.items()
    assert "kernel" not in found


def test_a_pattern_for_everything_opens_everything() -> None:
    names = {host.name for host in text('image = "/i"\nenable_annotations = [".*"]').host_inputs}

    assert {"firmware", "kernel", "kernel_params"} <= {name.rsplit(".", 1)[-1] for name in names}


def test_an_unknown_setting_is_unread_with_its_line() -> None:
    assert [(unread.option, unread.place.line) for unread in sample("snp.toml").unread] == [
        ("hypervisor.qemu.enable_telepathy", 28)
    ]


def test_the_command_line_is_the_runtimes_around_the_files() -> None:
    boot = sample("snp.toml").boot
    words = (boot.command_line or "").split()

    assert words[-2:] == ["agent.log=debug", "console=hvc0"]
    assert {"pci=lastbus=0", "tsc=reliable", "console=hvc1", "quiet", "panic=1", "selinux=1"} <= set(words)
    assert boot.firmware == "/opt/kata/share/AMDSEV.fd"
    assert boot.kernel_hashes is True


def test_under_firecracker_the_runtime_turns_acpi_and_pci_off() -> None:
    (machine,) = kata.read(
        b'[hypervisor.firecracker]\nkernel = "/k"\nimage = "/i"\nkernel_params = "x=1"\n', "kata.toml"
    )

    assert (machine.boot.command_line or "").startswith("x=1 pci=off ")
    assert "acpi=off" in (machine.boot.command_line or "").split()


def test_under_cloud_hypervisor_a_debug_guest_has_a_console() -> None:
    body = b'[hypervisor.clh]\nimage = "/i"\nenable_debug = true\nconfidential_guest = true\n'
    (machine,) = kata.read(body, "kata.toml")

    assert "console=hvc0" in (machine.boot.command_line or "").split()
    assert machine.confidential is not None
    assert machine.confidential.technology == "tdx"
    assert "virtconsole" in without_board(machine)


def test_confidential_without_a_technology_is_only_declared() -> None:
    machine = sample("declared.toml.in")

    assert machine.confidential is None
    assert [(words, place.line) for words, place in machine.declared] == [("confidential_guest = true", 7)]


def test_placeholders_stay_and_what_rests_on_them_is_unknown() -> None:
    machine = sample("declared.toml.in")

    assert (machine.boot.kernel, machine.boot.command_line, machine.vcpus) == ("@KERNELPATH@", None, None)
    assert machine.board is not None
    assert machine.board.startswith(("q35", "pc-q35"))
    assert "shared_fs = @SOMETHINGELSE@" in [unread.option for unread in machine.unread]
    assert any("8 placeholders" in note for note in machine.notes)


def test_a_tdx_guest_is_told_by_the_port_of_the_quote_service() -> None:
    confidential = text(
        'image = "/i"\nconfidential_guest = true\ntdx_quote_generation_service_socket_port = 4050'
    ).confidential

    assert confidential is not None
    assert (confidential.technology, confidential.policy) == ("tdx", 0x10000000)
    assert "default" in confidential.policy_origin


def test_an_s390_guest_has_ccw_devices_and_no_entropy_device() -> None:
    machine = text(
        'machine_type = "s390-ccw-virtio"\nconfidential_guest = true\nkernel = "/se.img"\nshared_fs = "none"'
    )

    assert (machine.architecture, machine.confidential and machine.confidential.technology) == ("s390x", "s390-pv")
    assert without_board(machine) == [
        "virtio-serial-ccw",
        "virtconsole",
        "virtio-scsi-ccw",
        "vhost-vsock-ccw",
        "virtio-net-ccw",
    ]


def test_a_remote_hypervisor_is_opaque() -> None:
    machine = sample("remote.toml")

    assert (machine.opaque, machine.devices, machine.vmm) == (True, (), "provider")


def test_an_unknown_hypervisor_is_unread_and_not_silent() -> None:
    (machine,) = kata.read(b'[hypervisor.dragonball]\nkernel = "/k"\n', "kata.toml")

    assert [unread.option for unread in machine.unread] == ["hypervisor.dragonball"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("[runtime]\na = 1\n", "[hypervisor.qemu]"),
        ("[hypervisor]\n", "[hypervisor.qemu]"),
        ("[hypervisor.qemu]\nconfidential_guest = 3.5\n", "true or false"),
        ("[hypervisor.qemu]\ndefault_bridges = -1\n", "not below 0"),
        ('[hypervisor.qemu]\ncold_plug_vfio = "root-port"\npcie_root_port = 17\n', "from 0 to 16"),
        ("[hypervisor.qemu]\nimage = [1]\n", "a text"),
        ("[hypervisor.qemu]\nsnp_guest_policy = 'x'\nconfidential_guest=true\nsev_snp_guest=true\n", "a whole number"),
        ("[hypervisor.qemu]\nimage = \n", "TOML"),
        ("hypervisor = 3\n", "a mapping"),
    ],
)
def test_malformed_configurations_say_what_was_expected(body: str, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        kata.read(body.encode(), "kata.toml")

    assert expected in (caught.value.expected or "")
