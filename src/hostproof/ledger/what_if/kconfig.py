"""Kconfig options worth trying: symbols that predicates of the catalogue name, at the values that they name

A value is offered where the configuration writes the symbol at all, so that this kernel version has it and its
dependencies are met: `=y` of a symbol that is not in the file would be dropped by `make olddefconfig`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hostproof.artefacts.kernel.facts import KernelFacts
from hostproof.knowledge.predicate import parse
from hostproof.knowledge.records import Mechanism
from hostproof.ledger.what_if.changes import Change, Kind, SetConfig
from hostproof.ledger.what_if.literals import Literals

__all__ = ["DRIVERS", "PROMPTLESS", "kconfig_changes"]

DRIVERS: Mapping[str, tuple[str, ...]] = {
    "ACPI_APEI_EINJ": ("einj",),
    "ACPI_NFIT": ("nfit",),
    "ATA_GENERIC": ("ata_generic",),
    "ATA_PIIX": ("ata_piix",),
    "BLK_DEV_FD": ("floppy",),
    "CXL_ACPI": ("cxl_acpi",),
    "DCDBAS": ("dcdbas",),
    "EDD": ("edd",),
    "EFIVAR_FS": ("efivarfs",),
    "EFI_VARS_PSTORE": ("efi_pstore",),
    "FW_CFG_SYSFS": ("qemu_fw_cfg",),
    "HW_RANDOM_VIRTIO": ("virtio_rng",),
    "HYPERV": ("hv_vmbus",),
    "HYPERV_BALLOON": ("hv_balloon",),
    "HYPERV_UTILS": ("hv_utils",),
    "INTEL_RAPL_CORE": ("intel_rapl_common",),
    "IPMI_SI": ("ipmi_si",),
    "ISCSI_IBFT": ("iscsi_ibft",),
    "MTD_CFI": ("cfi_probe",),
    "MTD_PHYSMAP": ("physmap",),
    "NET_9P_VIRTIO": ("9pnet_virtio",),
    "PARPORT_PC": ("parport_pc",),
    "PATA_LEGACY": ("pata_legacy",),
    "PERF_EVENTS_INTEL_RAPL": ("rapl",),
    "PTP_1588_CLOCK_KVM": ("ptp_kvm",),
    "PTP_1588_CLOCK_VMW": ("ptp_vmw",),
    "PVPANIC_MMIO": ("pvpanic_mmio",),
    "PVPANIC_PCI": ("pvpanic_pci",),
    "SEV_GUEST": ("sev_guest",),
    "TCG_TIS_CORE": ("tpm_tis_core",),
    "TDX_GUEST_DRIVER": ("tdx_guest",),
    "UIO": ("uio",),
    "VFIO": ("vfio",),
    "VIRTIO_BALLOON": ("virtio_balloon",),
    "VIRTIO_CONSOLE": ("virtio_console",),
    "VIRTIO_FS": ("virtiofs",),
    "VIRTIO_IOMMU": ("virtio_iommu",),
    "VIRTIO_MEM": ("virtio_mem",),
    "VIRTIO_MMIO": ("virtio_mmio",),
    "VIRTIO_PMEM": ("virtio_pmem", "nd_virtio"),
    "VMGENID": ("vmgenid",),
    "X86_MSR": ("msr",),
}
"""The modules that a symbol builds, for those symbols that predicates name. SOURCE: `obj-$(CONFIG_...)` lines of Linux:
drivers/virtio/Makefile, drivers/hv/Makefile, drivers/char/hw_random/Makefile, drivers/nvdimm/Makefile,
drivers/misc/pvpanic/Makefile, drivers/acpi/apei/Makefile, arch/x86/events/Makefile, and the Makefile beside each driver."""

PROMPTLESS = frozenset(
    (
        "ACPI_HOTPLUG_CPU",
        "ACPI_HOTPLUG_IOAPIC",
        "ACPI_WATCHDOG",
        "AMD_NB",
        "DMAR_TABLE",
        "EFI_RUNTIME_WRAPPERS",
        "HPET_TIMER",
    )
    + (
        "HYPERV_TIMER",
        "PCI_ATS",
        "PCI_DIRECT",
        "PCI_ECAM",
        "SWIOTLB",
        "TCG_TIS_CORE",
        "X86_IO_APIC",
        "X86_THERMAL_VECTOR",
    )
)
"""Symbols for which mainline has no prompt on 64-bit machines: they follow from others, and a line in .config changes
nothing. SOURCE: Linux arch/x86/Kconfig, kernel/dma/Kconfig, and the Kconfig of drivers/acpi, drivers/pci,
drivers/clocksource, drivers/firmware/efi, drivers/iommu/intel and drivers/char/tpm."""

SWITCHES = frozenset("ymn")
REBUILT = "another image; whether Kconfig allows it, and what it switches along, is not checked"
MODULES_OFF = "what was =m becomes =y then: the drivers stay, built in; " + REBUILT


def kconfig_changes(kernel: KernelFacts, literals: Literals, mechanisms: Mapping[str, Mechanism]) -> Iterator[Change]:
    """Changes of the configuration that this kernel was built with."""
    for name, named in sorted(literals.values.items()):
        space, _, symbol = name.partition(".")
        old = (kernel.config or {}).get(symbol)
        if space != "config" or old is None or symbol in PROMPTLESS:
            continue
        for value in _offered(old.value, named):
            modules = DRIVERS.get(symbol, ()) if value == "n" else ()
            yield Change(
                kind=Kind.KCONFIG,
                id=f"CONFIG_{symbol}={value}",
                sentence=f"build the kernel with CONFIG_{symbol}={value} (it is {old.value})",
                how=f"# CONFIG_{symbol} is not set" if value == "n" else f"CONFIG_{symbol}={_quoted(value)}",
                edit=SetConfig(symbol, value, modules, _answers(symbol, mechanisms)),
                note=MODULES_OFF if symbol == "MODULES" else REBUILT,
                slot=f"config.{symbol}",
            )


def _offered(old: str, named: tuple[str, ...]) -> list[str]:
    """The values to try: those that are named, and `n` where a rule names what is set now (`== "y"` fails then)."""
    values = [value for value in named if value != old]
    if (old in ("y", "m") and old in named) or ("y" in named and old == "m"):
        values.append("n")
    if old in SWITCHES:
        values = [value for value in values if value in SWITCHES and not (value == "m" and "y" in (old, *named))]
    else:
        values = [value for value in values if value not in SWITCHES]
    if old == "m":  # built in instead of loadable takes nothing away from a host
        values = [value for value in values if value != "y"]
    return list(dict.fromkeys(values))


def _quoted(value: str) -> str:
    return value if value in SWITCHES or value.isdigit() else f'"{value}"'


def _answers(symbol: str, mechanisms: Mapping[str, Mechanism]) -> tuple[str, ...]:
    """The facts of the image by which mechanisms are told that the symbol switches."""
    fact = f"config.{symbol}"
    found: set[str] = set()
    for mechanism in mechanisms.values():
        if mechanism.package and mechanism.image and fact in parse(mechanism.package).names:
            found |= parse(mechanism.image).names
    return tuple(sorted(found - {"architecture"}))
