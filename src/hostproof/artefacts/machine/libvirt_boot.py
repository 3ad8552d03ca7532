"""What a libvirt domain boots, and what else its definition feeds the guest at launch

Firmware, kernel, initrd and command line become `Boot`; device tree, ACPI tables, SMBIOS strings, fw_cfg blobs, the CPU model
and the hypervisor's enlightenments are host inputs, each with its line.

SOURCE: libvirt 11.3.0 src/conf/domain_conf.c (virDomainDefParseBootOptions and its parts: a loader without a type is a ROM),
src/qemu/qemu_command.c (qemuBuildBootCommandLine, qemuBuildSmbiosCommandLine, qemuBuildSysinfoCommandLine,
qemuBuildCpuCommandLine). Channel ids are those of the catalogue.
"""

from __future__ import annotations

from dataclasses import replace

from hostproof.artefacts.machine.libvirt_xml import Element
from hostproof.artefacts.machine.model import Boot, HostInput, Unread

__all__ = ["boot", "cpu_model", "host_inputs", "memory_mib", "vcpus"]

_UNITS = {
    "b": 1,
    "bytes": 1,
    "KB": 1000,
    "k": 1024,
    "K": 1024,
    "KiB": 1024,
    "": 1024,
    "MB": 10**6,
    "M": 1 << 20,
    "MiB": 1 << 20,
}
_UNITS |= {"GB": 10**9, "G": 1 << 30, "GiB": 1 << 30, "TB": 10**12, "T": 1 << 40, "TiB": 1 << 40}


def boot(domain: Element, kernel_hashes: bool | None) -> tuple[Boot, tuple[str, ...], tuple[HostInput, ...]]:
    """The boot facts, sentences about them, and the choices that the definition leaves to the host."""
    os = domain.first("os")
    if os is None:
        return Boot(kernel_hashes=kernel_hashes), (), ()
    notes: list[str] = []
    inputs: list[HostInput] = []
    found = Boot(kernel_hashes=kernel_hashes)
    loader = os.first("loader")
    if loader is not None and loader.text.strip():
        found = replace(found, firmware=loader.text.strip(), firmware_place=loader.place)
    elif os.get("firmware"):
        kind = os.get("firmware")
        wanted = ", ".join(
            f"{feature.get('name')}={feature.get('enabled')}"
            for firmware in os.all("firmware")
            for feature in firmware.all("feature")
        )
        inputs.append(
            HostInput(
                "os/firmware",
                "the host picks the firmware among the images it describes as having what is asked for",
                "C01",
                os.place_of("firmware"),
                f"{kind} {wanted}".strip(),
            )
        )
        notes.append(f"firmware {kind!r} is left to the host's selection: the definition names no image")
    nvram = os.first("nvram")
    if nvram is not None:
        path = nvram.text.strip() or nvram.attribute("source", "file")
        if path:
            found = replace(found, firmware_variables=path)
    kernel, initrd, line = (os.first(tag) for tag in ("kernel", "initrd", "cmdline"))
    if kernel is not None and kernel.text.strip():
        found = replace(found, kernel=kernel.text.strip(), kernel_place=kernel.place)
    if initrd is not None and initrd.text.strip():
        found = replace(found, initrd=initrd.text.strip(), initrd_place=initrd.place)
    if line is not None and line.text.strip():
        found = replace(found, command_line=line.text.strip(), command_line_place=line.place)
    return found, tuple(notes), tuple(inputs)


def memory_mib(domain: Element) -> tuple[int | None, Unread | None]:
    """Memory at boot in MiB, or what was not understood. A missing unit is KiB to libvirt."""
    element = domain.first("memory")
    if element is None:
        return None, None
    unit, text = element.get("unit"), element.text.strip()
    if not text.isascii() or not text.isdigit() or len(text) > 18 or unit not in _UNITS:
        return None, Unread(
            f"memory {text[:40]!r} {unit!r}", "not a number with a unit that libvirt knows", element.place
        )
    return int(text) * _UNITS[unit] >> 20, None


def vcpus(domain: Element) -> tuple[int | None, Unread | None]:
    """The number of virtual CPUs; 1 where the definition gives none, as libvirt takes it."""
    element = domain.first("vcpu")
    if element is None or not element.text.strip():
        return 1, None
    text = element.text.strip()
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        return None, Unread(f"vcpu {text[:40]!r}", "not a number", element.place)
    return int(text), None


def cpu_model(domain: Element) -> str | None:
    """The model, or the mode where the host decides: `host-passthrough`, `host-model`, `maximum`."""
    cpu = domain.first("cpu")
    if cpu is None:
        return None
    mode = cpu.get("mode")
    model = cpu.value("model")
    return model or (mode if mode and mode != "custom" else None)


def host_inputs(domain: Element) -> list[HostInput]:
    """Everything beside devices and `Boot` that this definition lets the host choose for the guest."""
    found: list[HostInput] = []
    os = domain.first("os")
    if os is not None:
        found += _os_inputs(os)
    for sysinfo in domain.all("sysinfo"):
        found += _sysinfo(sysinfo)
    for genid in domain.all("genid"):
        found.append(
            HostInput(
                "genid", "the VM generation id, by which the guest reseeds", "C21", genid.place, genid.text.strip()
            )
        )
    found += _features(domain)
    cpu = domain.first("cpu")
    if cpu is not None:
        value = " ".join(part for part in (cpu.get("mode"), cpu.value("model")) if part)
        found.append(HostInput("cpu", "the CPU that the guest is shown at launch", "C08", cpu.place, value))
    clock = domain.first("clock")
    if clock is not None:
        value = " ".join(
            part
            for part in (clock.get("offset"), clock.get("timezone"), clock.get("adjustment"), clock.get("start"))
            if part
        )
        found.append(HostInput("clock", "where the guest's real-time clock starts", "C20", clock.place, value))
    for element in domain.all("on_crash"):
        if element.text.strip().startswith("coredump"):
            found.append(
                HostInput(
                    "on_crash",
                    "the host writes the guest's memory to a file when it crashes",
                    "C40",
                    element.place,
                    element.text.strip(),
                )
            )
    return found


def _os_inputs(os: Element) -> list[HostInput]:
    found = []
    for tag, meaning, channel in (
        ("shim", "a boot loader that verifies the kernel", "C02"),
        ("dtb", "the device tree", "C05"),
        ("bootloader", "a program of the host that picks the kernel", "C02"),
    ):
        element = os.first(tag)
        if element is not None and element.text.strip():
            found.append(HostInput(tag, meaning, channel, element.place, element.text.strip()))
    for acpi in os.all("acpi"):
        for table in acpi.all("table"):
            name = f"acpi table {table.get('type') or 'raw'}"
            found.append(
                HostInput(name, "an ACPI table taken from a file of the host", "C04", table.place, table.text.strip())
            )
    smbios = os.first("smbios")
    if smbios is not None and smbios.get("mode") == "host":
        found.append(
            HostInput("smbios", "SMBIOS strings copied from the host's own tables", "C05", smbios.place, "host")
        )
    bios = os.first("bios")
    if bios is not None and bios.get("useserial") == "yes":
        found.append(HostInput("bios useserial", "the firmware talks over the serial port", "C40", bios.place, "yes"))
    menu = os.first("bootmenu")
    if menu is not None and menu.get("enable") == "yes":
        found.append(HostInput("bootmenu", "whoever has the console picks what boots", "C02", menu.place, "yes"))
    return found


def _sysinfo(sysinfo: Element) -> list[HostInput]:
    if sysinfo.get("type") == "fwcfg":
        return [
            HostInput(
                f"fw_cfg {entry.get('name')}",
                "a blob that the guest can read by name over fw_cfg",
                "C06",
                entry.place,
                entry.text.strip() or f"file:{entry.get('file')}",
            )
            for entry in sysinfo.all("entry")
        ]
    found = []
    for block in sysinfo.children:
        for entry in block.all("entry"):
            name = f"smbios {block.tag} {entry.get('name')}".rstrip()
            found.append(HostInput(name, "an SMBIOS string", "C05", entry.place, entry.text.strip()))
    return found


def _features(domain: Element) -> list[HostInput]:
    """Paravirtual interfaces: what of the hypervisor the guest is told in CPUID."""
    found = []
    features = domain.first("features")
    for tag, meaning in (
        ("hyperv", "a Hyper-V interface in CPUID"),
        ("kvm", "how KVM shows itself in CPUID"),
        ("xen", "a Xen interface in CPUID"),
    ):
        element = features.first(tag) if features is not None else None
        if element is None:
            continue
        value = " ".join(
            f"{child.tag}={child.get('state') or child.get('value') or 'on'}" for child in element.children
        )
        channel = "C16" if tag == "kvm" else "C37"
        found.append(HostInput(f"features/{tag}", meaning, channel, element.place, value or element.get("mode")))
    return found
