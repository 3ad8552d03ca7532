"""Cloud Hypervisor: the JSON `VmConfig` of its API, and its command line.

The VMM adds virtio-rng, a virtio console and a serial port unless told otherwise, and on x86-64 a small set of legacy
devices and ACPI event devices always. Everything else is in the definition. Confidential VMs: `platform.tdx` with TDVF
as firmware, `platform.sev_snp` with an IGVM file; the launch policy of SNP stands in the IGVM file and not here.

SOURCE: cloud-hypervisor commit ae44c2971c83, `vmm/src/api/openapi/cloud-hypervisor.yaml`, `vmm/src/vm_config.rs`
(fields and defaults), `vmm/src/device_manager.rs` (add_legacy_devices, add_acpi_devices), `pci/src/bus.rs` (the host
bridge).
"""

from __future__ import annotations

from hostproof.artefacts.machine.cloud_hypervisor import argv
from hostproof.artefacts.machine.device_models import device
from hostproof.artefacts.machine.located import json_places
from hostproof.artefacts.machine.located.boot import boot
from hostproof.artefacts.machine.located.node import Node
from hostproof.artefacts.machine.model import Confidential, Device, HostInput, Machine, Origin, Unread
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["board", "read"]

MAX_DEVICES = 1024

TOP = frozenset(
    [
        "cpus",
        "memory",
        "payload",
        "rate_limit_groups",
        "disks",
        "net",
        "rng",
        "balloon",
        "generic_vhost_user",
        "fs",
        "pmem",
        "serial",
        "console",
        "debug_console",
        "devices",
        "user_devices",
        "vdpa",
        "vsock",
        "pvmemcontrol",
        "pvpanic",
        "iommu",
        "numa",
        "watchdog",
        "rtc",
        "gdb",
        "pci_segments",
        "platform",
        "tpm",
        "landlock_enable",
        "landlock_rules",
        "ivshmem",
    ]
)
PAYLOAD = frozenset({"firmware", "kernel", "cmdline", "initramfs", "igvm", "host_data", "fw_cfg_config"})
SMBIOS = (
    "system_serial_number",
    "serial_number",
    "system_uuid",
    "uuid",
    "oem_strings",
    "system_manufacturer",
    "system_product_name",
    "system_version",
    "system_family",
    "system_sku_number",
    "chassis_asset_tag",
)
"""Strings of the SMBIOS tables, below `platform`."""
PLATFORM = frozenset(SMBIOS) | {
    "num_pci_segments",
    "iommu_segments",
    "iommu_address_width_bits",
    "tdx",
    "sev_snp",
    "iommufd",
    "iommufd_fd",
    "vfio_p2p_dma",
}
WATCHDOG, RTC = 35, 17
"""Numbers of virtio device types. SOURCE: VIRTIO 1.3, 5; cloud-hypervisor `vm-virtio/src/lib.rs` (VirtioDeviceType) and
`virtio-devices/src/transport/pci_device.rs` (ids and class of the PCI function).
"""
HOST_BRIDGE = "pci:v00008086d00000D57sv00000000sd00000000bc06sc00i00"
"""SOURCE: cloud-hypervisor `pci/src/bus.rs`, `DEVICE_ID_INTEL_VIRT_PCIE_HOST` 0x0d57."""


def board(place: Place) -> tuple[Device, ...]:
    """What the VMM always presents on x86-64: port 0x61/0x64 reset, CMOS, debug ports, I/O APIC, ACPI event device,
    host bridge.
    """
    models = ("i8042", "mc146818rtc", "isa-debugcon", "acpi-ged")
    devices = [device(model, origin=Origin.BOARD, place=place) for model in models]
    devices.append(Device("ioapic", "sysbus", Origin.BOARD, place))
    bridge = Device("clh-pcie-host", "pci", Origin.BOARD, place, aliases=(HOST_BRIDGE,))
    return (*devices, bridge)


def read(data: bytes, name: str) -> Machine:
    """The VM that `data` defines, a JSON object or a command line. Raises InputError where it is neither."""
    if data.lstrip().startswith(b"{"):
        return _Config(json_places.read(data, name), "cloud-hypervisor-json").machine()
    return _Config(argv.read(data, name), "cloud-hypervisor-argv").machine()


class _Config:
    def __init__(self, root: Node, form: str) -> None:
        root.mapping()
        self.root = root
        self.form = form
        self.devices: list[Device] = []
        self.notes: list[str] = []

    def machine(self) -> Machine:
        confidential = self._confidential()
        self._virtio()
        self._consoles()
        self._others()
        self.devices.extend(board(self.root.place))
        memory = self.root.get("memory", "size")
        vcpus = self.root.get("cpus", "boot_vcpus")
        return Machine(
            format=self.form,
            vmm="cloud-hypervisor",
            place=self.root.place,
            architecture="x86_64" if confidential else None,
            vcpus=vcpus.number() if vcpus else None,
            cpu_model="host",
            memory_mib=memory.number() >> 20 if memory else None,
            confidential=confidential,
            boot=boot(
                firmware=self.root.get("payload", "firmware"),
                kernel=self.root.get("payload", "kernel"),
                initrd=self.root.get("payload", "initramfs"),
                command_line=self.root.get("payload", "cmdline"),
                igvm=self.root.get("payload", "igvm"),
            ),
            devices=tuple(self.devices),
            host_inputs=self._host_inputs(),
            unread=self._unread(),
            notes=tuple(self.notes),
        )

    def _flag(self, *path: str) -> Node | None:
        node = self.root.get(*path)
        return node if node is not None and node.flag() else None

    def _confidential(self) -> Confidential | None:
        tdx, snp = self._flag("platform", "tdx"), self._flag("platform", "sev_snp")
        if tdx is not None and snp is not None:
            raise InputError("both tdx and sev_snp are on", place=snp.place, expected="one of them")
        if tdx is not None:
            return Confidential("tdx", tdx.place)
        if snp is None:
            return None
        host_data = self.root.get("payload", "host_data")
        fields = (("host-data", host_data.text()),) if host_data else ()
        self.notes.append("the SNP policy stands in the IGVM file, not in this definition")
        return Confidential("sev-snp", snp.place, fields=fields)

    def _each(self, key: str) -> list[Node]:
        node = self.root.get(key)
        if node is None:
            return []
        return self.root.elements(key, MAX_DEVICES) if isinstance(node.value, list) else [node]

    def _own(self, model: str, number: int, node: Node) -> None:
        """A virtio device that QEMU does not have: PCI id 0x1040 plus the number of its type."""
        pci = f"pci:v00001AF4d{0x1040 + number:08X}sv00001AF4sd{0x1040 + number:08X}bcFFscFFi00"
        aliases = (pci, f"virtio:d{number:08X}v00001AF4")
        self.devices.append(Device(model, "pci", Origin.DEFINITION, node.place, aliases=aliases))

    def _add(self, model: str, node: Node | None, backend: str | None = None) -> None:
        own = node if node is not None else self.root
        name = own.get("id") if node is not None and isinstance(node.value, dict) else None
        self.devices.append(
            device(
                model,
                origin=Origin.DEFINITION if node is not None else Origin.DEFAULT,
                place=own.place,
                id=name.text() if name else None,
                backend=backend,
            )
        )

    def _virtio(self) -> None:
        for disk in self._each("disks"):
            vhost = disk.get("vhost_user")
            model = "vhost-user-blk-pci" if vhost is not None and vhost.flag() else "virtio-blk-pci"
            self._add(model, disk, _backend(disk, "path", "vhost_socket"))
        for net in self._each("net"):
            self._add("virtio-net-pci", net, _backend(net, "tap", "vhost_socket") or "tap")
        rng = self.root.get("rng")
        self._add("virtio-rng-pci", rng, _backend(rng, "src") if rng else "file:/dev/urandom")
        simple = (
            ("balloon", "virtio-balloon-pci", ()),
            ("fs", "vhost-user-fs-pci", ("socket",)),
            ("pmem", "virtio-pmem-pci", ("file",)),
            ("vsock", "vhost-vsock-pci", ("socket",)),
            ("vdpa", "vhost-vdpa-device-pci", ("path",)),
        )
        for key, model, backends in simple:
            for node in self._each(key):
                self._add(model, node, _backend(node, *backends))
        if self._flag("iommu") is not None:
            self._add("virtio-iommu-pci", self.root.get("iommu"))
        method = self.root.get("memory", "hotplug_method")
        if method is not None and method.text().lower().replace("-", "") == "virtiomem":
            self._add("virtio-mem-pci", method)

    def _consoles(self) -> None:
        console, serial = self.root.get("console"), self.root.get("serial")
        if console is None or _mode(console) != "off":
            self._add("virtio-serial-pci", console)
            self._add("virtconsole", console, _mode(console) if console else "tty")
        if serial is None or _mode(serial) != "off":
            self._add("isa-serial", serial, _mode(serial) if serial else "null")
        debug = self.root.get("debug_console")
        if debug is not None and _mode(debug) != "off":
            self._add("isa-debugcon", debug, _mode(debug))

    def _others(self) -> None:
        for key, model, field in (("devices", "vfio-pci", "path"), ("user_devices", "vfio-user-pci", "socket")):
            for node in self._each(key):
                self._add(model, node, _backend(node, field))
        for node in self._each("tpm"):
            self._add("tpm-crb", node, _backend(node, "socket"))
        pvpanic, watchdog = self._flag("pvpanic"), self._flag("watchdog")
        if pvpanic is not None:
            self._add("pvpanic-pci", pvpanic)
        if watchdog is not None:
            self._own("virtio-watchdog-pci", WATCHDOG, watchdog)
        for node in self._each("ivshmem"):
            self._add("ivshmem-plain", node, _backend(node, "path"))
        for node in self._each("rtc"):
            self._own("virtio-rtc-pci", RTC, node)

    def _host_inputs(self) -> tuple[HostInput, ...]:
        inputs: list[HostInput] = []
        for key in SMBIOS:
            node = self.root.get("platform", key)
            if node is not None:
                value = ", ".join(n.text() for n in node.items()) if isinstance(node.value, list) else node.text()
                inputs.append(HostInput(f"platform.{key}", "a string of the SMBIOS tables", "C05", node.place, value))
        blobs = self.root.get("payload", "fw_cfg_config")
        if blobs is not None:
            inputs.append(HostInput("payload.fw_cfg_config", "blobs served over fw_cfg", "C06", blobs.place))
        hotplug = self.root.get("memory", "hotplug_size")
        if hotplug is not None and hotplug.number():
            meaning = "memory may be plugged at run time"
            inputs.append(HostInput("memory.hotplug_size", meaning, "C29", hotplug.place, hotplug.text()))
        boot, top = self.root.get("cpus", "boot_vcpus"), self.root.get("cpus", "max_vcpus")
        if boot is not None and top is not None and top.number() > boot.number():
            inputs.append(HostInput("cpus.max_vcpus", "vCPUs may be plugged at run time", "C29", top.place, top.text()))
        return tuple(inputs)

    def _unread(self) -> tuple[Unread, ...]:
        known = ((self.root, TOP), (self.root.get("payload"), PAYLOAD), (self.root.get("platform"), PLATFORM))
        unread = [
            Unread(node.place.path or key, "a field that this reader does not know", node.place)
            for section, names in known
            if section is not None
            for key, node in section.mapping().items()
            if key not in names
        ]
        for node in self._each("generic_vhost_user"):
            kind = node.get("device_type")
            why = f"a vhost-user device of type {kind.text() if kind else 'unknown'}"
            unread.append(Unread("generic_vhost_user", why, node.place))
        return tuple(unread)


def _backend(node: Node, *fields: str) -> str | None:
    for field in fields:
        value = node.get(field)
        if value is not None and value.text():
            return f"unix:{value.text()}" if "socket" in field else f"file:{value.text()}"
    return None


def _mode(node: Node) -> str:
    mode = node.get("mode")
    return mode.text().lower() if mode else "null"
