"""Plans: the devices of a libvirt domain before they have a transport and a slot

A plan is one device as its element asks for it. When all are known, libvirt's rules decide how each virtio device is
attached (`-pci`, `-ccw`, `-device`) and which bridges the PCI ones need.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from hostproof.artefacts.machine.libvirt.board import Board
from hostproof.artefacts.machine.libvirt.pci import Address, Connect
from hostproof.artefacts.machine.libvirt.xml import Element
from hostproof.artefacts.machine.model import HostInput, Origin, Unread

__all__ = ["Plan", "Plans", "address_of", "backend_of", "pci_address", "properties_of"]

_VARIANTS = {"virtio-transitional": "-transitional", "virtio-non-transitional": "-non-transitional"}


@dataclass(slots=True)
class Plan:
    """One device. `model` is QEMU's name; for a virtio device that of its base (`virtio-blk`), the transport comes later.

    `shown` is False where the board already has the device and it only takes part in addressing. `index` is the number of a
    controller. `usb` says that it takes a port of a USB controller.
    """

    kind: str
    model: str
    element: Element
    origin: Origin = Origin.DEFINITION
    virtio: bool = False
    variant: str = ""
    suffix: bool = True
    connect: Connect = Connect.NONE
    index: int | None = None
    usb: bool = False
    shown: bool = True
    fixed: tuple[int, ...] = ()
    group: int | None = None
    function: int = -1
    id: str | None = None
    backend: str | None = None
    properties: tuple[tuple[str, str], ...] = ()

    @property
    def transport(self) -> str:
        """The address type that the definition gives (`pci`, `ccw`, `virtio-mmio`, `usb`, ...), "" where it gives none."""
        return address_of(self.element)


@dataclass(slots=True)
class Plans:
    """What is collected while the devices are read, in document order."""

    board: Board
    domain: Element
    indexes: dict[int, int] = field(default_factory=dict)
    """The number of each controller element, by `id` of the object."""
    devices: list[Plan] = field(default_factory=list)
    host_inputs: list[HostInput] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, plan: Plan) -> Plan:
        if plan.id is None and plan.origin is Origin.DEFINITION:
            plan.id = plan.element.attribute("alias", "name") or None
        if not plan.properties:
            plan.properties = properties_of(plan.element)
        self.devices.append(plan)
        return plan

    def virtio(self, kind: str, base: str, element: Element, **more: object) -> Plan:
        """A virtio device whose element may ask for a transitional or non-transitional one in `model` or `type`."""
        model = element.get("model") or element.attribute("model", "type")
        plan = Plan(kind, base, element, virtio=True, variant=_VARIANTS.get(model, ""))
        for name, value in more.items():
            setattr(plan, name, value)
        return self.add(plan)

    def default(self, kind: str, model: str, why: str, element: Element | None = None, **more: object) -> Plan:
        """A device that nothing asked for by name."""
        where = element or self.domain.first("devices") or self.domain
        plan = Plan(kind, model, where, origin=Origin.DEFAULT, properties=(("why", why),))
        for name, value in more.items():
            setattr(plan, name, value)
        self.devices.append(plan)
        return plan

    def unknown(self, element: Element, what: str, why: str = "not known") -> None:
        self.unread.append(Unread(what, why, element.place))

    def of(self, *kinds: str) -> Iterable[Plan]:
        return (plan for plan in self.devices if plan.kind in kinds)


def address_of(element: Element) -> str:
    """The type of the element's own address, "" where it has none."""
    return element.attribute("address", "type")


def pci_address(element: Element) -> Address | None:
    """The PCI address that the element gives; None where it gives none, or one of zeros, which asks libvirt to choose.

    Numbers are decimal, or hexadecimal after `0x`.
    """
    address = element.first("address")
    if address is None or address.get("type") != "pci":
        return None
    parts = []
    for name in ("bus", "slot", "function", "domain"):
        text = address.get(name, "0")
        try:
            parts.append(int(text, 16 if text.lower().startswith("0x") else 10) if len(text) < 12 else -1)
        except ValueError:
            return None
    return Address(*parts[:3]) if any(parts) else None


def backend_of(element: Element) -> str | None:
    """The host's end of a device as `kind:what`, from its `source`; the kind alone where there is no more to say."""
    kind = element.get("type")
    source = element.first("source")
    if source is None:
        return kind or None
    for name in ("file", "dev", "dir", "bridge", "network", "path", "channel", "protocol", "volume", "name", "mode"):
        value = source.get(name)
        if value and not (name == "mode" and kind == "unix"):
            what = f"{value}:{source.get('name')}" if name == "protocol" and source.get("name") else value
            return f"{kind}:{what}" if kind else what
    if source.get("host") or source.get("service"):
        return f"{kind}:{source.get('host')}:{source.get('service')}"
    return kind or None


_PROPERTIES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("serial", ("serial", "#text")),
    ("wwn", ("wwn", "#text")),
    ("vendor", ("vendor", "#text")),
    ("product", ("product", "#text")),
    ("mac", ("mac", "address")),
    ("mtu", ("mtu", "size")),
    ("iommu_platform", ("driver", "iommu")),
    ("ats", ("driver", "ats")),
    ("packed", ("driver", "packed")),
    ("event_idx", ("driver", "event_idx")),
    ("queues", ("driver", "queues")),
    ("name", ("target", "name")),
    ("romfile", ("rom", "file")),
    ("rombar", ("rom", "bar")),
    ("cid", ("cid", "address")),
    ("freePageReporting", ("freePageReporting",)),
    ("autodeflate", ("autodeflate",)),
)
"""Property -> the steps that lead to its value; `#text` is the text of the element."""


def properties_of(element: Element) -> tuple[tuple[str, str], ...]:
    """What the definition says of a device beside its model, as far as the guest can see it."""
    found = []
    for name, steps in _PROPERTIES:
        value = element.value(*steps[:-1]) if steps[-1] == "#text" else element.attribute(*steps)
        if value:
            found.append((name, value))
    if element.first("encryption") is not None or element.first("source", "encryption") is not None:
        found.append(("encryption", "host"))
    return tuple(found)
