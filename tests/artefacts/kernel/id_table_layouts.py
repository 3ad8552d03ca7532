"""How entries of match tables lie in memory: `include/linux/mod_devicetable.h` of Linux 6.1, 64 bit."""

from __future__ import annotations

from hostproof.artefacts.kernel.id_tables import TABLES, Entry, table_aliases

Layout = dict[str, tuple[int, int]]


def in_order(*members: tuple[str, int]) -> Layout:
    """Members behind each other, each aligned to its size where that is a power of two up to eight."""
    layout: Layout = {}
    at = 0
    for name, size in members:
        align = size if size in (1, 2, 4, 8) else 1
        at = (at + align - 1) // align * align
        layout[name] = (at, size)
        at += size
    return layout


USB = [("bDeviceClass", 1), ("bDeviceSubClass", 1), ("bDeviceProtocol", 1), ("bInterfaceClass", 1)]
USB += [("bInterfaceSubClass", 1), ("bInterfaceProtocol", 1), ("bInterfaceNumber", 1), ("driver_info", 8)]
LAYOUTS: dict[str, tuple[int, Layout]] = {
    "pci": (
        40,
        in_order(
            ("vendor", 4),
            ("device", 4),
            ("subvendor", 4),
            ("subdevice", 4),
            ("class", 4),
            ("class_mask", 4),
            ("driver_data", 8),
            ("override_only", 4),
        ),
    ),
    "virtio": (8, in_order(("device", 4), ("vendor", 4))),
    "acpi": (32, in_order(("id", 16), ("driver_data", 8), ("cls", 4), ("cls_msk", 4))),
    "platform": (32, {"name": (0, 20), "driver_data": (24, 8)}),
    "pnp": (16, {"id": (0, 8), "driver_data": (8, 8)}),
    "pnp_card": (80, {"id": (0, 8), "driver_data": (8, 8), "devs": (16, 64)}),
    "of": (200, {"name": (0, 32), "type": (32, 32), "compatible": (64, 128), "data": (192, 8)}),
    "vmbus": (24, {"guid": (0, 16), "driver_data": (16, 8)}),
    "xen": (32, {"devicetype": (0, 32)}),
    "xen-backend": (32, {"devicetype": (0, 32)}),
    "usb": (
        32,
        in_order(("match_flags", 2), ("idVendor", 2), ("idProduct", 2), ("bcdDevice_lo", 2), ("bcdDevice_hi", 2), *USB),
    ),
    "hid": (24, in_order(("bus", 2), ("group", 2), ("vendor", 4), ("product", 4), ("driver_data", 8))),
    "i2c": (32, {"name": (0, 20), "driver_data": (24, 8)}),
    "spi": (40, {"name": (0, 32), "driver_data": (32, 8)}),
    "serio": (4, in_order(("type", 1), ("extra", 1), ("id", 1), ("proto", 1))),
    "amba": (16, in_order(("id", 4), ("mask", 4), ("data", 8))),
}


def packed(kind: str, **values: int | str | bytes) -> bytes:
    """One entry of a table; members that are not given are zero."""
    size, fields = LAYOUTS[kind]
    body = bytearray(size)
    for name, value in values.items():
        offset, width = fields[name]
        raw = (
            (value & (1 << 8 * width) - 1).to_bytes(width, "little")
            if isinstance(value, int)
            else value.encode()
            if isinstance(value, str)
            else value
        )
        body[offset : offset + len(raw)] = raw
    return bytes(body)


def aliases_in(kind: str, table: bytes) -> tuple[str, ...] | None:
    """The aliases of a table that stands alone."""
    size, fields = LAYOUTS[kind]

    def read(address: int, length: int) -> bytes | None:
        return table[address : address + length] if address + length <= len(table) else None

    return table_aliases(read, 0, TABLES[kind], size, fields, "little")


def entry(kind: str, **values: int | str | bytes) -> Entry:
    return Entry(packed(kind, **values), LAYOUTS[kind][1], "little")
