"""Disks, file systems and controllers of a libvirt domain

SOURCE: libvirt 11.3.0 src/conf/domain_postparse.c (virDomainDiskDefPostParse: bus from the target's name),
src/conf/domain_conf.c (virDomainDiskDefAssignAddress, virDomainDefAddImplicitControllers), src/qemu/qemu_command.c
(qemuBuildDiskDeviceProps, qemuBuildControllerSCSIDevProps, qemuControllerModelUSB, qemuBuildSkipController), QEMU
hw/usb/dev-storage-classic.c (a disk behind USB is a SCSI disk), libvirt src/qemu/qemu_postparse.c
(qemuDomainControllerDefPostParse), src/qemu/qemu_domain.c (qemuDomainGetSCSIControllerModel).
"""

from __future__ import annotations

from collections.abc import Callable

from hostproof.artefacts.machine.libvirt.pci import Connect, connect_of_controller
from hostproof.artefacts.machine.libvirt.plan import Plan, Plans, backend_of
from hostproof.artefacts.machine.libvirt.xml import Element
from hostproof.artefacts.machine.model import HostInput, Origin

__all__ = ["PCI_MODELS", "STORAGE", "disk_controller", "usb_default"]

_PCI = Connect.PCI | Connect.AUTOASSIGN
_PCIE = Connect.PCIE | Connect.AUTOASSIGN

_BUS_OF_TARGET = (("hd", "ide"), ("sd", "scsi"), ("vd", "virtio"), ("xvd", "xen"), ("ubd", "uml"), ("fd", "fdc"))
_DISKS = {
    ("ide", "cdrom"): "ide-cd",
    ("ide", ""): "ide-hd",
    ("sata", "cdrom"): "ide-cd",
    ("sata", ""): "ide-hd",
    ("scsi", "cdrom"): "scsi-cd",
    ("scsi", "lun"): "scsi-block",
    ("scsi", ""): "scsi-hd",
    ("usb", ""): "usb-storage",
    ("fdc", ""): "floppy",
    ("sd", ""): "sd-card",
    ("nvme", ""): "nvme-ns",
}
_UNITS = {"scsi": 7, "ide": 4, "sata": 6, "fdc": 2}
"""Disks per controller where the target's name decides the address."""

_SCSI = {
    "auto": "",
    "": "",
    "lsilogic": "lsi",
    "lsisas1068": "mptsas1068",
    "lsisas1078": "megasas",
    "vmpvscsi": "pvscsi",
    "ibmvscsi": "spapr-vscsi",
    "am53c974": "am53c974",
    "dc390": "dc-390",
}
_USB = {
    "piix3-uhci": "piix3-usb-uhci",
    "piix4-uhci": "piix4-usb-uhci",
    "ehci": "usb-ehci",
    "ich9-ehci1": "ich9-usb-ehci1",
    "ich9-uhci1": "ich9-usb-uhci1",
    "ich9-uhci2": "ich9-usb-uhci2",
    "ich9-uhci3": "ich9-usb-uhci3",
    "vt82c686b-uhci": "vt82c686b-usb-uhci",
    "pci-ohci": "pci-ohci",
    "nec-xhci": "nec-usb-xhci",
    "qemu-xhci": "qemu-xhci",
}
_COMPANION = {"ich9-usb-ehci1": 7, "ich9-usb-uhci1": 0, "ich9-usb-uhci2": 1, "ich9-usb-uhci3": 2}
PCI_MODELS = {
    "pci-bridge": "pci-bridge",
    "dmi-to-pci-bridge": "i82801b11-bridge",
    "pcie-to-pci-bridge": "pcie-pci-bridge",
    "pcie-root-port": "pcie-root-port",
    "pcie-switch-upstream-port": "x3130-upstream",
    "pcie-switch-downstream-port": "xio3130-downstream",
    "pci-expander-bus": "pxb",
    "pcie-expander-bus": "pxb-pcie",
}


def disk(element: Element, plans: Plans) -> None:
    """A disk, CD-ROM, floppy or LUN."""
    target = element.attribute("target", "dev")
    device = element.get("device", "disk")
    bus = element.attribute("target", "bus")
    if not bus:
        bus = next((name for prefix, name in _BUS_OF_TARGET if target.startswith(prefix)), "ide")
        bus = "fdc" if device == "floppy" else bus
    kind = element.get("type")
    backend = backend_of(element)
    if bus == "virtio":
        plans.virtio("disk", "vhost-user-blk" if kind == "vhostuser" else "virtio-blk", element, backend=backend)
        return
    model = _DISKS.get((bus, device)) or _DISKS.get((bus, ""))
    if model is None:
        plans.unknown(element, f"disk bus {bus!r}", "QEMU has no such disk bus")
        return
    plans.add(Plan("disk", model, element, backend=backend, usb=bus == "usb", index=disk_controller(element, bus)))
    if bus == "usb":
        plans.default("disk-behind-usb", "scsi-hd", "USB mass storage shows its medium as a SCSI disk", element)


def disk_controller(element: Element, bus: str) -> int | None:
    """The number of the controller that a disk is attached to, None where its bus has none or the name gives no number."""
    if bus not in _UNITS:
        return None
    address = element.first("address")
    if address is not None and address.get("type") == "drive":
        text = address.get("controller", "0")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 5 else None
    letters = element.attribute("target", "dev").lstrip("x")[2:].rstrip("0123456789")
    if not letters or len(letters) > 3 or not letters.isascii() or not letters.isalpha() or not letters.islower():
        return None
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - ord("a") + 1
    return (number - 1) // _UNITS[bus]


def filesystem(element: Element, plans: Plans) -> None:
    """A directory of the host: 9p, virtiofs or MTP."""
    driver = element.attribute("driver", "type") or "path"
    backend = backend_of(element)
    if driver == "mtp":
        plans.add(Plan("filesystem", "usb-mtp", element, backend=backend, usb=True))
    elif driver in ("path", "handle", "default"):
        plans.virtio("filesystem", "virtio-9p", element, backend=backend)
    elif driver == "virtiofs":
        plans.virtio("filesystem", "vhost-user-fs", element, backend=backend)
    else:
        plans.unknown(element, f"filesystem driver {driver!r}", "not one of QEMU's")


def controller(element: Element, plans: Plans) -> None:
    """A controller of any type."""
    kind = element.get("type")
    handler = _CONTROLLERS.get(kind)
    if handler is None:
        plans.unknown(element, f"controller type {kind!r}")
        return
    handler(element, plans.indexes[id(element)], plans)


def _pci(element: Element, index: int, plans: Plans) -> None:
    model = element.get("model")
    if model in ("pci-root", "pcie-root"):
        named = element.attribute("model", "name") or "spapr-pci-host-bridge"
        shown = plans.board.kind == "pseries" and index != 0
        plans.add(Plan("pci", named, element, index=index, shown=shown))
        return
    if model not in PCI_MODELS:
        plans.unknown(element, f"PCI controller {model!r}")
        return
    named = element.attribute("model", "name") or PCI_MODELS[model]
    plans.add(Plan("pci", named, element, index=index, connect=connect_of_controller(model)))


def usb_default(plans: Plans) -> tuple[str, Connect]:
    """The USB controller that libvirt takes where a `controller` element names none, and how it connects."""
    if plans.board.architecture == "aarch64" or plans.board.architecture in ("ppc64", "ppc64le", "loongarch64"):
        return "qemu-xhci", _PCIE if plans.board.pcie else _PCI
    if plans.board.x86 or plans.board.architecture in ("riscv64", "riscv32"):
        return "piix3-usb-uhci", _PCI
    return "pci-ohci", _PCI


def _usb(element: Element, index: int, plans: Plans) -> None:
    name = element.get("model")
    if name == "none":
        plans.add(Plan("usb", "none", element, index=index, shown=False))
        return
    origin = Origin.DEFINITION
    if not name or name == "default":
        if plans.board.kind == "s390-ccw" and not element.attribute("address", "type"):
            plans.add(Plan("usb", "none", element, index=index, shown=False))
            return
        model, connect = usb_default(plans)
        origin = Origin.DEFAULT
    elif name in _USB:
        model = _USB[name]
        connect = _PCIE if model in ("nec-usb-xhci", "qemu-xhci") and plans.board.pcie else _PCI
    else:
        plans.unknown(element, f"USB controller {name!r}")
        return
    plan = plans.add(Plan("usb", model, element, origin=origin, index=index, connect=connect))
    plan.function = _COMPANION.get(model, -1)
    if model == "piix3-usb-uhci" and plans.board.kind == "i440fx" and index == 0:
        plan.connect = Connect.NONE
    if model == "ich9-usb-uhci1" and plans.board.kind == "q35":
        plan.fixed = (0x1D, 0x1A)


def _scsi(element: Element, index: int, plans: Plans) -> None:
    model = element.get("model")
    if model in ("virtio-scsi", "virtio-transitional", "virtio-non-transitional"):
        plans.virtio("scsi", "virtio-scsi", element, index=index)
        return
    if model not in _SCSI:
        plans.unknown(element, f"SCSI controller {model!r}", "QEMU has no such controller")
        return
    if _SCSI[model]:
        plans.add(Plan("scsi", _SCSI[model], element, index=index, connect=_PCI))
        return
    plan = Plan("scsi", "lsi", element, origin=Origin.DEFAULT, index=index, connect=_PCI)
    if plans.board.kind == "s390-ccw":
        plan = Plan("scsi", "virtio-scsi", element, origin=Origin.DEFAULT, index=index, virtio=True)
    elif plans.board.kind == "pseries":
        plan = Plan("scsi", "spapr-vscsi", element, origin=Origin.DEFAULT, index=index)
    plans.add(plan)


def _sata(element: Element, index: int, plans: Plans) -> None:
    builtin = plans.board.kind == "q35" and index == 0
    connect = Connect.NONE if builtin else _PCI
    plans.add(Plan("sata", "ahci", element, index=index, connect=connect, shown=not builtin))


def _virtio_serial(element: Element, index: int, plans: Plans) -> None:
    plans.virtio("virtio-serial", "virtio-serial", element, index=index)


def _ccid(element: Element, index: int, plans: Plans) -> None:
    plans.add(Plan("ccid", "usb-ccid", element, index=index, usb=True))


def _nvme(element: Element, index: int, plans: Plans) -> None:
    plans.add(Plan("nvme", "nvme", element, index=index, connect=_PCIE if plans.board.pcie else _PCI))


def _builtin(element: Element, index: int, plans: Plans) -> None:
    """IDE, floppy and ISA controllers are parts of the board."""
    plans.add(Plan(element.get("type"), element.get("type"), element, index=index, shown=False))


def lease(element: Element, plans: Plans) -> None:
    """A lock that the host's own programs hold: nothing that the guest can see."""


def pstore(element: Element, plans: Plans) -> None:
    """ACPI error records kept in a file of the host."""
    plans.add(Plan("pstore", "acpi-erst", element, connect=_PCI, backend=element.value("path") or None))
    plans.host_inputs.append(
        HostInput(
            "pstore",
            "error records that the guest reads back after a crash",
            "C04",
            element.place,
            element.value("path"),
        )
    )


_CONTROLLERS: dict[str, Callable[[Element, int, Plans], None]] = {
    "pci": _pci,
    "usb": _usb,
    "scsi": _scsi,
    "sata": _sata,
    "virtio-serial": _virtio_serial,
    "ccid": _ccid,
    "nvme": _nvme,
    "ide": _builtin,
    "fdc": _builtin,
    "isa": _builtin,
}

STORAGE: dict[str, Callable[[Element, Plans], None]] = {
    "disk": disk,
    "filesystem": filesystem,
    "controller": controller,
    "lease": lease,
    "pstore": pstore,
}
"""Element below `devices` -> its reader."""
