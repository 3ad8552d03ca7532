"""Libvirt domains: samples of our own and real definitions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from hostproof.artefacts.machine import libvirt
from hostproof.artefacts.machine.model import Confidential, Device, Machine, Origin
from hostproof.place import Place

CORPUS = Path(__file__).parents[3] / "corpus" / "libvirt"
SAMPLES = sorted(path for path in CORPUS.glob("*.xml") if path.name != "domcapabilities.xml")


def sample(name: str) -> Machine:
    return libvirt.read((CORPUS / name).read_bytes(), name)


def real(shared: Path, name: str) -> Machine:
    return libvirt.read((shared / "vm-definitions" / name).read_bytes(), name)


def domain(devices: str = "", more: str = "", machine: str = "pc-q35-7.2", arch: str = "x86_64") -> Machine:
    text = (
        f"<domain type='kvm'><name>n</name><memory>1048576</memory><os><type arch='{arch}' machine='{machine}'>hvm</type></os>"
        f"<devices>{devices}</devices>{more}</domain>"
    )
    return libvirt.read(text.encode(), "n.xml")


def models(machine: Machine, *origins: Origin) -> Counter[str]:
    wanted = origins or (Origin.DEFINITION, Origin.DEFAULT)
    return Counter(device.model for device in machine.devices if device.origin in wanted)


def one(machine: Machine, model: str) -> Device:
    (found,) = [device for device in machine.devices if device.model == model]
    return found


def confidential(machine: Machine) -> Confidential:
    assert machine.confidential is not None
    return machine.confidential


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_every_sample_is_told_by_its_content(path: Path) -> None:
    assert libvirt.is_libvirt(path.read_bytes())


def test_a_device_says_on_which_line_it_stands() -> None:
    disk = one(sample("sev.xml"), "scsi-hd")

    assert Place("sev.xml", line=16, column=5, path="domain/devices/disk") == disk.place
    assert disk.backend == "file:/var/lib/images/sev.qcow2"


def test_sev_keeps_policy_and_c_bit_under_the_names_of_qemu() -> None:
    found = confidential(sample("sev.xml"))

    assert (found.technology, found.policy, found.policy_origin) == ("sev", 0x1, "definition")
    assert found.fields == (("cbitpos", "51"), ("reduced-phys-bits", "1"))
    assert found.policy_place is not None
    assert found.policy_place.line == 37


def test_bit_2_of_the_policy_makes_it_sev_es_with_kernel_hashes() -> None:
    machine = sample("sev-es.xml")

    assert (confidential(machine).technology, confidential(machine).policy) == ("sev-es", 5)
    assert machine.boot.kernel_hashes is True
    assert (machine.boot.kernel, machine.boot.initrd) == ("/boot/vmlinuz", "/boot/initrd.img")
    assert machine.boot.command_line == "console=ttyS0 root=/dev/vda"


def test_sev_snp_launch_fields_are_host_inputs_of_c10() -> None:
    machine = sample("sev-snp.xml")

    fields = dict(confidential(machine).fields)
    assert fields["author-key-enabled"] == "on"
    assert fields["vcek-disabled"] == "on"
    assert fields["host-data"].startswith("aG9zdGRh")
    assert {one.name for one in machine.host_inputs if one.channel == "C10"} == {
        "host-data",
        "guest-visible-workarounds",
    }


def test_tdx_reads_attributes_measurement_fields_and_quote_service() -> None:
    found = confidential(sample("tdx.xml"))

    assert (found.technology, found.policy) == ("tdx", 0x10000001)
    assert dict(found.fields)["quote-generation-socket"] == "unix:/run/qgs.sock"
    assert dict(found.fields)["mrowner"] == "B" * 64


def test_tdx_without_a_policy_gets_the_default_of_qemu_and_says_so() -> None:
    found = confidential(domain(more="<launchSecurity type='tdx'/>"))

    assert found.policy == 0x10000000
    assert "QEMU's default" in found.policy_origin
    assert found.policy_place is None


def test_s390_secure_execution_has_no_policy() -> None:
    machine = domain(more="<launchSecurity type='s390-pv'/>", machine="s390-ccw-virtio", arch="s390x")

    assert (confidential(machine).technology, confidential(machine).policy) == ("s390-pv", None)


def test_an_unknown_launch_security_is_unread_and_not_confidential() -> None:
    machine = domain(more="<launchSecurity type='cca'/>")

    assert machine.confidential is None
    assert [finding.option for finding in machine.unread] == ["launchSecurity type 'cca'"]


def test_unknown_launch_fields_are_unread() -> None:
    machine = domain(
        more="<launchSecurity type='sev' shiny='yes'><policy>1</policy><novelty>x</novelty></launchSecurity>"
    )

    assert [finding.option for finding in machine.unread] == ["launchSecurity shiny='yes'", "launchSecurity novelty"]


def test_a_policy_is_hexadecimal_with_or_without_a_prefix() -> None:
    machine = domain(more="<launchSecurity type='sev-snp'><policy>30000</policy></launchSecurity>")

    assert confidential(machine).policy == 0x30000


def test_libvirt_adds_usb_balloon_and_root_ports_to_a_bare_q35() -> None:
    machine = domain()

    assert models(machine) == {"qemu-xhci": 1, "virtio-balloon-pci": 1, "pcie-root-port": 3}
    assert models(machine, Origin.DEFINITION) == {}
    assert {device.place.path for device in machine.devices if device.origin is Origin.DEFAULT} == {"domain/devices"}


def test_the_board_brings_ahci_keyboard_and_mouse_once() -> None:
    machine = domain("<input type='mouse' bus='ps2'/><controller type='sata' index='0'/>")

    board = models(machine, Origin.BOARD)
    assert {name: board[name] for name in ("ich9-ahci", "ps2-kbd", "ps2-mouse")} == {
        "ich9-ahci": 1,
        "ps2-kbd": 1,
        "ps2-mouse": 1,
    }
    assert models(machine)["ich9-ahci"] == 0


def test_ps2_off_and_no_hpet_take_devices_from_the_board() -> None:
    plain = models(domain(), Origin.BOARD)
    less = models(
        domain(more="<features><acpi/><ps2 state='off'/></features><clock><timer name='hpet' present='no'/></clock>"),
        Origin.BOARD,
    )

    assert plain["hpet"] == 1
    assert plain["i8042"] == 1
    assert less["hpet"] == 0
    assert less["i8042"] == 0


def test_an_interface_without_a_model_is_a_default_with_a_note() -> None:
    machine = domain("<interface type='user'/>")

    assert one(machine, "rtl8139").origin is Origin.DEFAULT
    assert any("'rtl8139'" in note for note in machine.notes)


def test_graphics_without_video_bring_a_video_card() -> None:
    machine = domain("<graphics type='vnc'/>")

    assert one(machine, "cirrus-vga").origin is Origin.DEFAULT


@pytest.mark.parametrize(
    ("device", "model"),
    [
        ("<disk device='cdrom'><target dev='hdc' bus='ide'/></disk>", "ide-cd"),
        ("<disk><target dev='vda'/></disk>", "virtio-blk-pci"),
        ("<disk type='vhostuser'><target dev='vda' bus='virtio'/></disk>", "vhost-user-blk-pci"),
        ("<disk device='lun'><target dev='sda' bus='scsi'/></disk>", "scsi-block"),
        (
            "<interface type='user'><model type='virtio-non-transitional'/></interface>",
            "virtio-net-pci-non-transitional",
        ),
        ("<interface type='hostdev'/>", "vfio-pci"),
        ("<hostdev mode='subsystem' type='mdev' model='vfio-pci'/>", "vfio-pci"),
        ("<hostdev mode='subsystem' type='scsi_host'/>", "vhost-scsi-pci"),
        ("<input type='tablet' bus='usb'/>", "usb-tablet"),
        ("<input type='passthrough' bus='virtio'/>", "virtio-input-host-pci"),
        ("<video><model type='qxl'/></video>", "qxl-vga"),
        ("<video><model type='bochs'/></video>", "bochs-display"),
        ("<video><model type='virtio'><acceleration accel3d='yes'/></model></video>", "virtio-vga-gl"),
        ("<sound model='ac97'/>", "AC97"),
        ("<tpm><backend type='passthrough'/></tpm>", "tpm-tis"),
        ("<filesystem><driver type='mtp'/></filesystem>", "usb-mtp"),
        ("<redirdev bus='usb' type='tcp'/>", "usb-redir"),
        ("<smartcard mode='passthrough'/>", "ccid-card-passthru"),
        ("<memory model='virtio-pmem'/>", "virtio-pmem-pci"),
        ("<memory model='nvdimm'/>", "nvdimm"),
        ("<rng model='virtio-transitional'/>", "virtio-rng-pci-transitional"),
        ("<controller type='scsi' model='lsisas1078'/>", "megasas"),
        ("<controller type='usb' model='nec-xhci'/>", "nec-usb-xhci"),
        ("<controller type='nvme'/>", "nvme"),
        ("<serial type='pty'><target type='usb-serial'/></serial>", "usb-serial"),
        ("<shmem name='s'><model type='ivshmem-doorbell'/></shmem>", "ivshmem-doorbell"),
        ("<iommu model='virtio'/>", "virtio-iommu-pci"),
        ("<iommu model='amd'/>", "AMDVI-PCI"),
        ("<disk><target dev='nvme0' bus='nvme'/></disk>", "nvme"),
        ("<hub type='usb'/>", "usb-hub"),
        ("<panic model='isa'/>", "pvpanic"),
    ],
)
def test_each_kind_of_device_has_the_name_that_qemu_gives_it(device: str, model: str) -> None:
    assert models(domain(device))[model] == 1


def test_one_of_each_device_and_nothing_unread_but_the_novelty() -> None:
    machine = sample("devices.xml")

    assert [(finding.option, finding.place.line) for finding in machine.unread] == [("device 'novelty'", 124)]
    found = models(machine)
    assert found["usb-storage"] == 1
    assert found["isa-fdc"] == 1
    assert found["lsi53c895a"] == 1
    assert found["vmgenid"] == found["vmcoreinfo"] == found["acpi-erst"] == found["usb-ccid"] == 1
    assert found["virtio-mem-pci"] == found["pc-dimm"] == found["virtio-keyboard-pci"] == found["pvpanic-pci"] == 1


def test_what_is_no_device_becomes_a_host_input_with_its_channel() -> None:
    machine = sample("devices.xml")

    channels = {one.name: one.channel for one in machine.host_inputs}
    assert channels["os/firmware"] == "C01"
    assert channels["acpi table slic"] == "C04"
    assert channels["smbios system manufacturer"] == "C05"
    assert channels["fw_cfg opt/org.example/key"] == "C06"
    assert channels["cpu"] == "C08"
    assert channels["features/kvm"] == "C16"
    assert channels["features/hyperv"] == "C37"
    assert "timer kvmclock" not in channels, "a clock that the definition leaves out feeds nothing"
    assert channels["maxMemory"] == channels["vcpu"] == "C29"
    assert channels["on_crash"] == "C40"


def test_hidden_arguments_of_qemu_are_read_with_their_lines() -> None:
    machine = sample("commandline.xml")

    card = one(machine, "virtio-net-pci")
    assert card.place.line == 14
    assert card.backend == "user:hostfwd=tcp::2222-:22"
    assert confidential(machine).technology == "sev-snp"
    assert machine.boot.kernel_hashes is True
    assert {one.name for one in machine.host_inputs} >= {"env LD_PRELOAD"}
    assert any("opt/org.example/knob" in f"{one.name} {one.value}" for one in machine.host_inputs)


def test_overrides_and_capabilities_are_unread() -> None:
    text = (
        "<domain type='kvm' xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'>"
        "<os><type arch='x86_64' machine='q35'>hvm</type></os>"
        "<q:override><q:device alias='net0'><q:frontend><q:property name='rombar' type='unsigned' value='0'/>"
        "</q:frontend></q:device></q:override>"
        "<q:capabilities><q:add capability='blockdev'/></q:capabilities><q:deprecation behavior='crash'/></domain>"
    )

    found = [finding.option for finding in libvirt.read(text.encode(), "n").unread]

    assert found == ["qemu:override rombar=0", "qemu:capabilities add blockdev"]


def test_a_template_is_read_with_its_holes() -> None:
    machine = sample("template.xml")

    assert machine.name == "{{ name }}"
    assert machine.memory_mib is None
    assert machine.vcpus is None
    assert (confidential(machine).technology, confidential(machine).policy) == ("sev-snp", None)
    assert any("template" in note for note in machine.notes)
    assert {finding.option for finding in machine.unread} >= {"EXTRA_DEVICES", "policy @POLICY@"}
    assert one(machine, "virtio-blk-pci").backend == "file:${IMAGE}"


def test_units_of_memory_are_those_of_libvirt() -> None:
    def memory(text: str) -> int | None:
        return libvirt.read(f"<domain type='kvm'>{text}</domain>".encode(), "n").memory_mib

    assert memory("<memory>2048</memory>") == 2
    assert memory("<memory unit='GiB'>2</memory>") == 2048
    assert memory("<memory unit='MB'>1049</memory>") == 1000
    assert memory("<memory unit='mib'>512</memory>") == 512


def test_another_hypervisor_is_read_and_said() -> None:
    machine = libvirt.read(b"<domain type='xen'><os><type>hvm</type></os></domain>", "n")

    assert machine.vmm == "xen"
    assert any(finding.option == "domain type 'xen'" for finding in machine.unread)


def test_the_domain_inside_a_status_file_is_read() -> None:
    text = b"<domstatus state='running'><vcpus/><domain type='kvm'><name>inner</name></domain></domstatus>"

    assert libvirt.is_libvirt(text)
    assert libvirt.read(text, "n").name == "inner"


@pytest.mark.parametrize(
    ("name", "technology", "policy"),
    [
        ("intel__tdx-tools__tdx_libvirt_direct.xml.template", "tdx", 0x10000001),
        ("canonical__tdx__trust_domain.xml.template", "tdx", 0x10000000),
        ("libvirt__libvirt__launch-security-tdx.xml", "tdx", 0x10000000),
        ("virt-manager__virt-manager__virt-install-amd-sev.xml", "sev-es", 0x7),
        ("virt-manager__virt-manager__virt-install-x86_64-launch-security-sev-snp.xml", "sev-snp", 0x24),
        ("virt-manager__virt-manager__virt-install-x86_64-launch-security-tdx-qgs.xml", "tdx", 0x10000000),
    ],
)
def test_real_definitions_have_the_policy_that_was_read_by_hand(
    shared: Path, name: str, technology: str, policy: int
) -> None:
    found = confidential(real(shared, name))

    assert (found.technology, found.policy) == (technology, policy)


def test_canonicals_trust_domain_hides_a_second_network_card(shared: Path) -> None:
    machine = real(shared, "canonical__tdx__trust_domain.xml.template")

    cards = [device for device in machine.devices if device.model == "virtio-net-pci"]
    assert len(cards) == 2
    assert "qemu:commandline" in (cards[1].place.path or "")
    assert one(machine, "vhost-vsock-pci").origin is Origin.DEFINITION
    assert any(given.name == "guest agent" for given in machine.host_inputs)
    assert dict(confidential(machine).fields)["quote-generation-socket"] == "vsock:2:4050"
    assert [finding.option for finding in machine.unread] == ["HOSTDEV_DEVICES"]


def test_canonicals_regular_vm_is_not_confidential(shared: Path) -> None:
    assert real(shared, "canonical__tdx__regular_vm.xml.template").confidential is None


def test_the_direct_boot_of_tdx_tools_gives_kernel_and_command_line(shared: Path) -> None:
    machine = real(shared, "intel__tdx-tools__tdx_libvirt_direct.xml.template")

    assert machine.boot.kernel == "/path/to/vmlinuz-jammy"
    assert machine.boot.command_line == "root=/dev/vda1 rw console=hvc0 ignore_loglevel rw"
    assert machine.cpu_model == "host"


def test_libvirts_own_tdx_domain_becomes_the_devices_of_its_command_line(shared: Path) -> None:
    """Listed by hand from tests/qemuxmlconfdata/launch-security-tdx.x86_64-latest+inteltdx.args of libvirt."""
    machine = real(shared, "libvirt__libvirt__launch-security-tdx.xml")

    assert models(machine) == {
        "pcie-root-port": 2,
        "pcie-pci-bridge": 1,
        "piix3-usb-uhci": 1,
        "lsi53c895a": 1,
        "rtl8139": 1,
        "isa-serial": 1,
        "cirrus-vga": 1,
        "pvpanic": 1,
    }


def test_virt_installs_snp_guest_has_what_was_counted_by_hand(shared: Path) -> None:
    machine = real(shared, "virt-manager__virt-manager__virt-install-x86_64-launch-security-sev-snp.xml")

    found = models(machine)
    assert sum(count for model, count in found.items() if model.startswith("ich9-usb-")) == 4
    assert found["pcie-root-port"] == 14
    assert found["usb-redir"] == 2
    assert found["usb-tablet"] == found["tpm-crb"] == found["ich9-intel-hda"] == found["qxl-vga"] == 1
    assert one(machine, "tpm-crb").backend == "emulator"
    assert one(machine, "virtserialport").properties == (("name", "com.redhat.spice.0"),)
    assert machine.unread == ()
