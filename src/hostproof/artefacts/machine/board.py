"""Board inventory: what a machine type adds without being asked

A command line for `q35` with `-nodefaults` names no keyboard controller, no HPET and no SMBus, and the guest has all of
them. `boards/*.json` holds what each machine type brings, as QEMU itself told it with its CPUs stopped
(`scripts/board_inventory.py`): with and without `-nodefaults`, and what every on-off switch of the machine adds or
takes away. Boards of other VMMs are written by hand, with their sources.

The inventories are measured under TCG. Under KVM the interrupt controllers and the PIT may be those of the kernel
(`kvm-apic`, `kvm-ioapic`, `kvm-i8259`, `kvm-pit`), and `kvmclock` joins them; the guest sees the same interfaces.
Switches were measured alone and in pairs. Switches that take away the same device take it away once; where two of them
together do something else than both alone (microvm without ACPI has no PCI Express), or one does more where defaults hold
(without SATA there is no default drive), the inventory holds the correction.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import combinations

import msgspec
from msgspec import Struct, field

from hostproof.artefacts.machine.model import Device, Origin
from hostproof.place import Place

__all__ = ["BoardDevices", "board_devices"]

FORMAT = "hostproof-board-inventory/1"
ON = frozenset({"on", "yes", "true", "y"})
OFF = frozenset({"off", "no", "false", "n"})
DROPPABLE = frozenset({"balloon", "console", "net", "parallel", "rng", "serial", "vga"})
DISK_DEFAULTS = {"ide-cd": "cdrom", "scsi-cd": "cdrom", "floppy": "floppy", "isa-fdc": "floppy", "sd-card": "sdcard"}
"""Default drives; QEMU leaves them out where a definition has one of the same kind (QEMU `system/vl.c`, `default_list`)."""
UBUNTU = {"ubuntu": "pc", "ubuntu-q35": "q35"}
"""Aliases that only Ubuntu's QEMU has for its own machine types."""
WITHOUT_DEVICES = frozenset(
    {
        "accel",
        "confidential-guest-support",
        "dumpdtb",
        "firmware",
        "kernel-irqchip",
        "memory",
        "memory-backend",
        "memory-encryption",
        "pflash0",
        "pflash1",
        "smp",
        "type",
    }
)
"""Options of `-machine` that are no switches of the board: they choose memory, firmware or the accelerator."""


@dataclass(frozen=True, slots=True)
class BoardDevices:
    """What a board adds.

    `machine` is the machine type as resolved, `inventory` names the inventory that answered (`qemu 10.0.2 x86_64`, empty
    where none did), `notes` are sentences that a person should know (an older inventory taken, an unknown board).
    Devices that only the VMM's defaults add have origin `default` and a property `default` that says which default
    (`net`, `vga`, `serial`, `parallel`, `cdrom`, `floppy`; `rng`, `console`, `balloon` of other VMMs): a definition that
    brings its own replaces it.
    """

    machine: str
    inventory: str
    devices: tuple[Device, ...]
    notes: tuple[str, ...]


class _Row(Struct, frozen=True):
    model: str
    bus: str
    aliases: tuple[str, ...]
    properties: dict[str, str] = field(default_factory=dict)


class _Effect(Struct, frozen=True):
    added: list[int]
    removed: list[int]


class _Layout(Struct, frozen=True):
    base: list[int]
    defaults: _Effect
    drops: dict[str, list[int]]
    switches: dict[str, _Effect]
    neutral: list[str]
    refused: list[str]
    together: dict[str, _Effect] = field(default_factory=dict)
    under_defaults: dict[str, _Effect] = field(default_factory=dict)
    acpi: list[str] = field(default_factory=list)


class _Inventory(Struct, frozen=True):
    format: str
    vmm: str
    version: str
    architecture: str
    default_machine: str
    aliases: dict[str, str]
    machines: dict[str, int]
    devices: list[_Row]
    layouts: list[_Layout]
    sources: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.vmm} {self.version} {self.architecture}"


def board_devices(
    machine: str,
    *,
    architecture: str,
    vmm_version: str | None = None,
    defaults: bool,
    switches: Mapping[str, str],
    place: Place,
) -> BoardDevices:
    """The devices that `machine` adds on `architecture`, each at `place`.

    `machine` is a type or alias of QEMU (empty: QEMU's default), with the suffixes that Proxmox (`+pve0`), Ubuntu and RHEL
    add, or `cloud-hypervisor`, `firecracker`, `crosvm`. `defaults` is False under `-nodefaults`. `switches` are the options
    of `-machine` as written; the name of a default (`net`, `vga`, ...) with the value `none` takes that default away, as
    QEMU's options of these names do. An unknown board gives no devices and a note; nothing is raised.
    """
    found = _resolve(machine, architecture, vmm_version)
    if found is None:
        note = (
            f"the board {_shown(machine)} is not known on {_shown(architecture)}, so the devices it adds are not listed"
        )
        return BoardDevices(machine, "", (), (note,))
    inventory, resolved, notes = found
    layout = inventory.layouts[inventory.machines[resolved]]
    rows, more = _apply(layout, defaults, switches)
    numbers = sorted(rows, key=lambda entry: (entry[1] != Origin.BOARD, entry[1], entry[0]))
    devices = tuple(_device(inventory.devices[number], number, origin, layout, place) for number, origin in numbers)
    return BoardDevices(resolved, inventory.name, devices, (*notes, *more))


def _shown(text: str) -> str:
    """`text` quoted, shortened where it is longer than any name."""
    return repr(text if len(text) <= 60 else text[:60] + "…")


@cache
def _inventories() -> tuple[_Inventory, ...]:
    """Every inventory, oldest version first."""
    found = []
    for entry in (resources.files("hostproof.artefacts.machine") / "boards").iterdir():
        if entry.name.endswith(".json") and entry.name not in {"aliases.json", "devices.json"}:
            found.append(msgspec.json.decode(entry.read_bytes(), type=_Inventory))
    return tuple(sorted(found, key=lambda inventory: (_version(inventory.version) or (0, 0), inventory.name)))


def _version(text: str | None) -> tuple[int, int] | None:
    """Major and minor number at the start of `text`."""
    match = re.match(r"(\d{1,4})\.(\d{1,4})", text or "")
    return (int(match[1]), int(match[2])) if match else None


def _resolve(
    machine: str, architecture: str, vmm_version: str | None
) -> tuple[_Inventory, str, tuple[str, ...]] | None:
    """The inventory for `machine`, the type it is there, and what a person should know of the choice."""
    candidates = [inventory for inventory in _inventories() if inventory.architecture == architecture]
    for inventory in candidates:
        if inventory.vmm != "qemu" and machine in inventory.machines:
            return inventory, machine, ()
    qemus = [inventory for inventory in candidates if inventory.vmm == "qemu"]
    plain = re.sub(r"\+pve\d+$", "", machine)
    plain = UBUNTU.get(plain, plain)
    if not qemus or not _family(plain, qemus[-1]):
        return None
    inventory, notes = _choose(plain, qemus, vmm_version)
    resolved = inventory.aliases.get(plain, plain) if plain else inventory.default_machine
    if resolved not in inventory.machines:
        nearest = _nearest(resolved, inventory)
        notes += (f"{inventory.name} has no machine type {_shown(resolved)}; the devices are those of {nearest}",)
        resolved = nearest
    return inventory, resolved, notes


def _choose(machine: str, inventories: list[_Inventory], vmm_version: str | None) -> tuple[_Inventory, tuple[str, ...]]:
    """The inventory of the version asked for, or of the nearest one that is not newer."""
    wanted = _version(vmm_version)
    if wanted is None:
        having = [inventory for inventory in inventories if machine in inventory.machines]
        inventory = (having or inventories)[-1]
        return inventory, (f"the definition does not say which QEMU runs it; devices as {inventory.name} adds them",)
    older = [inventory for inventory in inventories if (_version(inventory.version) or (0, 0)) <= wanted]
    inventory = older[-1] if older else inventories[0]
    if _version(inventory.version) == wanted:
        return inventory, ()
    return inventory, (f"no inventory of QEMU {wanted[0]}.{wanted[1]}; devices as {inventory.name} adds them",)


def _family(machine: str, inventory: _Inventory) -> str:
    """The family of a machine type (`pc-q35`, `virt`), empty where the inventory has none such."""
    if not machine:
        machine = inventory.default_machine
    full = inventory.aliases.get(machine, machine)
    if full in inventory.machines:
        return re.sub(r"-\d+(\.\d+)+$", "", full)
    families = {re.sub(r"-\d+(\.\d+)+$", "", name) for name in inventory.machines}
    return max((family for family in families if machine.startswith(f"{family}-")), key=len, default="")


def _nearest(machine: str, inventory: _Inventory) -> str:
    """The type of the same family that is nearest and not newer; the oldest or, without a number, the newest one else."""
    family = _family(machine, inventory)
    versions = sorted(
        (_version(name.removeprefix(f"{family}-")) or (0, 0), name)
        for name in inventory.machines
        if name == family or re.fullmatch(re.escape(family) + r"-\d+(\.\d+)+", name)
    )
    wanted = _version(machine.removeprefix(f"{family}-"))
    if wanted is None:
        return versions[-1][1]
    return next((name for version, name in reversed(versions) if version <= wanted), versions[0][1])


def _apply(layout: _Layout, defaults: bool, switches: Mapping[str, str]) -> tuple[list[tuple[int, Origin]], list[str]]:
    """The numbers of the devices with their origins, and notes on switches whose effect is not known."""
    default = Counter(layout.defaults.added) if defaults else Counter[int]()
    removed = Counter(layout.defaults.removed) if defaults else Counter[int]()
    added = Counter[int]()
    notes, effective = [], []
    for name, value in sorted(switches.items()):
        if name in DROPPABLE and value == "none":
            if defaults:
                removed |= Counter(layout.drops.get(name, []))
            continue
        switch = _switch(name, value)
        effect = layout.switches.get(switch)
        if effect:
            effective.append(switch)
            removed |= Counter(effect.removed)
            added |= Counter(effect.added)
        elif switch in layout.refused:
            notes.append(f"what the machine option {_shown(switch)} changes could not be measured: QEMU refused it")
        elif switch not in layout.neutral and switch.split("=")[0] not in WITHOUT_DEVICES and value != "auto":
            notes.append(f"what the machine option {_shown(switch)} changes among the devices was not measured")
    for correction in _corrections(layout, defaults, effective):
        removed |= Counter(correction.removed)
        added += Counter(correction.added)
    numbers = []
    for origin, part in ((Origin.BOARD, Counter(layout.base)), (Origin.DEFAULT, default), (Origin.DEFINITION, added)):
        numbers += [(number, origin) for number in (part - removed).elements()]
        removed -= part
    return numbers, notes


def _corrections(layout: _Layout, defaults: bool, effective: list[str]) -> list[_Effect]:
    """What the effects of switches need besides: of pairs, and of each where QEMU's defaults hold."""
    found = [layout.together.get(",".join(pair)) for pair in combinations(sorted(effective), 2)]
    if defaults:
        found += [layout.under_defaults.get(switch) for switch in effective]
    return [correction for correction in found if correction]


def _switch(name: str, value: str) -> str:
    """A machine option as the inventories spell it; QEMU takes `_` for `-` and several words for on and off."""
    word = value.lower()
    word = "on" if word in ON else "off" if word in OFF else word
    return f"{name.replace('_', '-')}={word}"


def _device(row: _Row, number: int, origin: Origin, layout: _Layout, place: Place) -> Device:
    properties = dict(row.properties)
    if origin is Origin.DEFAULT:
        kind = _kind_of_default(number, row.model, layout.drops.items())
        if kind:
            properties["default"] = kind
    return Device(
        model=row.model,
        bus=row.bus,
        origin=origin,
        place=place,
        aliases=row.aliases,
        properties=tuple(sorted(properties.items())),
    )


def _kind_of_default(number: int, model: str, drops: Iterable[tuple[str, list[int]]]) -> str:
    """Which default adds this device, empty where no option of QEMU takes it away."""
    for kind, numbers in drops:
        if number in numbers:
            return kind
    return DISK_DEFAULTS.get(model, "")
