"""Drivers that are built into the image: their match keys, and what is not known of them.

Three things tell the keys: what the build wrote to `modules.builtin.modinfo` together with the registration structures in
the image itself, and where neither does the catalogue's list for drivers that every kernel builds in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hostproof.artefacts.kernel.facts import ImageDriver, KernelFacts
from hostproof.knowledge.predicate import version_key
from hostproof.knowledge.records import BuiltinDriver

__all__ = ["match_keys", "registered", "unseen"]

# modpost writes the match tables of built-in drivers to modules.builtin.modinfo since "Add generated modalias to
# modules.builtin.modinfo" (Alexey Gladkov, merged 2025-09-24 for this release); older kernels have a few by hand.
TABLES_SINCE = "6.18"


def match_keys(kernel: KernelFacts | None, known: Mapping[str, BuiltinDriver]) -> dict[str, tuple[str, ...]]:
    """Aliases of built-in drivers by module name, or by the name of the driver where no module is known for it."""
    if kernel is None:
        return {}
    aliases = dict(kernel.builtin_aliases)
    found: dict[str, dict[str, None]] = {}
    for driver in kernel.image.drivers if kernel.image else ():
        found.setdefault(_name(driver), {}).update(dict.fromkeys(driver.aliases))
    for name, keys in found.items():  # before 6.18 a build writes the aliases that stand in the source alone
        aliases[name] = tuple(dict.fromkeys((*aliases.get(name, ()), *keys)))
    for name in kernel.builtin or ():
        if name not in aliases and name in known:
            aliases[name] = tuple(known[name].aliases)
    return {name: aliases[name] for name in sorted(aliases) if aliases[name]}


def registered(kernel: KernelFacts | None) -> dict[str, ImageDriver]:
    """The registration structure of each built-in driver that the image shows, by the name of its rows."""
    drivers = kernel.image.drivers if kernel is not None and kernel.image else ()
    return {_name(driver): driver for driver in reversed(drivers)}


def unseen(kernel: KernelFacts, buses: Sequence[str], keyed: int) -> str | None:
    """Why not all built-in drivers of these buses are known, or None where they are.

    `keyed` is the number of built-in drivers with match keys.
    """
    if kernel.builtin == ():
        return None
    if kernel.builtin is not None and kernel.version and not _older(kernel.version, TABLES_SINCE):
        return None
    if kernel.image is not None:
        limits = {bus: kernel.image.driver_buses.get(bus, _OUTSIDE) for bus in buses}
        reasons = list(dict.fromkeys(f"{bus}: {limit}" for bus, limit in limits.items() if limit))
        return "; ".join(reasons) or None
    count = len(kernel.builtin or ())
    return (
        f"{count - keyed} of {count} built-in modules carry no match keys in this package, which kernels write since "
        f"{TABLES_SINCE}: which devices they bind is not known"
    )


_OUTSIDE = (
    "built-in code that reads these keys registers no driver with them, so the image does not tell who reads them"
)


def _name(driver: ImageDriver) -> str:
    return driver.module or driver.name.replace("-", "_").replace(" ", "_") or driver.structure


def _older(version: str, other: str) -> bool:
    """Whether a version is older than another, or is none."""
    try:
        return version_key(version) < version_key(other)
    except ValueError:
        return True
