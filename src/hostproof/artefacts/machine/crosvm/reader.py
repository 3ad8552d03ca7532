"""crosvm: the command line of `crosvm run`, and the JSON that `--cfg` took with the same names.

Unless told otherwise crosvm adds virtio-rng, virtio-balloon and a USB controller; in a protected VM it leaves out rng
and USB. Consoles are `--serial` with `hardware=serial` or `virtio-console`.

SOURCE: crosvm commit f1e797a68dad, `src/crosvm/cmdline.rs` (RunCommand and how it becomes a configuration),
`arch/src/serial.rs` (serial ports 1 to 4), `aarch64/src/lib.rs` (RTC, watchdog, interrupt controller),
`x86_64/src/lib.rs` (CMOS, i8042, ACPI).
"""

from __future__ import annotations

from hostproof.artefacts.machine.crosvm import argv
from hostproof.artefacts.machine.device_models import device
from hostproof.artefacts.machine.located import json_places
from hostproof.artefacts.machine.located.node import Node
from hostproof.artefacts.machine.model import Boot, Confidential, Device, HostInput, Machine, Origin, Unread
from hostproof.place import Place

__all__ = ["platform", "read"]

MAX_DEVICES = 256
PLATFORM = (
    ("ns16550a", "uart", ("of:NuartT(null)Cns16550a",)),
    ("pl030", "rtc", ("amba:d00041030",)),
    ("qemu,vcpu-stall-detector", "vmwdt", ("of:NvmwdtT(null)Cqemu,vcpu-stall-detector",)),
    ("pci-host-cam-generic", "pci", ("of:NpciTpciCpci-host-cam-generic",)),
    ("arm,gic-v3", "intc", ("of:NintcT(null)Carm,gic-v3",)),
    ("arm,armv8-timer", "timer", ("of:NtimerT(null)Carm,armv8-timer",)),
)
"""What crosvm's own device tree describes on arm64: compatible or model, node, aliases."""

VIRTIO = (
    ("block", "virtio-blk-pci"),
    ("disk", "virtio-blk-pci"),
    ("root", "virtio-blk-pci"),
    ("rwdisk", "virtio-blk-pci"),
    ("rwroot", "virtio-blk-pci"),
    ("net", "virtio-net-pci"),
    ("tap-name", "virtio-net-pci"),
    ("tap-fd", "virtio-net-pci"),
    ("pmem", "virtio-pmem-pci"),
    ("pmem-ext2", "virtio-pmem-pci"),
    ("vsock", "vhost-vsock-pci"),
    ("cid", "vhost-vsock-pci"),
    ("virtio-snd", "virtio-sound-pci"),
    ("gpu", "virtio-gpu-pci"),
    ("keyboard", "virtio-keyboard-pci"),
    ("mouse", "virtio-mouse-pci"),
    ("trackpad", "virtio-mouse-pci"),
    ("single-touch", "virtio-multitouch-pci"),
    ("multi-touch", "virtio-multitouch-pci"),
    ("input", "virtio-input-host-pci"),
    ("evdev", "virtio-input-host-pci"),
    ("shared-dir", "virtio-9p-pci"),
    ("vfio", "vfio-pci"),
    ("vfio-platform", "vfio-platform"),
)
PROTECTED = ("protected-vm", "protected-vm-without-firmware", "protected-vm-with-firmware")
BOOT = {"kernel", "initrd", "params", "bios", "mem", "cpus", "serial", "name", "oem-strings", "acpi-table", "fw-cfg"}


def platform(place: Place) -> tuple[Device, ...]:
    """The platform devices of an arm64 VM."""
    return tuple(
        Device(model, "platform", Origin.BOARD, place, aliases=aliases, id=node) for model, node, aliases in PLATFORM
    )


def read(data: bytes, name: str) -> Machine:
    """The VM that `data` defines, a JSON object or a command line. Raises InputError where it is neither."""
    if data.lstrip().startswith(b"{"):
        return _Config(json_places.read(data, name), "crosvm-json").machine()
    return _Config(argv.read(data, name), "crosvm-argv").machine()


class _Config:
    def __init__(self, root: Node, form: str) -> None:
        root.mapping()
        self.root = root
        self.form = form
        self.protected = next((node for key in PROTECTED if (node := self._on(key)) is not None), None)

    def _on(self, key: str) -> Node | None:
        node = self.root.get(key)
        if node is None or node.value is False:
            return None
        return node

    def _each(self, key: str) -> list[Node]:
        node = self._on(key)
        if node is None:
            return []
        return self.root.elements(key, MAX_DEVICES) if isinstance(node.value, list) else [node]

    def machine(self) -> Machine:
        memory, vcpus, label = _size(self.root.get("mem")), _count(self.root.get("cpus")), self.root.get("name")
        return Machine(
            format=self.form,
            vmm="crosvm",
            place=self.root.place,
            name=label.text() if label else "",
            architecture="aarch64" if self.protected else None,
            vcpus=vcpus,
            memory_mib=memory,
            confidential=Confidential("pkvm-arm64", self.protected.place) if self.protected else None,
            boot=self._boot(),
            devices=tuple(self._devices()),
            host_inputs=self._host_inputs(),
            unread=self._unread(),
            notes=("--protected-vm is taken as pKVM on arm64",) if self.protected else (),
        )

    def _boot(self) -> Boot:
        def given(key: str) -> tuple[str | None, Place | None]:
            nodes = self._each(key)
            return (" ".join(node.text() for node in nodes), nodes[0].place) if nodes else (None, None)

        kernel, initrd, params, bios = (given(key) for key in ("kernel", "initrd", "params", "bios"))
        firmware = given("protected-vm-with-firmware")
        return Boot(
            firmware=bios[0] or firmware[0],
            firmware_place=bios[1] or firmware[1],
            kernel=kernel[0],
            kernel_place=kernel[1],
            initrd=initrd[0],
            initrd_place=initrd[1],
            command_line=params[0],
            command_line_place=params[1],
        )

    def _devices(self) -> list[Device]:
        devices = [
            device(model, origin=Origin.DEFINITION, place=node.place, backend=_backend(node))
            for key, model in VIRTIO
            for node in self._each(key)
        ]
        devices.extend(self._consoles())
        place = self.root.place
        if self._on("no-balloon") is None:
            devices.append(device("virtio-balloon-pci", origin=Origin.DEFAULT, place=place))
        if self.protected is None:
            if self._on("no-rng") is None:
                devices.append(device("virtio-rng-pci", origin=Origin.DEFAULT, place=place))
            if self._on("no-usb") is None:
                devices.append(device("qemu-xhci", origin=Origin.DEFAULT, place=place))
        else:
            devices.extend(platform(place))
        return devices

    def _consoles(self) -> list[Device]:
        consoles: list[Device] = []
        for node in self._each("serial"):
            hardware = node.get("hardware") if isinstance(node.value, dict) else None
            word = hardware.text() if hardware else "serial"
            model = {"serial": "isa-serial", "debugcon": "isa-debugcon"}.get(word, "virtio-serial-pci")
            if word == "serial" and self.protected is not None:
                continue
            consoles.append(device(model, origin=Origin.DEFINITION, place=node.place, backend=_backend(node)))
        return consoles

    def _host_inputs(self) -> tuple[HostInput, ...]:
        meanings = (
            ("acpi-table", "a table added to those that crosvm writes", "C04"),
            ("fw-cfg", "a blob served over fw_cfg", "C06"),
            ("oem-strings", "a string of the SMBIOS tables", "C05"),
            ("device-tree-overlay", "an overlay over the device tree", "C05"),
        )
        return tuple(
            HostInput(key, meaning, channel, node.place, _backend(node) or "")
            for key, meaning, channel in meanings
            for node in self._each(key)
        )

    def _unread(self) -> tuple[Unread, ...]:
        known = {key for key, _ in VIRTIO} | set(PROTECTED) | BOOT | argv.HOST_SIDE
        return tuple(
            Unread(key, "an option that this reader does not know", node.place)
            for key, node in self.root.mapping().items()
            if key not in known
        )


def _backend(node: Node) -> str | None:
    if isinstance(node.value, dict):
        for key in ("path", "tap-name", "source", "type"):
            found = node.get(key)
            if found is not None:
                return found.text()
        return None
    return node.text() if not isinstance(node.value, bool) else None


def _size(node: Node | None) -> int | None:
    if node is not None and isinstance(node.value, dict):
        node = node.get("size")
    return node.number() if node is not None else None


def _count(node: Node | None) -> int | None:
    if node is not None and isinstance(node.value, dict):
        node = node.get("num-cores")
    return node.number() if node is not None else None
