"""Proxmox configurations: the computed policy, the devices that no line asks for, agreement with the command line."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.machine import proxmox, qemu
from hostproof.artefacts.machine.model import Confidential, Machine, Origin
from hostproof.errors import HostproofError, InputError

CORPUS = Path(__file__).parents[3] / "corpus" / "proxmox"
SAMPLES = sorted(CORPUS.glob("*.conf"))
PLAIN = ("virtio-balloon-pci", "usb-tablet", "VGA", "piix3-usb-uhci", "pci-bridge", "pci-bridge")


def sample(name: str) -> Machine:
    return proxmox.read((CORPUS / name).read_bytes(), name)


def conf(*lines: str) -> Machine:
    return proxmox.read("\n".join(lines or ("name: n",)).encode(), "n.conf")


def models(machine: Machine) -> Counter[str]:
    return Counter(device.model for device in machine.devices if device.origin is not Origin.BOARD)


def confidential(machine: Machine) -> Confidential:
    assert machine.confidential is not None
    return machine.confidential


def agree(configuration: Machine, command: Machine) -> None:
    assert models(configuration) == models(command)
    first, second = confidential(configuration), confidential(command)
    assert (first.technology, first.policy) == (second.technology, second.policy)
    assert configuration.boot.firmware == command.boot.firmware
    assert configuration.boot.kernel_hashes == command.boot.kernel_hashes
    assert (configuration.vcpus, configuration.memory_mib) == (command.vcpus, command.memory_mib)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_each_sample_is_told_by_its_content_and_agrees_with_its_command_line(path: Path) -> None:
    data = path.read_bytes()

    assert proxmox.is_proxmox(data)
    agree(proxmox.read(data, path.name), qemu.read(path.with_name(path.name + ".cmd").read_bytes(), path.name + ".cmd"))


@pytest.mark.parametrize(("name", "policy"), [("snp", 0xB0000), ("std", 0x8)])
def test_proxmoxs_own_pairs_agree(shared: Path, name: str, policy: int) -> None:
    path = shared / "vm-definitions" / f"proxmox__qemu-server__sev-{name}.conf"
    machine = proxmox.read(path.read_bytes(), path.name)

    assert proxmox.is_proxmox(path.read_bytes())
    assert confidential(machine).policy == policy
    assert models(machine) == Counter(PLAIN)
    assert models(machine) == models(qemu.read(path.with_name(path.name + ".cmd").read_bytes(), "cmd"))
    assert machine.unread == ()


@pytest.mark.parametrize(
    ("value", "technology", "policy"),
    [
        ("snp", "sev-snp", 0xB0000),
        ("type=snp,no-debug=1", "sev-snp", 0x30000),
        ("type=snp,no-debug=1,allow-smt=0", "sev-snp", 0x20000),
        ("type=std", "sev", 0x8),
        ("type=std,no-debug=1,no-key-sharing=1", "sev", 0xB),
        ("es", "sev-es", 0xC),
    ],
)
def test_the_policy_is_computed_from_flags(value: str, technology: str, policy: int) -> None:
    found = confidential(conf("bios: ovmf", f"amd-sev: {value}"))

    assert (found.technology, found.policy) == (technology, policy)
    assert "Proxmox computes it" in found.policy_origin
    assert found.policy_place is not None
    assert found.policy_place.line == 2


def test_debugging_is_allowed_unless_a_flag_says_no() -> None:
    assert "debugging allowed" in confidential(conf("bios: ovmf", "amd-sev: snp")).policy_origin
    assert "debugging not allowed" in confidential(conf("bios: ovmf", "amd-sev: snp,no-debug=1")).policy_origin


def test_tdx_gets_the_default_of_qemu_and_a_quote_service() -> None:
    found = confidential(sample("tdx.conf"))

    assert (found.technology, found.policy) == ("tdx", 0x10000000)
    assert found.fields == (("quote-generation-socket", "vsock:2:5050"),)


def test_the_devices_that_no_line_asks_for_are_defaults() -> None:
    machine = conf()

    assert models(machine) == Counter(PLAIN)
    assert {device.origin for device in machine.devices if device.origin is not Origin.BOARD} == {Origin.DEFAULT}


def test_lines_can_take_defaults_away() -> None:
    machine = conf("tablet: 0", "vga: none", "balloon: 0")

    assert models(machine) == {"piix3-usb-uhci": 1, "pci-bridge": 2}


def test_pending_changes_and_snapshots_are_not_the_vm() -> None:
    machine = sample("snp.conf")

    assert machine.memory_mib == 4096
    assert any("not applied: memory" in note for note in machine.notes)
    assert any("[before-upgrade]" in note for note in machine.notes)


def test_arguments_past_proxmox_are_read() -> None:
    machine = sample("snp.conf")

    hidden = [one for one in machine.devices if one.model == "virtio-rng-pci" and "args" in (one.place.path or "")]
    assert [one.place.line for one in hidden] == [5]
    assert any("opt/org.example/knob" in f"{one.name} {one.value}" for one in machine.host_inputs)


def test_host_inputs_have_their_lines_and_channels() -> None:
    found = {one.name: (one.channel, one.place.line) for one in sample("snp.conf").host_inputs}

    assert found["smbios1"] == ("C05", 24)
    assert found["cpu"] == ("C08", 9)
    assert found["cloud-init"] == ("C42", 12)
    assert found["guest agent"] == ("C34", 3)
    assert found["hookscript"] == ("", 11)


@pytest.mark.parametrize(
    ("line", "model"),
    [
        ("net0: e1000e=AA:BB:CC:DD:EE:FF,bridge=vmbr0", "e1000e"),
        ("net0: model=vmxnet3,macaddr=AA:BB:CC:DD:EE:FF", "vmxnet3"),
        ("scsi0: local:0", "lsi53c895a"),
        ("sata0: local:0", "ich9-ahci"),
        ("virtio3: local:0", "virtio-blk-pci"),
        ("ide2: none,media=cdrom", "ide-cd"),
        ("cdrom: local:iso/a.iso,media=cdrom", "ide-cd"),
        ("hostpci0: 01:00.0", "vfio-pci"),
        ("usb0: host=1234:beef,usb3=1", "nec-usb-xhci"),
        ("usb0: host=1234:beef", "ich9-usb-ehci1"),
        ("audio0: device=ich9-intel-hda,driver=none", "hda-micro"),
        ("watchdog: action=reset", "i6300esb"),
        ("ivshmem: size=32,name=x", "ivshmem-plain"),
        ("machine: q35,viommu=intel", "intel-iommu"),
        ("vga: qxl2", "qxl-vga"),
        ("vga: std,clipboard=vnc", "virtserialport"),
        ("agent: 1,type=isa", "isa-serial"),
        ("parallel0: /dev/parport0", "isa-parallel"),
    ],
)
def test_each_kind_of_line_brings_its_device(line: str, model: str) -> None:
    assert models(conf(line))[model] == 1


def test_q35_brings_a_file_full_of_devices() -> None:
    found = models(conf("machine: q35"))

    assert found["pcie-root-port"] == 4
    assert found["pci-bridge"] == 4
    assert sum(count for model, count in found.items() if model.startswith("ich9-usb")) == 8


def test_a_template_starts_with_disks_only() -> None:
    machine = conf("template: 1", "net0: virtio=AA:BB:CC:DD:EE:FF,bridge=vmbr0", "scsi0: local:0")

    assert models(machine)["virtio-net-pci"] == 0
    assert models(machine)["scsi-hd"] == 1


def test_unknown_lines_and_keys_are_unread() -> None:
    machine = conf("novelty: 1", "no setting at all", "name: n")

    assert {(one.option, one.place.line) for one in machine.unread} == {("novelty", 1), ("no setting at all", 2)}


@pytest.mark.parametrize(
    "text",
    [
        b"key: value",
        b"apiVersion: v1\nkind: Pod\n",
        b"[section]\nscsihw: lsi",
        b"\xff\xfe",
        b"<domain/>",
        b"",
        b"-device x\n",
    ],
)
def test_other_files_are_not_taken_for_one(text: bytes) -> None:
    assert not proxmox.is_proxmox(text)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"# only a description\n",
        b"[PENDING]\nmemory: 1\n",
        b"name: \xff",
        b"amd-sev: type=extra",
        b"intel-tdx: type=other",
        b"cores: many",
        b"memory: 99999999999999",
        b"args: -device 'unclosed",
        b"a: b\n" * 30_000,
        b"x" * (1024 * 1024 + 1),
    ],
    ids=lambda data: data[:20].decode("latin-1"),
)
def test_malformed_files_give_a_located_error(data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        proxmox.read(data, "hostile.conf")

    assert caught.value.place is not None
    assert caught.value.expected


KEYS_TEXT = """
net0 net1 scsi0 scsi30 virtio0 sata5 ide2 usb0 hostpci0 serial0 audio0 vga machine agent args amd-sev
intel-tdx bios cpu cores memory ostype rng0 tpmstate0 scsihw efidisk0 watchdog ivshmem template virtiofs0
balloon tablet arch hotplug
"""
KEYS = st.sampled_from(KEYS_TEXT.split())


@settings(deadline=None)
@given(st.lists(st.tuples(KEYS, st.text(max_size=30)), max_size=8))
def test_any_value_of_a_known_key_only_gives_a_result_or_an_error(lines: list[tuple[str, str]]) -> None:
    try:
        machine = conf(*(f"{key}: {value}" for key, value in lines))
    except HostproofError:
        return

    assert machine.format == "pve-conf"


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_arbitrary_bytes_only_give_a_result_or_an_error(data: bytes) -> None:
    proxmox.is_proxmox(data)
    try:
        proxmox.read(data, "n")
    except HostproofError:
        return
