"""PCI topology: the bridges and ports that libvirt adds so that every device of a domain has a slot

A domain seldom names its PCI bridges. libvirt gives every device an address, and where no bus has a slot of the right
kind it adds a controller: a `pcie-root-port` for each PCI Express device, one `pcie-to-pci-bridge` (with a port of
its own) for conventional devices on a PCI Express machine, `pci-bridge`s on an i440FX. Each is a device that the
guest meets, so they are counted here by libvirt's own rules; only models matter, not the addresses.

SOURCE: libvirt 11.3.0 src/conf/domain_addr.c (virDomainPCIAddressBusSetModel, virDomainPCIAddressSetGrow,
virDomainPCIAddressFlagsCompatible, virDomainPCIAddressGetNextAddr), src/qemu/qemu_domain_address.c
(qemuDomainAssignPCIAddresses, qemuDomainValidateDevicePCISlotsPIIX3, qemuDomainValidateDevicePCISlotsQ35,
qemuDomainAssignDevicePCISlots).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Flag, auto

__all__ = ["MAX_BUSES", "Address", "Connect", "Endpoint", "TopologyFull", "added_controllers", "connect_of_controller"]

MAX_BUSES = 256
"""A PCI segment has no more, and libvirt knows only one segment."""


class Connect(Flag):
    """What a device plugs into, or what a bus accepts."""

    NONE = 0
    PCI = auto()
    PCIE = auto()
    ROOT_PORT = auto()
    UPSTREAM = auto()
    DOWNSTREAM = auto()
    DMI_BRIDGE = auto()
    PCI_BRIDGE = auto()
    PCIE_TO_PCI = auto()
    EXPANDER = auto()
    PCIE_EXPANDER = auto()
    AUTOASSIGN = auto()
    AGGREGATE = auto()
    INTEGRATED = auto()


_TYPES = ~(Connect.AUTOASSIGN | Connect.AGGREGATE | Connect.INTEGRATED)

_CONTROLLERS = {
    "pci-bridge": Connect.PCI_BRIDGE,
    "pci-expander-bus": Connect.EXPANDER,
    "pcie-expander-bus": Connect.PCIE_EXPANDER,
    "dmi-to-pci-bridge": Connect.DMI_BRIDGE,
    "pcie-to-pci-bridge": Connect.PCIE_TO_PCI,
    "pcie-root-port": Connect.ROOT_PORT | Connect.AGGREGATE,
    "pcie-switch-upstream-port": Connect.UPSTREAM,
    "pcie-switch-downstream-port": Connect.DOWNSTREAM,
}
_CONVENTIONAL = Connect.AUTOASSIGN | Connect.PCI | Connect.PCI_BRIDGE
_BUSES: dict[str, tuple[Connect, int, int]] = {
    "pci-root": (_CONVENTIONAL | Connect.EXPANDER, 1, 31),
    "pci-bridge": (_CONVENTIONAL, 1, 31),
    "pci-expander-bus": (_CONVENTIONAL, 0, 31),
    "pcie-root": (Connect.PCIE | Connect.ROOT_PORT | Connect.DMI_BRIDGE | Connect.PCIE_EXPANDER, 1, 31),
    "dmi-to-pci-bridge": (Connect.PCI | Connect.PCI_BRIDGE, 0, 31),
    "pcie-to-pci-bridge": (_CONVENTIONAL, 1, 31),
    "pcie-root-port": (Connect.AUTOASSIGN | Connect.PCIE | Connect.UPSTREAM | Connect.PCIE_TO_PCI, 0, 0),
    "pcie-switch-downstream-port": (Connect.AUTOASSIGN | Connect.PCIE | Connect.UPSTREAM | Connect.PCIE_TO_PCI, 0, 0),
    "pcie-switch-upstream-port": (Connect.DOWNSTREAM, 0, 31),
    "pcie-expander-bus": (Connect.ROOT_PORT | Connect.DMI_BRIDGE, 0, 31),
}
"""Model of the controller -> what its bus accepts, first and last slot."""


def connect_of_controller(model: str) -> Connect:
    """How a PCI controller itself connects; NONE for the roots, which are part of the machine."""
    return _CONTROLLERS.get(model, Connect.NONE)


@dataclass(frozen=True, slots=True)
class Address:
    """A PCI address in segment 0."""

    bus: int
    slot: int
    function: int = 0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A device that needs a PCI address.

    `address` is the one that the definition gives. `controller` is its index where it is a PCI controller, whose
    model is `model`. `fixed` are the slots of bus 0 where libvirt tries to put it first (the primary video card, an ICH9
    sound card). `group` is shared by functions of one slot (USB 2 companions).
    """

    connect: Connect
    model: str = ""
    address: Address | None = None
    controller: int | None = None
    fixed: tuple[int, ...] = ()
    group: int | None = None
    function: int = -1


class TopologyFull(Exception):
    """No bus is free and none can be added: libvirt would refuse the domain."""


@dataclass(slots=True)
class _Bus:
    model: str
    accepts: Connect
    first: int
    last: int
    slots: dict[int, int] = field(default_factory=dict)
    aggregate: set[int] = field(default_factory=set)


class _Topology:
    """The set of buses while addresses are given out."""

    def __init__(self) -> None:
        self.buses: list[_Bus] = []
        self._from: dict[tuple[Connect, int], int] = {}

    def add(self, model: str) -> _Bus:
        if len(self.buses) >= MAX_BUSES:
            raise TopologyFull
        accepts, first, last = _BUSES.get(model, _BUSES["pci-bridge"])
        self.buses.append(_Bus(model, accepts, first, last))
        return self.buses[-1]

    def used(self, slot: int) -> bool:
        return bool(self.buses[0].slots.get(slot))

    def take(self, address: Address, connect: Connect) -> None:
        """Reserve one function, adding buses up to the one that the address names."""
        if not 0 <= address.bus < MAX_BUSES or not 0 <= address.slot < 32 or not 0 <= address.function < 8:
            raise TopologyFull
        while len(self.buses) <= address.bus:
            self.grow(connect, exactly=address.bus)
        bus = self.buses[address.bus]
        if not bus.slots.get(address.slot) and Connect.AGGREGATE in connect:
            bus.aggregate.add(address.slot)
        bus.slots[address.slot] = bus.slots.get(address.slot, 0) | 1 << address.function

    def take_next(self, connect: Connect, function: int = -1) -> Address:
        """The next free address for such a device, on a new bus where none of the present ones has one."""
        key = (connect, function)
        for number in range(self._from.get(key, 0), len(self.buses)):
            found = self._free(number, connect, function)
            if found:
                self._from[key] = number
                self.take(found, connect)
                return found
        self._from[key] = len(self.buses)
        number = self.grow(connect)
        address = Address(number, self.buses[number].first, max(function, 0))
        self.take(address, connect)
        return address

    def _free(self, number: int, connect: Connect, function: int) -> Address | None:
        bus = self.buses[number]
        accepts = bus.accepts
        if Connect.INTEGRATED in connect:
            if number:
                return None
            accepts |= Connect.PCI | Connect.AUTOASSIGN
        if Connect.AUTOASSIGN in connect and Connect.AUTOASSIGN not in accepts:
            return None
        if not connect & accepts & _TYPES:
            return None
        for slot in range(bus.first, bus.last + 1):
            functions = bus.slots.get(slot, 0)
            if not functions:
                return Address(number, slot, max(function, 0))
            if Connect.AGGREGATE in connect and slot in bus.aggregate:
                free = next((bit for bit in range(8) if not functions & 1 << bit), None)
                if free is not None:
                    return Address(number, slot, free)
        return None

    def grow(self, connect: Connect, exactly: int | None = None) -> int:
        """Add what such a device needs; the number of the bus where it can go."""
        before = len(self.buses)
        last = before if exactly is None else exactly
        if Connect.PCI in connect:
            bridged = any(bus.accepts & Connect.PCI_BRIDGE for bus in self.buses)
            if not bridged:
                self.add("pcie-root-port").accepts = Connect.PCIE_TO_PCI
                self.add("pcie-to-pci-bridge")
                last = max(last, before + 1)
            while len(self.buses) <= last:
                self.add("pci-bridge")
        elif connect & (Connect.PCIE | Connect.UPSTREAM | Connect.PCIE_TO_PCI):
            while len(self.buses) <= last:
                self.add("pcie-root-port")
        else:
            raise TopologyFull
        return last


def added_controllers(root: str, kind: str, endpoints: Sequence[Endpoint]) -> tuple[str, ...]:
    """The models of the PCI controllers that libvirt adds, in the order of their index.

    `root` is the model of controller 0, `kind` the board (`q35`, `i440fx`, ...), `endpoints` every device with a PCI address
    in libvirt's order of assignment. Raises TopologyFull where no assignment is possible.
    """
    controllers = {endpoint.controller: endpoint for endpoint in endpoints if endpoint.controller is not None}
    highest = max((number for number in controllers if number is not None), default=0)
    if highest >= MAX_BUSES:
        raise TopologyFull
    topology = _Topology()
    filler = {"pcie-root": "pcie-root-port", "pci-root": "pci-bridge"}[root]
    for number in range(highest + 1):
        known = controllers.get(number)
        topology.add(root if number == 0 else known.model if known else filler)
    for endpoint in endpoints:
        if endpoint.address is not None:
            topology.take(endpoint.address, endpoint.connect)
    _chipset(topology, kind)
    if root == "pci-root" and not all(_full(bus) for bus in topology.buses):
        topology.take_next(Connect.PCI | Connect.AUTOASSIGN)
    _assign(topology, endpoints)
    if root == "pcie-root" and highest == 0 and len(topology.buses) > 1:
        topology.take_next(Connect.PCIE | Connect.AUTOASSIGN)
    added = []
    number = 1
    while number < len(topology.buses):
        if number not in controllers:
            added.append(topology.buses[number].model)
            topology.take_next(connect_of_controller(topology.buses[number].model))
        number += 1
    return tuple(added)


def _full(bus: _Bus) -> bool:
    return all(bus.slots.get(slot) for slot in range(bus.first, bus.last + 1))


def _chipset(topology: _Topology, kind: str) -> None:
    """Reserve the slots of devices that are part of the chipset."""
    if kind == "i440fx":
        for function in (0, 1, 2, 3):
            topology.take(Address(0, 1, function), Connect.PCI)
    elif kind == "q35":
        for function in (0, 2, 3):
            topology.take(Address(0, 31, function), Connect.PCIE)


def _assign(topology: _Topology, endpoints: Sequence[Endpoint]) -> None:
    groups: dict[int, Address] = {
        endpoint.group: endpoint.address
        for endpoint in endpoints
        if endpoint.group is not None and endpoint.address is not None
    }
    waiting = [endpoint for endpoint in endpoints if endpoint.address is None and endpoint.connect]
    rest = []
    for endpoint in waiting:
        slot = next((slot for slot in endpoint.fixed if not topology.used(slot)), None)
        if slot is None:
            rest.append(endpoint)
            continue
        address = Address(0, slot, max(endpoint.function, 0))
        topology.take(address, endpoint.connect)
        if endpoint.group is not None:
            groups[endpoint.group] = address
    for endpoint in rest:
        if endpoint.group is not None and endpoint.group in groups:
            place = groups[endpoint.group]
            topology.take(Address(place.bus, place.slot, max(endpoint.function, 0)), endpoint.connect)
            continue
        address = topology.take_next(endpoint.connect, endpoint.function)
        if endpoint.group is not None:
            groups[endpoint.group] = address
