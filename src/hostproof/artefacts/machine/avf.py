"""Android Virtualization Framework: `vm_config.json`, of a raw VM or of a payload in Microdroid.

A *raw* configuration says kernel, disks and whether the VM is `protected`; a *payload* configuration says what runs in
Microdroid, and the app that starts it decides on protection at run time. Either way it is `virtmgr` that writes
crosvm's command line, and with it most of the devices: serial ports, virtio consoles, vsock.

A protected VM starts in pvmfw, which copies checked values of the host's device tree into its own template
(`hostproof.artefacts.machine.device_tree`); with that template given beside the configuration, its nodes are the
platform devices.

SOURCE: Android Virtualization commit 13fb14bf9546, `libs/vmconfig/src/lib.rs` (VmConfig),
`android/virtmgr/src/crosvm.rs` (run_vm), `android/virtmgr/src/payload.rs` (disks of Microdroid),
`libs/vm_payload_config` (VmPayloadConfig); crosvm commit f1e797a68dad, `src/crosvm/cmdline.rs` (no virtio-rng and no
USB in a protected VM).
"""

from __future__ import annotations

from collections.abc import Mapping

from hostproof.artefacts.machine import crosvm, device_tree
from hostproof.artefacts.machine.device_models import device
from hostproof.artefacts.machine.located import json_places
from hostproof.artefacts.machine.located.boot import boot
from hostproof.artefacts.machine.located.node import Node
from hostproof.artefacts.machine.model import Confidential, Device, HostInput, Machine, Origin, Unread
from hostproof.place import Place

__all__ = ["read"]

RAW = frozenset(
    {
        "name",
        "kernel",
        "initrd",
        "params",
        "bootloader",
        "disks",
        "protected",
        "memory_mib",
        "cpu_topology",
        "platform_version",
        "devices",
        "console_input_device",
        "usb_config",
    }
)
PAYLOAD = frozenset(
    {
        "version",
        "os",
        "task",
        "apexes",
        "extra_apks",
        "prefer_staged",
        "export_tombstones",
        "enable_authfs",
        "hugepages",
    }
)
MAX_ELEMENTS = 64
MICRODROID_DISKS = ("microdroid", "instance and encrypted store", "payload")


def read(data: bytes, name: str, *, companions: Mapping[str, bytes] | None = None) -> Machine:
    """The VM that `data` defines. A device tree among `companions` is taken as pvmfw's template. Raises InputError."""
    root = json_places.read(data, name)
    tree = _template(companions or {})
    if "task" in root.mapping():
        return _payload(root, tree)
    return _raw(root, tree)


def _template(companions: Mapping[str, bytes]) -> device_tree.DeviceTree | None:
    from hostproof.artefacts.machine import detect

    for name, data in companions.items():
        if detect.kind(data, name) in ("dts", "dtb"):
            return device_tree.read(data, name)
    return None


def _payload(root: Node, tree: device_tree.DeviceTree | None) -> Machine:
    system = root.get("os", "name")
    place = root.place
    disks = [
        device("virtio-blk-pci", origin=Origin.DEFAULT, place=place, id=text, backend="composite disk of virtmgr")
        for text in MICRODROID_DISKS
    ]
    inputs = [
        HostInput(f"apexes[{i}]", "a package of the host that Microdroid mounts", "C02", apex.place, _name(apex))
        for i, apex in enumerate(root.elements("apexes", MAX_ELEMENTS))
    ]
    inputs.extend(
        HostInput(f"extra_apks[{i}]", "a further package of the host for the payload", "C02", apk.place, _name(apk))
        for i, apk in enumerate(root.elements("extra_apks", MAX_ELEMENTS))
    )
    return Machine(
        format="avf-json",
        vmm="crosvm",
        place=place,
        name=system.text() if system else "microdroid",
        architecture="aarch64" if tree is not None else None,
        declared=(("a protected VM, if the app that starts it asks for one", place),),
        devices=(*disks, *_devices(place, protected=True, tree=tree)),
        host_inputs=tuple(inputs),
        unread=_unread(root, PAYLOAD),
        notes=(
            "a payload configuration: the app chooses protection, memory and CPUs when it starts the VM",
            *_tree_notes(tree),
        ),
    )


def _name(node: Node) -> str:
    found = node.get("name") or node.get("path")
    return found.text() if found else ""


def _raw(root: Node, tree: device_tree.DeviceTree | None) -> Machine:
    protected = root.get("protected")
    on = protected is not None and protected.flag()
    devices: list[Device] = []
    for index, disk in enumerate(root.elements("disks", MAX_ELEMENTS)):
        devices.append(
            device("virtio-blk-pci", origin=Origin.DEFINITION, place=disk.place, id=f"disk{index}", backend=_disk(disk))
        )
    for assigned in root.elements("devices", MAX_ELEMENTS):
        backend = f"vfio:{assigned.text()}"
        devices.append(device("vfio-platform", origin=Origin.DEFINITION, place=assigned.place, backend=backend))
    usb = root.get("usb_config", "controller")
    if usb is not None and usb.flag() and not on:
        devices.append(device("qemu-xhci", origin=Origin.DEFINITION, place=usb.place))
    memory, label = root.get("memory_mib"), root.get("name")
    return Machine(
        format="avf-json",
        vmm="crosvm",
        place=root.place,
        name=label.text() if label else "",
        architecture="aarch64" if on or tree is not None else None,
        memory_mib=memory.number() if memory else None,
        confidential=Confidential("pkvm-arm64", protected.place) if protected is not None and on else None,
        boot=boot(
            firmware=root.get("bootloader"),
            kernel=root.get("kernel"),
            initrd=root.get("initrd"),
            command_line=root.get("params"),
        ),
        devices=(*devices, *_devices(root.place, protected=on, tree=tree)),
        unread=_unread(root, RAW),
        notes=(
            *(() if on else ("`protected` is not set: the host can read and write all of this VM's memory",)),
            "a balloon is presented where the host's property hypervisor.memory_reclaim.supported is set",
            *_tree_notes(tree if on else None),
        ),
    )


def _disk(disk: Node) -> str:
    image = disk.get("image")
    if image is not None:
        return f"file:{image.text()}"
    paths = [
        path.text() for part in disk.elements("partitions", MAX_ELEMENTS) if (path := part.get("path")) is not None
    ]
    return f"composite:{','.join(paths)}"


def _devices(place: Place, *, protected: bool, tree: device_tree.DeviceTree | None) -> tuple[Device, ...]:
    """What virtmgr asks crosvm for in every VM, and the platform devices."""
    devices = [device("virtio-serial-pci", origin=Origin.DEFAULT, place=place, id=f"hvc{i}") for i in range(3)]
    devices.append(device("vhost-vsock-pci", origin=Origin.DEFAULT, place=place, backend="vhost"))
    if not protected:
        devices.append(device("virtio-rng-pci", origin=Origin.DEFAULT, place=place, backend="file:/dev/urandom"))
    platform = _accepted(tree) if tree is not None and protected else crosvm.platform(place)
    return (*devices, *platform)


def _accepted(tree: device_tree.DeviceTree) -> tuple[Device, ...]:
    """The nodes of pvmfw's template, as devices on the platform bus (or AMBA)."""
    return tuple(
        Device(
            model=node.compatible[0],
            bus="platform",
            origin=Origin.BOARD,
            place=node.place,
            aliases=node.aliases,
            id=node.path,
        )
        for node in device_tree.accepted_devices(tree)
        if not node.path.startswith("/cpus/")
    )


def _tree_notes(tree: device_tree.DeviceTree | None) -> tuple[str, ...]:
    if tree is None:
        return ()
    return (f"platform devices are those that the template {tree.place.artefact} of pvmfw accepts", *tree.notes)


def _unread(root: Node, known: frozenset[str]) -> tuple[Unread, ...]:
    return tuple(
        Unread(key, "a field that this reader does not know", node.place)
        for key, node in root.mapping().items()
        if key not in known
    )
