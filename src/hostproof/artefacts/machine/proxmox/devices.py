"""The devices that Proxmox VE gives a VM

Proxmox adds much that no line asks for: two PCI bridges (or, on Q35, a whole set of USB controllers, root ports,
bridges and a sound controller from a file of its own), a USB tablet, a video card and a balloon. These have origin
`default`.

SOURCE: proxmox/qemu-server e6352be67f70 src/PVE/QemuServer.pm (config_to_command, print_vga_device, audio_devs,
add_tpm_device, get_vga_properties), src/PVE/QemuServer/{DriveDevice,USB,PCI,RNG,Virtiofs}.pm,
src/usr/pve-q35-4.0.cfg, src/usr/pve-usb.cfg.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hostproof.artefacts.machine.device_models import canonical, device, is_known
from hostproof.artefacts.machine.model import Device, HostInput, Origin, Unread
from hostproof.artefacts.machine.proxmox.conf import Configuration, Setting, properties
from hostproof.place import Place

__all__ = ["Hardware", "add_devices"]

_Q35 = (
    *(f"ich9-usb-{kind}" for kind in ("ehci1", "uhci1", "uhci2", "uhci3", "ehci2", "uhci4", "uhci5", "uhci6")),
    "ich9-intel-hda",
    *("pcie-root-port",) * 4,
    "i82801b11-bridge",
    *("pci-bridge",) * 4,
)
"""What pve-q35-4.0.cfg holds; pve-q35.cfg, for machine types before 4.0, has ioh3420 for the root ports."""
_USB2 = tuple(f"ich9-usb-{kind}" for kind in ("ehci1", "uhci1", "uhci2", "uhci3"))
"""What pve-usb.cfg holds."""

_VIDEO = {
    "cirrus": "cirrus-vga",
    "std": "VGA",
    "vmware": "vmware-svga",
    "virtio": "virtio-vga",
    "virtio-gl": "virtio-vga-gl",
}
_VIDEO_ARM = _VIDEO | {"virtio": "virtio-gpu", "virtio-gl": "virtio-gpu-gl"}
_QXL = re.compile(r"qxl([234])?")
_WINDOWS = {"w2k": 5, "wxp": 5, "w2k3": 5, "w2k8": 6, "wvista": 6, "win7": 7, "win8": 8, "win10": 10, "win11": 11}
_NETS = re.compile(r"(?:e1000(?:-8254[045][a-z]+|e)?|i8255[0-9a-z]+|ne2k_(?:isa|pci)|pcnet|rtl8139|virtio|vmxnet3)")


@dataclass(slots=True)
class Hardware:
    """What is collected. `version` is that of the machine type, (99, 0) where none is pinned."""

    conf: Configuration
    architecture: str
    q35: bool
    version: tuple[int, int]
    place: Place
    devices: list[Device] = field(default_factory=list)
    host_inputs: list[HostInput] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)

    @property
    def windows(self) -> int:
        """The version number of Windows that `ostype` names, 0 for other systems."""
        return _WINDOWS.get(self.conf.text("ostype"), 0)

    @property
    def linux(self) -> bool:
        return self.conf.text("ostype") in ("l24", "l26")

    def add(
        self, model: str, setting: Setting | None, *, id: str | None = None, backend: str | None = None, **more: str
    ) -> None:
        """A device that a line asks for, or one that Proxmox adds where `setting` is None."""
        name = canonical(model, self.architecture)
        place = setting.place if setting is not None else self.place
        origin = Origin.DEFINITION if setting is not None else Origin.DEFAULT
        given = tuple((key.replace("_", "-"), value) for key, value in more.items() if value)
        self.devices.append(device(name, origin=origin, place=place, id=id, backend=backend, properties=given))
        if not is_known(name):
            why = "no device model of this name is known: its bus and its drivers are not known either"
            self.unread.append(Unread(f"device {name}", why, place))


def add_devices(hardware: Hardware) -> None:
    """Every device of the VM beside those of the board, in the order in which Proxmox builds them."""
    conf = hardware.conf
    if hardware.q35:
        port = "pcie-root-port" if hardware.version >= (4, 0) else "ioh3420"
        for model in _Q35:
            hardware.add(port if model == "pcie-root-port" else model, None)
    if "vmgenid" in conf.settings and conf.text("vmgenid") != "0":
        hardware.add("vmgenid", conf.settings["vmgenid"])
    _usb_controllers(hardware)
    qxl, kind = _video_kind(hardware)
    _tablet(hardware, qxl, kind)
    _host_devices(hardware)
    _usb_devices(hardware)
    _ports(hardware)
    _audio(hardware)
    if "tpmstate0" in conf.settings:
        state = conf.settings["tpmstate0"]
        hardware.add("tpm-tis", state, backend=f"emulator:{properties(state.value, 'file').get('file', '')}")
    _video(hardware, qxl, kind)
    _agent(hardware)
    if "rng0" in conf.settings:
        rng = conf.settings["rng0"]
        hardware.add("virtio-rng-pci", rng, backend=f"file:{properties(rng.value, 'source').get('source', '')}")
    _spice(hardware, qxl, kind)
    if conf.text("balloon", "1") != "0":
        hardware.add(
            "virtio-balloon-pci",
            conf.settings.get("balloon"),
            free_page_reporting="on" if hardware.version >= (6, 2) else "",
        )
    if "watchdog" in conf.settings:
        watchdog = conf.settings["watchdog"]
        hardware.add(properties(watchdog.value, "model").get("model", "i6300esb"), watchdog)
    _drives(hardware)
    _nets(hardware)
    if "ivshmem" in conf.settings:
        shared = conf.settings["ivshmem"]
        hardware.add("ivshmem-plain", shared, backend=f"shm:{properties(shared.value, 'size').get('name', '')}")
    _bridges(hardware)
    _iommu(hardware)
    for _, share in conf.numbered("virtiofs"):
        hardware.add("vhost-user-fs-pci", share, backend=f"dir:{properties(share.value, 'dirid').get('dirid', '')}")


def _usb_controllers(hardware: Hardware) -> None:
    conf = hardware.conf
    if hardware.architecture == "aarch64":
        hardware.add("usb-ehci", None)
    elif not hardware.q35:
        hardware.add("piix3-usb-uhci", None)
    given = [properties(setting.value, "host") for _, setting in conf.numbered("usb")]
    third = any(one.get("usb3") == "1" for one in given)
    second = any(one.get("usb3") != "1" for one in given)
    modern = _modern_usb(hardware)
    if not modern and not hardware.q35 and second and hardware.architecture != "aarch64":
        for model in _USB2:
            hardware.add(model, None)
    if modern and given:
        hardware.add("qemu-xhci", None)
    elif third:
        hardware.add("nec-usb-xhci", None)


def _modern_usb(hardware: Hardware) -> bool:
    return hardware.version >= (7, 1) and (hardware.conf.text("ostype") == "l26" or hardware.windows > 7)


def _video_kind(hardware: Hardware) -> tuple[int, str]:
    """The number of QXL displays and the type of video card."""
    setting = hardware.conf.settings.get("vga")
    kind = properties(setting.value, "type").get("type", "") if setting is not None else ""
    match = _QXL.fullmatch(kind)
    if match:
        return int(match.group(1) or 1), "qxl"
    if not kind:
        kind = "virtio" if hardware.architecture == "aarch64" else "std"
        if hardware.windows and hardware.windows < 6:
            kind = "cirrus"
    return 0, kind


def _tablet(hardware: Hardware, qxl: int, kind: str) -> None:
    given = hardware.conf.settings.get("tablet")
    wanted = given.value != "0" if given is not None else not qxl and not kind.startswith("serial")
    if wanted:
        hardware.add("usb-tablet", given, id="tablet")
        if hardware.architecture == "aarch64":
            hardware.add("usb-kbd", None, id="keyboard")


def _host_devices(hardware: Hardware) -> None:
    for number, setting in hardware.conf.numbered("hostpci"):
        given = properties(setting.value, "host")
        if given.get("pcie") == "1" and number > 3:
            hardware.add("pcie-root-port", None)
        hosts = given.get("host", "").split(";") if given.get("host") else [f"mapping {given.get('mapping', '')}"]
        for host in hosts[:1] if given.get("mdev") else hosts[:32]:
            rom = given.get("romfile", "")
            hardware.add("vfio-pci", setting, id=f"hostpci{number}", backend=f"pci:{host}", romfile=rom)
        if any("." not in host for host in hosts) or given.get("mapping"):
            why = "all functions of a host device are given to the guest; how many there are only the host knows"
            hardware.unread.append(Unread(f"hostpci{number}", why, setting.place))


def _usb_devices(hardware: Hardware) -> None:
    for number, setting in hardware.conf.numbered("usb"):
        given = properties(setting.value, "host")
        if given.get("host") == "spice":
            hardware.add("usb-redir", setting, id=f"usbredirdev{number}", backend="spicevmc")
        else:
            hardware.add(
                "usb-host", setting, id=f"usb{number}", backend=f"usb:{given.get('host') or given.get('mapping')}"
            )


def _ports(hardware: Hardware) -> None:
    for number, setting in hardware.conf.numbered("serial"):
        if hardware.architecture == "aarch64" and number == 0 and setting.value == "socket":
            continue
        backend = "unix" if setting.value == "socket" else f"file:{setting.value}"
        hardware.add("isa-serial", setting, backend=backend)
    for _, setting in hardware.conf.numbered("parallel"):
        hardware.add("isa-parallel", setting, backend=f"file:{setting.value}")


def _audio(hardware: Hardware) -> None:
    setting = hardware.conf.settings.get("audio0")
    if setting is None or hardware.version < (4, 0):
        return
    model = properties(setting.value, "device").get("device", "")
    if model == "AC97":
        hardware.add("AC97", setting)
    elif model.endswith("intel-hda"):
        hardware.add(model, setting)
        hardware.add("hda-micro", setting)
        hardware.add("hda-duplex", setting)
    else:
        hardware.unread.append(Unread(f"audio0 {setting.value}", "the sound card is not known", setting.place))


def _video(hardware: Hardware, qxl: int, kind: str) -> None:
    setting = hardware.conf.settings.get("vga")
    if kind == "none" or kind.startswith("serial"):
        return
    models = _VIDEO_ARM if hardware.architecture == "aarch64" else _VIDEO
    model = "qxl-vga" if qxl else models.get(kind)
    if model is None:
        hardware.unread.append(Unread(f"vga {kind}", "the video card is not known", hardware.place))
        return
    hardware.add(model, setting, id="vga")


def _agent(hardware: Hardware) -> None:
    setting = hardware.conf.settings.get("agent")
    given = properties(setting.value, "enabled") if setting is not None else {}
    if setting is None or given.get("enabled", "0") not in ("1", "yes", "on", "true"):
        return
    kind = given.get("type", "virtio")
    if kind == "virtio":
        hardware.add("virtio-serial", setting, id="qga0")
        hardware.add("virtserialport", setting, backend="unix", name="org.qemu.guest_agent.0")
    elif kind == "isa":
        hardware.add("isa-serial", setting, backend="unix")
    else:
        hardware.unread.append(Unread(f"agent type {kind}", "not known", setting.place))
    meaning = "commands that the host runs inside the guest, where the agent is installed"
    hardware.host_inputs.append(HostInput("guest agent", meaning, "C34", setting.place, kind))


def _spice(hardware: Hardware, qxl: int, kind: str) -> None:
    setting = hardware.conf.settings.get("vga")
    clipboard = properties(setting.value, "type").get("clipboard") == "vnc" if setting is not None else False
    spice = bool(qxl) or kind.startswith("virtio")
    if not spice and not clipboard:
        return
    if qxl > 1 and hardware.windows:
        for number in range(1, qxl):
            hardware.add("qxl", setting, id=f"vga{number}")
    hardware.add("virtio-serial", setting, id="spice")
    hardware.add("virtserialport", setting, backend="vdagent" if clipboard else "spicevmc", name="com.redhat.spice.0")
    more = hardware.conf.settings.get("spice_enhancements")
    if spice and more is not None and properties(more.value, "").get("foldersharing") == "1":
        hardware.add("virtserialport", more, backend="spiceport", name="org.spice-space.webdav.0")


def _drives(hardware: Hardware) -> None:
    conf = hardware.conf
    scsi = conf.text("scsihw", "lsi")
    present: set[str] = set()
    for kind in ("ide", "scsi", "virtio", "sata"):
        for number, setting in conf.numbered(kind):
            given = properties(setting.value, "file")
            compact = given.get("media") == "cdrom" or "cloudinit" in given.get("file", "")
            compact = compact or (kind != "scsi" and conf.text("template") == "1")
            if kind == "scsi":
                size = _disks_per_controller(scsi)
                controller = "virtio-scsi-pci" if scsi.startswith("virtio-scsi") else scsi
                key = f"scsi{number // size}"
                if key not in present:
                    hardware.add(controller, conf.settings.get("scsihw"), id=key)
                    present.add(key)
            elif kind == "sata" and "sata" not in present:
                hardware.add("ahci", setting, id="ahci0")
                present.add("sata")
            model = {"virtio": "virtio-blk-pci", "scsi": f"scsi-{'cd' if compact else 'hd'}"}.get(
                kind
            ) or f"ide-{'cd' if compact else 'hd'}"
            if kind == "scsi" and given.get("scsiblock") == "1":
                why = "it is passed through where the host finds a SCSI disk behind the path: scsi-block instead of scsi-hd"
                hardware.unread.append(Unread(f"{setting.key} scsiblock=1", why, setting.place))
            backend = given.get("file", "")
            hardware.add(model, setting, id=setting.key, backend=backend, serial=given.get("serial", ""))
            if "cloudinit" in backend:
                meaning = "a disk that the host writes with the guest's users, keys and network"
                hardware.host_inputs.append(HostInput("cloud-init", meaning, "C42", setting.place, backend))


def _disks_per_controller(kind: str) -> int:
    return 7 if kind.startswith("lsi") else 1 if kind == "virtio-scsi-single" else 256


def _nets(hardware: Hardware) -> None:
    for number, setting in hardware.conf.numbered("net"):
        given = properties(setting.value, "model")
        model = given.get("model", "")
        mac = given.get("macaddr", "")
        for name, value in given.items():
            if _NETS.fullmatch(name):
                model, mac = name, value
        if not _NETS.fullmatch(model):
            hardware.unread.append(Unread(f"net{number} {setting.value}"[:80], "the model is not known", setting.place))
            continue
        backend = f"bridge:{given['bridge']}" if given.get("bridge") else "user"
        name = "virtio-net-pci" if model == "virtio" else model
        hardware.add(name, setting, id=f"net{number}", backend=backend, mac=mac)


def _bridges(hardware: Hardware) -> None:
    kind = hardware.conf.text("scsihw", "lsi")
    single = kind.startswith("virtio-scsi-single")
    size = _disks_per_controller(kind)
    if any(number // size >= (30 if single else 2) for number, _ in hardware.conf.numbered("scsi")):
        hardware.add("pci-bridge", None, id="pci.4")
    if hardware.q35:
        return
    for number in (1, 2, 3) if single else (1, 2):
        hardware.add("pci-bridge", None, id=f"pci.{number}")


def _iommu(hardware: Hardware) -> None:
    setting = hardware.conf.settings.get("machine")
    kind = properties(setting.value, "type").get("viommu") if setting is not None else None
    if kind == "intel":
        hardware.add("intel-iommu", setting)
    elif kind == "virtio":
        hardware.add("virtio-iommu-pci", setting)
    elif kind and setting is not None:
        hardware.unread.append(Unread(f"machine viommu={kind}", "not known", setting.place))
