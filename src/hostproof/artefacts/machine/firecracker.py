"""Firecracker: the JSON that `--config-file` takes.

Firecracker has no confidential mode: such a VM is the control sample. Its devices sit on virtio-mmio (with
`--enable-pci` on PCI, which the file does not say); beside those it has a serial port, an i8042 controller for reset,
a VM generation id and a VM clock in ACPI.

SOURCE: firecracker commit 81b38b9dad60, `src/vmm/src/resources.rs` (VmmConfig), `src/vmm/src/builder.rs` (what is
attached), `src/vmm/src/vmm_config/*.rs` (fields).
"""

from __future__ import annotations

from hostproof.artefacts.machine.device_models import device
from hostproof.artefacts.machine.located import json_places
from hostproof.artefacts.machine.located.boot import boot
from hostproof.artefacts.machine.located.node import Node
from hostproof.artefacts.machine.model import Device, HostInput, Machine, Origin, Unread
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["board", "read"]

MAX_DEVICES = 256
KNOWN = frozenset(
    [
        "balloon",
        "drives",
        "boot-source",
        "cpu-config",
        "logger",
        "machine-config",
        "metrics",
        "mmds-config",
        "network-interfaces",
        "vsock",
        "entropy",
        "pmem",
        "memory-hotplug",
        "serial",
    ]
)


def board(place: Place, architecture: str = "x86_64") -> tuple[Device, ...]:
    """What Firecracker presents without being asked."""
    legacy = ("isa-serial", "i8042") if architecture == "x86_64" else ("pl031",)
    return tuple(device(model, origin=Origin.BOARD, place=place) for model in (*legacy, "vmgenid", "vmclock"))


def read(data: bytes, name: str) -> Machine:
    """The VM that `data` defines. Raises InputError where it is no such JSON."""
    root = json_places.read(data, name)
    source = root.get("boot-source")
    if source is None:
        raise InputError("no boot-source", place=root.place, expected='an object "boot-source"')
    memory, vcpus = (root.get("machine-config", key) for key in ("mem_size_mib", "vcpu_count"))
    template = root.get("machine-config", "cpu_template")
    return Machine(
        format="firecracker-json",
        vmm="firecracker",
        place=root.place,
        vcpus=vcpus.number() if vcpus else None,
        cpu_model=template.text() if template else None,
        memory_mib=memory.number() if memory else None,
        boot=boot(
            kernel=source.get("kernel_image_path"),
            initrd=source.get("initrd_path"),
            command_line=source.get("boot_args"),
        ),
        devices=(*_devices(root), *board(root.place)),
        host_inputs=_host_inputs(root),
        unread=tuple(
            Unread(key, "a field that this reader does not know", node.place)
            for key, node in root.mapping().items()
            if key not in KNOWN
        ),
        notes=("Firecracker adds `virtio_mmio.device=` and its like to the kernel command line",),
    )


def _devices(root: Node) -> list[Device]:
    devices: list[Device] = []

    def add(model: str, node: Node, name: str = "", backend: str = "", scheme: str = "file:") -> None:
        own, host = node.get(name) if name else None, node.get(backend) if backend else None
        devices.append(
            device(
                model,
                origin=Origin.DEFINITION,
                place=node.place,
                id=own.text() if own else None,
                backend=scheme + host.text() if host else None,
            )
        )

    for drive in root.elements("drives", MAX_DEVICES):
        if drive.get("socket") is not None:
            add("vhost-user-blk", drive, "drive_id", "socket", "unix:")
        else:
            add("virtio-blk-device", drive, "drive_id", "path_on_host")
    for interface in root.elements("network-interfaces", MAX_DEVICES):
        add("virtio-net-device", interface, "iface_id", "host_dev_name", "tap:")
    for pmem in root.elements("pmem", MAX_DEVICES):
        add("virtio-pmem", pmem, "id", "path_on_host")
    single = (
        ("vsock", "vhost-vsock-device", "uds_path"),
        ("balloon", "virtio-balloon-device", ""),
        ("entropy", "virtio-rng-device", ""),
        ("memory-hotplug", "virtio-mem", ""),
    )
    for key, model, backend in single:
        node = root.get(key)
        if node is not None:
            add(model, node, "", backend, "unix:")
    return devices


def _host_inputs(root: Node) -> tuple[HostInput, ...]:
    inputs: list[HostInput] = []
    mmds = root.get("mmds-config")
    if mmds is not None:
        meaning = "a metadata service that the host answers on the guest's network"
        inputs.append(HostInput("mmds-config", meaning, "C43", mmds.place))
    cpu = root.get("cpu-config")
    if cpu is not None:
        meaning = "a CPU template: CPUID leaves and MSR values as the guest sees them"
        value = cpu.text() if isinstance(cpu.value, str) else ""
        inputs.append(HostInput("cpu-config", meaning, "C08", cpu.place, value))
    return tuple(inputs)
