"""The surface as people read it on a terminal and paste it into mails."""

from __future__ import annotations

import re

import ledgers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from tests.ledger import surfaces, worlds
from tests.ledger.test_surface import kernels

from hostproof.artefacts.kernel.facts import KernelFacts
from hostproof.ledger.surface import Surface, surface
from hostproof.report.surface_terminal import to_text

WORLD = surfaces.catalogue()
TECHNOLOGY = WORLD.technologies["t"]
WHOLE = surface(WORLD, surfaces.kernel(), TECHNOLOGY, None)
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")

GOLDEN = f"""\
linux-test 1 (x86_64)
a host of t reaches 5 modules of 6, 5.6 KiB of 6.5 KiB; 2 drivers built in
it may present devices of pci, virtio
image: 4.9 KiB of text, sha256 {"1" * 64}
limit: built-in drivers of acpi: a limit

BY BUS: 4 buses
  drivers with match keys, their text; with all they need: modules, text; sites in the drivers
  pci  presentable            2 drivers, 1 built in, 3 keys, 4.9 KiB; 3 modules, 5.1 KiB; 6 sites
  virtio  presentable         1 driver, 1 key, 3.9 KiB; 1 module, 3.9 KiB; 3 sites
  usb  behind controller      1 driver, 1 key, 500 B; 1 module, 500 B; 1 site
  dmi  by identity            1 driver, 1 key, 50 B; 1 module, 50 B; 0 sites
  other buses (-v lists them): of, acpi

BY INTERFACE: sites in modules that the host reaches, in all modules, and in the image
  pci-config            2 in 1; 2 in 1; image 0
                        not seen: what hides of pci-config
  port                  4 in 2; 4 in 2; image 2 in 2 functions
                        not seen: what hides of port
  pci-wide              1 in 1; 1 in 1; image 0
                        not seen: what hides of pci-wide

PRESENTABLE: 3 drivers, 4.9 KiB
  heavy                 3.9 KiB; 2 keys on pci virtio; pci-config 2, port 1
  light                 1000 B; 2 keys on pci; port 3
  port_card             built in; 1 key on pci; its sites are among the image's

BEHIND CONTROLLER: 1 driver, 500 B
  stick                 500 B; 1 key on usb; pci-wide 1

BY IDENTITY: 1 driver, 50 B
  words                 50 B; 1 key on dmi; no site seen

NEEDED: 1 driver, 200 B
  helper                200 B; 0 keys on no bus; no site seen

not listed (-v lists them): 1 driver whose devices other drivers or board code make, so that keys
  do not tell whether this host can cause one; 1 driver without a key for a device of it
"""


def hostile_view(hostile: str) -> Surface:
    modules = (surfaces.module(hostile, f"pci:{hostile}", f"{hostile}:x", sites={"port": 1}),)
    kernel = surfaces.kernel(modules, package=hostile, notes=(hostile,))
    return surface(WORLD, kernel, TECHNOLOGY, worlds.machine(name=hostile))


def test_a_small_kernel_reads_so() -> None:
    assert to_text(WHOLE) == GOLDEN


def test_everything_is_listed_for_those_who_ask() -> None:
    text = to_text(WHOLE, verbose=True)

    assert "port: light_port_0, light_port_1, light_port_2" in text
    assert "image: inb_one, inb_two" in text
    assert "MADE BY DRIVERS: 1 driver, 900 B" in text
    assert "not listed" not in text


def test_long_lists_are_cut_with_the_way_to_the_rest() -> None:
    many = tuple(worlds.module(f"m{number}", "pci:v*") for number in range(20))
    view = surface(WORLD, surfaces.kernel(many), TECHNOLOGY, None)

    assert "and 6 drivers more (-v lists them)" in to_text(view)
    assert "more" not in to_text(view, verbose=True)


def test_what_is_not_known_is_not_shown_as_none() -> None:
    modules = surface(WORLD, worlds.kernel(modules=()), TECHNOLOGY, None)
    view = surface(WORLD, KernelFacts("6.1", "6.1", "x86_64", "vmlinuz"), TECHNOLOGY, None)
    plain = surface(WORLD, worlds.kernel(modules=(worlds.module("a", "pci:v*"),)), TECHNOLOGY, None)

    assert "reaches modules that are not known; no built-in driver is known" in to_text(view)
    assert "reaches 0 modules of 0, 0 B of 0 B" in to_text(modules)
    assert "1 key on pci; sites not counted" in to_text(plain)


def test_devices_of_a_definition_are_named() -> None:
    machine = worlds.machine(worlds.device("card", "pci:v00000003d00000001sv00000000"))

    assert "vm presents devices of 1 driver: light" in to_text(surface(WORLD, surfaces.kernel(), TECHNOLOGY, machine))


def test_colour_only_repeats_words() -> None:
    coloured = to_text(WHOLE, color=True)

    assert coloured != GOLDEN
    assert ESCAPES.sub("", coloured) == GOLDEN


@pytest.mark.parametrize("hostile", ledgers.HOSTILE)
@pytest.mark.parametrize("verbose", [False, True])
def test_hostile_names_write_nothing_to_the_terminal(hostile: str, verbose: bool) -> None:
    text = to_text(hostile_view(hostile), verbose=verbose)

    assert all(character.isprintable() for line in text.split("\n") for character in line)


@settings(max_examples=30)
@given(kernels(), st.integers(20, 160), st.booleans())
def test_no_line_is_wider_than_asked_for(kernel: KernelFacts, width: int, verbose: bool) -> None:
    text = to_text(surface(WORLD, kernel, TECHNOLOGY, None), width=width, verbose=verbose)

    assert all(cell_len(line) <= width for line in text.split("\n"))
