"""Proxmox VE: the configuration of a VM, `/etc/pve/qemu-server/VMID.conf`

The reader follows what `qm start` makes of the file. For a confidential VM that matters most in the policy, which no
line of the file spells out: Proxmox computes it from flags, and its defaults allow debugging.

| line | policy |
|---|---|
| `amd-sev: type=std`, `es` | bit 3 (no sending); bit 0 with `no-debug=1`, bit 1 with `no-key-sharing=1`, bit 2 for `es` |
| `amd-sev: type=snp` | bit 17; bit 16 (SMT) unless `allow-smt=0`; bit 19 (debugging allowed) unless `no-debug=1` |
| `intel-tdx: type=tdx` | none is given, so QEMU's default holds: SEPT_VE_DISABLE |

SOURCE: proxmox/qemu-server e6352be67f70 src/PVE/QemuServer/CPUConfig.pm (get_amd_sev_object, get_intel_tdx_object),
src/PVE/QemuServer/OVMF.pm, src/PVE/QemuServer/Machine.pm, src/PVE/QemuServer.pm (confdesc, config_to_command).
"""

from __future__ import annotations

import re
import shlex

from hostproof.artefacts.machine.board import BoardDevices, board_devices
from hostproof.artefacts.machine.model import Boot, Confidential, HostInput, Machine, Unread
from hostproof.artefacts.machine.proxmox.conf import Configuration, Setting, parse, properties
from hostproof.artefacts.machine.proxmox.devices import Hardware, add_devices
from hostproof.artefacts.machine.qemu.appended import with_arguments
from hostproof.artefacts.policy.bits import (
    QEMU_TDX_ATTRIBUTES,
    SEV_ES,
    SEV_NODBG,
    SEV_NOKS,
    SEV_NOSEND,
    SNP_DEBUG,
    SNP_MANDATORY,
    SNP_SMT,
)
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["HOST_KEYS", "READ_KEYS", "is_proxmox", "read"]

_FIRMWARE = "/usr/share/pve-edk2-firmware//"
_DEFAULT_MEMORY_MIB = 512

READ_KEYS = frozenset(
    """
    acpi agent amd-sev arch args audio0 balloon bios boot bootdisk cdrom cores cpu efidisk0 hookscript hotplug intel-tdx
    ivshmem kvm localtime machine memory meta name ostype rng0 scsihw smbios1 smp sockets spice_enhancements startdate
    tablet template tpmstate0 vcpus vga vmgenid vmstate watchdog
    """.split()  # noqa: SIM905 - a row of names reads better than a list of literals
)
HOST_KEYS: dict[str, str] = {
    key: reason
    for reason, keys in {
        "when the host starts the VM": "onboot autostart startup reboot lock protection snapstate",
        "what the host's tools show": "description tags digest parent snaptime running-nets-host-mtu runningmachine runningcpu",
        "how much of the host the VM gets": "cpulimit cpuunits affinity shares hugepages keephugepages allow-ksm numa",
        "how the host moves or keeps the VM": "migrate_speed migrate_downtime vmstatestorage freeze",
        "the keyboard of the host's display": "keyboard",
        "how QEMU catches up with missed timer ticks": "tdf",
        "what cloud-init's disk holds": "ciuser cipassword citype ciupgrade cicustom sshkeys nameserver searchdomain",
    }.items()
    for key in keys.split()
}
"""Keys that change nothing that the guest is presented with -> why."""

_NUMBERED = re.compile(
    r"(virtio|scsi|sata|ide|net|usb|hostpci|serial|parallel|virtiofs|numa|ipconfig|unused)[0-9]{1,3}"
)
_DISTINCTIVE = re.compile(
    r"(?:scsihw|ostype|vmgenid|smbios1|amd-sev|intel-tdx|efidisk0|tpmstate0|hostpci\d+|(?:net|scsi|virtio|sata|ide)\d+)"
)
_LINE = re.compile(rb"([a-z][a-z_-]*[0-9]*):[ \t]*\S")
_VERSION = re.compile(r"(?:^|-)(\d{1,2})\.(\d{1,2})")
_PVE = re.compile(r"\+pve\d+|\.pxe$")


def is_proxmox(data: bytes) -> bool:
    """Whether `data` looks like such a file: its keys are Proxmox's, and one of them is nobody else's."""
    keys = []
    for line in data[:65536].split(b"\n")[:500]:
        if not line.strip() or line.startswith(b"#"):
            continue
        if line.startswith(b"["):
            break
        match = _LINE.match(line)
        if match is None:
            return False
        keys.append(match.group(1).decode("ascii"))
    known = all(key in READ_KEYS or key in HOST_KEYS or _NUMBERED.fullmatch(key) for key in keys)
    return known and any(_DISTINCTIVE.fullmatch(key) for key in keys)


def read(data: bytes, name: str) -> Machine:
    """The VM that `qm start` would start. Raises InputError where the file is none, or a value that decides is malformed."""
    conf = parse(data, name)
    place = Place(name)
    notes, unread = _other_sections(conf)
    if conf.text("template") == "1":
        notes.append("a template: Proxmox starts it only for backups, with disks and nothing else")
        _reduce(conf)
    if "cdrom" in conf.settings:
        conf.settings.setdefault("ide2", conf.settings["cdrom"])
    architecture = conf.text("arch", "x86_64")
    machine, version, q35 = _machine(conf, architecture, notes)
    hardware = Hardware(conf, architecture, q35, version, place)
    add_devices(hardware)
    confidential, security_notes = _confidential(conf)
    board = _board(conf, machine, architecture, confidential)
    result = Machine(
        "pve-conf",
        "qemu",
        place,
        name=conf.text("name"),
        architecture=architecture,
        board=board.machine,
        vcpus=_number(conf, "vcpus") or _processors(conf),
        cpu_model=_cpu(conf, architecture),
        memory_mib=_memory(conf),
        confidential=confidential,
        boot=_boot(conf, confidential, architecture),
        devices=(*hardware.devices, *board.devices),
        host_inputs=(*hardware.host_inputs, *_host_inputs(conf)),
        unread=(*unread, *hardware.unread, *_unknown_keys(conf), *_modules(conf)),
        notes=(*notes, *security_notes, *board.notes),
    )
    return _with_arguments(result, conf)


def _other_sections(conf: Configuration) -> tuple[list[str], list[Unread]]:
    notes = [
        f"line {place.line}: the section [{name}] is a snapshot or belongs to the tools and is not read"
        for name, place in conf.sections
        if name.lower() != "pending"
    ]
    if conf.pending:
        keys = ", ".join(sorted({setting.key for setting in conf.pending}))
        notes.append(f"changes that wait for the next start are not applied: {keys}")
    return notes, [Unread(text, "this line is no setting", place) for text, place in conf.odd]


def _reduce(conf: Configuration) -> None:
    kept = {"template", "scsihw", "bios", "name", "efidisk0"}
    for key in list(conf.settings):
        if key not in kept and not re.fullmatch(r"(?:virtio|scsi|sata|ide)\d+", key):
            del conf.settings[key]
    place = conf.settings["template"].place
    conf.settings["vga"] = Setting("vga", "none", place)


def _number(conf: Configuration, key: str) -> int | None:
    setting = conf.settings.get(key)
    if setting is None:
        return None
    text = properties(setting.value, "value").get("value") or properties(setting.value, "current").get("current", "")
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InputError(f"{key}: {setting.value[:40]!r}", place=setting.place, expected="a decimal number")
    return int(text)


def _processors(conf: Configuration) -> int:
    return (_number(conf, "sockets") or _number(conf, "smp") or 1) * (_number(conf, "cores") or 1)


def _memory(conf: Configuration) -> int:
    return _number(conf, "memory") or _DEFAULT_MEMORY_MIB


def _cpu(conf: Configuration, architecture: str) -> str:
    given = properties(conf.text("cpu"), "cputype").get("cputype", "")
    return given or ("kvm64" if architecture == "x86_64" else "cortex-a57")


def _machine(conf: Configuration, architecture: str, notes: list[str]) -> tuple[str, tuple[int, int], bool]:
    """The machine type as QEMU gets it without Proxmox's suffix, its version, and whether it is a Q35."""
    given = properties(conf.text("machine"), "type").get("type", "")
    default = "virt" if architecture == "aarch64" else "pc"
    machine = _PVE.sub("", given) or default
    match = _VERSION.search(machine)
    version = (int(match[1]), int(match[2])) if match else (99, 0)
    q35 = machine == "q35" or machine.startswith("pc-q35")
    windows = conf.text("ostype").startswith(("w", "win"))
    if not match and windows:
        created = _VERSION.search("-" + properties(conf.text("meta"), "creation-qemu").get("creation-qemu", ""))
        pinned = (int(created[1]), int(created[2])) if created else (0, 0)
        version = pinned if pinned >= (9, 1) else (5, 1)
        machine = {"pc": "pc-i440fx", "q35": "pc-q35"}.get(machine, machine) + f"-{version[0]}.{version[1]}"
        notes.append(f"Proxmox pins the machine of a Windows VM: {machine}")
    return machine, version, q35


def _board(conf: Configuration, machine: str, architecture: str, confidential: Confidential | None) -> BoardDevices:
    switches = {"acpi": "off"} if conf.text("acpi") == "0" else {}
    if confidential is not None and confidential.technology == "tdx":
        switches["kernel_irqchip"] = "split"
    if conf.text("vga").startswith(("serial", "none")) and conf.text("bios", "seabios") == "seabios":
        switches["smm"] = "off"
    place = conf.settings["machine"].place if "machine" in conf.settings else next(iter(conf.settings.values())).place
    return board_devices(machine, architecture=architecture, defaults=False, switches=switches, place=place)


def _confidential(conf: Configuration) -> tuple[Confidential | None, list[str]]:
    notes = []
    if conf.text("bios") != "ovmf" and ("amd-sev" in conf.settings or "intel-tdx" in conf.settings):
        notes.append("amd-sev or intel-tdx without `bios: ovmf`: Proxmox refuses to start this VM")
    if "amd-sev" in conf.settings:
        return _sev(conf.settings["amd-sev"]), notes
    if "intel-tdx" in conf.settings:
        return _tdx(conf.settings["intel-tdx"]), notes
    return None, notes


def _flag(given: dict[str, str], name: str, default: bool) -> bool:
    return given.get(name, "1" if default else "0").lower() in ("1", "yes", "on", "true")


def _sev(setting: Setting) -> Confidential:
    given = properties(setting.value, "type")
    kind = given.get("type", "")
    if kind not in ("std", "es", "snp"):
        raise InputError(f"amd-sev type {kind!r}", place=setting.place, expected="std, es or snp")
    if kind == "snp":
        smt, debug = _flag(given, "allow-smt", True), not _flag(given, "no-debug", False)
        policy = SNP_MANDATORY | SNP_SMT * smt | SNP_DEBUG * debug
        said = f"SMT {'allowed' if smt else 'not allowed'}, debugging {'allowed' if debug else 'not allowed'}"
    else:
        locked = _flag(given, "no-debug", False)
        alone = _flag(given, "no-key-sharing", False)
        policy = SEV_NOSEND | SEV_NODBG * locked | SEV_NOKS * alone | SEV_ES * (kind == "es")
        said = f"debugging {'not allowed' if locked else 'allowed'}, sending not allowed"
    fields = (("kernel-hashes", "on"),) if _flag(given, "kernel-hashes", False) else ()
    technology = {"std": "sev", "es": "sev-es", "snp": "sev-snp"}[kind]
    origin = f"Proxmox computes it from the flags of amd-sev: {said}"
    return Confidential(technology, setting.place, policy, setting.place, origin, fields)


def _tdx(setting: Setting) -> Confidential:
    given = properties(setting.value, "type")
    if given.get("type") != "tdx":
        raise InputError(f"intel-tdx type {given.get('type', '')!r}", place=setting.place, expected="tdx")
    fields: tuple[tuple[str, str], ...] = ()
    if _flag(given, "attestation", True):
        where = f"vsock:{given.get('vsock-cid', '2')}:{given.get('vsock-port', '4050')}"
        fields = (("quote-generation-socket", where),)
    origin = "QEMU's default, since Proxmox gives no attributes: SEPT_VE_DISABLE"
    return Confidential("tdx", setting.place, QEMU_TDX_ATTRIBUTES, None, origin, fields)


def _boot(conf: Configuration, confidential: Confidential | None, architecture: str) -> Boot:
    technology = confidential.technology if confidential is not None else ""
    hashes = None
    if confidential is not None and technology.startswith("sev"):
        hashes = ("kernel-hashes", "on") in confidential.fields
    bios = conf.settings.get("bios")
    if bios is None or bios.value != "ovmf":
        return Boot(kernel_hashes=hashes)
    disk = conf.settings.get("efidisk0")
    given = properties(disk.value, "file") if disk is not None else {}
    whole = {"sev-snp": "OVMF_SEV_4M.fd", "tdx": "OVMF_TDX_4M.ms.fd"}.get(technology)
    if whole:
        return Boot(firmware=_FIRMWARE + whole, firmware_place=bios.place, kernel_hashes=hashes)
    if architecture == "aarch64":
        image = "AAVMF_CODE.fd"
    elif technology:
        image = "OVMF_SEV_CODE_4M.fd"
    elif given.get("efitype") == "4m":
        q35 = properties(conf.text("machine"), "type").get("type", "").startswith(("q35", "pc-q35"))
        image = "OVMF_CODE_4M.secboot.fd" if q35 else "OVMF_CODE_4M.fd"
    else:
        image = "OVMF_CODE.fd"
    return Boot(
        firmware=_FIRMWARE + image,
        firmware_place=bios.place,
        firmware_variables=given.get("file") or None,
        kernel_hashes=hashes,
    )


def _host_inputs(conf: Configuration) -> list[HostInput]:
    found = []
    for key, meaning, channel in (
        ("smbios1", "strings of the SMBIOS system table", "C05"),
        ("vmgenid", "the VM generation id, by which the guest reseeds", "C21"),
        ("cpu", "the CPU that the guest is shown at launch", "C08"),
        ("ostype", "which Hyper-V and timer interfaces Proxmox shows the guest", "C37"),
        ("localtime", "where the guest's real-time clock starts", "C20"),
        ("startdate", "where the guest's real-time clock starts", "C20"),
        ("hookscript", "a script of the host that runs as the VM starts and stops", ""),
        ("vmstate", "a saved state that the VM continues from", "C30"),
    ):
        if key in conf.settings:
            found.append(HostInput(key, meaning, channel, conf.settings[key].place, conf.text(key)))
    hotplug = conf.settings.get("hotplug")
    if hotplug is not None and any(word in hotplug.value for word in ("memory", "cpu")):
        meaning = "memory or processors that the host may plug while the guest runs"
        found.append(HostInput("hotplug", meaning, "C29", hotplug.place, hotplug.value))
    return found


def _unknown_keys(conf: Configuration) -> list[Unread]:
    return [
        Unread(setting.key, "this key is not known", setting.place)
        for setting in conf.settings.values()
        if setting.key not in READ_KEYS and setting.key not in HOST_KEYS and not _NUMBERED.fullmatch(setting.key)
    ]


def _modules(conf: Configuration) -> list[Unread]:
    hotplug = conf.settings.get("hotplug")
    if hotplug is None or "memory" not in hotplug.value:
        return []
    why = "Proxmox plugs memory modules (pc-dimm) at start: how many depends on sizes that are not computed here"
    return [Unread("hotplug memory", why, hotplug.place)]


def _with_arguments(machine: Machine, conf: Configuration) -> Machine:
    """`machine` with what `args` hands to QEMU past Proxmox."""
    setting = conf.settings.get("args")
    if setting is None:
        return machine
    try:
        words = shlex.split(setting.value)
    except ValueError as error:
        raise InputError(
            f"args: {error}", place=setting.place, expected="QEMU arguments, quoted as in a shell"
        ) from None
    return with_arguments(machine, [(word, setting.place.at(path=f"args {word[:40]}")) for word in words], "args")
