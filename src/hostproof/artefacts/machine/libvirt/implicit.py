"""What libvirt adds to a domain: controllers, the balloon, USB, bridges, hubs

A definition that names six devices starts a VM with fifteen. The rules that add the others are libvirt's, not QEMU's,
and are followed here in libvirt's order. What the board brings by itself (the AHCI and watchdog of ICH9, the IDE of
PIIX3, the PS/2 keyboard and mouse) comes from the board's inventory instead, so that nothing is counted twice.

SOURCE: libvirt 11.3.0 src/conf/domain_conf.c (virDomainDefAddImplicitControllers), src/conf/domain_postparse.c
(virDomainAssignControllerIndexes), src/qemu/qemu_postparse.c (qemuDomainDefAddDefaultDevices),
src/qemu/qemu_domain_address.c (qemuDomainUSBAddressAddHubs, qemuDomainAssignDevicePCISlots), src/qemu/qemu_command.c
(qemuBuildVirtioDevGetConfig, qemuBuildFloppyCommandLineControllerOptions).
"""

from __future__ import annotations

from collections import defaultdict

from hostproof.artefacts.machine.libvirt.pci import Connect, Endpoint, TopologyFull, added_controllers
from hostproof.artefacts.machine.libvirt.plan import Plan, Plans, pci_address
from hostproof.artefacts.machine.libvirt.storage import PCI_MODELS
from hostproof.artefacts.machine.libvirt.xml import Element
from hostproof.artefacts.machine.model import Origin

__all__ = ["add_implicit", "attach", "controller_indexes"]

_PCI = Connect.PCI | Connect.AUTOASSIGN
_PCIE = Connect.PCIE | Connect.AUTOASSIGN
_MAX_CONTROLLER = 255
_USB2 = ("ich9-ehci1", "ich9-uhci1", "ich9-uhci2", "ich9-uhci3")

_ORDER = [
    *("pci", "filesystem", "interface", "sound", "usb", "disk", "hostdev", "memballoon", "rng", "watchdog", "video"),
    *("shmem", "input", "serial", "iommu", "vsock", "memory", "crypto", "panic", "pstore"),
]
"""Kinds of devices in the order in which libvirt gives them PCI addresses; controllers go with `usb`."""

_RANK = {kind: rank for rank, kind in enumerate(_ORDER)} | {
    kind: _ORDER.index("usb") for kind in ("scsi", "sata", "virtio-serial", "nvme")
}
_USB_PORTS = {
    "piix3-usb-uhci": 2,
    "piix4-usb-uhci": 2,
    "vt82c686b-usb-uhci": 2,
    "usb-ehci": 6,
    "ich9-usb-ehci1": 6,
    "pci-ohci": 3,
    "nec-usb-xhci": 4,
    "qemu-xhci": 4,
}
_HUB_PORTS = 8
_SERIAL_PORTS = 31
"""Ports of a virtio serial controller; the first is kept for a console."""
_SCSI_UNITS = 7
_MAX_EXTENDED_INTERRUPTS = 255
"""More virtual CPUs than this need an IOMMU with extended interrupt mode on Q35."""


def controller_indexes(devices: Element) -> dict[int, int]:
    """The index of every controller element (by `id` of the object): its own, or the lowest free one of its type.

    USB 2 companions without an index join the USB 2 controller just before them.
    """
    elements = devices.all("controller")
    found: dict[int, int] = {}
    used: dict[str, set[int]] = defaultdict(set)
    for element in elements:
        text = element.get("index")
        if text.isascii() and text.isdigit() and len(text) < 5:
            found[id(element)] = int(text)
            used[element.get("type")].add(int(text))
    taken = {(element.get("model"), found[id(element)]) for element in elements if id(element) in found}
    lowest: dict[str, int] = defaultdict(int)
    previous: Element | None = None
    for element in elements:
        kind, model = element.get("type"), element.get("model")
        if id(element) not in found:
            joined = None
            if model in _USB2 and previous is not None and previous.get("model") in _USB2:
                joined = found[id(previous)]
                joined = None if (model, joined) in taken else joined
            if joined is None:
                while lowest[kind] in used[kind]:
                    lowest[kind] += 1
                joined = lowest[kind]
            found[id(element)] = joined
            used[kind].add(joined)
            taken.add((model, joined))
        if kind == "usb":
            previous = element
    return found


def add_implicit(plans: Plans, vcpus: int | None) -> None:
    """Add the devices that libvirt adds before it gives out addresses."""
    for kind, bus in (("scsi", "scsi"), ("sata", "sata")):
        highest = max(
            (plan.index for plan in plans.of("disk") if plan.index is not None and _bus(plan) == bus), default=-1
        )
        _fill(plans, kind, highest, f"a disk on {bus}")
    _add_serial_buses(plans)
    if any(plan.model == "nvme-ns" for plan in plans.of("disk")) and not any(True for _ in plans.of("nvme")):
        plans.default("nvme", "nvme", "a disk on nvme", index=0, connect=_PCIE if plans.board.pcie else _PCI)
    if any(True for _ in plans.of("smartcard")) and not any(True for _ in plans.of("ccid")):
        plans.default("ccid", "usb-ccid", "a smart card", usb=True, index=0)
    _fill(plans, "scsi", _scsi_host_devices(plans), "a SCSI host device")
    if plans.board.kind == "q35" and any(plan.model == "floppy" for plan in plans.of("disk")):
        plans.default("fdc", "isa-fdc", "a floppy disk on a board without a floppy controller")
    _add_usb(plans)
    _add_balloon(plans)
    if plans.board.kind == "pseries" and plans.domain.first("devices", "graphics") is not None:
        _add_usb_inputs(plans)
    if (
        plans.board.kind == "q35"
        and (vcpus or 0) > _MAX_EXTENDED_INTERRUPTS
        and not any(True for _ in plans.of("iommu"))
    ):
        plans.default("iommu", "intel-iommu", "more than 255 virtual CPUs")


def _add_serial_buses(plans: Plans) -> None:
    """A virtio serial controller for every number that a port names, and as many as the other ports need."""
    ports = list(plans.of("port"))
    if not ports:
        return
    given = {_number(plan.element, "controller") if plan.transport == "virtio-serial" else 0 for plan in ports}
    present = {plan.index for plan in plans.of("virtio-serial")}
    for number in sorted(given - present):
        plans.default("virtio-serial", "virtio-serial", "a virtio port", virtio=True, index=number)
    room = 0
    for plan in plans.of("virtio-serial"):
        text = plan.element.get("ports") if plan.origin is Origin.DEFINITION else ""
        room += (int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 4 else _SERIAL_PORTS) - 1
    consoles = any(plan.model == "virtconsole" for plan in ports)
    free = len({plan.index for plan in plans.of("virtio-serial")}) if consoles else 0
    lacking = len(ports) - room - free
    number = max((plan.index or 0 for plan in plans.of("virtio-serial")), default=-1)
    while lacking > 0:
        number += 1
        plans.default("virtio-serial", "virtio-serial", "more virtio ports", virtio=True, index=number)
        lacking -= _SERIAL_PORTS - 1


def _bus(plan: Plan) -> str:
    return plan.element.attribute("target", "bus") or ("scsi" if plan.model.startswith("scsi-") else "")


def _number(element: Element, attribute: str) -> int:
    text = element.attribute("address", attribute)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0


def _scsi_host_devices(plans: Plans) -> int:
    """The highest controller that SCSI devices of the host need: those without an address take the next free unit."""
    used = {(plan.index, _number(plan.element, "unit")) for plan in plans.of("disk") if _bus(plan) == "scsi"}
    found = list(plans.of("hostdev-scsi"))
    used |= {(plan.index, _number(plan.element, "unit")) for plan in found if plan.transport}
    controller, unit = 0, 0
    for plan in found:
        if plan.transport:
            continue
        while (controller, unit) in used:
            controller, unit = (controller, unit + 1) if unit < _SCSI_UNITS - 1 else (controller + 1, 0)
        plan.index = controller
        used.add((controller, unit))
    return max((plan.index or 0 for plan in found), default=-1)


def _fill(plans: Plans, kind: str, highest: int, why: str) -> None:
    """Add controllers of `kind` up to number `highest` where they are missing."""
    present = {plan.index for plan in plans.of(kind)}
    for number in range(min(highest, _MAX_CONTROLLER) + 1):
        if number in present:
            continue
        if kind == "sata":
            if number or plans.board.kind != "q35":
                plans.default("sata", "ahci", why, index=number, connect=_PCI)
        elif plans.board.kind == "s390-ccw" or (number and _is_virtio_scsi(plans, number - 1)):
            plans.default("scsi", "virtio-scsi", why, index=number, virtio=True)
        elif plans.board.kind == "pseries":
            plans.default("scsi", "spapr-vscsi", why, index=number)
        else:
            plans.default("scsi", "lsi", why, index=number, connect=_PCI)


def _is_virtio_scsi(plans: Plans, number: int) -> bool:
    return any(plan.index == number and plan.model == "virtio-scsi" for plan in plans.of("scsi"))


def _add_usb(plans: Plans) -> None:
    if any(plan.index == 0 for plan in plans.of("usb")):
        return
    if plans.board.kind == "q35":
        plans.default("usb", "qemu-xhci", "libvirt gives every Q35 a USB controller", index=0, connect=_PCIE)
    elif plans.board.kind == "i440fx":
        plans.default("usb", "piix3-usb-uhci", "libvirt gives every i440FX a USB controller", index=0)
    elif plans.board.kind == "pseries":
        plans.default("usb", "qemu-xhci", "libvirt gives every pSeries a USB controller", index=0, connect=_PCI)


def _add_balloon(plans: Plans) -> None:
    wanted = plans.board.x86 or plans.board.kind in ("s390-ccw", "pseries") or plans.board.architecture == "riscv64"
    if wanted and not any(True for _ in plans.of("memballoon")):
        plans.default("memballoon", "virtio-balloon", "no memballoon element says none", virtio=True)


def _add_usb_inputs(plans: Plans) -> None:
    models = {plan.model for plan in plans.of("input")}
    if "usb-kbd" not in models:
        plans.default("input", "usb-kbd", "graphics on pSeries", usb=True)
    if "usb-mouse" not in models and "usb-tablet" not in models:
        plans.default("input", "usb-mouse", "graphics on pSeries", usb=True)


def attach(plans: Plans) -> None:
    """Give every virtio device its transport, then add the bridges and hubs that all devices need."""
    for plan in plans.devices:
        if plan.virtio:
            _transport(plan, plans)
    if plans.board.root:
        _add_bridges(plans)
    _add_hubs(plans)


def _transport(plan: Plan, plans: Plans) -> None:
    kind = plan.transport
    if kind not in ("pci", "ccw", "virtio-mmio"):
        kind = "ccw" if plans.board.kind == "s390-ccw" else "pci"
    if kind == "pci":
        conventional = plan.variant == "-transitional" or plan.connect is _PCI or not plans.board.pcie
        plan.connect = _PCI if conventional else _PCIE
    else:
        plan.connect = Connect.NONE
    if plan.suffix:
        plan.model += {"ccw": "-ccw", "virtio-mmio": "-device"}.get(kind, "-pci")
    plan.model += plan.variant


def _endpoint(plan: Plan) -> Endpoint:
    model = next(
        (name for name, device in PCI_MODELS.items() if plan.kind == "pci" and plan.element.get("model") == name), ""
    )
    return Endpoint(
        plan.connect,
        model=model,
        address=pci_address(plan.element) if plan.element.tag != "devices" else None,
        controller=plan.index if plan.kind == "pci" else None,
        fixed=plan.fixed,
        group=plan.index if plan.kind == "usb" and plan.function >= 0 else None,
        function=plan.function,
    )


def _add_bridges(plans: Plans) -> None:
    on_bus = [plan for plan in plans.devices if plan.connect or plan.kind == "pci"]
    on_bus.sort(key=lambda plan: _RANK.get("hostdev" if plan.model.startswith("vfio") else plan.kind, len(_ORDER)))
    endpoints = [_endpoint(plan) for plan in on_bus]
    try:
        added = added_controllers(plans.board.root, plans.board.kind, endpoints)
    except TopologyFull:
        plans.notes.append("the PCI addresses do not fit any topology that libvirt can make: it refuses such a domain")
        return
    for model in added:
        plans.default("pci", PCI_MODELS[model], "a slot for a PCI device", connect=Connect.NONE)
    if plans.board.kind == "s390-ccw":
        shown = [
            plan
            for plan in plans.devices
            if plan.shown and plan.kind != "memory" and (plan.connect or plan.kind == "pci")
        ]
        for plan in shown:
            plans.default("zpci", "zpci", "a PCI device on s390", plan.element)


def _add_hubs(plans: Plans) -> None:
    wanted = sum(1 for plan in plans.devices if plan.usb)
    ports = _HUB_PORTS * sum(1 for _ in plans.of("hub"))
    for plan in plans.of("usb"):
        given = plan.element.get("ports") if plan.origin is Origin.DEFINITION else ""
        known = given.isascii() and given.isdigit() and len(given) < 4
        ports += int(given) if known else _USB_PORTS.get(plan.model, 0)
    if wanted > ports > 0:
        for _ in range(-(-(wanted - ports + 1) // (_HUB_PORTS - 1))):
            plans.default("hub", "usb-hub", "more USB devices than ports", usb=True)
