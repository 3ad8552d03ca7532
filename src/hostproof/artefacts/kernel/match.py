r"""From devices to drivers: which modules a guest's user space loads for a device, and which a host can make it load.

A device announces itself with a `MODALIAS`; udev hands it to modprobe, which loads every module with an alias that
matches it as a pattern. SOURCE: `scripts/mod/file2alias.c` of Linux (how match tables become aliases), modprobe(8),
fnmatch(3) without flags: `*`, `?`, `[a-f]`, `[!x]`, `\x`. modprobe takes `-` and `_` for the same outside of brackets.

Forms of aliases, of which the part before the first `:` names the bus (`acpi*` and `dmi*` are patterns there)::

    pci:v*d*sv*sd*bc*sc*i*    configuration space       acpi*:PNP0501:*    an _HID or _CID of DSDT and SSDTs
    virtio:d*v*               a virtio transport        pnp:dPNP0501*      the same device on the PNP bus

An ACPI device with resources appears on the PNP bus too, so modpost writes both forms for a PNP table; here a device
alias `acpi:PNP0501:` counts as `pnp:dPNP0501` as well, and the other way round.

A module needs the modules in its `depends`; those that are built in are no modules and add nothing to a set.
`softdep` and `PRP0001` (a table that names a device-tree `compatible`) are not followed.

A kernel is written by whoever built it: modules, comparisons and steps along dependencies are counted, and one that
wants many times more than any distribution's kernel raises InputError.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hostproof.artefacts.kernel.alias_pattern import Pattern, normalised
from hostproof.artefacts.kernel.facts import KernelFacts, Module
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = [
    "BEHIND_CONTROLLER",
    "BY_IDENTITY",
    "MADE_BY_DRIVERS",
    "AliasIndex",
    "DriverSet",
    "bus",
    "configured",
    "driver_text",
    "driver_texts",
    "matches",
    "matching",
    "narrowed",
    "presentable",
    "presentable_by_bus",
]

BEHIND_CONTROLLER = (
    "usb",
    "hid",
    "serio",
    "input",
    "pcmcia",
    "sdio",
    "mmc",
    "mdio",
    "hdaudio",
    "scsi",
    "vmbus",
    "xen",
)
"""Buses whose devices stand behind a controller, hypervisor channel or transport that a host can present."""

MAX_DRIVERS = 20_000
"""Modules, or built-in drivers with aliases; an allmodconfig of Linux 6.12 has some 10,000."""
MAX_STEPS = 1_000_000
"""Steps along dependencies, of all drivers together; Debian's stock kernel (4,023 modules) takes 29,000."""
MAX_COST = 10_000_000
"""Characters compared for all devices of a VM together; with that kernel and a TDX server it is 235,000."""

MADE_BY_DRIVERS = (
    "auxiliary",
    "bcma",
    "cxl",
    "dax",
    "fslmc",
    "i2c",
    "ieee1394",
    "ishtp",
    "mei",
    "mfd",
    "mhi",
    "nd",
    "of",
    "platform",
) + ("rpmsg", "sdw", "slim", "spi", "spmi", "ssam", "ssb", "tbsvc", "typec", "ulpi", "vchiq")
"""Buses whose devices other drivers, board code or a device tree make: whether a host can cause one is not told by keys."""

BY_IDENTITY = ("cpu", "dmi", "wmi")
"""Buses whose devices are words of the host: CPUID leaves, SMBIOS strings, WMI blocks that ACPI names. User space loads
modules by them as by any device.
"""

Keys = tuple[tuple[str, str], ...]
_WILD = re.compile(r"[*?\[\\]")


@dataclass(frozen=True, slots=True)
class DriverSet:
    """Modules that devices bind, and all that these modules need.

    `direct` and `closure` are sorted canonical names. `keys` says for each direct driver which aliases bind it, as
    pairs of module alias and device alias; the latter is empty where any device of the bus would do. `text_bytes`
    counts the closure.
    """

    direct: tuple[str, ...]
    closure: tuple[str, ...]
    text_bytes: int
    keys: Mapping[str, Keys] = field(repr=False)


def bus(alias: str) -> str:
    """The bus of an alias: `acpi` for `acpi*:PNP0501:*`; empty where it names none (`fs-ext4`)."""
    head, colon, _ = alias.partition(":")
    return head.rstrip("*") if colon else ""


def matches(pattern: str, modalias: str) -> bool:
    """Whether a module's alias matches a device's, as modprobe compares them."""
    return Pattern(normalised(pattern)).matches(modalias.replace("-", "_"))


def configured(facts: KernelFacts, device_aliases: Iterable[str]) -> DriverSet:
    """The modules that these devices make the guest load."""
    modules = _modules(facts)
    found = matching({module.name: module.aliases for module in modules}, device_aliases, facts.source)
    return _driver_set({module.name: module for module in modules}, found)


def presentable(facts: KernelFacts, buses: Sequence[str]) -> DriverSet:
    """The modules that some device on one of these buses would make the guest load."""
    keys = ((module.name, ((alias, "") for alias in module.aliases)) for module in _modules(facts))
    return _beginning(facts, keys, _heads(buses))


def presentable_by_bus(facts: KernelFacts) -> dict[str, DriverSet]:
    """For every bus that an alias names, in the order of the modules, what `presentable` gives for it alone.

    Raises InputError where that are more steps along dependencies than a kernel takes.
    """
    modules = _modules(facts)
    purse = _Purse(MAX_STEPS, facts.source, "steps along the dependencies of modules, bus by bus")
    found: dict[str, dict[str, list[tuple[str, str]]]] = {}
    for module in modules:
        for alias in module.aliases:
            if name := bus(alias):
                found.setdefault(name, {}).setdefault(module.name, []).append((alias, ""))
    by_name = {module.name: module for module in modules}
    return {
        name: _driver_set(by_name, {module: tuple(keys) for module, keys in keys.items()}, purse)
        for name, keys in found.items()
    }


def narrowed(facts: KernelFacts, wider: DriverSet, buses: Sequence[str]) -> DriverSet:
    """Of a wider set of presentable modules, those that a device on one of these buses would make the guest load."""
    return _beginning(facts, wider.keys.items(), _heads(buses))


def _beginning(
    facts: KernelFacts, drivers: Iterable[tuple[str, Iterable[tuple[str, str]]]], heads: tuple[str, ...]
) -> DriverSet:
    """Of these drivers those with a key that begins so."""
    kept = ((name, tuple(pair for pair in pairs if pair[0].startswith(heads))) for name, pairs in drivers)
    found = {name: keys for name, keys in kept if keys}
    return _driver_set({module.name: module for module in _modules(facts)}, found)


def _heads(buses: Sequence[str]) -> tuple[str, ...]:
    """How aliases of these buses begin, as modpost writes them: see `bus`."""
    return tuple(head for name in buses for head in (f"{name}:", f"{name}*:"))


def matching(
    drivers: Mapping[str, Sequence[str]], device_aliases: Iterable[str], source: str = "kernel"
) -> dict[str, Keys]:
    """Of `drivers` (name -> aliases) those that a device binds, with the aliases that met, in the drivers' order.

    Raises InputError naming `source` where the aliases are more than a kernel has.
    """
    _bounded(len(drivers), source)
    devices = dict.fromkeys(device_aliases)
    if not devices:
        return {}
    index = AliasIndex(drivers, source)
    found: dict[str, dict[tuple[str, str], None]] = {}
    for device in devices:
        for form in _forms(device):
            for name, alias in index.lookup(form):
                found.setdefault(name, {})[alias, device] = None
    return {name: tuple(found[name]) for name in drivers if name in found}


def driver_text(facts: KernelFacts, name: str) -> int:
    """Executable bytes of a module with everything it depends on; 0 where there is no such module."""
    return driver_texts(facts, (name,))[name]


def driver_texts(facts: KernelFacts, names: Iterable[str]) -> dict[str, int]:
    """`driver_text` of several modules."""
    by_name = {module.name: module for module in _modules(facts)}
    purse = _Purse(MAX_STEPS, facts.source, "steps along the dependencies of modules")
    return {name: sum(by_name[other].text_bytes for other in _closure(by_name, (name,), purse)) for name in names}


class _Purse:
    """What may be spent on one input."""

    __slots__ = ("left", "limit", "source", "what")

    def __init__(self, limit: int, source: str, what: str) -> None:
        self.left = self.limit = limit
        self.source = source
        self.what = what

    def spend(self, cost: int) -> None:
        """Raises InputError where nothing is left."""
        self.left -= cost
        if self.left < 0:
            raise InputError(
                f"more than {self.limit} {self.what}", place=Place(self.source), expected="the modules of a kernel"
            )


def _modules(facts: KernelFacts) -> Sequence[Module]:
    modules = facts.modules or ()
    _bounded(len(modules), facts.source)
    return modules


def _bounded(drivers: int, source: str) -> None:
    if drivers > MAX_DRIVERS:
        raise InputError(
            f"{drivers} drivers", place=Place(source), expected=f"the drivers of one kernel, at most {MAX_DRIVERS}"
        )


def _driver_set(by_name: Mapping[str, Module], found: Mapping[str, Keys], purse: _Purse | None = None) -> DriverSet:
    closure = tuple(sorted(_closure(by_name, found, purse)))
    return DriverSet(
        direct=tuple(sorted(found)),
        closure=closure,
        text_bytes=sum(by_name[name].text_bytes for name in closure),
        keys=found,
    )


def _closure(by_name: Mapping[str, Module], names: Iterable[str], purse: _Purse | None = None) -> set[str]:
    """`names` and all modules they need; what is no module (it is built in) is left out."""
    seen: set[str] = set()
    stack = [name for name in names if name in by_name]
    while stack:
        name = stack.pop()
        if name not in seen:
            seen.add(name)
            if purse is not None:
                purse.spend(1 + len(by_name[name].depends))
            stack.extend(other for other in by_name[name].depends if other in by_name and other not in seen)
    return seen


def _forms(device: str) -> tuple[str, ...]:
    """The aliases under which one device appears."""
    head, _, rest = device.partition(":")
    if head == "acpi":
        return (device, *(f"pnp:d{identifier}" for identifier in rest.split(":") if identifier))
    if head == "pnp" and rest.startswith("d"):
        return (device, f"acpi:{rest[1:]}:")
    return (device,)


class AliasIndex:
    """Patterns by their literal beginning, so that a device is compared with the few that can match it."""

    def __init__(self, drivers: Mapping[str, Sequence[str]], source: str = "kernel") -> None:
        self._purse = _Purse(MAX_COST, source, "characters of aliases to compare with the VM's devices")
        self._by_head: dict[str, list[tuple[str, str, str]]] = {}
        for name, aliases in drivers.items():
            for alias in aliases:
                pattern = normalised(alias)
                wild = _WILD.search(pattern)
                head = pattern[: wild.start()] if wild else pattern
                self._by_head.setdefault(head, []).append((name, alias, pattern))
        self._lengths = sorted({len(head) for head in self._by_head})

    def lookup(self, modalias: str) -> list[tuple[str, str]]:
        """Name and alias of every driver that the device binds, in the order in which the aliases were given."""
        text = modalias.replace("-", "_")
        found = []
        for length in self._lengths:
            if length > len(text):
                break
            for name, alias, pattern in self._by_head.get(text[:length], ()):
                self._purse.spend(_cost(pattern, text))
                if Pattern(pattern).matches(text):
                    found.append((name, alias))
        return found


def _cost(pattern: str, text: str) -> int:
    """What comparing the two may take: a product only where pieces are no plain text."""
    plain = "[" not in pattern and "?" not in pattern
    return len(pattern) + len(text) if plain else len(pattern) * (1 + len(text) // 8)
