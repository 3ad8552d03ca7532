"""What a libvirt domain lets the host choose for the guest beside devices and boot images

Device tree, ACPI tables, SMBIOS strings, fw_cfg blobs, the CPU that is shown, the hypervisor's interfaces in CPUID,
clocks, and memory or processors that may come later: each with its line and the channel that it feeds.

SOURCE: libvirt docs/formatdomain.rst; libvirt 11.3.0 src/qemu/qemu_command.c (qemuBuildBootCommandLine,
qemuBuildSmbiosCommandLine, qemuBuildSysinfoCommandLine, qemuBuildCpuCommandLine, qemuBuildClockCommandLine,
qemuBuildPMCommandLine). Channel ids are those of the catalogue.
"""

from __future__ import annotations

from hostproof.artefacts.machine.libvirt.xml import Element
from hostproof.artefacts.machine.model import HostInput

__all__ = ["host_inputs"]

_TIMERS = {"tsc": "C19", "kvmclock": "C19", "hypervclock": "C19", "armvtimer": "C19", "pit": "C20", "hpet": "C20"}
_TIMERS |= {"rtc": "C20", "platform": "C20"}
_PERSONALITIES = {"kvm": "C16", "hyperv": "C37", "xen": "C37", "viridian": "C37"}
_OWN = frozenset({"vmcoreinfo", "acpi", "async-teardown", "tcg", *_PERSONALITIES})
"""Children of `features` that have a reader of their own, or that change nothing for the guest."""


def host_inputs(domain: Element) -> list[HostInput]:
    """Everything beside devices and `Boot` that this definition lets the host choose for the guest."""
    found: list[HostInput] = []
    os = domain.first("os")
    if os is not None:
        found += _os_inputs(os)
    for sysinfo in domain.all("sysinfo"):
        found += _sysinfo(sysinfo)
    for uuid in domain.all("uuid"):
        found.append(HostInput("uuid", "the machine's id in SMBIOS", "C05", uuid.place, uuid.text.strip()))
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
    found += _later(domain)
    clock = domain.first("clock")
    if clock is not None:
        found += _timers(clock)
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
    """Interfaces of hypervisors in CPUID, and switches of the virtual CPU and board."""
    found = []
    features = domain.first("features")
    for element in features.children if features is not None else ():
        if element.tag in _PERSONALITIES:
            value = " ".join(_state(child) for child in element.children) or element.get("mode")
            meaning = f"what the guest is told of {element.tag} in CPUID"
            found.append(
                HostInput(f"features/{element.tag}", meaning, _PERSONALITIES[element.tag], element.place, value)
            )
        elif element.tag not in _OWN:
            meaning = "a switch of the virtual CPU or board"
            found.append(HostInput(f"features/{element.tag}", meaning, "C09", element.place, _state(element)))
    return found


def _state(element: Element) -> str:
    value = next(
        (element.get(name) for name in ("state", "value", "driver", "mode", "version") if element.get(name)), "on"
    )
    return f"{element.tag}={value}"


def _timers(clock: Element) -> list[HostInput]:
    found = []
    for timer in clock.all("timer"):
        if timer.get("present") == "no":
            continue  # a clock that the definition leaves out feeds nothing
        name = timer.get("name")
        value = " ".join(
            f"{key}={timer.get(key)}"
            for key in ("present", "tickpolicy", "track", "frequency", "mode")
            if timer.get(key)
        )
        found.append(HostInput(f"timer {name}", "a clock of the guest", _TIMERS.get(name, "C20"), timer.place, value))
    return found


def _later(domain: Element) -> list[HostInput]:
    """Memory, processors and sleep: what the host may change while the guest runs."""
    found = []
    for element in domain.all("maxMemory"):
        meaning = "slots into which the host may plug memory while the guest runs"
        found.append(
            HostInput(
                "maxMemory", meaning, "C29", element.place, f"{element.text.strip()} slots={element.get('slots')}"
            )
        )
    for element in domain.all("vcpu"):
        if element.get("current") and element.get("current") != element.text.strip():
            meaning = "processors that the host may add while the guest runs"
            found.append(
                HostInput("vcpu", meaning, "C29", element.place, f"{element.get('current')} of {element.text.strip()}")
            )
    for pm in domain.all("pm"):
        for state in pm.children:
            value = state.get("enabled") or state.get("enable")
            found.append(HostInput(f"pm/{state.tag}", "a sleep state in the ACPI tables", "C04", state.place, value))
    for wrap in domain.all("keywrap"):
        for cipher in wrap.all("cipher"):
            meaning = "whether keys can be wrapped by the machine"
            found.append(HostInput(f"keywrap {cipher.get('name')}", meaning, "C09", cipher.place, cipher.get("state")))
    return found
