"""The devices that Kata's runtime gives to a VM.

The configuration names few devices; the runtime adds the rest: a console, the root image, vsock to the agent, a
network device per endpoint, PCI bridges for hot-plug. What it adds depends on the hypervisor and on
`confidential_guest`.

SOURCE: kata-containers commit 7c6ba40c54ea, `src/runtime/virtcontainers/`: `qemu.go` (buildDevices, CreateVM,
genericAppendBridges, createPCIeTopology), `qemu_arch_base.go`, `qemu_amd64.go` (bridges, appendImage),
`qemu_s390x.go`, `clh.go` (CreateVM), `fc.go` (fcInitConfiguration). QEMU is always started with `-nodefaults -vga
none`.
"""

from __future__ import annotations

from hostproof.artefacts.machine.device_models import device
from hostproof.artefacts.machine.located.node import Node
from hostproof.artefacts.machine.model import Device, Origin
from hostproof.place import Place

__all__ = ["clh_devices", "firecracker_devices", "flag", "qemu_devices", "word"]

MAX_PORTS = 16
"""Of root ports and switch ports each; more are refused. SOURCE: `maxPCIeRootPort`."""
MAX_BRIDGES = 5
"""More are cut to this number, and 0 stands for 1. SOURCE: `src/runtime/pkg/katautils/config.go`, defaultBridges."""

SHARED_FS_MODELS = {"virtio-fs": "vhost-user-fs", "virtio-fs-nydus": "vhost-user-fs", "virtio-9p": "virtio-9p"}


def flag(section: Node, key: str) -> bool:
    """A boolean of the section; False where it is missing (the zero value of Go) or a placeholder."""
    node = section.get(key)
    return node is not None and node.placeholder is None and node.flag()


def word(section: Node, key: str, default: str = "") -> str:
    """A text of the section; `default` where it is missing, empty or a placeholder."""
    node = section.get(key)
    if node is None or node.placeholder is not None:
        return default
    return node.text() or default


def _count(section: Node, key: str, default: int) -> int:
    node = section.get(key)
    if node is None or node.placeholder is not None:
        return default
    number = node.number()
    if not 0 <= number <= MAX_PORTS:
        raise node.unexpected(f"a number from 0 to {MAX_PORTS}")
    return number


class _Adder:
    """Collects devices of one transport: `pci` or `ccw`."""

    def __init__(self, section: Node, transport: str) -> None:
        self.section = section
        self.transport = transport
        self.devices: list[Device] = []

    def place(self, key: str) -> Place:
        node = self.section.get(key)
        return node.place if node else self.section.place

    def add(self, model: str, key: str = "", *, id: str | None = None, backend: str | None = None) -> None:
        """A device that the setting `key` asks for; without one, the runtime adds it by itself."""
        origin = Origin.DEFINITION if key else Origin.DEFAULT
        self.devices.append(device(model, origin=origin, place=self.place(key), id=id, backend=backend))

    def virtio(self, kind: str, key: str = "", *, id: str | None = None, backend: str | None = None) -> None:
        self.add(f"{kind}-{self.transport}", key, id=id, backend=backend)


def qemu_devices(
    hypervisor: Node, *, confidential: bool, architecture: str | None, shared_fs: str, block_driver: str, network: bool
) -> tuple[Device, ...]:
    """What the runtime puts on QEMU's command line, the board's own devices aside."""
    s390 = architecture == "s390x"
    adder = _Adder(hypervisor, "ccw" if s390 else "pci")
    if not s390:
        _bridges(adder, hypervisor, firmware=hypervisor.get("firmware") is not None and _named(hypervisor, "firmware"))
    if flag(hypervisor, "use_legacy_serial") and not s390:
        adder.add("isa-serial", "use_legacy_serial", backend="unix:console.sock")
    else:
        adder.virtio("virtio-serial", id="serial0")
        adder.add("virtconsole", id="console0", backend="unix:console.sock")
    _image(adder, hypervisor, confidential=confidential or s390)
    if flag(hypervisor, "enable_iommu") and not s390:
        adder.add("intel-iommu", "enable_iommu")
    if word(hypervisor, "guest_memory_dump_path"):
        adder.add("pvpanic", "guest_memory_dump_path")
    if block_driver == "virtio-scsi":
        adder.virtio("virtio-scsi", "block_device_driver", id="scsi0")
    if not s390 and not confidential:
        adder.virtio("virtio-rng", "entropy_source", id="rng0", backend=word(hypervisor, "entropy_source") or None)
    if flag(hypervisor, "reclaim_guest_freed_memory") and not confidential:
        adder.virtio("virtio-balloon", "reclaim_guest_freed_memory")
    if flag(hypervisor, "enable_virtio_mem") and not confidential and not s390:
        adder.virtio("virtio-mem", "enable_virtio_mem")
    adder.virtio("vhost-vsock", backend="vhost")
    if network:
        adder.virtio("virtio-net", backend="tap" if flag(hypervisor, "disable_vhost_net") else "tap,vhost")
    if shared_fs in SHARED_FS_MODELS:
        adder.virtio(SHARED_FS_MODELS[shared_fs], "shared_fs", backend="host file system")
    if not s390:
        _ports(adder, hypervisor)
    return tuple(adder.devices)


def _named(section: Node, key: str) -> bool:
    """Whether a path is given, be it a placeholder."""
    node = section.get(key)
    return node is not None and bool(node.text())


def _bridges(adder: _Adder, hypervisor: Node, *, firmware: bool) -> None:
    node = hypervisor.get("default_bridges")
    number = 1 if node is None or node.placeholder is not None else node.number()
    if number < 0 and node is not None:
        raise node.unexpected("a number of bridges, not below 0")
    for index in range(min(number or 1, MAX_BRIDGES)):
        if firmware:
            adder.add("pcie-root-port", "default_bridges", id=f"rp-pci-bridge-{index}")
            adder.add("pcie-pci-bridge", "default_bridges", id=f"pci-bridge-{index}")
        else:
            adder.add("pci-bridge", "default_bridges", id=f"pci-bridge-{index}")


def _image(adder: _Adder, hypervisor: Node, *, confidential: bool) -> None:
    image = hypervisor.get("image")
    if image is not None and image.text():
        if confidential or flag(hypervisor, "disable_image_nvdimm"):
            adder.virtio("virtio-blk", "image", id="image", backend=f"file:{image.text()}")
        else:
            adder.add("nvdimm", "image", id="nv0", backend=f"file:{image.text()}")
    extensions = hypervisor.get("guest_extension_images")
    for extension in extensions.items() if extensions else []:
        path = extension.get("path")
        if path is not None and path.text():
            adder.virtio("virtio-blk", "guest_extension_images", backend=f"file:{path.text()}")


def _ports(adder: _Adder, hypervisor: Node) -> None:
    plugs = {word(hypervisor, "hot_plug_vfio"), word(hypervisor, "cold_plug_vfio")}
    if "root-port" in plugs:
        for index in range(_count(hypervisor, "pcie_root_port", 0)):
            adder.add("pcie-root-port", "pcie_root_port", id=f"rp{index}")
    elif "switch-port" in plugs:
        ports = _count(hypervisor, "pcie_switch_port", 0)
        if ports:
            adder.add("pcie-root-port", "pcie_switch_port", id="rp0")
            adder.add("x3130-upstream", "pcie_switch_port", id="swup0")
        for index in range(ports):
            adder.add("xio3130-downstream", "pcie_switch_port", id=f"swdp{index}")


def clh_devices(hypervisor: Node, *, confidential: bool, shared_fs: str, network: bool) -> tuple[Device, ...]:
    """What the runtime asks of Cloud Hypervisor, the devices that its board has aside."""
    adder = _Adder(hypervisor, "pci")
    debug = flag(hypervisor, "enable_debug")
    adder.virtio("virtio-rng", "entropy_source", backend=word(hypervisor, "entropy_source", "/dev/urandom"))
    image = hypervisor.get("image")
    if image is not None and image.text():
        adder.virtio("virtio-blk", "image", backend=f"file:{image.text()}")
    if debug and confidential:
        adder.virtio("virtio-serial", "enable_debug")
        adder.add("virtconsole", "enable_debug")
    elif debug:
        adder.add("isa-serial", "enable_debug")
    if flag(hypervisor, "reclaim_guest_freed_memory"):
        adder.virtio("virtio-balloon", "reclaim_guest_freed_memory")
    adder.virtio("vhost-vsock", backend="hybrid vsock")
    if network:
        adder.virtio("virtio-net", backend="tap")
    if shared_fs in SHARED_FS_MODELS:
        adder.virtio(SHARED_FS_MODELS[shared_fs], "shared_fs", backend="host file system")
    return tuple(adder.devices)


def firecracker_devices(hypervisor: Node, *, network: bool) -> tuple[Device, ...]:
    """What the runtime asks of Firecracker: everything on virtio-mmio, with a pool of drives to plug containers
    into.
    """
    adder = _Adder(hypervisor, "device")
    image = hypervisor.get("image")
    if image is not None and image.text():
        adder.virtio("virtio-blk", "image", backend=f"file:{image.text()}")
    adder.virtio("virtio-blk", "block_device_driver", id="drive pool")
    adder.virtio("vhost-vsock", backend="hybrid vsock")
    if network:
        adder.virtio("virtio-net", backend="tap")
    return tuple(adder.devices)
