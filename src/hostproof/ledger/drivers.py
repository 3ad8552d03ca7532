"""The drivers of a guest, in the three sets that must never be mixed: configured, presentable, absent.

The set that a host may *present* follows from the buses that this technology lets it present; the set that is
*configured* follows from the devices of the definition. Both are closed over module dependencies for the headline.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from msgspec import structs

from hostproof.artefacts.kernel import match
from hostproof.artefacts.kernel.facts import KernelFacts
from hostproof.artefacts.machine.model import Machine
from hostproof.knowledge.records import BuiltinDriver
from hostproof.ledger import builtin as built_in
from hostproof.ledger.instances import DriverView, by_bus
from hostproof.ledger.loading import WORDS, Reach
from hostproof.ledger.model import DriverCount, Headline

__all__ = ["count", "drivers_line", "mebibytes", "total", "view", "with_line"]


def view(
    kernel: KernelFacts | None,
    machine: Machine | None,
    buses: Sequence[str],
    known_builtin: Mapping[str, BuiltinDriver],
    homes: Collection[str],
) -> DriverView:
    """The driver sets of `kernel` under `machine`, where the host may present devices of `buses`.

    `homes` are the buses whose drivers have a channel of their own.
    """
    builtin = built_in.match_keys(kernel, known_builtin)
    aliases = [alias for device in (machine.devices if machine else ()) for alias in device.aliases]
    builtin_keys = by_bus({name: [(alias, "") for alias in keys] for name, keys in builtin.items()})
    if kernel is None or kernel.modules is None:
        return DriverView(builtin_keys=builtin_keys, known_builtin=len(builtin))
    configured = match.configured(kernel, aliases) if machine is not None and not machine.opaque else None
    everything = match.presentable(kernel, [*buses, *match.BEHIND_CONTROLLER, *match.BY_IDENTITY])
    presentable = match.narrowed(kernel, everything, buses)
    behind = match.narrowed(kernel, everything, [*buses, *match.BEHIND_CONTROLLER])
    all_keys = by_bus(everything.keys)
    direct = dict.fromkeys(name for names in all_keys.values() for name in names)
    direct |= dict.fromkeys(configured.direct if configured else ())
    return DriverView(
        configured=configured,
        presentable=presentable,
        behind_controller=behind,
        total_modules=len(kernel.modules),
        total_text=sum(module.text_bytes for module in kernel.modules),
        text=match.driver_texts(kernel, direct),
        configured_keys=by_bus(configured.keys) if configured else {},
        presentable_keys=all_keys,
        homeless=_homeless(kernel, behind, presentable, homes),
        builtin_keys=builtin_keys,
        builtin_configured_keys=by_bus(match.matching(builtin, aliases, kernel.source)),
        known_builtin=len(builtin),
    )


def _homeless(
    kernel: KernelFacts, behind: match.DriverSet, presentable: match.DriverSet, homes: Collection[str]
) -> match.DriverSet:
    """Drivers of devices that stand behind a presented controller and have no channel of their own (USB, HID, serio)."""
    found = match.narrowed(kernel, behind, [name for name in match.BEHIND_CONTROLLER if name not in homes])
    known, closed = set(presentable.direct), set(presentable.closure)
    direct = tuple(name for name in found.direct if name not in known)
    closure = tuple(name for name in found.closure if name not in closed)
    sizes = {module.name: module.text_bytes for module in kernel.modules or ()}
    keys = {name: found.keys[name] for name in direct}
    return match.DriverSet(direct, closure, sum(sizes[name] for name in closure), keys)


def count(drivers: match.DriverSet | None) -> DriverCount | None:
    """The closed set as the headline counts it."""
    return None if drivers is None else DriverCount(len(drivers.closure), drivers.text_bytes)


def drivers_line(headline: Headline, machine: Machine | None, split: Mapping[Reach, DriverCount] | None = None) -> str:
    """`configured: 13 drivers, 0.28 MiB; presentable: 1,167 drivers, 35.9 MiB`, or what is missing for it.

    `split` says of the presentable ones when each can be loaded, where an initrd was given.
    """
    if headline.presentable is None:
        devices = "unknown" if machine is None or machine.opaque else f"{len(machine.devices)} devices"
        return f"configured: {devices}; which drivers bind, and which the host may present, no kernel tells (--kernel)"
    parts = []
    for name, drivers in (("configured", headline.configured), ("presentable", headline.presentable)):
        if drivers is None:
            parts.append(f"{name}: unknown")
        else:
            parts.append(f"{name}: {drivers.modules:,} {_plural(drivers.modules)}, {mebibytes(drivers.text_bytes)}")
    if split:
        parts[-1] += " (" + ", ".join(_part(reach, drivers) for reach, drivers in split.items()) + ")"
    return "; ".join(parts)


def _part(reach: Reach, drivers: DriverCount) -> str:
    return f"{WORDS[reach]}: {drivers.modules:,}, {mebibytes(drivers.text_bytes)}"


def _plural(number: int) -> str:
    return "driver" if number == 1 else "drivers"


def mebibytes(size: int) -> str:
    """`35.9 MiB`, `2.35 MiB`, `0.28 MiB`: three significant digits, two below ten."""
    value = size / (1 << 20)
    return f"{value:.1f} MiB" if value >= 10 else f"{value:.2f} MiB"


def total(view: DriverView) -> DriverCount | None:
    """All loadable modules of the kernel."""
    return None if view.presentable is None else DriverCount(view.total_modules, view.total_text)


def with_line(
    headline: Headline, machine: Machine | None, split: Mapping[Reach, DriverCount] | None = None
) -> Headline:
    """The headline with its second line written."""
    return structs.replace(headline, drivers=drivers_line(headline, machine, split))
