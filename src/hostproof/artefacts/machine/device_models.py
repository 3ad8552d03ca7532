"""Device models: the bus and the module aliases of every QEMU device model."""

from __future__ import annotations

from hostproof.artefacts.machine.model import Device, Origin
from hostproof.place import Place

__all__ = ["canonical", "device", "is_known"]


def canonical(model: str, architecture: str = "x86_64") -> str:
    """The name of the device type that QEMU makes of `-device model` on `architecture`."""
    return model


def is_known(model: str) -> bool:
    """Whether the table holds `model` under its own name or an alias."""
    return False


def device(
    model: str,
    *,
    origin: Origin,
    place: Place,
    id: str | None = None,
    backend: str | None = None,
    properties: tuple[tuple[str, str], ...] = (),
) -> Device:
    """A device with bus and aliases filled in; an unknown model has bus `unknown` and no aliases."""
    return Device(
        model=model, bus="unknown", origin=origin, place=place, id=id, backend=backend, properties=properties
    )
