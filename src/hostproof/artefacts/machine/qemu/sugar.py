"""Devices of a QEMU command line: `-device` and everything that is short for it

SOURCE: QEMU 7.2 softmmu/vl.c (vga_interfaces, default_list, usb_parse, qemu_create_default_devices), hw/audio/soundhw.c,
hw/usb/bus.c (usbdevice_create), net/net.c (net_init_nic), blockdev.c (drive_new), hw/i386/pc.c,
docs/about/removed-features.rst.
"""

from __future__ import annotations

from hostproof.artefacts.machine.qemu.backends import device_backend, legacy_chardev, netdev_end
from hostproof.artefacts.machine.qemu.draft import Draft, Drive, Entry
from hostproof.errors import InputError

__all__ = ["DEFAULT_FLAGS", "family", "plug_drives", "plug_network", "read_device", "read_sugar", "transport"]

DEFAULT_FLAGS = {
    **dict.fromkeys(("xen-console", "isa-serial"), "serial"),
    "isa-parallel": "parallel",
    **dict.fromkeys(("isa-fdc", "floppy"), "floppy"),
    **dict.fromkeys(("ide-cd", "ide-hd", "ide-drive", "scsi-cd", "scsi-hd", "scsi-disk"), "cdrom"),
    **dict.fromkeys(
        ("VGA", "isa-vga", "cirrus-vga", "isa-cirrus-vga", "vmware-svga", "qxl-vga", "virtio-vga", "ati-vga",
         "vhost-user-vga", "virtio-vga-gl", "virtio-vga-rutabaga"),
        "vga",
    ),
}  # fmt: skip
"""Which default device a `-device` or `-global` of this model switches off. SOURCE: system/vl.c, default_list."""

_VGA = {
    "std": "VGA",
    "cirrus": "cirrus-vga",
    "vmware": "vmware-svga",
    "qxl": "qxl-vga",
    "virtio": "virtio-vga",
    "tcx": "sun-tcx",
    "cg3": "cgthree",
    "xenfb": "xenfb",
}
_SOUND = {
    "ac97": ("AC97",),
    "adlib": ("adlib",),
    "cs4231a": ("cs4231a",),
    "es1370": ("ES1370",),
    "gus": ("gus",),
    "hda": ("intel-hda", "hda-duplex"),
    "sb16": ("sb16",),
    "virtio": ("virtio-sound-pci",),
    "pcspk": (),  # the speaker is the board's own
}
_USB = {
    "braille": "usb-braille",
    "ccid": "usb-ccid",
    "keyboard": "usb-kbd",
    "mouse": "usb-mouse",
    "serial": "usb-serial",
    "tablet": "usb-tablet",
    "wacom-tablet": "usb-wacom-tablet",
    "u2f-key": "u2f-passthru",
    "net": "usb-net",
    "bt": "usb-bt-dongle",
    "audio": "usb-audio",
    "disk": "usb-storage",
    "host": "usb-host",
}
_NIC_DEFAULTS = {"pc": "e1000", "q35": "e1000e", "isapc": "ne2k_isa"}
_INTERFACE_DEFAULTS = {"pc": "ide", "q35": "ide", "isapc": "ide", "virt": "virtio", "s390": "virtio", "pseries": "scsi"}


def family(board: str | None) -> str:
    """The family of a board whatever its version: `pc`, `q35`, `isapc`, `microvm`, `virt`, `s390`, `pseries`, else the name."""
    name = board or ""
    for prefix, kind in (
        ("pc-q35", "q35"),
        ("q35", "q35"),
        ("s390-ccw", "s390"),
        ("pseries", "pseries"),
        ("virt", "virt"),
    ):
        if name.startswith(prefix):
            return kind
    return "pc" if name == "pc" or name.startswith("pc-") else name


def transport(draft: Draft) -> str:
    """How this board carries virtio: `pci`, `ccw` or `device` (MMIO)."""
    if draft.architecture == "s390x":
        return "ccw"
    return "device" if family(draft.board) == "microvm" else "pci"


def read_device(draft: Draft, entry: Entry) -> None:
    """`-device`."""
    options = entry.options
    model = options.get("driver")
    if not model:
        draft.cannot_read(f"-device {entry.text}"[:200], "no driver is named", entry.place)
        return
    if model in ("help", "?") or any(key in ("help", "?") for key, _ in options.pairs):
        raise InputError("-device help starts no VM", place=entry.place, expected="a command line that starts a VM")
    if model in DEFAULT_FLAGS:
        draft.suppressed.add(DEFAULT_FLAGS[model])
    if model in ("loader", "guest-loader"):
        what = options.get("file", "kernel", "initrd", "data") or ""
        meaning = "bytes that the VMM puts into the guest's memory before it starts"
        draft.add_input(model, meaning, "", entry.place, what)
        return
    backend = device_backend(draft, model, options)
    properties = options.without("driver", "id")
    draft.add_device(model, entry.place, id=options.get("id"), backend=backend, properties=properties)
    if model == "usb-storage":  # the disk behind it, as hw/usb/dev-storage-classic.c adds it
        drive = draft.drives.get(options.get("drive") or "")
        disk = "scsi-cd" if drive is not None and drive.media == "cdrom" else "scsi-hd"
        draft.add_device(disk, entry.place, backend=backend)


def read_sugar(draft: Draft, entry: Entry) -> None:
    """The options that are short for a device."""
    text, place, options = entry.text, entry.place, entry.options
    match entry.option:
        case "vga":
            _vga(draft, entry)
        case "soundhw" | "audio":
            for name in (text if entry.option == "soundhw" else options.get("model") or "").split(","):
                _sound(draft, entry, name)
        case "usbdevice":
            name, _, rest = text.partition(":")
            model = _USB.get(name, name)
            draft.add_device(model, place, backend=rest or None)
        case "virtfs" | "virtfs_synth":
            tag = options.get("mount_tag") or "v_synth"
            backend = draft.fsdevs.get(options.get("id") or tag, "synth")
            draft.add_device(f"virtio-9p-{transport(draft)}", place, backend=backend, properties=(("mount_tag", tag),))
        case "watchdog":
            draft.add_device(text, place)
        case "balloon":
            if options.get("type") != "none":
                draft.add_device(f"virtio-balloon-{transport(draft)}", place, properties=options.without("type"))
        case "debugcon":
            draft.add_device("isa-debugcon", place, backend=legacy_chardev(draft, text))
        case "semihosting" | "semihosting-config":
            draft.add_input("semihosting", "system calls of the host that the guest may ask for", "", place, text)


def _vga(draft: Draft, entry: Entry) -> None:
    kind = entry.text.partition(",")[0]
    board = family(draft.board)
    if board == "microvm" and kind in _VGA:
        draft.note("-vga has no effect: the board microvm does not use it")
    elif kind in _VGA:
        on_isa = {"VGA": "isa-vga", "cirrus-vga": "isa-cirrus-vga"} if board == "isapc" else {}
        draft.add_device(on_isa.get(_VGA[kind], _VGA[kind]), entry.place)
    elif kind not in ("none", "device"):
        draft.cannot_read(f"-vga {entry.text}", "no display adapter of this name is known", entry.place)


def _sound(draft: Draft, entry: Entry, name: str) -> None:
    models = _SOUND.get(name)
    if models is None and name:
        draft.cannot_read(f"-{entry.option} {entry.text}"[:200], f"no sound card {name!r} is known", entry.place)
    for model in models or ():
        backend = draft.audiodevs.get(entry.options.get("id") or "") if entry.option == "audio" else None
        draft.add_device(model, entry.place, backend=backend)


def plug_network(draft: Draft, default_model: str | None) -> None:
    """The cards of `-nic` and `-net nic`; without a model QEMU takes the board's own, `default_model`."""
    hub = next((netdev_end(draft, entry.options) for entry in draft.network if _is_hub_end(entry)), None)
    for entry in draft.network:
        options = entry.options
        if options.get("type") == "none" or _is_hub_end(entry):
            continue
        if family(draft.board) == "microvm":
            draft.note(f"-{entry.option} gives no card: the board microvm creates none")
            continue
        model = options.get("model") or default_model or _NIC_DEFAULTS.get(family(draft.board))
        if model is None and family(draft.board) in ("virt", "s390"):
            model = f"virtio-net-{transport(draft)}"
        if model is None:
            draft.cannot_read(
                f"-{entry.option} {entry.text}"[:200], "the default card of this board is not known", entry.place
            )
            continue
        backend = (
            hub
            if entry.option == "net"
            else draft.netdevs.get(options.get("netdev") or "") or netdev_end(draft, options)
        )
        model = f"virtio-net-{transport(draft)}" if model == "virtio" else model
        draft.add_device(
            model, entry.place, id=options.get("id"), backend=backend, properties=options.without("type", "model", "id")
        )


def _is_hub_end(entry: Entry) -> bool:
    """Whether this is a `-net` that connects the hub to the host instead of a card to the hub."""
    return entry.option == "net" and entry.options.get("type") not in ("nic", "none")


def plug_drives(draft: Draft, present: frozenset[str]) -> None:
    """The devices that QEMU gives to drives by itself, and the firmware in flash. `present` are the board's own models."""
    flash = 0
    floppy_controller = "isa-fdc" in present or any(device.model == "isa-fdc" for device in draft.devices)
    for drive in draft.plugged:
        interface = drive.interface or _INTERFACE_DEFAULTS.get(family(draft.board), "")
        entry = drive.entry
        identifier = entry.options.get("id")
        match interface:
            case "virtio":
                draft.add_device(f"virtio-blk-{transport(draft)}", entry.place, id=identifier, backend=drive.backend)
            case "ide" | "scsi":
                model = f"{interface}-{'cd' if drive.media == 'cdrom' else 'hd'}"
                draft.add_device(model, entry.place, id=identifier, backend=drive.backend)
            case "floppy":
                if not floppy_controller:
                    floppy_controller = True
                    draft.add_device("isa-fdc", entry.place)
                draft.add_device("floppy", entry.place, id=identifier, backend=drive.backend)
            case "sd":
                draft.add_device("sd-card", entry.place, id=identifier, backend=drive.backend)
            case "pflash":
                unit = flash if drive.index is None else drive.index
                flash = unit + 1
                _flash(draft, drive, unit)
            case _:
                why = f"what the board plugs a drive of interface {interface!r} into is not known"
                draft.cannot_read(f"-{entry.option} {entry.text}"[:200], why, entry.place)


def _flash(draft: Draft, drive: Drive, unit: int) -> None:
    path = drive.backend.removeprefix("file:")
    if unit == 0:
        draft.boots(firmware=path, firmware_place=drive.entry.place)
    elif unit == 1:
        draft.boots(firmware_variables=path)
    else:
        draft.cannot_read(f"-{drive.entry.option}", f"flash unit {unit}: boards have two", drive.entry.place)
