"""Instances: every occurrence of a channel in this VM, with the three facts about each.

*Configured*: the definition presents its device. *Presentable*: the definition does not, but the host may, and this
guest binds code to it. *Absent*: this guest has no code for it. The three are never mixed; the definition is written
by the adversary and proves nothing about what the guest will be fed.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hostproof.artefacts.kernel.match import DriverSet, bus
from hostproof.artefacts.machine.model import Device, HostInput, Machine, Unread
from hostproof.knowledge.load import Catalogue
from hostproof.knowledge.predicate import Fact, Facts, Truth, any_of, parse
from hostproof.knowledge.records import Channel, Instance, LegacyCode
from hostproof.knowledge.terms import Checked, Presence, Threat
from hostproof.ledger.model import Evidence
from hostproof.place import Place

__all__ = [
    "DriverView",
    "Occurrence",
    "behind_controllers",
    "by_bus",
    "catalogued",
    "drivers",
    "host_inputs",
    "legacy",
    "unread",
]


Key = tuple[str, str]
"""A module alias and the device alias that it matches ("" where any device of the bus would do)."""
KeysByBus = dict[str, dict[str, Key]]


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One instance of a channel, before it is decided.

    `consumed` is False where this guest has no code that reads it (the row is then `refused`, by `refusal`), None
    where that depends on facts that were not given. `driver` names the driver if it is one; `found` is what the initrd says
    against it.
    """

    channel: Channel
    id: str
    name: str
    threats: tuple[Threat, ...]
    primitives: tuple[str, ...]
    presence: Presence
    consumed: bool | None = True
    refusal: str = ""
    facts: tuple[Fact, ...] = ()
    missing: tuple[Fact, ...] = ()
    place: Place | None = None
    record: Instance | None = None
    driver: str | None = None
    text_bytes: int | None = None
    sources: tuple[str, ...] = ()
    found: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class DriverView:
    """The drivers of this guest: those that the definition's devices bind, those that a host may make it bind, and
    drivers that are built in (their code size is not known from a package alone).
    """

    configured: DriverSet | None = None
    presentable: DriverSet | None = None
    behind_controller: DriverSet | None = None
    total_modules: int = 0
    total_text: int = 0
    text: dict[str, int] = field(default_factory=dict)
    """Executable bytes of each direct driver with everything it depends on."""
    configured_keys: KeysByBus = field(default_factory=dict)
    presentable_keys: KeysByBus = field(default_factory=dict)
    """With those behind a presented controller, and those that CPUID, SMBIOS or WMI make user space load."""
    homeless: DriverSet | None = None
    """Drivers behind a presented controller whose bus has no channel, beyond those that are presentable anyway."""
    builtin_keys: KeysByBus = field(default_factory=dict)
    builtin_configured_keys: KeysByBus = field(default_factory=dict)
    known_builtin: int = 0
    """Built-in drivers with known match keys."""


def catalogued(catalogue: Catalogue, channel: Channel, facts: Facts, machine: Machine | None) -> Iterator[Occurrence]:
    """The catalogue's instances of a channel in this VM."""
    for record in catalogue.instances_of(channel.id):
        consumed = parse(record.consumed)(facts) if record.checked is not Checked.UNCHECKED else Truth(True)
        present, device = _presence(record, consumed, machine)
        yield Occurrence(
            channel=channel,
            id=record.id,
            name=record.name,
            threats=tuple(record.threats or channel.threats),
            primitives=tuple(record.primitives or channel.primitives),
            presence=present,
            consumed=consumed.value,
            refusal=record.refusal,
            facts=consumed.because,
            missing=consumed.missing,
            place=device.place if device else None,
            record=record,
            sources=tuple(record.sources),
        )


def _presence(record: Instance, consumed: Truth, machine: Machine | None) -> tuple[Presence, Device | None]:
    """The three facts, for an instance that has device models or that the platform always has."""
    if consumed.value is False:
        return Presence.ABSENT, None
    device = _device(record.devices, machine)
    if device is not None or (not record.devices and consumed.value):
        return Presence.CONFIGURED, device
    if consumed.value is None or (machine is not None and machine.opaque):
        return Presence.UNKNOWN, None
    return Presence.PRESENTABLE, None


def _device(patterns: Sequence[str], machine: Machine | None) -> Device | None:
    """The first device of the definition whose model one of the patterns matches."""
    if machine is None:
        return None
    for device in machine.devices:
        if any(fnmatch.fnmatchcase(device.model, pattern) for pattern in patterns):
            return device
    return None


def legacy(catalogue: Catalogue, channel: Channel, facts: Facts) -> Iterator[Occurrence]:
    """Code that probes fixed places, where the catalogue has no instance for what it feeds: one row for all code that feeds
    the same one. Nothing presents a device to it: the host answers what it reads.
    """
    known = {f"{channel.id}/{record.id}" for record in catalogue.instances_of(channel.id)}
    rows: dict[str, list[LegacyCode]] = {}
    for code in catalogue.legacy_code.values():
        for row in code.rows:
            if row.startswith(f"{channel.id}/") and row not in known:
                rows.setdefault(row, []).append(code)
    for row, codes in rows.items():
        found = [(code, parse(code.present)(facts)) for code in codes]
        truth = any_of(present for _, present in found)
        held = [code for code, present in found if present.value] or codes
        yield Occurrence(
            channel=channel,
            id=row.partition("/")[2],
            name="; ".join(code.name for code in held),
            threats=_run_time(channel),
            primitives=tuple(channel.primitives),
            presence={True: Presence.PRESENTABLE, False: Presence.ABSENT, None: Presence.UNKNOWN}[truth.value],
            consumed=truth.value,
            refusal=f"none of the code that reads it is in this kernel: {', '.join(code.module for code in codes)}",
            facts=truth.because,
            missing=truth.missing,
            sources=tuple(dict.fromkeys(source for code in held for source in code.sources)),
        )


def drivers(channel: Channel, view: DriverView, machine: Machine | None) -> Iterator[Occurrence]:
    """The drivers whose match keys belong to this channel: loadable ones by name, then built-in ones."""
    configured = _on(channel, view.configured_keys)
    presentable = _on(channel, view.presentable_keys)
    for name in sorted(configured | presentable):
        key = configured.get(name) or presentable[name]
        yield _driver(channel, name, name in configured, key, view.text.get(name), machine)
    met, known = _on(channel, view.builtin_configured_keys), _on(channel, view.builtin_keys)
    for name in sorted(known):
        if name not in configured and name not in presentable:
            yield _driver(channel, name, name in met, met.get(name) or known[name], None, machine)


def _on(channel: Channel, keys: KeysByBus) -> dict[str, Key]:
    """Drivers with a match key on one of the channel's buses, each with the first of its keys there."""
    found: dict[str, Key] = {}
    for name_of_bus in channel.driver_buses:
        for name, key in keys.get(name_of_bus, {}).items():
            found.setdefault(name, key)
    return found


def by_bus(keys: Mapping[str, Iterable[Key]]) -> KeysByBus:
    """Match keys by bus: bus -> driver -> its first key there. Channels ask for buses, so this is done once."""
    found: KeysByBus = {}
    for name, pairs in keys.items():
        head = "\n"  # no alias begins with it; a driver's aliases stand bus by bus, so most are passed over by it
        for pair in pairs:
            if not pair[0].startswith(head):
                head = pair[0].partition(":")[0] + ":"
                found.setdefault(bus(pair[0]), {}).setdefault(name, pair)
    return found


def _driver(
    channel: Channel,
    name: str,
    is_configured: bool,
    key: Key,
    text_bytes: int | None,
    machine: Machine | None,
) -> Occurrence:
    alias, device_alias = key
    device = None
    if is_configured and machine is not None:
        device = next((device for device in machine.devices if device_alias and device_alias in device.aliases), None)
    fact = Fact(f"module.{name}", f"binds {alias}" + (f" ({device_alias})" if device_alias else ""))
    return Occurrence(
        channel=channel,
        id=name,
        name=f"driver {name}",
        threats=_run_time(channel),
        primitives=tuple(channel.driver_primitives or channel.primitives),
        presence=Presence.CONFIGURED if is_configured else Presence.PRESENTABLE,
        facts=(fact,),
        place=device.place if device else None,
        driver=name,
        text_bytes=text_bytes,
        sources=tuple(channel.sources),
    )


def _run_time(channel: Channel) -> tuple[Threat, ...]:
    """The threats of what a driver reads: those of run time, where the channel is a launch input as well (ACPI)."""
    return tuple(threat for threat in channel.threats if threat is not Threat.T1) or tuple(channel.threats)


def behind_controllers(channel: Channel, view: DriverView) -> Iterator[Occurrence]:
    """Devices behind a controller that the host presents, as one instance: their drivers have no channel of their own."""
    drivers = view.homeless
    if drivers is None or not drivers.direct:
        return
    buses = sorted({bus(pairs[0][0]) for pairs in drivers.keys.values()})
    some = ", ".join(drivers.direct[:4]) + (f" and {len(drivers.direct) - 4} more" if len(drivers.direct) > 4 else "")
    yield Occurrence(
        channel=channel,
        id="behind-controllers",
        name=f"drivers of devices behind a controller that the host presents ({', '.join(buses)})",
        threats=_run_time(channel),
        primitives=tuple(channel.primitives),
        presence=Presence.PRESENTABLE,
        facts=(Fact("kernel.drivers", f"{len(drivers.closure)} modules beyond the presentable ones: {some}"),),
        text_bytes=drivers.text_bytes,
        sources=tuple(channel.sources),
    )


def host_inputs(catalogue: Catalogue, inputs: Iterable[HostInput]) -> Iterator[Occurrence]:
    """Further launch inputs of the definition: annotations, SMBIOS strings, fw_cfg items."""
    for item in inputs:
        channel = catalogue.channels.get(item.channel)
        if channel is None:
            continue
        value = f"{item.name}={item.value}" if item.value else item.name
        yield Occurrence(
            channel=channel,
            id=identifier(item.name),
            name=f"{item.name}: {item.meaning}",
            threats=(Threat.T1,),
            primitives=tuple(channel.primitives),
            presence=Presence.CONFIGURED,
            facts=(Fact("definition.input", value, item.place),),
            place=item.place,
            sources=tuple(channel.sources),
        )


def unread(items: Iterable[Unread]) -> Iterator[tuple[str, Unread]]:
    """Options that the reader did not understand, with a row identifier for each."""
    for item in items:
        yield identifier(item.option), item


def identifier(text: str) -> str:
    """A stable row identifier made of a free name: letters, digits, dot, dash and underscore, at most 60 characters."""
    kept = "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "-" for char in text)
    return kept.strip("-.")[:60] or "unnamed"
