"""The host's ends of a QEMU command line: chardevs, netdevs, block nodes, drives, file systems

A back end is written in one short form, `kind:where`: `file:/disk.img`, `unix:/run/x.sock`, `tcp:127.0.0.1:4444`,
`tap:tap0`, `user`, `vhost-user`, `host:0000:01:00.0`. Nothing that is named is opened.

SOURCE: QEMU 7.2 chardev/char.c (qemu_chr_parse_compat), net/net.c, blockdev.c (drive_new), qapi/block-core.json,
qapi/char.json, qapi/net.json, qapi/rng.json.
"""

from __future__ import annotations

from hostproof.artefacts.machine.qemu.draft import Draft, Drive, Entry
from hostproof.artefacts.machine.qemu.values import Options, integer

__all__ = ["device_backend", "legacy_chardev", "netdev_end", "node_end", "object_end", "read_backend"]

MAX_CHAIN = 64
"""Block nodes that stand on one another; a longer chain, or a ring, is shown by the node's name."""

_DISKS = {
    "hda": ("", 0, "disk"),
    "hdb": ("", 1, "disk"),
    "hdc": ("", 2, "disk"),
    "hdd": ("", 3, "disk"),
    "cdrom": ("", 2, "cdrom"),
    "fda": ("floppy", 0, "disk"),
    "fdb": ("floppy", 1, "disk"),
    "sd": ("sd", None, "disk"),
    "mtdblock": ("mtd", None, "disk"),
    "pflash": ("pflash", None, "disk"),
}
"""Sugar for `-drive`: interface, index and medium. SOURCE: QEMU 7.2 softmmu/vl.c, qemu_init, and blockdev.h."""


def chardev_end(options: Options) -> str:
    """The host's end of a `-chardev`."""
    kind = options.get("backend") or "chardev"
    path = options.get("path", "addr.path", "backend.data.addr.data.path")
    if kind == "socket":
        if path is not None:
            return f"unix:{path}"
        if (descriptor := options.get("fd")) is not None:
            return f"fd:{descriptor}"
        return f"tcp:{options.get('host', 'addr.host') or ''}:{options.get('port', 'addr.port') or ''}"
    if kind == "udp":
        return f"udp:{options.get('host') or ''}:{options.get('port') or ''}"
    if kind in ("spiceport", "spicevmc"):
        return f"{kind}:{options.get('name') or ''}"
    return kind if path is None else f"{kind}:{path}"


def legacy_chardev(draft: Draft, text: str) -> str:
    """The host's end that `-serial`, `-parallel` and their kin name in the older form."""
    text = text.removeprefix("mon:")
    if text.startswith("chardev:"):
        identifier = text.removeprefix("chardev:")
        return draft.chardevs.get(identifier, f"chardev:{identifier}")
    if text.startswith("/dev/"):
        return f"serial:{text}"
    kind, colon, rest = text.partition(":")
    if kind in ("tcp", "telnet", "websocket", "unix", "udp"):
        return f"{kind}:{rest.partition(',')[0]}"
    return kind if not colon or kind == "vc" else f"{kind}:{rest}"


def netdev_end(draft: Draft, options: Options) -> str:
    """The host's end of a `-netdev`, `-nic` or `-net`."""
    kind = options.get("type") or "netdev"
    where = None
    if kind == "tap":
        where = options.get("ifname", "br")
    elif kind == "bridge":
        where = options.get("br") or "br0"
    elif kind in ("socket", "stream", "dgram"):
        where = options.get("connect", "listen", "mcast", "udp", "addr.path", "addr.host", "fd")
    elif kind == "vhost-user":
        chardev = options.get("chardev") or ""
        where = draft.chardevs.get(chardev, chardev)
    elif kind == "vhost-vdpa":
        where = options.get("vhostdev")
    elif kind == "user" and (forward := options.get("hostfwd")) is not None:
        where = f"hostfwd={forward}"
    return kind if where is None else f"{kind}:{where}"


def node_end(draft: Draft, options: Options) -> str:
    """What a block node stands on: its image where the chain ends in one, else the protocol that it speaks."""
    for _ in range(MAX_CHAIN):
        for key, value in options.pairs:
            if key.rpartition(".")[2] == "filename":
                return f"file:{value}"
        below = options.get("file")
        if below is None or below not in draft.nodes:
            break
        options = draft.nodes[below]
    drivers = [value for key, value in options.pairs if key.rpartition(".")[2] == "driver"]
    kind = drivers[-1] if drivers else "block"
    where = next(
        (value for key, value in options.pairs if key.rpartition(".")[2] in ("path", "host", "image", "url", "device")),
        None,
    )
    return kind if where is None else f"{kind}:{where}"


def object_end(draft: Draft, identifier: str) -> str:
    """The host's end that an object is: the file of an entropy source or of memory, or the object's type."""
    entry = draft.objects.get(identifier)
    if entry is None:
        return f"object:{identifier}"
    kind = entry.options.get("qom-type") or "object"
    where = entry.options.get("filename", "mem-path", "chardev", "file")
    where = draft.chardevs.get(where, where) if where else ("/dev/urandom" if kind == "rng-random" else None)
    return kind if where is None else f"{kind}:{where}"


def device_backend(draft: Draft, model: str, options: Options) -> str | None:
    """The host's end of a `-device`, by the property that names it; None where it has none."""
    if (drive := options.get("drive")) is not None:
        if drive in draft.drives:
            return draft.drives[drive].backend
        if drive not in draft.nodes:
            return f"drive:{drive}"
        if drive not in draft.node_ends:
            draft.node_ends[drive] = node_end(draft, draft.nodes[drive])
        return draft.node_ends[drive]
    for key, known in (
        ("netdev", draft.netdevs),
        ("chardev", draft.chardevs),
        ("fsdev", draft.fsdevs),
        ("tpmdev", draft.tpmdevs),
        ("audiodev", draft.audiodevs),
    ):
        if (identifier := options.get(key)) is not None:
            return known.get(identifier, f"{key}:{identifier}")
    for key in ("rng", "memdev", "cryptodev"):
        if (identifier := options.get(key)) is not None:
            return object_end(draft, identifier)
    if model.startswith("vfio-") or model == "usb-host":
        where = options.get("host", "sysfsdev", "hostdevice", "vendorid", "hostbus")
        return "host" if where is None else f"host:{where}"
    if model.startswith("vhost-vsock"):
        return "vhost-vsock"
    return None


def read_backend(draft: Draft, entry: Entry) -> None:
    """Puts down the back end that `entry` defines, so that devices before and after it find it."""
    options = entry.options
    identifier = options.get("id") or ""
    match entry.option:
        case "chardev":
            draft.chardevs[identifier] = chardev_end(options)
        case "netdev":
            draft.suppressed.add("net")
            draft.netdevs[identifier] = netdev_end(draft, options)
        case "fsdev":
            draft.fsdevs[identifier] = _file_system_end(options)
        case "virtfs":
            draft.fsdevs[identifier or options.get("mount_tag") or ""] = _file_system_end(options)
        case "virtfs_synth":
            draft.fsdevs["v_synth"] = "synth"
        case "tpmdev":
            end = options.get("chardev")
            draft.tpmdevs[identifier] = (
                f"{options.get('type') or 'tpm'}:{draft.chardevs.get(end, end) if end else options.get('path') or '/dev/tpm0'}"
            )
        case "audiodev" | "audio":
            draft.audiodevs[identifier] = f"audio:{options.get('driver') or ''}"
        case "blockdev":
            draft.nodes[options.get("node-name") or ""] = options
        case "object":
            draft.objects[identifier] = entry
        case "drive":
            _drive(draft, entry)
        case _:
            interface, index, media = _DISKS[entry.option]
            draft.plugged.append(Drive(interface, index, media, f"file:{entry.text}", entry))


def _file_system_end(options: Options) -> str:
    kind = options.get("fsdriver") or "fsdev"
    where = options.get("path", "socket", "sock_fd")
    return kind if where is None else f"{kind}:{where}"


def _drive(draft: Draft, entry: Entry) -> None:
    options = entry.options
    interface = options.get("if") or ""
    index = _index(interface, options)
    if options.get("file") or options.get("file.filename"):
        node = options.get("file")
        backend = (
            node_end(draft, draft.nodes[node])
            if node in draft.nodes
            else f"file:{node or options.get('file.filename')}"
        )
    else:
        backend = node_end(draft, options) if any(key.startswith("file.") for key, _ in options.pairs) else "empty"
    drive = Drive(interface, index, options.get("media") or "disk", backend, entry)
    if (identifier := options.get("id")) is not None:
        draft.drives[identifier] = drive
    if interface != "none":
        draft.plugged.append(drive)


def _index(interface: str, options: Options) -> int | None:
    """The position that a drive asks for; with `bus` and `unit`, two units stand on an IDE bus and seven on a SCSI one."""
    if (written := options.get("index")) is not None:
        return integer(written)
    unit = options.get("unit")
    bus = integer(options.get("bus") or "0")
    if unit is None or bus is None or (number := integer(unit)) is None:
        return None
    return number + bus * {"": 2, "ide": 2, "scsi": 7}.get(interface, 0)
