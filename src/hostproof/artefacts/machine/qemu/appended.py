"""QEMU arguments that a tool appends to its own without looking at them

libvirt has `qemu:commandline`, Proxmox VE has `args`. QEMU reads them after everything else, so where there can only
be one of something they win.
"""

from __future__ import annotations

from dataclasses import fields, replace

from hostproof.artefacts.machine.model import Boot, Machine, Origin
from hostproof.artefacts.machine.qemu.reader import read_argv
from hostproof.place import Place

__all__ = ["with_arguments"]


def with_arguments(machine: Machine, argv: list[tuple[str, Place]], source: str) -> Machine:
    """`machine` with what `argv` adds to it or changes in it. `source` is the name of the element or key they come from.

    The arguments are read behind the bare command line of the same board, and what that alone would give is taken off.
    """
    if not argv:
        return machine
    place = machine.place
    before = [
        (f"qemu-system-{machine.architecture or 'x86_64'}", place),
        ("-nodefaults", place),
        ("-no-user-config", place),
    ]
    if machine.board:
        before += [("-machine", place), (machine.board, place)]
    base = read_argv(before, place.artefact, machine.format)
    return _merge(machine, base, read_argv(before + argv, place.artefact, machine.format), source)


def _merge(machine: Machine, base: Machine, extra: Machine, source: str) -> Machine:
    """What the arguments add to the bare machine `base`. Those that come last win where there can only be one."""
    devices = tuple(device for device in extra.devices if device.origin is not Origin.BOARD)
    count = f"devices that come from {source}, which QEMU gets unread by the tool: {len(devices)}"
    return replace(
        machine,
        vcpus=extra.vcpus if extra.vcpus != base.vcpus else machine.vcpus,
        cpu_model=extra.cpu_model if extra.cpu_model != base.cpu_model else machine.cpu_model,
        memory_mib=extra.memory_mib if extra.memory_mib != base.memory_mib else machine.memory_mib,
        confidential=extra.confidential or machine.confidential,
        boot=_boot(machine.boot, extra.boot),
        devices=(*machine.devices, *devices),
        host_inputs=(*machine.host_inputs, *(one for one in extra.host_inputs if one not in base.host_inputs)),
        unread=(*machine.unread, *(one for one in extra.unread if one not in base.unread)),
        notes=(*machine.notes, count, *(note for note in extra.notes if note not in base.notes)),
    )


def _boot(first: Boot, last: Boot) -> Boot:
    """`first` with every field that `last` gives."""
    given = {field.name: value for field in fields(last) if (value := getattr(last, field.name)) is not None}
    return replace(first, **given)
