"""The machine of a libvirt domain: architecture, machine type, and what its `features` and `clock` switch on the board

libvirt always starts QEMU with `-nodefaults` and `usb=off`; everything else that is there without being asked belongs
to the board, and a few elements turn parts of it on or off with `-machine` options.

SOURCE: libvirt 11.3.0 src/qemu/qemu_domain.c (qemuDomainMachineIsQ35, qemuDomainMachineIsI440FX,
qemuDomainMachineIsARMVirt), src/qemu/qemu_capabilities.c (preferredMachines), src/qemu/qemu_postparse.c
(qemuDomainDefEnableDefaultFeatures: GIC), src/qemu/qemu_command.c
(qemuBuildMachineCommandLine, qemuAppendDomainFeaturesMachineParam, qemuBuildMachineACPI: without `<acpi/>` QEMU gets
`acpi=off`; qemuBuildClockCommandLine).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hostproof.artefacts.machine.libvirt.xml import Element

__all__ = ["Board", "board_of", "switches"]

_PREFERRED = {"x86_64": "pc", "i686": "pc", "aarch64": "virt", "armv7l": "virt", "s390x": "s390-ccw-virtio"}
_PREFERRED |= {"ppc64": "pseries", "ppc64le": "pseries", "riscv64": "virt", "loongarch64": "virt"}
_EMULATOR = re.compile(r"qemu-system-([a-z0-9_]+)$")
_X86_MACHINE = re.compile(r"(?:q35|pc|pc-q35-.*|pc-i440fx-.*|microvm|isapc)")


@dataclass(frozen=True, slots=True)
class Board:
    """`kind` is what libvirt's rules ask for: `q35`, `i440fx`, `virt`, `s390-ccw`, `pseries`, or `other`."""

    architecture: str | None
    machine: str
    kind: str
    notes: tuple[str, ...] = ()

    @property
    def x86(self) -> bool:
        return self.architecture in ("x86_64", "i686")

    @property
    def target(self) -> str:
        """The architecture of the QEMU binary: a 32-bit x86 guest runs on that of x86_64."""
        return "x86_64" if self.x86 or self.architecture is None else self.architecture

    @property
    def pcie(self) -> bool:
        """Whether PCI Express is the machine's bus."""
        return self.kind in ("q35", "virt")

    @property
    def root(self) -> str:
        """The model of PCI controller 0, "" where the machine has none."""
        if self.kind in ("q35", "virt"):
            return "pcie-root"
        return "pci-root" if self.kind in ("i440fx", "s390-ccw", "pseries") else ""


def board_of(domain: Element) -> Board:
    """The board that the domain asks for, or libvirt takes where it does not say."""
    type_ = domain.first("os", "type")
    architecture = type_.get("arch") if type_ is not None else ""
    machine = type_.get("machine") if type_ is not None else ""
    notes = []
    if architecture == "aarch64" and not domain.attribute("features", "gic", "version"):
        notes.append(
            "no GIC version is named: libvirt takes the highest that the host has (3 is taken here, 2 without KVM)"
        )
    if not architecture:
        architecture = _guess(domain, machine)
        if architecture:
            notes.append(
                f"os/type names no architecture: {architecture} is taken from the emulator or the machine type"
            )
        else:
            notes.append("os/type names no architecture: libvirt takes that of the host")
    if not machine and architecture:
        machine = _PREFERRED.get(architecture, "")
        if machine:
            notes.append(f"os/type names no machine: libvirt takes {machine!r} for {architecture}")
    return Board(architecture or None, machine, _kind(architecture, machine), tuple(notes))


def _guess(domain: Element, machine: str) -> str:
    match = _EMULATOR.search(domain.value("devices", "emulator"))
    if match:
        return {"i386": "i686"}.get(match.group(1), match.group(1))
    return "x86_64" if _X86_MACHINE.fullmatch(machine) else ""


def _kind(architecture: str, machine: str) -> str:
    if architecture in ("x86_64", "i686"):
        if machine == "q35" or machine.startswith("pc-q35-"):
            return "q35"
        if machine == "pc" or machine.startswith(("pc-0.", "pc-1.", "pc-i440fx-", "rhel")):
            return "i440fx"
        return "other"
    if architecture == "s390x":
        return "s390-ccw" if machine.startswith("s390-ccw") else "other"
    if architecture in ("aarch64", "armv7l", "armv6l", "riscv64", "riscv32", "loongarch64"):
        return "virt" if machine == "virt" or machine.startswith("virt-") else "other"
    return "pseries" if machine.startswith("pseries") else "other"


def switches(domain: Element, board: Board) -> dict[str, str]:
    """The `-machine` options that the domain sets, under QEMU's names, each `on` or `off` (`kernel_irqchip` also `split`)."""
    found: dict[str, str] = {"usb": "off"}
    if board.x86 or board.kind == "virt":
        found["acpi"] = "on" if domain.first("features", "acpi") is not None else "off"
    for feature, option in (("vmport", "vmport"), ("smm", "smm"), ("ps2", "i8042")):
        state = domain.attribute("features", feature, "state")
        if state in ("on", "off"):
            found[option] = state
        elif domain.first("features", feature) is not None and feature == "smm":
            found[option] = "on"
    driver = domain.attribute("features", "ioapic", "driver")
    if driver in ("qemu", "kvm"):
        found["kernel_irqchip"] = "split" if driver == "qemu" else "on"
    for timer in (domain.first("clock") or domain).all("timer"):
        if timer.get("name") == "hpet" and timer.get("present") in ("yes", "no"):
            found["hpet"] = "on" if timer.get("present") == "yes" else "off"
    if board.kind == "virt" and board.architecture == "aarch64":
        given = domain.attribute("features", "gic", "version")
        found["gic-version"] = given or ("2" if domain.get("type") == "qemu" else "3")
    if any(element.get("model") == "smmuv3" for element in (domain.first("devices") or domain).all("iommu")):
        found["iommu"] = "smmuv3"
    return found
