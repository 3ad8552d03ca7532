"""What a host can reach in one kernel: its drivers by bus, what each of them reads of the host, and by which interface.

A surface is a view of kernel facts under one technology (which says the buses that its host may present) and, where a
VM is given, of the devices that its definition presents. Numbers are counts of what binaries show; what counting cannot
see stands beside them (`InterfaceTotal.blind`, `Surface.notes`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum

import msgspec
from msgspec import Struct, field, structs

from hostproof.artefacts.kernel import match
from hostproof.artefacts.kernel.facts import KernelFacts, Module, Sites
from hostproof.artefacts.machine.model import Machine
from hostproof.errors import UsageError
from hostproof.knowledge.load import Catalogue
from hostproof.knowledge.records import Technology
from hostproof.ledger import builtin

__all__ = [
    "FORMAT",
    "BusTotal",
    "Driver",
    "InterfaceTotal",
    "Reach",
    "SiteCount",
    "Surface",
    "encode",
    "narrowed",
    "surface",
]

FORMAT = "hostproof-surface/1"


class Reach(StrEnum):
    """How a host makes this guest run a driver, the nearest way first."""

    CONFIGURED = "configured"
    """The definition presents its device."""
    PRESENTABLE = "presentable"
    """The host may present a device of its bus."""
    BEHIND_CONTROLLER = "behind-controller"
    """Its device stands behind a controller or channel that the host may present: USB, HID, SCSI ..."""
    BY_IDENTITY = "by-identity"
    """Words of the host make user space load it: CPUID, SMBIOS, WMI."""
    NEEDED = "needed"
    """A driver that the host reaches needs it."""
    MADE_BY_DRIVERS = "made-by-drivers"
    """Its device is made by another driver, by board code or by a device tree: whether this host can cause that, match keys
    do not tell. Not counted as reached.
    """
    NOT_REACHED = "not-reached"
    """It has no key that a device of this host could meet; the guest itself may load it."""

    @property
    def by_host(self) -> bool:
        """Whether the host is known to reach it."""
        return self not in (Reach.MADE_BY_DRIVERS, Reach.NOT_REACHED)


class SiteCount(Struct, frozen=True):
    """Sites of one interface in one driver, and the functions they are in."""

    interface: str
    count: int
    functions: list[str] = field(default_factory=list)


class Driver(Struct, frozen=True):
    """A driver of the kernel: a loadable module, or one that is built in (`path` is then empty).

    `text_bytes` are those of the driver alone, `closure_bytes` with everything it needs; None where the code is part of
    the image. `score` is the sum over its sites of their interface's weight, and orders reports.
    """

    name: str
    reach: Reach
    buses: list[str] = field(default_factory=list)
    keys: int = 0
    path: str = ""
    built_in: bool = False
    text_bytes: int | None = None
    closure_bytes: int | None = None
    score: int = 0
    sites: list[SiteCount] = field(default_factory=list)
    code_sha256: str = ""


class BusTotal(Struct, frozen=True):
    """The drivers that bind on one bus. `closure` counts modules with what they need; bytes are of loadable code."""

    bus: str
    reach: Reach
    drivers: int
    keys: int
    closure: int
    text_bytes: int
    closure_bytes: int
    sites: int
    built_in: int = 0


class InterfaceTotal(Struct, frozen=True):
    """Sites of one interface: in loadable modules, in those of them that the host reaches, and in the image."""

    id: str
    name: str
    weight: int
    blind: str
    modules: int
    sites: int
    reached_modules: int
    reached_sites: int
    image_sites: int | None
    image_functions: list[str] = field(default_factory=list)


class Surface(Struct, frozen=True):
    """The surface of one kernel. Drivers stand in the order of what matters: reach, then score, then bytes."""

    kernel: str
    architecture: str
    technology: str
    buses: list[str]
    """The buses that this technology's host may present."""
    drivers: list[Driver]
    by_bus: list[BusTotal]
    by_interface: list[InterfaceTotal]
    modules: int | None
    """Loadable modules; None, as their text, where nothing tells which there are."""
    text_bytes: int | None
    image_text_bytes: int | None = None
    image_sha256: str = ""
    vm: str = ""
    notes: list[str] = field(default_factory=list)
    format: str = FORMAT


def surface(catalogue: Catalogue, kernel: KernelFacts, technology: Technology, machine: Machine | None) -> Surface:
    """The surface of `kernel` under `technology`, with the devices of `machine` where a VM is given."""
    weights = {interface.id: interface.weight for interface in catalogue.interfaces.values()}
    by_bus = match.presentable_by_bus(kernel)
    reach = _reach(kernel, by_bus, technology, machine)
    modules = {module.name: module for module in kernel.modules or ()}
    closures = match.driver_texts(kernel, modules)
    drivers = [_loadable(module, reach, closures[module.name], weights) for module in modules.values()]
    drivers += _built_in(catalogue, kernel, technology, machine)
    order = list(Reach)
    drivers.sort(key=lambda driver: (order.index(driver.reach), -driver.score, -(driver.text_bytes or 0), driver.name))
    return Surface(
        kernel=kernel.package or kernel.release or kernel.source,
        architecture=kernel.architecture,
        technology=technology.id,
        buses=list(technology.presentable_buses),
        drivers=drivers,
        by_bus=_by_bus(by_bus, drivers, technology),
        by_interface=_by_interface(catalogue, kernel, drivers),
        modules=len(modules) if kernel.modules is not None else None,
        text_bytes=sum(module.text_bytes for module in modules.values()) if kernel.modules is not None else None,
        image_text_bytes=kernel.image.text_bytes if kernel.image else None,
        image_sha256=kernel.image_sha256,
        vm=machine.name or machine.place.artefact if machine else "",
        notes=_notes(kernel, technology),
    )


def narrowed(
    whole: Surface, buses: Collection[str], interfaces: Collection[str], names: Collection[str] = ()
) -> Surface:
    """The part of a surface on these buses, with sites of interfaces of these names or that begin so, and of drivers of
    these names; none means all.

    Raises UsageError where nothing of the surface has such a name.
    """
    wanted = {name.replace("-", "_") for name in names}
    for name in sorted(wanted - {driver.name for driver in whole.drivers}):
        raise UsageError(
            f"{name!r} is no loadable module of this kernel, and no built-in driver with known match keys",
            hint="--driver NAME as `hostproof surface KERNEL -v` lists them",
        )
    known = [total.bus for total in whole.by_bus]
    for bus in buses:
        if bus not in known:
            raise UsageError(f"no driver of this kernel binds on {bus!r}", hint=f"--bus {'|'.join(sorted(known)[:30])}")
    ids = [total.id for total in whole.by_interface]
    for name in interfaces:
        if not any(_meets(identifier, (name,)) for identifier in ids):
            raise UsageError(f"no interface {name!r} was counted", hint=f"--interface {'|'.join(sorted(ids))}")
    if not buses and not interfaces and not wanted:
        return whole
    drivers = [
        driver
        for driver in whole.drivers
        if (not wanted or driver.name in wanted)
        and (not buses or not set(buses).isdisjoint(driver.buses))
        and (not interfaces or any(_meets(found.interface, interfaces) for found in driver.sites))
    ]
    return structs.replace(
        whole,
        drivers=drivers,
        by_bus=[
            total
            for total in whole.by_bus
            if (not buses or total.bus in buses)
            and (not wanted or any(total.bus in driver.buses for driver in drivers))
        ],
        by_interface=[total for total in whole.by_interface if not interfaces or _meets(total.id, interfaces)],
    )


def encode(value: Surface) -> bytes:
    """Canonical JSON with a trailing newline: the same surface gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=1) + b"\n"


def _meets(identifier: str, names: Collection[str]) -> bool:
    return any(identifier == name or identifier.startswith(f"{name}-") for name in names)


def _reach(
    kernel: KernelFacts, by_bus: Mapping[str, match.DriverSet], technology: Technology, machine: Machine | None
) -> dict[str, Reach]:
    """For every module that the host reaches, how."""
    aliases = [alias for device in (machine.devices if machine else ()) for alias in device.aliases]
    ways = [(Reach.CONFIGURED, match.configured(kernel, aliases))]
    for way, buses in _ways(technology.presentable_buses):
        ways += [(way, by_bus[bus]) for bus in buses if bus in by_bus]
    reach: dict[str, Reach] = {}
    for way, found in ways:
        for name in found.direct:
            reach.setdefault(name, way)
    for _, found in ways:
        for name in found.closure:
            reach.setdefault(name, Reach.NEEDED)
    return reach


def _loadable(module: Module, reach: Mapping[str, Reach], closure: int, weights: Mapping[str, int]) -> Driver:
    buses = dict.fromkeys(name for alias in module.aliases if (name := match.bus(alias)))
    return Driver(
        name=module.name,
        reach=reach.get(module.name) or _by_bus_alone(buses, ()),
        buses=list(buses),
        keys=len(module.aliases),
        path=module.path,
        text_bytes=module.text_bytes,
        closure_bytes=closure,
        score=_score(module.sites, weights),
        sites=_counts(module.sites),
        code_sha256=module.code_sha256,
    )


def _built_in(
    catalogue: Catalogue, kernel: KernelFacts, technology: Technology, machine: Machine | None
) -> list[Driver]:
    """Built-in drivers with known match keys. Their code is part of the image: neither size nor sites are told apart."""
    keys = builtin.match_keys(kernel, catalogue.builtin_drivers)
    aliases = [alias for device in (machine.devices if machine else ()) for alias in device.aliases]
    met = match.matching(keys, aliases, kernel.source)
    found = []
    for name, patterns in keys.items():
        buses = list(dict.fromkeys(bus for alias in patterns if (bus := match.bus(alias))))
        reach = Reach.CONFIGURED if name in met else _by_bus_alone(buses, technology.presentable_buses)
        found.append(Driver(name=name, reach=reach, buses=buses, keys=len(patterns), built_in=True))
    return found


def _by_bus_alone(buses: Collection[str], presentable: Collection[str]) -> Reach:
    made = Reach.NOT_REACHED if set(buses).isdisjoint(match.MADE_BY_DRIVERS) else Reach.MADE_BY_DRIVERS
    return next((way for way, its in _ways(presentable) if not set(buses).isdisjoint(its)), made)


def _ways(presentable: Collection[str]) -> tuple[tuple[Reach, Collection[str]], ...]:
    """The ways in by a bus, the nearest first, with their buses."""
    return (
        (Reach.PRESENTABLE, presentable),
        (Reach.BEHIND_CONTROLLER, match.BEHIND_CONTROLLER),
        (Reach.BY_IDENTITY, match.BY_IDENTITY),
    )


def _score(sites: Mapping[str, Sites], weights: Mapping[str, int]) -> int:
    return sum(found.count * weights.get(interface, 0) for interface, found in sites.items())


def _counts(sites: Mapping[str, Sites]) -> list[SiteCount]:
    """Most sites first."""
    order = sorted(sites.items(), key=lambda item: (-item[1].count, item[0]))
    return [SiteCount(interface, found.count, list(found.functions)) for interface, found in order]


def _by_bus(sets: Mapping[str, match.DriverSet], drivers: Sequence[Driver], technology: Technology) -> list[BusTotal]:
    """Totals of every bus on which a driver binds, the heaviest first."""
    modules = {driver.name: driver for driver in drivers if not driver.built_in}
    built_in = Counter(bus for driver in drivers if driver.built_in for bus in driver.buses)
    totals = []
    for bus in dict.fromkeys((*sets, *built_in)):
        found = sets.get(bus, match.DriverSet((), (), 0, {}))
        direct = [modules[name] for name in found.direct]
        totals.append(
            BusTotal(
                bus=bus,
                reach=_by_bus_alone([bus], technology.presentable_buses),
                drivers=len(direct),
                keys=sum(len(keys) for keys in found.keys.values()),
                closure=len(found.closure),
                text_bytes=sum(driver.text_bytes or 0 for driver in direct),
                closure_bytes=found.text_bytes,
                sites=sum(sites.count for driver in direct for sites in driver.sites),
                built_in=built_in[bus],
            )
        )
    order = list(Reach)
    return sorted(totals, key=lambda total: (order.index(total.reach), -total.closure_bytes, total.bus))


def _by_interface(catalogue: Catalogue, kernel: KernelFacts, drivers: Iterable[Driver]) -> list[InterfaceTotal]:
    """Totals of every interface that was counted, in the order of weight and sites."""
    holders: dict[str, list[tuple[Driver, SiteCount]]] = {}
    for driver in drivers:
        for sites in driver.sites:
            holders.setdefault(sites.interface, []).append((driver, sites))
    totals = []
    for name in kernel.sites_counted:
        record = catalogue.interfaces.get(name)
        if record is None:
            continue
        found = holders.get(name, [])
        reached = [sites for driver, sites in found if driver.reach.by_host]
        image = kernel.image.sites.get(name, Sites(0)) if kernel.image else None
        totals.append(
            InterfaceTotal(
                id=name,
                name=record.name,
                weight=record.weight,
                blind=record.blind,
                modules=len(found),
                sites=sum(sites.count for _, sites in found),
                reached_modules=len(reached),
                reached_sites=sum(sites.count for sites in reached),
                image_sites=image.count if image else None,
                image_functions=list(image.functions) if image else [],
            )
        )
    return sorted(totals, key=lambda total: (-total.weight, -total.reached_sites, total.id))


def _notes(kernel: KernelFacts, technology: Technology) -> list[str]:
    """What limits these numbers."""
    notes = list(kernel.notes)
    if kernel.architecture and technology.id != "kvm" and kernel.architecture not in technology.architectures:
        guests = ", ".join(technology.architectures)
        notes.insert(0, f"a kernel for {kernel.architecture} is no guest of {technology.id}: these are {guests}")
    if not kernel.sites_counted:
        notes.append("sites were not counted: these facts come from an older hostproof, or from a kernel without code")
    if kernel.image is None:
        notes.append(
            "nothing was read of an image: sites in it are unknown, and built-in drivers told by other files alone"
        )
    else:
        buses: dict[str, list[str]] = {}
        for bus, why in sorted(kernel.image.driver_buses.items()):
            if why:
                buses.setdefault(why, []).append(bus)
        notes += [f"built-in drivers of {', '.join(its)}: {why}" for why, its in buses.items()]
    return list(dict.fromkeys(notes))
