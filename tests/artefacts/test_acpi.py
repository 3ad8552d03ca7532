"""ACPI tables: binary and disassembled."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts import acpi
from hostproof.errors import HostproofError, InputError

SAMPLE = Path(__file__).resolve().parents[1] / "corpus" / "acpi" / "ssdt.dsl"


def table(signature: bytes, body: bytes = b"", *, right: bool = True) -> bytes:
    """A binary table whose bytes add up to zero, or not."""
    data = bytearray(
        struct.pack("<4sIBB6s8sI4sI", signature, 36 + len(body), 6, 0, b"SAMPLE", b"TABLE", 7, b"HOST", 1) + body
    )
    data[9] = (-sum(data) + (not right)) & 0xFF
    return bytes(data)


FADT = table(b"FACP", b"\0" * 76 + (1 << 20).to_bytes(4, "little") + b"\0" * 20)


def test_binary_tables_are_listed_one_behind_the_other() -> None:
    found = acpi.read(FADT + table(b"APIC", b"x" * 3, right=False) + table(b"DSDT", b"\x10"), "tables")

    assert [(t.signature, t.length, t.checksum_right, t.place.offset) for t in found.tables] == [
        ("FACP", 136, True, 0),
        ("APIC", 39, False, 136),
        ("DSDT", 37, True, 175),
    ]
    assert (found.tables[0].oem_id, found.tables[0].oem_table_id, found.tables[0].revision) == ("SAMPLE", "TABLE", 6)
    assert found.hardware_reduced
    assert list(found.notes) == ["the AML of DSDT is not decompiled: give what `iasl -d` makes of it"]


def test_aml_text_gives_regions_and_ids_with_scope_and_line() -> None:
    found = acpi.read(SAMPLE.read_bytes(), "ssdt.dsl")

    assert [(t.signature, t.length, t.oem_id, t.oem_table_id) for t in found.tables] == [
        ("SSDT", 0x123, "SAMPLE", "SAMPLET")
    ]
    assert [(r.name, r.space, r.offset, r.length, r.scope, r.place.line) for r in found.regions] == [
        ("PORT", "SystemIO", 0x3F8, 8, r"\_SB.COM1", 15),
        (r"\MEMO", "SystemMemory", None, 1, r"\_SB", 17),
    ]
    assert [(i.kind, i.alias, i.scope) for i in found.ids] == [
        ("_HID", "acpi:PNP0501:", r"\_SB.COM1"),
        ("_CID", "acpi:ACPI0001:", r"\_SB.COM1"),
    ]
    assert None is found.hardware_reduced


def test_the_real_fadt_is_hardware_reduced_and_its_bytes_add_up(shared: Path) -> None:
    name = "microsoft__igvm-tooling__FACP_sample.dsl"
    found = acpi.read((shared / "vm-definitions" / name).read_bytes(), name)

    assert [(t.signature, t.length, t.revision, t.oem_id, t.checksum_right, t.fadt_flags) for t in found.tables] == [
        ("FACP", 276, 6, "CLOUDH", True, 0x100500)
    ]
    assert found.hardware_reduced


def test_the_real_dsdt_touches_three_regions_of_memory_and_no_port(shared: Path) -> None:
    name = "microsoft__igvm-tooling__DSDT_sample.dsl"
    found = acpi.read((shared / "vm-definitions" / name).read_bytes(), name)

    assert [(r.place.path, r.space, r.offset, r.length, r.place.line) for r in found.regions] == [
        ("_SB.PHPR.PCST", "SystemMemory", 0x7FFFFFEF000, 16, 39),
        ("_SB.GEC.GDST", "SystemMemory", 0x7FFFFFED000, 1, 8618),
        ("_SB.PRES.PRST", "SystemMemory", 0x7FFFFFEE000, 12, 8685),
    ]
    assert (found.tables[0].signature, found.tables[0].length) == ("DSDT", 32975)
    assert sum(i.value == "PNP0A08" for i in found.ids) == 10


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nothing",
        b"\xff\xfe",
        FADT[:20] + b"\0",
        b"APIC" + (9999).to_bytes(4, "little") + b"\0" * 40,
        b"APIC" + (3).to_bytes(4, "little") + b"\0" * 40,
        table(b"APIC") * (acpi.MAX_TABLES + 1),
        SAMPLE.read_bytes() + b"}",
        SAMPLE.read_bytes() + b"{" * 300,
    ],
)
def test_malformed_tables_are_refused_with_a_place(data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        acpi.read(data, "tables")

    assert caught.value.place is not None


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_mutated_tables_give_tables_or_an_error_of_the_project(data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from([FADT, SAMPLE.read_bytes()]))
    start = data.draw(st.integers(0, len(whole)))
    mutated = whole[:start] + data.draw(st.binary(max_size=5)) + whole[start + data.draw(st.integers(0, 9)) :]
    try:
        acpi.read(mutated, "tables")
    except HostproofError as error:
        assert error.place is not None
