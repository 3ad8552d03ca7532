"""Drivers worth leaving out of a guest: single modules with all that needs them, and whole buses

What the definition's devices need stays. Which other drivers the guest's user space needs nobody has said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hostproof.artefacts.kernel import match
from hostproof.artefacts.kernel.facts import KernelFacts
from hostproof.ledger.what_if.changes import Change, Kind, LeaveOut, needing

__all__ = ["SINGLES", "Loadable", "driver_changes", "loadable"]

SINGLES = 64
"""So many single modules are tried, those with which most open rows go first."""
WANTED = 64
"""So many drivers of a target are tried in any case; the groups hold the rest."""
SHOWN = 3


@dataclass(frozen=True, slots=True)
class Loadable:
    """The loadable drivers of a guest: `by_bus` those that some device of that bus binds, `configured` what the definition's
    devices need, `depends` what a module needs, `needed_by` what needs it.
    """

    by_bus: Mapping[str, tuple[str, ...]]
    configured: frozenset[str]
    depends: Mapping[str, Sequence[str]]
    needed_by: Mapping[str, Sequence[str]]
    text: Mapping[str, int]
    paths: Mapping[str, str]


def loadable(kernel: KernelFacts, device_aliases: Sequence[str], buses: Sequence[str]) -> Loadable:
    """The drivers that a host can make this guest load where it may present devices of `buses`."""
    every = [*buses, *match.BEHIND_CONTROLLER, *match.BY_IDENTITY]
    by_bus: dict[str, dict[str, None]] = {}
    for name, keys in match.presentable(kernel, every).keys.items():
        for alias, _ in keys:
            by_bus.setdefault(match.bus(alias), {})[name] = None
    needed_by: dict[str, list[str]] = {}
    for module in kernel.modules or ():
        for other in module.depends:
            needed_by.setdefault(other, []).append(module.name)
    return Loadable(
        by_bus={name: tuple(sorted(by_bus[name])) for name in dict.fromkeys(every) if name in by_bus},
        configured=frozenset(match.configured(kernel, device_aliases).closure),
        depends={module.name: module.depends for module in kernel.modules or ()},
        needed_by=needed_by,
        text={module.name: module.text_bytes for module in kernel.modules or ()},
        paths={module.name: module.path for module in kernel.modules or ()},
    )


def driver_changes(
    drivers: Loadable, open_rows: Mapping[str, int], wanted: Iterable[str] = (), limit: int = SINGLES
) -> Iterator[Change]:
    """Buses first, then at most `limit` single modules. `open_rows` counts the open rows of each driver; `wanted` are
    drivers of a target, tried besides.
    """
    free = {name for names in drivers.by_bus.values() for name in names} - drivers.configured
    if len(free) > 1:
        yield _group("all", "every driver that a host can make it load", sorted(free), drivers)
    for bus, names in drivers.by_bus.items():
        some = [name for name in names if name in free]
        if len(some) > 1 and len(some) < len(free):
            yield _group(f"bus:{bus}", f"all {len(some)} {_bus_name(bus)} drivers", some, drivers)
    for name in singles(drivers, open_rows, wanted, limit):
        yield _single(name, drivers)


def singles(
    drivers: Loadable, open_rows: Mapping[str, int], wanted: Iterable[str] = (), limit: int = SINGLES
) -> list[str]:
    """The single modules to try, drivers and what they need: those with most open rows, then with most code. Of modules
    that take the same drivers with them it is the one that takes most code.
    """
    lost: dict[str, set[str]] = {}
    for driver in open_rows:
        for name in needing(drivers.depends, [driver]):
            if name in drivers.text and name not in drivers.configured:
                lost.setdefault(name, set()).add(driver)
    size = {name: drivers.text[name] + sum(drivers.text.get(other, 0) for other in gone) for name, gone in lost.items()}
    largest: dict[frozenset[str], str] = {}
    for name in sorted(lost, key=lambda name: (-size[name], name)):
        largest.setdefault(frozenset(lost[name]), name)
    asked = {name for name in wanted if name in lost}
    rows = {name: sum(open_rows[other] for other in lost[name]) for name in {*largest.values(), *asked}}
    ranked = sorted(rows, key=lambda name: (-rows[name], -size[name], name))
    first = set(ranked[:limit]) | set([name for name in ranked if name in asked][:WANTED])
    return [name for name in ranked if name in first]


def _group(identifier: str, what: str, names: Sequence[str], drivers: Loadable) -> Change:
    kept = " but those that the definition's devices need" if drivers.configured else ""
    return Change(
        kind=Kind.MODULE,
        id=f"leave-out:{identifier}",
        sentence=f"leave {what} out of initrd and disk{kept}",
        how=f"remove {len(names)} modules, `modules` of this change in --format json",
        edit=LeaveOut(tuple(names)),
    )


def _single(name: str, drivers: Loadable) -> Change:
    others = sorted(needing(drivers.needed_by, [name]) - {name})
    shown = ", ".join(others[:SHOWN]) + (f" and {len(others) - SHOWN} more" if len(others) > SHOWN else "")
    return Change(
        kind=Kind.MODULE,
        id=f"leave-out:{name}",
        sentence=f"leave {name} out of initrd and disk" + (f", and what needs it ({shown})" if others else ""),
        how=f"remove {drivers.paths[name]}",
        edit=LeaveOut((name,)),
    )


def _bus_name(bus: str) -> str:
    if bus == "of":
        return "device-tree"
    return bus.upper() if bus in ("pci", "acpi", "pnp", "usb", "hid", "cpu", "dmi", "wmi", "i2c", "spi") else bus
