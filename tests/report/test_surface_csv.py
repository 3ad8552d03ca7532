"""Surfaces for spreadsheets: what is there, and nothing that a spreadsheet would execute."""

from __future__ import annotations

import csv
import io

import ledgers
import pytest
from tests.ledger import surfaces

from hostproof.ledger.surface import Surface, surface
from hostproof.report.surface_csv import to_csv

WORLD = surfaces.catalogue()
HEAD = "driver,reach,built_in,buses,keys,text_bytes,closure_bytes,score,code_sha256,path"
FORMULAS = ("=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1")


def view(name: str = "card", alias: str = "pci:v1*") -> Surface:
    modules = (surfaces.module(name, alias, sites={"port": 2}),)
    return surface(WORLD, surfaces.kernel(modules, image=None), WORLD.technologies["t"], None)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_one_line_per_driver_with_a_column_per_interface_that_has_a_site() -> None:
    assert to_csv(view()).split("\r\n") == [
        f"{HEAD},port",
        f"card,presentable,no,pci,1,1000,1000,4,{'a' * 64},kernel/drivers/card.ko,2",
        "ext4,not-reached,yes,acpi,1,,,0,,,",
        "",
    ]


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_cell_is_a_formula(formula: str) -> None:
    found = rows(to_csv(view(name=formula, alias=f"{formula}:x")))[0]

    assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in found.values())
    assert found["driver"].startswith(("'", "\\"))


@pytest.mark.parametrize("hostile", [*ledgers.HOSTILE, 'a"b,c', "one\r\ntwo,three"])
def test_hostile_names_stay_in_their_cell_and_line(hostile: str) -> None:
    text = to_csv(view(name=hostile, alias=f"pci{hostile}:x"))

    assert len(rows(text)) == 2
    assert text.count("\r\n") == 3
    assert all(character.isprintable() for line in text.split("\r\n") for character in line)
