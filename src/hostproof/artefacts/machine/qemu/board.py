"""The board of a QEMU command line, and the devices that QEMU adds because nothing said otherwise

Without `-nodefaults` QEMU adds a network card, a display adapter, a serial and a parallel port, a floppy and a CD-ROM
drive, as far as the board has room for them. What stands on the command line switches them off one by one:

| default | switched off by |
|---|---|
| network card | `-nic`, `-net`, `-netdev`; not by a card of `-device` |
| display adapter | `-vga`, or a display adapter of `-device` or `-global` |
| serial port | `-serial`, or `isa-serial` of `-device` or `-global` |
| parallel port | `-parallel`, or `isa-parallel` |
| floppy drive | a first floppy, or `floppy` or `isa-fdc` |
| CD-ROM drive | a drive of index 2 on the board's own bus, or `ide-cd`, `ide-hd`, `scsi-cd`, `scsi-hd` |

SOURCE: QEMU system/vl.c at 00cfbdcbe16d (default_list, qemu_disable_default_devices, qemu_create_default_devices,
default_drive); 7.2 hw/isa/isa-superio.c and hw/char/serial-isa.c (serial_hds_isa_init), hw/s390x/s390-virtio-ccw.c
(sclpconsole).
"""

from __future__ import annotations

import re
from dataclasses import replace

from hostproof.artefacts.machine.board import board_devices
from hostproof.artefacts.machine.model import Device, Origin
from hostproof.artefacts.machine.qemu.backends import legacy_chardev
from hostproof.artefacts.machine.qemu.draft import Draft
from hostproof.artefacts.machine.qemu.sugar import DEFAULT_FLAGS, family, plug_drives, plug_network
from hostproof.artefacts.machine.qemu.values import boolean

__all__ = ["add_board", "resolve_board"]

_DEFAULT_BOARDS = {"x86_64": "pc", "i386": "pc", "s390x": "s390-ccw-virtio", "ppc64": "pseries"}
"""What QEMU takes without `-machine`; other targets refuse to start. SOURCE: MachineClass.is_default of each board."""
_BOARD_ARCHITECTURES = {"virt": "aarch64", "s390": "s390x", "pseries": "ppc64"}
_PROXMOX = re.compile(r"\+pve\d*$")
_VERSION = re.compile(r"-(\d{1,2}\.\d{1,2}(?:\.\d{1,2})?)$")
_X86 = frozenset({"pc", "q35", "isapc", "microvm"})
_UARTS = ("pl011", "serial-mm", "spapr-vty", "sifive.uart", "riscv.sifive.uart")
_DEFAULT_MODELS = {
    **DEFAULT_FLAGS,
    "virtio-gpu-pci": "vga",
    "virtio-gpu-ccw": "vga",
    "bochs-display": "vga",
    "sclpconsole": "serial",
    "sd-card": "sdcard",
}
_NO_SWITCHES = tuple(
    """
    append boot. dtb dt-compatible firmware graphics igvm-cfg initrd kernel loadparm max-fw-size max-ram-below-4g memory
    oem- phandle-start pcspk-audiodev audiodev shim smp. smp-cache. x-oem-
    """.split()  # noqa: SIM905 - a row of names reads better than a list of literals
)
"""Properties of the machine that choose what is booted, or sizes and names; no device comes or goes with them."""
_CARDS = ("e1000", "virtio-net", "rtl8139", "ne2k", "pcnet", "tulip", "vmxnet3", "i82", "igb", "spapr-vlan")


def resolve_board(draft: Draft) -> None:
    """Settles which board and architecture it is, before anything depends on them."""
    if draft.board is None and draft.architecture is None:
        draft.architecture = "x86_64"
        draft.note("neither the binary nor a machine names the architecture: it is taken as x86_64")
    if draft.board is None and draft.architecture is not None:
        draft.board = _DEFAULT_BOARDS.get(draft.architecture)
        if draft.board is None:
            draft.cannot_read("-machine", f"no machine is named and {draft.architecture} has no default", draft.place)
        else:
            draft.note(f"no machine is named: QEMU takes its default, {draft.board!r}")
    if draft.board is None:
        return
    if suffix := _PROXMOX.search(draft.board):
        draft.note(f"{suffix[0]!r} is Proxmox VE's suffix of the machine type, for changes of its own QEMU")
        draft.board = draft.board[: suffix.start()]
    version = _VERSION.search(draft.board)
    draft.version = version[1] if version else None
    if draft.architecture is None:
        draft.architecture = _BOARD_ARCHITECTURES.get(family(draft.board), "x86_64")
        draft.note(
            f"the binary does not name its architecture; the machine {draft.board!r} is taken as {draft.architecture}"
        )


def add_board(draft: Draft) -> None:
    """Adds the drives, cards and ports that the board carries, then what it adds itself and by default."""
    if draft.board is None or draft.architecture is None:
        plug_network(draft, None)
        plug_drives(draft, frozenset())
        draft.note("neither a binary nor a machine is named: the devices of the board are not listed")
        return
    board = _devices(draft, defaults=draft.defaults)
    unnamed = any(not entry.options.get("model") for entry in draft.network)
    full = _devices(draft, defaults=True) if unnamed and not draft.defaults else board
    plug_network(draft, next((device.model for device in full if _default(device) == "net"), None))
    _suppress(draft)
    board = _ports(draft, [device for device in board if _default(device) not in draft.suppressed])
    plug_drives(draft, frozenset(device.model for device in board))
    draft.devices.extend(_with_globals(draft, device) for device in board)


def _devices(draft: Draft, *, defaults: bool) -> list[Device]:
    switches = {key: value for key, (value, _) in draft.machine.items() if not key.startswith(_NO_SWITCHES)}
    found = board_devices(
        draft.board or "",
        architecture=draft.architecture or "",
        vmm_version=draft.version,
        defaults=defaults,
        switches=switches,
        place=draft.board_place or draft.place,
    )
    draft.board = found.machine
    for sentence in found.notes:
        draft.note(sentence)
    return list(found.devices)


def _default(device: Device) -> str | None:
    """The default (as QEMU's flags name it) that this device of the board is; None where the board has it anyway."""
    if device.origin is not Origin.DEFAULT:
        return None
    named = dict(device.properties).get("default")
    return named or ("net" if device.model.startswith(_CARDS) else _DEFAULT_MODELS.get(device.model))


def _with_globals(draft: Draft, device: Device) -> Device:
    """A device of the board with what `-global` sets of it."""
    pairs = tuple(draft.globals.get(device.model, ()))
    return replace(device, properties=device.properties + pairs) if pairs else device


def _suppress(draft: Draft) -> None:
    """Which defaults the globals and drives of the command line switch off; its devices have done so already."""
    draft.suppressed |= {DEFAULT_FLAGS[driver] for driver in draft.globals if driver in DEFAULT_FLAGS}
    taken = {drive.index for drive in draft.plugged if drive.interface in ("", "ide")}
    free = 0
    for drive in draft.plugged:
        if drive.interface in ("", "ide") and drive.index is None:
            while free in taken:
                free += 1
            taken.add(free)
    sata = draft.machine["sata"][0] if "sata" in draft.machine else "on"
    if 2 in taken or (family(draft.board) == "q35" and boolean(sata) is False):  # a q35 without SATA has no disk bus
        draft.suppressed.add("cdrom")
    if any(drive.interface == "floppy" and not drive.index for drive in draft.plugged):
        draft.suppressed.add("floppy")


def _ports(draft: Draft, base: list[Device]) -> list[Device]:
    """Serial and parallel ports: ISA devices on a PC, a back end for the board's own UART elsewhere."""
    on_pc = family(draft.board) in _X86
    for number, entry in enumerate(entry for entry in draft.serials if entry.text != "none"):
        backend = legacy_chardev(draft, entry.text)
        model = "isa-serial" if on_pc else "sclpconsole" if draft.architecture == "s390x" else None
        own = next((i for i, d in enumerate(base) if d.backend is None and d.model in (model, *_UARTS)), None)
        if own is not None:
            base[own] = replace(base[own], backend=backend)
        elif model is not None and number < 4:
            draft.add_device(model, entry.place, backend=backend)
        else:
            draft.cannot_read(f"-serial {entry.text}"[:200], "which port of this board it is is not known", entry.place)
    for entry in draft.parallels:
        if entry.text != "none" and on_pc and family(draft.board) != "microvm":
            draft.add_device("isa-parallel", entry.place, backend=legacy_chardev(draft, entry.text))
        elif entry.text != "none":
            draft.cannot_read(f"-parallel {entry.text}"[:200], "this board has no parallel port", entry.place)
    return base
