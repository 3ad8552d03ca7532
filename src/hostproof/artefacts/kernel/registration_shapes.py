"""Structures that register drivers: which functions take them, and where their members lie in this kernel.

SOURCE: `include/linux/{pci,virtio,platform_device,pnp,hyperv,usb,hid,i2c,spi,serio,amba/bus,device/driver}.h`,
`include/acpi/acpi_bus.h` and `include/xen/xenbus.h` of Linux for the structures and the functions that register them; the
layouts come from the image's own types (BTF).
"""

from __future__ import annotations

from dataclasses import dataclass

from hostproof.artefacts.kernel.btf import Btf, Kind
from hostproof.artefacts.kernel.id_tables import TABLES

__all__ = ["BUSES", "REGISTERING", "Layout", "Registration", "Shape", "TableLayout", "layout_of", "table_layout"]


@dataclass(frozen=True, slots=True)
class Registration:
    """A function that registers structures of one kind. Argument 0 is the structure, or an array of pointers to such
    whose length argument 1 is; `probe` is the argument with the probe function where that is no member.
    """

    function: str
    array: bool = False
    probe: int | None = None
    table: str = ""
    """The kind of table where it depends on the function."""
    named: int | None = None
    """The argument that is KBUILD_MODNAME."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of registration structure: names of its members, the first that this kernel has being meant.

    `tables` pairs members with the kind of table they point to (`id_tables.TABLES`).
    """

    bus: str
    struct: str
    name: tuple[str, ...]
    probe: tuple[str, ...]
    tables: tuple[tuple[str, str], ...]
    registered_by: tuple[Registration, ...]
    bare: bool = False
    """A `struct device_driver` on its own: only one with a table counts, and what else is registered so says nothing."""


def _by(*functions: str, named: int | None = None) -> tuple[Registration, ...]:
    return tuple(Registration(function, named=named) for function in functions)


_FIRMWARE_TABLES = (("driver.of_match_table", "of"), ("driver.acpi_match_table", "acpi"))

BUSES: tuple[Shape, ...] = (
    Shape("pci", "pci_driver", ("name",), ("probe",), (("id_table", "pci"),), _by("__pci_register_driver", named=2)),
    Shape(
        "virtio",
        "virtio_driver",
        ("driver.name",),
        ("probe",),
        (("id_table", "virtio"),),
        _by("__register_virtio_driver", "register_virtio_driver"),
    ),
    Shape(
        "acpi",
        "acpi_driver",
        ("name",),
        ("ops.add",),
        (("ids", "acpi"),),
        _by("__acpi_bus_register_driver", "acpi_bus_register_driver"),
    ),
    Shape(
        "acpi",
        "acpi_scan_handler",
        (),
        ("attach",),
        (("ids", "acpi"),),
        _by("acpi_scan_add_handler", "acpi_scan_add_handler_with_hotplug"),
    ),
    Shape(
        "acpi",
        "device_driver",
        ("name",),
        ("probe",),
        (("acpi_match_table", "acpi"),),
        _by("driver_register"),
        bare=True,
    ),
    Shape(
        "platform",
        "platform_driver",
        ("driver.name",),
        ("probe",),
        (("id_table", "platform"), *_FIRMWARE_TABLES),
        (
            *_by("__platform_driver_register"),
            Registration("__platform_driver_probe", probe=1),
            Registration("__platform_create_bundle", probe=1),
            Registration("__platform_register_drivers", array=True),
        ),
    ),
    Shape("pnp", "pnp_driver", ("name",), ("probe",), (("id_table", "pnp"),), _by("pnp_register_driver")),
    Shape(
        "pnp", "pnp_card_driver", ("name",), ("probe",), (("id_table", "pnp_card"),), _by("pnp_register_card_driver")
    ),
    Shape(
        "vmbus", "hv_driver", ("name",), ("probe",), (("id_table", "vmbus"),), _by("__vmbus_driver_register", named=2)
    ),
    Shape(
        "xen",
        "xenbus_driver",
        ("name",),
        ("probe",),
        (("ids", "xen"),),
        (
            Registration("__xenbus_register_frontend", named=2, table="xen"),
            Registration("__xenbus_register_backend", named=2, table="xen-backend"),
        ),
    ),
    Shape("usb", "usb_driver", ("name",), ("probe",), (("id_table", "usb"),), _by("usb_register_driver", named=2)),
    Shape("usb", "usb_device_driver", ("name",), ("probe",), (("id_table", "usb"),), _by("usb_register_device_driver")),
    Shape("hid", "hid_driver", ("name",), ("probe",), (("id_table", "hid"),), _by("__hid_register_driver", named=2)),
    Shape(
        "i2c",
        "i2c_driver",
        ("driver.name",),
        ("probe", "probe_new"),
        (("id_table", "i2c"), *_FIRMWARE_TABLES),
        _by("i2c_register_driver"),
    ),
    Shape(
        "spi",
        "spi_driver",
        ("driver.name",),
        ("probe",),
        (("id_table", "spi"), *_FIRMWARE_TABLES),
        _by("__spi_register_driver"),
    ),
    Shape(
        "serio",
        "serio_driver",
        ("driver.name",),
        ("connect",),
        (("id_table", "serio"),),
        _by("__serio_register_driver", named=2),
    ),
    Shape(
        "amba",
        "amba_driver",
        ("drv.name",),
        ("probe",),
        (("id_table", "amba"),),
        _by("__amba_driver_register", "amba_driver_register"),
    ),
)
"""What is looked for. A scan handler is no driver, but binds ACPI devices by a table all the same; its name is that of
its symbol.
"""

REGISTERING = frozenset(registration.function for shape in BUSES for registration in shape.registered_by)
_UNSET = (
    *(f"{driver}.{member}" for driver in ("driver", "drv", "link.driver") for member in ("bus", "owner", "p")),
    "list_node.next",
    "list_node.prev",
)
"""Members that are NULL until the structure is registered (`owner` always, for what is built in)."""


@dataclass(frozen=True, slots=True)
class TableLayout:
    """A match table: its kind (`id_tables.TABLES`), where the structure points to it, and how its entries lie (bytes)."""

    kind: str
    offset: int
    size: int
    fields: dict[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the members of a shape lie, in bytes."""

    shape: Shape
    size: int
    name: int | None
    name_bytes: int
    """Size of the name where the structure holds it (`acpi_driver.name` before 6.14), 0 where it points to it."""
    probes: tuple[int, ...]
    tables: tuple[TableLayout, ...]
    unset: tuple[int, ...]


def layout_of(btf: Btf, shape: Shape) -> Layout | None:
    """Where the members of a shape lie, or None where the types do not say."""
    struct = btf.struct(shape.struct)
    if struct is None:
        return None
    probes = [member.offset for path in shape.probe if (member := btf.member(struct, path))]
    names = [member for path in shape.name if (member := btf.member(struct, path))]
    tables = []
    for path, kind in shape.tables:
        member = btf.member(struct, path)
        table = table_layout(btf, kind, member.offset) if member is not None else None
        if table is not None:
            tables.append(table)
    if not probes or (shape.name and not names):
        return None
    unset = tuple(member.offset for path in _UNSET if (member := btf.member(struct, path)))
    held = bool(names) and btf.kind(btf.resolve(names[0].type)) is Kind.ARRAY
    return Layout(
        shape,
        struct.size,
        names[0].offset if names else None,
        btf.size_of(names[0].type) if held else 0,
        tuple(probes),
        tuple(tables),
        unset,
    )


def table_layout(btf: Btf, kind: str, offset: int = 0) -> TableLayout | None:
    """How entries of a kind of table lie in this kernel, or None where its types do not say."""
    table, entry = TABLES[kind], btf.struct(TABLES[kind].struct)
    if entry is None or not entry.size:
        return None
    fields = {member.name: (member.offset, btf.size_of(member.type)) for member in entry.members if member.name}
    return TableLayout(kind, offset, entry.size, fields) if fields.keys() >= {*table.needs, *table.ends} else None
