"""Drivers that are built into an image, found by the structures that register them.

Two ways lead to a structure, and each hit of either is checked (`structure_check`):

1. Registration: a direct call of `__pci_register_driver` and the like with the structure's address as a constant. This
   needs symbols of functions only, sees drivers without a table, and tells the module.
2. Shape: any place in the data where such a structure would check out and has a table. This finds drivers that are
   registered in a way that 1 does not follow.

Code that a device tree's node starts without a driver (IRQCHIP_DECLARE, TIMER_OF_DECLARE, CLK_OF_DECLARE and others: one
`__of_table_NAME` each, `include/linux/of.h`) is listed under the bus `of`.

A bus whose every call was resolved is complete; else its reason names the functions that register something else.
Structures that are registered as something other than `registration_shapes.BUSES` names are not drivers here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from hostproof.artefacts.kernel.btf import Btf
from hostproof.artefacts.kernel.driver_shapes import find_shapes
from hostproof.artefacts.kernel.facts import ImageDriver
from hostproof.artefacts.kernel.id_tables import TABLES, Entry
from hostproof.artefacts.kernel.registration_shapes import (
    BUSES,
    REGISTERING,
    Layout,
    Registration,
    layout_of,
    table_layout,
)
from hostproof.artefacts.kernel.registrations import (
    ARCHITECTURES,
    MAX_WORK,
    Budget,
    Call,
    Calls,
    callers_up,
    initcall_modules,
    read_calls,
)
from hostproof.artefacts.kernel.structure_check import NAME_LIMIT, Search, checked
from hostproof.artefacts.kernel.symbols import Symbol, Symbols
from hostproof.artefacts.kernel.vmlinux import Vmlinux

__all__ = ["built_in_drivers"]

MAX_CALLS = 20_000
MAX_ARRAY = 256
_INIT = re.compile(r"(?:_(?:pci|platform|acpi|pnp|i2c|spi|serio|virtio))?(?:_driver|_drv|_module)?_init$")
"""What module_init(), module_pci_driver() and authors append."""
_MODULE = re.compile(r"[A-Za-z0-9_-]+")


def built_in_drivers(
    kernel: Vmlinux, symbols: Symbols, btf: Btf | None, builtin: Sequence[str] | None
) -> tuple[tuple[ImageDriver, ...], dict[str, str]]:
    """The drivers in an image, by bus and name, and per bus how the search went: empty where it saw every structure of
    that kind, else what limits it.

    `builtin` are canonical names from `modules.builtin`; they settle the module where no initcall names it. Raises
    InputError where the types are damaged.
    """
    if btf is None:
        reason = "this image has no BTF: the layout of its structures is unknown"
        return (), dict.fromkeys([*(shape.bus for shape in BUSES), "of"], reason)
    budget = Budget(kernel.name, MAX_WORK)
    search = Search(
        kernel,
        symbols,
        frozenset(
            address for address, letter in zip(symbols.addresses, symbols.types, strict=True) if letter in "TtWw"
        ),
        frozenset(builtin or ()),
        read_calls(kernel, symbols, budget),
        initcall_modules(kernel, symbols),
        budget,
    )
    reasons: dict[str, list[str]] = {shape.bus: [] for shape in BUSES}
    layouts = []
    for shape in BUSES:
        layout = layout_of(btf, shape)
        if layout is not None:
            layouts.append(layout)
            reasons[shape.bus] += _registered(search, layout)
        elif any(symbols.find(registration.function) for registration in shape.registered_by):
            reasons[shape.bus].append(f"the image's types do not tell the layout of struct {shape.struct}")
    find_shapes(search, layouts)
    if not symbols.complete:
        reasons["acpi"].append("kallsyms hold no data: a scan handler that inlined code adds is not told")
    reasons["of"] = _declared(search, btf)
    drivers = sorted(search.found.values(), key=lambda driver: (driver.bus, driver.name, driver.offset))
    return tuple(drivers), {bus: "; ".join(texts) for bus, texts in reasons.items()}


def _declared(search: Search, btf: Btf) -> list[str]:
    """Takes in what OF_DECLARE names; gives what limits that."""
    if not search.symbols.complete:
        return ["kallsyms hold no data: entries of OF_DECLARE are not told"]
    layout = table_layout(btf, "of")
    named = [index for index, name in enumerate(search.symbols.names) if name.startswith("__of_table_")]
    if layout is None or "data" not in layout.fields:
        return ["the image's types do not tell the layout of struct of_device_id"] if named else []
    for index in named[:MAX_CALLS]:
        address = search.symbols.addresses[index]
        body = search.read(address, layout.size)
        try:
            entry = Entry(body or b"", layout.fields, search.order)
            name, aliases = entry.text("compatible"), TABLES["of"].aliases(entry)
        except ValueError:
            continue  # a symbol that only has such a name
        function = search.symbols.at(entry.number("data"))
        probe = function.name if function is not None and function.address in search.functions else ""
        offset = search.kernel.offset_of(address)
        if name and offset is not None:
            structure = search.symbols.names[index]
            search.found[address] = ImageDriver("of", name, "", structure, offset, probe, tuple(aliases))
    return []


def _registered(search: Search, layout: Layout) -> list[str]:
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


def _take(search: Search, layout: Layout, registration: Registration, calls: Calls, call: Call) -> bool:
    """Takes in what one call registers; whether that could be told."""
    drivers = list(_by_call(search, layout, registration, calls, call))
    for address, driver in drivers:
        search.found.setdefault(address, driver)
    return bool(drivers)


def _through(
    search: Search, layout: Layout, registration: Registration, calls: Calls, wrapper: Symbol
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
    search: Search, layout: Layout, registration: Registration, calls: Calls, call: Call
) -> Iterator[tuple[int, ImageDriver]]:
    """The structures that one call registers, with their addresses."""
    if registration.array:
        length = calls.count(call, 1) or 0
        for start in calls.arguments(call, 0):
            entries = [search.pointer(start + 8 * index) for index in range(min(length, MAX_ARRAY))]
            drivers = [(entry, checked(search, layout, registration, entry, 0)) for entry in entries if entry]
            if drivers and all(driver for _, driver in drivers):
                module = _module(search, calls, call, registration, "")
                yield from ((address, replace(driver, module=module)) for address, driver in drivers if driver)
                return
        return
    probe = 0
    if registration.probe is not None:
        given = calls.arguments(call, registration.probe)
        probe = next((value for value in given if value in search.functions), 0)
    for address in (*(given := calls.arguments(call, 0)), *calls.constants(call)):
        if address in search.found and address not in given:
            continue  # a structure that another call registers
        driver = checked(search, layout, registration, address, probe)
        if driver is not None:
            yield address, replace(driver, module=_module(search, calls, call, registration, driver.name))
            return


def _module(search: Search, calls: Calls, call: Call, registration: Registration, name: str) -> str:
    """The module of a call: what its initcall says, else the KBUILD_MODNAME that is passed, else what driver or caller
    are called, where a built-in module is called so.
    """
    module = callers_up(calls, call.caller, search.modules)
    if module:
        return module
    given = calls.arguments(call, registration.named)[:1] if registration.named is not None else ()
    text = next((text for value in given if (text := search.kernel.text_at(value, NAME_LIMIT))), "")
    if text and _MODULE.fullmatch(text):
        return text.replace("-", "_")
    names = (name.replace("-", "_"), _INIT.sub("", call.caller.name))
    return next((candidate for candidate in names if candidate in search.builtin), "")
