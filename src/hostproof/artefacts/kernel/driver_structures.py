"""Drivers that are built into an image, found by the structures that register them.

SOURCE: `include/linux/{pci,virtio,platform_device,pnp,hyperv,usb,hid,i2c,spi,serio,amba/bus}.h`, `include/acpi/acpi_bus.h`
and `include/xen/xenbus.h` of Linux for the structures and the functions that register them. Their layouts come from the
image's own types (BTF), newest member first where a name changed.

Two ways lead to a structure, and each hit of either is checked: its name must be text, its probe pointer must lie
exactly on a function (or be given with the call that registers it), its tables must decode and end.

1. Registration: a direct call of `__pci_register_driver` and the like with the structure's address as a constant. This
   needs symbols of functions only, sees drivers without a table, and tells the module.
2. Shape: any place in the data where such a structure would check out and has a table. This finds drivers that are
   registered in a way that 1 does not follow; with data in kallsyms such a place must begin a symbol.

A bus whose every call was resolved is complete; else its reason names the functions that register something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING

from hostproof.artefacts.kernel.btf import Btf, Kind, Struct
from hostproof.artefacts.kernel.facts import ImageDriver
from hostproof.artefacts.kernel.id_tables import TABLES, table_aliases
from hostproof.artefacts.kernel.registrations import ARCHITECTURES, Call, Calls, callers_up, initcall_modules, read_calls
from hostproof.artefacts.kernel.symbols import Symbol, Symbols
from hostproof.artefacts.kernel.vmlinux import Vmlinux

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["BUSES", "Registration", "Shape", "built_in_drivers"]

MAX_DRIVERS = 20_000
MAX_CALLS = 20_000
MAX_SHAPES = 200_000
MAX_ARRAY = 256
NAME_LIMIT = 64
_MODULE = re.compile(r"[A-Za-z0-9_-]+")


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
    weak: bool = False
    """Whether any bytes may be its table, so that without symbols of data nothing has its shape."""


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
    Shape("vmbus", "hv_driver", ("name",), ("probe",), (("id_table", "vmbus"),), _by("__vmbus_driver_register", named=2)),
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
    Shape(
        "usb", "usb_device_driver", ("name",), ("probe",), (("id_table", "usb"),), _by("usb_register_device_driver")
    ),
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
        weak=True,
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
_UNSET = tuple(f"{driver}.{member}" for driver in ("driver", "drv", "link.driver") for member in ("bus", "owner", "p"))
"""Members of `struct device_driver` that are NULL until it is registered (`owner` always, for what is built in)."""


@dataclass(frozen=True, slots=True)
class _TableLayout:
    kind: str
    offset: int
    size: int
    fields: dict[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the members of a shape lie, in bytes."""

    shape: Shape
    size: int
    name: int | None
    name_bytes: int
    """Size of the name where the structure holds it (`acpi_driver.name` before 6.14), 0 where it points to it."""
    probes: tuple[int, ...]
    tables: tuple[_TableLayout, ...]
    unset: tuple[int, ...]


@dataclass(slots=True)
class _Search:
    """An image with what was found in it so far: drivers by address of their structure."""

    kernel: Vmlinux
    symbols: Symbols
    functions: frozenset[int]
    builtin: frozenset[str]
    calls: Calls | None
    modules: dict[int, str]
    found: dict[int, ImageDriver] = field(default_factory=dict)

    @property
    def order(self) -> str:
        return "big" if self.kernel.architecture == "s390x" else "little"

    def pointer(self, address: int) -> int | None:
        raw = self.kernel.read(address, 8)
        return None if raw is None else int.from_bytes(raw, "big" if self.order == "big" else "little")


def built_in_drivers(
    kernel: Vmlinux, symbols: Symbols, btf: Btf | None, builtin: Sequence[str] | None
) -> tuple[tuple[ImageDriver, ...], dict[str, str]]:
    """The drivers in an image, by bus and name, and per bus how the search went: empty where it saw every structure of
    that kind, else what limits it.

    `builtin` are canonical names from `modules.builtin`; they settle the module where no initcall names it. Raises
    InputError where the types are damaged.
    """
    if btf is None:
        return (), {shape.bus: "this image has no BTF: the layout of its structures is unknown" for shape in BUSES}
    search = _Search(
        kernel,
        symbols,
        frozenset(address for address, letter in zip(symbols.addresses, symbols.types, strict=True) if letter in "TtWw"),
        frozenset(builtin or ()),
        read_calls(kernel, symbols),
        initcall_modules(kernel, symbols),
    )
    reasons: dict[str, list[str]] = {shape.bus: [] for shape in BUSES}
    layouts = []
    for shape in BUSES:
        layout = _layout(btf, shape)
        if layout is not None:
            layouts.append(layout)
            reasons[shape.bus] += _registered(search, layout)
        elif any(symbols.find(registration.function) for registration in shape.registered_by):
            reasons[shape.bus].append(f"the image's types do not tell the layout of struct {shape.struct}")
    _shaped(search, layouts)
    drivers = sorted(search.found.values(), key=lambda driver: (driver.bus, driver.name, driver.offset))
    return tuple(drivers), {bus: "; ".join(texts) for bus, texts in reasons.items()}


def _layout(btf: Btf, shape: Shape) -> _Layout | None:
    """Where the members of a shape lie, or None where the types do not say."""
    struct = btf.struct(shape.struct)
    if struct is None:
        return None
    probes = [member.offset for path in shape.probe if (member := btf.member(struct, path))]
    names = [member for path in shape.name if (member := btf.member(struct, path))]
    tables = []
    for path, kind in shape.tables:
        member, entry = btf.member(struct, path), btf.struct(TABLES[kind].struct)
        if member is not None and entry is not None:
            fields = _fields(btf, entry)
            if entry.size and all(name in fields for name in (*TABLES[kind].needs, *TABLES[kind].ends)):
                tables.append(_TableLayout(kind, member.offset, entry.size, fields))
    if not probes or (shape.name and not names):
        return None
    unset = tuple(member.offset for path in _UNSET if (member := btf.member(struct, path)))
    held = bool(names) and btf.kind(btf.resolve(names[0].type)) is Kind.ARRAY
    return _Layout(
        shape,
        struct.size,
        names[0].offset if names else None,
        btf.size_of(names[0].type) if held else 0,
        tuple(probes),
        tuple(tables),
        unset,
    )


def _fields(btf: Btf, entry: Struct) -> dict[str, tuple[int, int]]:
    return {member.name: (member.offset, btf.size_of(member.type)) for member in entry.members if member.name}


def _registered(search: _Search, layout: _Layout) -> list[str]:
    """Takes in what is registered as this shape; gives what limits that."""
    shape, calls = layout.shape, search.calls
    if calls is None:
        return [f"calls are read in code of {' and '.join(ARCHITECTURES)} only, not of {search.kernel.architecture}"]
    unresolved: dict[str, None] = {}
    for registration in shape.registered_by:
        function = search.symbols.find(registration.function)
        for call in islice(calls.of(function), MAX_CALLS) if function is not None else ():
            if call.caller.name in REGISTERING:
                continue  # one that registers what it was given as another kind
            if not _take(search, layout, registration, calls, call) and not shape.bare:
                unresolved.update(dict.fromkeys(_through(search, layout, registration, calls, call.caller)))
    if not unresolved:
        return []
    names = ", ".join(sorted(unresolved)[:8]) + (" and others" if len(unresolved) > 8 else "")
    return [f"a struct {shape.struct} that is no constant is registered by {names}"]


def _take(search: _Search, layout: _Layout, registration: Registration, calls: Calls, call: Call) -> bool:
    """Takes in what one call registers; whether that could be told."""
    drivers = list(_by_call(search, layout, registration, calls, call))
    for address, driver in drivers:
        search.found.setdefault(address, driver)
    return bool(drivers)


def _through(
    search: _Search, layout: _Layout, registration: Registration, calls: Calls, wrapper: Symbol
) -> Iterator[str]:
    """Takes in what is registered through a function that passes on what it was given; gives the functions that pass it
    no constant. One that is exported and not called from the image serves modules only.
    """
    called = list(islice(calls.of(wrapper), MAX_CALLS))
    if not called and search.symbols.find(f"__ksymtab_{wrapper.name}") is None:
        yield wrapper.name
    for call in called:
        if not _take(search, layout, replace(registration, probe=None), calls, call):
            yield call.caller.name


def _by_call(
    search: _Search, layout: _Layout, registration: Registration, calls: Calls, call: Call
) -> Iterator[tuple[int, ImageDriver]]:
    """The structures that one call registers, with their addresses."""
    if registration.array:
        length = calls.count(call, 1) or 0
        for start in calls.arguments(call, 0):
            entries = [search.pointer(start + 8 * index) for index in range(min(length, MAX_ARRAY))]
            drivers = [(entry, _driver(search, layout, registration, entry, 0)) for entry in entries if entry]
            if drivers and all(driver for _, driver in drivers):
                module = _module(search, calls, call, registration, "")
                yield from ((address, replace(driver, module=module)) for address, driver in drivers if driver)
                return
        return
    probe = 0
    if registration.probe is not None:
        given = calls.arguments(call, registration.probe)
        probe = next((value for value in given if value in search.functions), 0)
    for address in (*calls.arguments(call, 0), *calls.constants(call)):
        driver = _driver(search, layout, registration, address, probe)
        if driver is not None:
            yield address, replace(driver, module=_module(search, calls, call, registration, driver.name))
            return


def _module(search: _Search, calls: Calls, call: Call, registration: Registration, name: str) -> str:
    """The module of a call: what its initcall says, else the KBUILD_MODNAME that is passed, else the driver's name where
    a built-in module has it.
    """
    module = callers_up(calls, call.caller, search.modules)
    if module:
        return module
    given = calls.arguments(call, registration.named)[:1] if registration.named is not None else ()
    text = next((text for value in given if (text := search.kernel.text_at(value, NAME_LIMIT))), "")
    if text and _MODULE.fullmatch(text):
        return text.replace("-", "_")
    canonical = name.replace("-", "_")
    return canonical if canonical in search.builtin else ""


def _driver(
    search: _Search, layout: _Layout, registration: Registration | None, address: int, probe: int
) -> ImageDriver | None:
    """The structure at `address`, or None where it does not check out. Without a registration it must have a probe
    function and a table.
    """
    kernel, symbols = search.kernel, search.symbols
    if kernel.read(address, layout.size) is None:
        return None
    pointers = [search.pointer(address + offset) or 0 for offset in layout.probes]
    probe = next((pointer for pointer in pointers if pointer), probe)
    if probe and probe not in search.functions:
        return None
    aliases: dict[str, None] = {}
    for table in layout.tables:
        start = search.pointer(address + table.offset)
        if start:
            kind = registration.table if registration and registration.table else table.kind
            entries = table_aliases(kernel.read, start, TABLES[kind], table.size, table.fields, search.order)
            if entries is None:
                return None
            if registration is None and not _begins_symbol(search.symbols, start, table.size):
                return None
            aliases.update(dict.fromkeys(entries))
    if registration is None and (not (probe and aliases) or any(search.pointer(address + at) for at in layout.unset)):
        return None
    if layout.shape.bare and not aliases:
        return None
    symbol = symbols.at(address) if symbols.complete else None
    structure = symbol.name if symbol is not None and symbol.address == address else ""
    name = _name(search, layout, address, structure, aliases, probe)
    if name is None:
        return None
    function = symbols.at(probe) if probe else None
    return ImageDriver(
        layout.shape.bus,
        name,
        "",
        structure,
        kernel.offset_of(address) or 0,
        function.name if function else "",
        tuple(aliases),
    )


def _begins_symbol(symbols: Symbols, address: int, size: int) -> bool:
    """Whether a symbol of data of at least this size begins there, or that cannot be told."""
    if not symbols.complete:
        return True
    symbol = symbols.at(address)
    return symbol is not None and symbol.address == address and symbol.size >= size and not symbol.is_function


def _name(search: _Search, layout: _Layout, address: int, structure: str, aliases: dict[str, None], probe: int) -> str | None:
    """The driver's name, or None where its place holds no text. A xenbus driver without one takes that of its first id."""
    if layout.name is None:
        function = search.symbols.at(probe) if probe else None
        return structure or (function.name if function else "") if aliases else None
    if layout.name_bytes:
        return search.kernel.text_at(address + layout.name, layout.name_bytes) or None
    pointer = search.pointer(address + layout.name)
    if pointer:
        return search.kernel.text_at(pointer, NAME_LIMIT) or None
    if layout.shape.bus == "xen" and aliases:
        return next(iter(aliases)).partition(":")[2]
    return None


def _shaped(search: _Search, layouts: Sequence[_Layout]) -> None:
    """Takes in what has the shape of a driver and was not registered in a way that is followed."""
    import numpy as np

    kernel, symbols = search.kernel, search.symbols
    functions = np.array(sorted(search.functions), np.uint64)
    if not len(functions):
        return
    budget = MAX_SHAPES
    for section in kernel.sections:
        body = kernel.bytes_of(section)
        if section.executable or section.address % 8 or len(body) < 64:
            continue
        words = np.frombuffer(body[: len(body) & ~7], ">u8" if search.order == "big" else "<u8")
        probes = _on_functions(words, functions)
        for layout in layouts:
            if not layout.tables or layout.name is None or layout.shape.bare:
                continue
            if layout.shape.weak and not symbols.complete:
                continue
            for index in _candidates(words, probes, layout, kernel):
                address = section.address + 8 * index
                budget -= 1
                if address in search.found or budget < 0 or not _begins_symbol(symbols, address, layout.size):
                    continue
                driver = _driver(search, layout, None, address, 0)
                if driver is not None and len(search.found) < MAX_DRIVERS:
                    canonical = driver.name.replace("-", "_")
                    module = canonical if canonical in search.builtin else ""
                    search.found[address] = replace(driver, module=module)


def _on_functions(words: npt.NDArray[np.uint64], functions: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """The positions of words that are addresses of functions."""
    import numpy as np

    inside = np.flatnonzero((words >= functions[0]) & (words <= functions[-1]))
    values = words[inside]
    return inside[functions[np.searchsorted(functions, values)] == values]


def _candidates(
    words: npt.NDArray[np.uint64], probes: npt.NDArray[np.int64], layout: _Layout, kernel: Vmlinux
) -> list[int]:
    """Where a structure of this shape may begin: its probe is a function, its name and one table point into data."""
    import numpy as np

    assert layout.name is not None  # shapes without a name are not looked for
    starts = np.concatenate([probes - offset // 8 for offset in layout.probes])
    starts = np.unique(starts[(starts >= 0) & (starts + layout.size // 8 <= len(words))])
    if not layout.name_bytes:
        starts = starts[_in_data(words[starts + layout.name // 8], kernel)]
    for offset in layout.unset:
        starts = starts[words[starts + offset // 8] == 0]
    kept = np.zeros(len(starts), bool)
    for table in layout.tables:
        kept |= _in_data(words[starts + table.offset // 8], kernel)
    found: list[int] = starts[kept].tolist()
    return found


def _in_data(values: npt.NDArray[np.uint64], kernel: Vmlinux) -> npt.NDArray[np.bool_]:
    import numpy as np

    inside = np.zeros(len(values), bool)
    for section in kernel.sections:
        if not section.executable or kernel.flat:
            inside |= (values >= np.uint64(section.address)) & (values < np.uint64(section.address + section.size))
    return inside
