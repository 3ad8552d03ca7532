"""Initcalls and parameters, from tables that are laid out as the kernel's headers say."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.artefacts.kernel.image_code import Functions
from hostproof.artefacts.kernel.init_tables import (
    initcalls,
    module_parameters,
    parameter_name,
    setup_parameters,
)
from hostproof.artefacts.kernel.symbols import Symbols
from hostproof.artefacts.kernel.vmlinux import ImageSection, Vmlinux
from tests.artefacts.kernel.linked_image import DATA, Function, addresses_of, link, x86

MANY = [Function(f"fn{index}", [x86("c3")], init=True) for index in range(40)]
AT = addresses_of(MANY)
PAGE = 0x1000


def distances(address: int, names: list[str]) -> bytes:
    return b"".join(struct.pack("<i", AT[name] - address - index * 4) for index, name in enumerate(names))


def texts(address: int, names: list[str]) -> tuple[bytes, list[int]]:
    """NUL-terminated texts, and where each lies."""
    places = [address + sum(len(name) + 1 for name in names[:index]) for index in range(len(names))]
    return b"".join(name.encode() + b"\0" for name in names), places


def setup_table(places: list[int], functions: list[str]) -> bytes:
    rows = zip(places, functions, strict=True)
    return b"".join(struct.pack("<QQi4x", place, AT[name], index % 2) for index, (place, name) in enumerate(rows))


def names_of(count: int) -> list[str]:
    return [f"fn{index}" for index in range(count)]


def test_initcalls_lie_between_their_symbols() -> None:
    table = distances(DATA, ["fn3", "fn1"])
    kernel, symbols = link(MANY, data=[(".init.data", "__initcall_start,__initcall_end", table)])
    section = kernel.section(".init.data")
    assert section

    found = initcalls(kernel, symbols, Functions(symbols))

    assert found
    assert found.found == "__initcall_start"
    assert [(name, entry.offset - section.offset) for name, entry in found.entries.items()] == [("fn3", 0), ("fn1", 4)]


def test_initcalls_of_consoles_are_initcalls() -> None:
    kernel, symbols = link(
        MANY,
        data=[
            (".init.data", "__initcall_start,__initcall_end", distances(DATA, ["fn3"])),
            (".init.con", "__con_initcall_start,__con_initcall_end", distances(DATA + PAGE, ["fn4"])),
        ],
    )

    found = initcalls(kernel, symbols, Functions(symbols))

    assert found
    assert set(found.entries) == {"fn3", "fn4"}


def test_initcalls_may_be_addresses() -> None:
    table = b"".join(struct.pack("<Q", AT[name]) for name in ("fn5", "fn6"))
    kernel, symbols = link(MANY, data=[(".init.data", "__initcall_start,__initcall_end", table)])

    found = initcalls(kernel, symbols, Functions(symbols))

    assert found
    assert set(found.entries) == {"fn5", "fn6"}


@pytest.mark.parametrize("width", [4, 8])
def test_without_symbols_of_data_initcalls_are_a_long_run(width: int) -> None:
    before = struct.pack("<Q", AT["fn0"]) + bytes(72)
    names = names_of(36)
    table = (
        distances(DATA + len(before), names) if width == 4 else b"".join(struct.pack("<Q", AT[name]) for name in names)
    )
    kernel, symbols = link(MANY, data=[(".init.data", "", before + table + bytes(64))], complete=False)
    section = kernel.section(".init.data")
    assert section

    found = initcalls(kernel, symbols, Functions(symbols))

    assert found
    assert found.found == "structure"
    assert names == list(found.entries)
    assert found.entries["fn0"].offset == section.offset + len(before)


def test_a_short_run_is_no_table() -> None:
    kernel, symbols = link(MANY, data=[(".init.data", "", distances(DATA, names_of(20)) + bytes(64))], complete=False)

    assert initcalls(kernel, symbols, Functions(symbols)) is None


def test_setup_parameters_lie_between_their_symbols() -> None:
    text, places = texts(DATA, ["nopti", "random.trust_cpu", "console=", "acpi-off,"])
    table = setup_table(places, ["fn0", "fn1", "fn2", "fn3"])
    kernel, symbols = link(MANY, data=[(".rodata", "", text), (".init.data", "__setup_start,__setup_end", table)])
    section = kernel.section(".init.data")
    assert section

    found = setup_parameters(kernel, symbols, Functions(symbols))

    assert found
    assert list(found.entries) == ["nopti", "random.trust_cpu", "console", "acpi_off,"]
    assert found.entries["console"].symbol == "fn2"
    assert found.entries["console"].offset == section.offset + 48


@pytest.mark.parametrize("stray", [False, True], ids=["alone", "behind an entry that only looks like one"])
def test_without_symbols_of_data_setup_parameters_are_a_long_run(stray: bool) -> None:
    names = [f"option{index}=" for index in range(20)]
    text, places = texts(DATA, names)
    before = struct.pack("<QQi4x", DATA + len(text), AT["fn9"], 0) if stray else bytes(40)
    table = before + setup_table(places, names_of(20)) + bytes(48)
    kernel, symbols = link(
        MANY, data=[(".rodata", "", text + b"\xff\xff\0"), (".init.data", "", table)], complete=False
    )

    found = setup_parameters(kernel, symbols, Functions(symbols))

    assert found
    assert found.found == "structure"
    assert list(found.entries) == [f"option{index}" for index in range(20)]


def test_parameters_of_built_in_code_are_in_the_section_param() -> None:
    text, places = texts(DATA, ["panic", "random.ratelimit_disable"])
    table = b"".join(struct.pack("<QQQHbB4xQ", place, 0, 0, 0o644, -1, 0, 0) for place in places)
    kernel, symbols = link(MANY, data=[(".rodata", "", text), ("__param", "", table)])
    section = kernel.section("__param")
    assert section

    found = module_parameters(kernel, symbols)

    assert found
    assert list(found.entries) == ["panic", "random.ratelimit_disable"]
    assert found.entries["random.ratelimit_disable"].offset == section.offset + 40


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(b"\1" * 39, id="size"),
        pytest.param(struct.pack("<5Q", DATA + (1 << 20), 0, 0, 0, 0), id="a name that is nowhere"),
        pytest.param(struct.pack("<5Q", DATA + 5, 0, 0, 0, 0), id="an empty name"),
    ],
)
def test_a_section_param_that_is_no_table_is_not_taken_for_an_empty_one(table: bytes) -> None:
    kernel, symbols = link(MANY, data=[(".rodata", "", b"panic\0"), ("__param", "", table)])

    assert module_parameters(kernel, symbols) is None


def test_an_image_without_tables_has_none() -> None:
    kernel, symbols = link(MANY)
    functions = Functions(symbols)

    assert initcalls(kernel, symbols, functions) is None
    assert setup_parameters(kernel, symbols, functions) is None
    assert module_parameters(kernel, symbols) is None


@pytest.mark.parametrize(
    ("text", "name"), [("console=", "console"), ("no-kvm", "no_kvm"), ("a-b.c-d=e-f", "a_b.c_d"), ("pci", "pci")]
)
def test_a_parameter_is_named_as_the_kernel_compares_it(text: str, name: str) -> None:
    assert name == parameter_name(text)


@given(st.binary(max_size=400), st.booleans(), st.booleans(), st.integers(0, 380))
def test_any_bytes_are_searched_for_tables(data: bytes, named: bool, flat: bool, end: int) -> None:
    sections = (
        ImageSection(".init.data", DATA, 0, len(data) // 2, executable=False),
        ImageSection("__param", DATA + PAGE, len(data) // 2, len(data) - len(data) // 2, executable=False),
    )
    kernel = Vmlinux("vmlinux", "x86_64", data, "", sections, flat)
    names = ["f", "__initcall_start", "__initcall_end", "__setup_start", "__setup_end", "g"] if named else ["f"] * 6
    symbols = Symbols([0, DATA, DATA + end, DATA, DATA + end, DATA + 2 * PAGE], "tddddt", names, complete=named)
    functions = Functions(symbols)

    for table in (
        initcalls(kernel, symbols, functions),
        setup_parameters(kernel, symbols, functions),
        module_parameters(kernel, symbols),
    ):
        assert table is None or all(0 <= entry.offset < len(data) for entry in table.entries.values())
