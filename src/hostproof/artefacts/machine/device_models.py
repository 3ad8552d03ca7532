"""Device models: the bus and the module aliases of every QEMU device model

`boards/devices.json` holds what QEMU itself answered when each model was started alone (`scripts/device_inventory.py`):
the bus it sits on and, from its configuration space, the alias that the guest's kernel computes. Ids that QEMU does not
tell (ACPI, USB, serio, device tree) come from `boards/aliases.json`, which names its sources.

A virtio function has two PCI ids: the transitional one on a conventional or root bus, the modern one behind a PCI Express
port (QEMU `hw/virtio/virtio-pci.c`, `disable-legacy=auto`). The table has both, because the slot decides.
Models that pass a host's device through (`vfio-pci`, `usb-host`) have a bus and no aliases: the definition does not say
what they are.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import msgspec
from msgspec import Struct

from hostproof.artefacts.machine.model import Device, Origin
from hostproof.place import Place

__all__ = ["canonical", "device", "is_known"]

FORMAT = "hostproof-device-models/1"


class _Model(Struct, frozen=True):
    model: str
    bus: str
    aliases: tuple[str, ...]
    source: str


class _Alias(Struct, frozen=True):
    alias: str
    model: str
    architectures: tuple[str, ...]


class _File(Struct, frozen=True):
    format: str
    aliases: list[_Alias]
    models: list[_Model]


@cache
def _models() -> dict[str, _Model]:
    return {model.model: model for model in _file().models}


@cache
def _aliases() -> dict[tuple[str, str], str]:
    return {
        (alias.alias, architecture): alias.model for alias in _file().aliases for architecture in alias.architectures
    }


@cache
def _file() -> _File:
    data = (resources.files("hostproof.artefacts.machine") / "boards" / "devices.json").read_bytes()
    return msgspec.json.decode(data, type=_File)


def canonical(model: str, architecture: str = "x86_64") -> str:
    """The device type that QEMU makes of `-device model` on `architecture`.

    A type's own name goes before an alias; a name that is neither comes back as it is. SOURCE: QEMU
    `system/qdev-monitor.c` (commit 0193b3bc05fe), `qdev_alias_table` and `qdev_get_device_class`: `virtio-blk` is
    `virtio-blk-pci` where PCI is the usual transport and `virtio-blk-ccw` on s390x.
    """
    if model in _models():
        return model
    return _aliases().get((model, architecture), model)


def is_known(model: str) -> bool:
    """Whether the table holds `model`, under its own name or an alias of any architecture."""
    return model in _models() or any(alias == model for alias, _ in _aliases())


def device(
    model: str,
    *,
    origin: Origin,
    place: Place,
    id: str | None = None,
    backend: str | None = None,
    properties: tuple[tuple[str, str], ...] = (),
) -> Device:
    """A device with bus and aliases filled in; an unknown model has bus `unknown` and no aliases.

    An alias is resolved as on x86_64; a reader for another architecture calls `canonical` first.
    """
    name = canonical(model)
    known = _models().get(name)
    return Device(
        model=name,
        bus=known.bus if known else "unknown",
        origin=origin,
        place=place,
        aliases=known.aliases if known else (),
        id=id,
        backend=backend,
        properties=properties,
    )
