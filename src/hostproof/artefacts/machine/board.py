"""Board inventory: what a machine type adds without being asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hostproof.artefacts.machine.model import Device
from hostproof.place import Place

__all__ = ["BoardDevices", "board_devices"]


@dataclass(frozen=True, slots=True)
class BoardDevices:
    """What a board adds.

    `machine` is the machine type as resolved, `inventory` names the inventory that answered (empty where none did),
    `notes` are sentences that a person should know (an older inventory taken, an unknown board).
    """

    machine: str
    inventory: str
    devices: tuple[Device, ...]
    notes: tuple[str, ...]


def board_devices(
    machine: str,
    *,
    architecture: str,
    vmm_version: str | None = None,
    defaults: bool,
    switches: Mapping[str, str],
    place: Place,
) -> BoardDevices:
    """The devices that `machine` adds; `defaults` is False under `-nodefaults`."""
    return BoardDevices(machine, "", (), (f"the board {machine!r} is not known, so its devices are not listed",))
