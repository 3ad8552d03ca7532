"""Match tables of drivers as aliases, the way modpost writes them.

SOURCE: `scripts/mod/file2alias.c` of Linux (torvalds/linux 009f77383651; `vfio_pci:` since 343b7258687e) for the forms,
`include/linux/mod_devicetable.h` for the tables. Where a table ends is what the match function of its bus says:
`pci_match_id`, `virtio_dev_match`, `__acpi_match_device`, `platform_match_id`, `match_device` (pnp), `hv_vmbus_get_id`,
`xenbus_match`, `usb_match_id`, `hid_match_id`, `i2c_match_id`, `spi_match_id`, `serio_match_port`, `amba_lookup`,
`__of_match_node`. The layout of an entry comes from the kernel's own types.

Two tables have no form there, and authors write their aliases by hand with MODULE_ALIAS: `xenbus_device_id`, whose
devices announce themselves as `xen:TYPE` and `xen-backend:TYPE` (`xenbus_uevent_frontend`, `xenbus_uevent_backend`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["MAX_ENTRIES", "TABLES", "Entry", "Table", "table_aliases"]

MAX_ENTRIES = 8192
"""The largest table of Linux 6.12 (snd_hda_codec) has some 500 entries."""
ANY = 0xFFFFFFFF
PNP_ID_LEN = 8
_SPECIAL = frozenset(" :*?[]")
"""What no id has: `@P@0001` and `VM_GEN_COUNTER` are ids."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a match table: its bytes, and where its members lie (offset, size, both in bytes)."""

    data: bytes
    fields: Mapping[str, tuple[int, int]]
    order: str

    def number(self, name: str) -> int:
        """An unsigned member; 0 where this kernel's entries have no such member."""
        offset, size = self.fields.get(name, (0, 0))
        return int.from_bytes(self.data[offset : offset + size], "big" if self.order == "big" else "little")

    def raw(self, name: str) -> bytes:
        offset, size = self.fields[name]
        return self.data[offset : offset + size]

    def text(self, name: str) -> str:
        """A member that holds text, up to its NUL. Raises ValueError where it has none, or is not printable ASCII."""
        raw, end, _ = self.raw(name).partition(b"\0")
        text = raw.decode("ascii")
        if not end or not text.isprintable():
            raise ValueError(f"not a name: {text!r}")
        return text


@dataclass(frozen=True, slots=True)
class Table:
    """A kind of match table: the struct of its entries, the members that must be there, what makes an entry the last
    one (all these members are zero), and its aliases.
    """

    struct: str
    needs: tuple[str, ...]
    ends: tuple[str, ...]
    aliases: Callable[[Entry], list[str]]


def table_aliases(
    read: Callable[[int, int], bytes | None],
    address: int,
    table: Table,
    size: int,
    fields: Mapping[str, tuple[int, int]],
    order: str,
) -> tuple[str, ...] | None:
    """The aliases of the table at `address`, in its order, or None where no such table lies there: it leaves what
    `read` has, holds what no such table holds, or does not end within MAX_ENTRIES entries.
    """
    found: dict[str, None] = {}
    for number in range(MAX_ENTRIES):
        data = read(address + number * size, size)
        if data is None:
            return None
        entry = Entry(data, fields, order)
        if not any(any(entry.raw(name)) for name in table.ends):
            return tuple(found)
        try:
            found.update(dict.fromkeys(table.aliases(entry)))
        except ValueError:
            return None
    return None


def _field(prefix: str, value: int, width: int, given: bool) -> str:
    return f"{prefix}{value:0{width}X}" if given else f"{prefix}*"


def _open(alias: str) -> str:
    """Every alias ends in a wildcard, for fields to come."""
    return alias if alias.endswith("*") else alias + "*"


def _pci(entry: Entry) -> list[str]:
    code, mask, override = entry.number("class"), entry.number("class_mask"), entry.number("override_only")
    masks = [mask >> shift & 0xFF for shift in (16, 8, 0)]
    if override > 1:
        raise ValueError(f"override_only is {override:#x}")
    for name in ("vendor", "device", "subvendor", "subdevice"):
        if 0xFFFF < entry.number(name) < ANY:
            raise ValueError(f"{name} is {entry.number(name):#x}")
    if any(part not in (0, 0xFF) for part in masks):
        return []  # modpost cannot write it: "Can't handle masks"
    alias = "vfio_pci:" if override == 1 else "pci:"  # PCI_ID_F_VFIO_DRIVER_OVERRIDE
    for prefix, name in (("v", "vendor"), ("d", "device"), ("sv", "subvendor"), ("sd", "subdevice")):
        value = entry.number(name)
        alias += _field(prefix, value, 8, value != ANY)
    for prefix, part, shift in zip(("bc", "sc", "i"), masks, (16, 8, 0), strict=True):
        alias += _field(prefix, code >> shift & 0xFF, 2, part == 0xFF)
    return [_open(alias)]


def _virtio(entry: Entry) -> list[str]:
    device, vendor = entry.number("device"), entry.number("vendor")
    return [_open("virtio:" + _field("d", device, 8, device != ANY) + _field("v", vendor, 8, vendor != ANY))]


def _acpi(entry: Entry) -> list[str]:
    identifier = entry.text("id")
    if identifier:
        return [f"acpi*:{_id(identifier)}:*"]
    code, mask = entry.number("cls"), entry.number("cls_msk")
    shifts = (16, 8, 0)
    return ["acpi*:" + "".join(f"{code >> at & 0xFF:02x}" if mask >> at & 0xFF else "??" for at in shifts) + ":*"]


def _id(text: str) -> str:
    if not text or not _SPECIAL.isdisjoint(text):
        raise ValueError(f"not an ACPI or PNP id: {text!r}")
    return text


def _pnp(entry: Entry) -> list[str]:
    identifier = _id(entry.text("id"))
    return [f"pnp:d{identifier}*", f"acpi*:{identifier.upper()}:*"]


def _pnp_card(entry: Entry) -> list[str]:
    _id(entry.text("id"))
    devices = entry.raw("devs")
    found = []
    for start in range(0, len(devices), PNP_ID_LEN):
        if not devices[start]:
            break
        device = Entry(devices[start : start + PNP_ID_LEN], {"id": (0, PNP_ID_LEN)}, entry.order)
        found += _pnp(device)
    return found


def _of(entry: Entry) -> list[str]:
    name, kind, compatible = entry.text("name"), entry.text("type"), entry.text("compatible")
    alias = f"of:N{name or '*'}T{kind or '*'}"
    if compatible:
        alias += ("*" if kind else "") + f"C{compatible}"
    alias = alias.replace(" ", "_")
    return [alias, _open(alias + "C")]


def _named(prefix: str, member: str = "name") -> Callable[[Entry], list[str]]:
    def aliases(entry: Entry) -> list[str]:
        name = entry.text(member)
        if not name:
            raise ValueError("an entry without a name")
        return [prefix + name]

    return aliases


def _vmbus(entry: Entry) -> list[str]:
    return ["vmbus:" + entry.raw("guid").hex()]


def _serio(entry: Entry) -> list[str]:
    alias = "serio:"
    for prefix, name in (("ty", "type"), ("pr", "proto"), ("id", "id"), ("ex", "extra")):
        value = entry.number(name)
        alias += _field(prefix, value, 2, value != 0xFF)
    return [_open(alias)]


def _hid(entry: Entry) -> list[str]:
    bus, group = entry.number("bus"), entry.number("group")
    vendor, product = entry.number("vendor"), entry.number("product")
    alias = "hid:" + _field("b", bus, 4, bus != 0xFFFF) + _field("g", group, 4, group != 0)
    return [alias + _field("v", vendor, 8, vendor != ANY) + _field("p", product, 8, product != ANY)]


def _amba(entry: Entry) -> list[str]:
    identifier, mask = entry.number("id"), entry.number("mask")
    if identifier & ~mask & ANY:
        raise ValueError("an id outside of its mask")
    alias = "amba:d"
    for shift in range(28, -1, -4):
        digit, bits = identifier >> shift & 0xF, mask >> shift & 0xF
        fits = "".join(f"{value:X}" for value in range(16) if value & bits == digit)
        alias += "?" if bits == 0 else fits if bits == 0xF else f"[{fits}]"
    return [alias]


_USB = (
    ("dc", "bDeviceClass", 0x10),
    ("dsc", "bDeviceSubClass", 0x20),
    ("dp", "bDeviceProtocol", 0x40),
    ("ic", "bInterfaceClass", 0x80),
    ("isc", "bInterfaceSubClass", 0x100),
    ("ip", "bInterfaceProtocol", 0x200),
    ("in", "bInterfaceNumber", 0x400),
)
"""Fields behind the device's version, with their USB_DEVICE_ID_MATCH_* flag."""


def _usb(entry: Entry) -> list[str]:
    flags = entry.number("match_flags")
    if flags & ~0x7FF:
        raise ValueError(f"match_flags is {flags:#x}")
    if not any(entry.number(name) for name in ("idVendor", "idProduct", "bDeviceClass", "bInterfaceClass")):
        return []  # a placeholder for an id that is given at run time
    vendor = _field("v", entry.number("idVendor"), 4, bool(flags & 1))
    head = "usb:" + vendor + _field("p", entry.number("idProduct"), 4, bool(flags & 2)) + "d"
    tail = "".join(_field(prefix, entry.number(name), 2, bool(flags & bit)) for prefix, name, bit in _USB)
    low = entry.number("bcdDevice_lo") if flags & 4 else 0
    high = entry.number("bcdDevice_hi") if flags & 8 else 0xFFFF
    return [_open(head + version + tail) for version in _bcd_range(low, high)]


def _bcd_range(low: int, high: int) -> list[str]:
    """Patterns for the versions from `low` to `high`, four digits that are decimal unless one of them is not."""
    shown = min(high, 0x9999)
    nibbles = [number >> shift & 0xF for number in (low, shown) for shift in (0, 4, 8, 12)]
    top = 9 if all(nibble <= 9 for nibble in nibbles) else 15
    patterns: list[str] = []
    length = 3
    while low <= high:
        first, last = low & 0xF, min(high & 0xF, top)
        low, high = low >> 4, high >> 4
        if low == high or not length:
            patterns.append(_version(low, length, first, last, top))
            break
        if first > 0:
            patterns.append(_version(low, length, first, top, top))
            low = _step(low, 1, top)
        if last < top:
            patterns.append(_version(high, length, 0, last, top))
            high = _step(high, -1, top)
        length -= 1
    return patterns


def _version(value: int, length: int, first: int, last: int, top: int) -> str:
    text = f"{value:0{length}X}" if length else ""
    if first == last:
        text += f"{first:X}"
    elif first > 0 or last < top:
        if first > 9 or last < 10:
            text += f"[{first:X}-{last:X}]"
        else:
            text += (f"[{first:X}-9" if first < 9 else f"[{first:X}") + (f"A-{last:X}]" if last > 10 else f"{last:X}]")
    return text + ("*" if length < 3 else "")


def _step(value: int, by: int, top: int) -> int:
    """One up or down; among decimal digits within the four that the field has."""
    if top > 9:
        return value + by
    number = sum(min(value >> 4 * place & 0xF, 9) * 10**place for place in range(4)) + by
    return sum(number // 10**place % 10 << 4 * place for place in range(4))


TABLES: dict[str, Table] = {
    "pci": Table(
        "pci_device_id",
        ("vendor", "device", "subvendor", "subdevice", "class", "class_mask"),
        ("vendor", "subvendor", "class_mask"),
        _pci,
    ),
    "virtio": Table("virtio_device_id", ("device", "vendor"), ("device",), _virtio),
    "acpi": Table("acpi_device_id", ("id", "cls", "cls_msk"), ("id", "cls"), _acpi),
    "platform": Table("platform_device_id", ("name",), ("name",), _named("platform:")),
    "pnp": Table("pnp_device_id", ("id",), ("id",), _pnp),
    "pnp_card": Table("pnp_card_device_id", ("id", "devs"), ("id",), _pnp_card),
    "of": Table("of_device_id", ("name", "type", "compatible"), ("name", "type", "compatible"), _of),
    "vmbus": Table("hv_vmbus_device_id", ("guid",), ("guid",), _vmbus),
    "xen": Table("xenbus_device_id", ("devicetype",), ("devicetype",), _named("xen:", "devicetype")),
    "xen-backend": Table("xenbus_device_id", ("devicetype",), ("devicetype",), _named("xen-backend:", "devicetype")),
    "usb": Table(
        "usb_device_id",
        ("match_flags", "idVendor", "idProduct", "bcdDevice_lo", "bcdDevice_hi", *(name for _, name, _ in _USB)),
        ("idVendor", "idProduct", "bDeviceClass", "bInterfaceClass", "driver_info"),
        _usb,
    ),
    "hid": Table("hid_device_id", ("bus", "group", "vendor", "product"), ("bus",), _hid),
    "i2c": Table("i2c_device_id", ("name",), ("name",), _named("i2c:")),
    "spi": Table("spi_device_id", ("name",), ("name",), _named("spi:")),
    "serio": Table("serio_device_id", ("type", "extra", "id", "proto"), ("type", "proto"), _serio),
    "amba": Table("amba_id", ("id", "mask"), ("mask",), _amba),
}
"""Tables by the bus of their aliases."""
