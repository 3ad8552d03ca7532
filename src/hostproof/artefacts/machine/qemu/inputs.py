"""What a QEMU command line lets the host choose at launch besides devices

Kernel, initrd and command line, firmware, fw_cfg items, SMBIOS and ACPI tables, option ROMs, saved states; and the
settings of the machine itself.

SOURCE: QEMU 7.2 qemu-options.hx and softmmu/vl.c; docs/specs/fw_cfg.rst; hw/core/machine.c and the machine classes of hw/i386,
hw/arm/virt.c, hw/s390x/s390-virtio-ccw.c for the properties of machines.
"""

from __future__ import annotations

import math

from hostproof.artefacts.machine.qemu.draft import Draft, Entry
from hostproof.artefacts.machine.qemu.values import integer, mebibytes
from hostproof.errors import InputError

__all__ = ["read_input", "read_setting"]

_MACHINE_PROPERTIES = frozenset(
    """
    type accel acpi append aux-ram-share confidential-guest-support dt-compatible dtb dump-guest-core dumpdtb firmware
    graphics hmat igd-passthru igvm-cfg initrd kernel kernel-irqchip kvm-shadow-mem mem-merge memory-backend
    memory-encryption nvdimm nvdimm-persistence phandle-start shim spcr suppress-vmdesc usb
    acpi-pcihp bus-lock-ratelimit default-bus-bypass-iommu fd-bootchk hpet i8042 max-fw-size max-ram-below-4g oem-id
    oem-table-id pflash0 pflash1 pic pit sata smbios-entry-point-type smbus smm south-bridge vmport x-oem-id x-oem-table-id
    x-south-bridge x-pci-hotplug auto-kernel-cmdline ioapic2 isa-serial option-roms pcie rtc x-option-roms
    compact-highmem dtb-kaslr-seed dtb-randomness gic-version highmem highmem-ecam highmem-mmio highmem-mmio-size
    highmem-redists iommu its msi mte ras secure tcg-its virtualization cxl vmcoreinfo
    aes-key-wrap dea-key-wrap loadparm zpcii-disable aclint aia aia-guests vsock parent-id parent-role id
    ic-mode kvm-type max-cpu-compat resize-hpt vfio-no-msix-emulation vsmt
    """.split()  # noqa: SIM905 - a row of names reads better than a list of literals
)
_MACHINE_GROUPS = (
    "smp.",
    "memory.",
    "boot.",
    "sgx-epc.",
    "cxl-fmw.",
    "smp-cache.",
    "numa.",
    "audiodev",
    "pcspk-audiodev",
    "cap-",
)


def read_setting(draft: Draft, entry: Entry) -> None:
    """Settings that everything else depends on: machine, sizes, which defaults QEMU adds."""
    options, text = entry.options, entry.text
    match entry.option:
        case "machine" | "M":
            _machine(draft, entry)
        case "usb":
            draft.set_machine("usb", "on", entry)
        case "usbdevice":
            draft.set_machine("usb", "on", entry)
        case "nographic":
            draft.set_machine("graphics", "off", entry)
        case "no-acpi":
            draft.set_machine("acpi", "off", entry)
        case "no-hpet":
            draft.set_machine("hpet", "off", entry)
        case "enable-kvm" | "enable-hax":
            draft.set_machine("accel", entry.option.removeprefix("enable-"), entry)
        case "accel":
            draft.set_machine("accel", options.get("accel") or "", entry)
            for key, value in options.without("accel"):
                draft.set_machine(key, value, entry)
        case "nodefaults":
            draft.defaults = False
        case "no-user-config" | "nodefconfig":
            draft.user_config = False
        case "global":
            _global(draft, entry)
        case "vga":
            draft.suppressed.add("vga")
        case "nic" | "net":
            draft.suppressed.add("net")
            draft.network.append(entry)
        case "serial":
            draft.suppressed.add("serial")
            draft.serials.append(entry)
        case "parallel":
            draft.suppressed.add("parallel")
            draft.parallels.append(entry)
        case "name":
            draft.name = options.get("guest") or ""
        case "smp":
            _set_count(draft, entry, "vcpus", _vcpus(entry))
        case "m" if (size := options.get("size")) is not None:
            _set_count(draft, entry, "memory_mib", mebibytes(size))
        case "cpu":
            draft.cpu_model = options.get("model")
            switches = text.partition(",")[2]
            if switches:
                draft.note(f"switches of the CPU model: {switches}")


def _set_count(draft: Draft, entry: Entry, name: str, number: int | None) -> None:
    if number is None:
        draft.cannot_read(f"-{entry.option} {entry.text}"[:200], "the number is not readable", entry.place)
    setattr(draft, name, number)


def _machine(draft: Draft, entry: Entry) -> None:
    for key, value in entry.options.pairs:
        name = key.replace("_", "-")
        if key == "type":
            draft.board, draft.board_place = value, entry.place
        elif name.startswith(_MACHINE_GROUPS) or name in _MACHINE_PROPERTIES:
            draft.set_machine(key, value, entry)
        else:
            draft.set_machine(key, value, entry)
            draft.cannot_read(f"-machine {key}={value}"[:200], "this property of the machine is not known", entry.place)


def _global(draft: Draft, entry: Entry) -> None:
    """`driver.property=value`, or the three keys. SOURCE: util/qemu-config.c, qemu_global_option."""
    driver, dot, rest = entry.text.partition(".")
    name, equals, value = rest.partition("=")
    options = entry.options
    if dot and equals and "=" not in driver:
        draft.globals.setdefault(driver, []).append((name, value))
        return
    keys = dict(pair.split("=", 1) for pair in entry.text.split(",") if "=" in pair)
    found = [keys.get(key, options.get(key)) for key in ("driver", "property", "value")]
    if found[0] is None or found[1] is None or found[2] is None:
        why = "neither driver.property=value nor driver=,property=,value="
        draft.cannot_read(f"-global {entry.text}"[:200], why, entry.place)
        return
    draft.globals.setdefault(found[0], []).append((found[1], found[2]))


def _vcpus(entry: Entry) -> int | None:
    """The number of vCPUs: as written, else the product of the topology. SOURCE: hw/core/machine-smp.c."""
    options = entry.options
    written = options.get("cpus")
    if written is not None:
        return integer(written)
    levels = [
        options.get(key) for key in ("drawers", "books", "sockets", "dies", "clusters", "modules", "cores", "threads")
    ]
    numbers = [integer(level) for level in levels if level is not None] or [integer(options.get("maxcpus") or "1")]
    return None if None in numbers else math.prod(number for number in numbers if number is not None)


def read_input(draft: Draft, entry: Entry) -> None:
    """What the host feeds the guest at launch."""
    options, text, place = entry.options, entry.text, entry.place
    match entry.option:
        case "kernel":
            draft.boots(kernel=text, kernel_place=place)
        case "initrd":
            draft.boots(initrd=text, initrd_place=place)
        case "append":
            draft.boots(command_line=text, command_line_place=place)
            draft.add_input("command line", "parameters of the guest's kernel", "C03", place, text)
        case "bios":
            draft.boots(firmware=text, firmware_place=place)
        case "fw_cfg":
            value = options.get("string")
            where = options.get("file")
            generated = options.get("gen_id")
            value = (
                value if value is not None else f"file:{where}" if where is not None else f"object:{generated or ''}"
            )
            draft.add_input(options.get("name") or "", "fw_cfg item for firmware and kernel", "C06", place, value)
        case "smbios":
            kind = options.get("type")
            name = f"SMBIOS type {kind}" if kind is not None else "SMBIOS file"
            draft.add_input(name, "strings of a firmware table", "C05", place, text or _written(entry))
        case "uuid":
            draft.add_input("SMBIOS type 1", "UUID of the system in a firmware table", "C05", place, text)
        case "acpitable":
            draft.add_input("ACPI table", "a table given as a file", "C04", place, text or _written(entry))
        case "boot":
            draft.add_input(
                "boot order", "boot order and menu settings for the firmware", "C06", place, text or _written(entry)
            )
        case "dtb":
            draft.add_input("device tree", "description of the hardware for the guest's kernel", "", place, text)
        case "option-rom":
            draft.add_input("option ROM", "code that the firmware runs", "", place, text or _written(entry))
        case "shim":
            draft.add_input("shim", "EFI program that starts the kernel", "", place, text)
        case "rtc" | "startdate" | "localtime":
            draft.add_input("time of day", "where the real-time clock starts", "", place, text or _written(entry))
        case "incoming" | "loadvm":
            draft.add_input("saved state", "state of a VM to start from", "", place, text)
        case "seed":
            draft.add_input("seed", "seed of the random numbers that the VMM gives the guest", "", place, text)
        case "prom-env":
            draft.add_input("firmware variable", "variable of OpenBIOS", "", place, text)
        case "gdb" | "s":
            draft.add_input("debugger", "a debugger of the host on the guest's CPUs", "", place, text)
        case "numa":
            draft.add_input("NUMA", "topology in firmware tables", "C04", place, text or _written(entry))
        case "h" | "help" | "version" | "audio-help":
            raise InputError(f"-{entry.option} starts no VM", place=place, expected="a command line that starts a VM")
        case "pcidevice" | "bt" | "virtioconsole" | "show-perf" | "tpm":
            draft.cannot_read(f"-{entry.option} {text}".strip()[:200], "QEMU has removed this option", place)


def _written(entry: Entry) -> str:
    """The keys and values of an option that a configuration file gave."""
    return ",".join(f"{key}={value}" for key, value in entry.options.pairs)
