"""What is known of a VM while its QEMU command line is being read

QEMU reads its whole command line before it builds anything: a device may name a back end that stands after it. So the
arguments first become `Entry` rows, then the back ends are put down here, then the devices.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hostproof.artefacts.machine import device_models
from hostproof.artefacts.machine.model import Boot, Device, HostInput, Origin, Unread
from hostproof.artefacts.machine.qemu.values import Options
from hostproof.place import Place

__all__ = ["Draft", "Drive", "Entry"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One option of the command line. `text` is its argument as written, `options` the same taken apart;
    `unresolved` the expansions of the shell that stand in it.
    """

    option: str
    text: str
    options: Options
    place: Place
    unresolved: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Drive:
    """A disk of `-drive` or its sugar: the interface it is plugged into and what stands behind it."""

    interface: str
    """As `if=` names it; empty for the board's default."""
    index: int | None
    media: str
    backend: str
    entry: Entry


@dataclass(slots=True)
class Draft:
    """A VM in the making. `architecture` is None where neither binary nor board tells."""

    place: Place
    architecture: str | None
    name: str = ""
    board: str | None = None
    board_place: Place | None = None
    version: str | None = None
    defaults: bool = True
    user_config: bool = True
    suppressed: set[str] = field(default_factory=set)
    """The default devices that something on the command line switches off, by the names of QEMU's flags."""
    machine: dict[str, tuple[str, Entry]] = field(default_factory=dict)
    """Properties of the machine with dashes for underscores; the last one written wins."""
    globals: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    """Properties that `-global` sets, by the driver it names."""
    chardevs: dict[str, str] = field(default_factory=dict)
    netdevs: dict[str, str] = field(default_factory=dict)
    fsdevs: dict[str, str] = field(default_factory=dict)
    tpmdevs: dict[str, str] = field(default_factory=dict)
    audiodevs: dict[str, str] = field(default_factory=dict)
    nodes: dict[str, Options] = field(default_factory=dict)
    """Block nodes by `node-name`."""
    node_ends: dict[str, str] = field(default_factory=dict)
    """What each block node stands on, once it was asked for."""
    drives: dict[str, Drive] = field(default_factory=dict)
    """Drives by `id`."""
    objects: dict[str, Entry] = field(default_factory=dict)
    plugged: list[Drive] = field(default_factory=list)
    """Drives that QEMU gives a device by itself (`if=` other than none)."""
    network: list[Entry] = field(default_factory=list)
    """`-nic` and `-net nic`, which take the board's default model where they name none."""
    serials: list[Entry] = field(default_factory=list)
    parallels: list[Entry] = field(default_factory=list)
    boot: Boot = field(default_factory=Boot)
    vcpus: int | None = None
    cpu_model: str | None = None
    memory_mib: int | None = None
    devices: list[Device] = field(default_factory=list)
    host_inputs: list[HostInput] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    notes: dict[str, None] = field(default_factory=dict)
    """Sentences, each once, in the order in which they came."""
    declared: list[tuple[str, Place]] = field(default_factory=list)

    def add_device(
        self,
        model: str,
        place: Place,
        *,
        id: str | None = None,
        backend: str | None = None,
        properties: tuple[tuple[str, str], ...] = (),
        origin: Origin = Origin.DEFINITION,
    ) -> None:
        """Adds a device under the name of its type; one that the table does not hold is told as unread as well."""
        architecture = self.architecture or "x86_64"
        canonical = device_models.canonical(model, architecture)
        if not device_models.is_known(canonical):
            why = "no device model of this name is known: its bus and what the guest would bind to it are not either"
            self.cannot_read(f"device {model}", why, place)
        given = {name for name, _ in properties}
        inherited = tuple(
            pair
            for driver in dict.fromkeys((model, canonical))
            for pair in self.globals.get(driver, ())
            if pair[0] not in given
        )
        self.devices.append(
            device_models.device(
                canonical, origin=origin, place=place, id=id, backend=backend, properties=properties + inherited
            )
        )

    def add_input(self, name: str, meaning: str, channel: str, place: Place, value: str = "") -> None:
        """Adds something other than a device that the host chooses at launch."""
        self.host_inputs.append(HostInput(name, meaning, channel, place, value))

    def cannot_read(self, option: str, why: str, place: Place) -> None:
        """Tells that an option was not understood."""
        self.unread.append(Unread(option, why, place))

    def note(self, sentence: str) -> None:
        """Adds a sentence about how the command line was read, once."""
        self.notes[sentence] = None

    def set_machine(self, key: str, value: str, entry: Entry) -> None:
        """Sets a property of the machine; underscores are dashes (system/vl.c, keyval_dashify)."""
        self.machine[key.replace("_", "-")] = (value, entry)

    def boots(self, **changes: str | bool | Place | None) -> None:
        """Changes what the VM boots."""
        self.boot = replace(self.boot, **changes)  # type: ignore[arg-type] # the names are those of Boot's fields
