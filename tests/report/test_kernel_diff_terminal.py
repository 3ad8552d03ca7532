"""The difference between two kernels as people read it."""

from __future__ import annotations

import re
from dataclasses import replace

import ledgers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from tests.ledger import surfaces, worlds
from tests.ledger.test_surface import kernels

from hostproof.artefacts.kernel.facts import Answer, KernelFacts
from hostproof.ledger.kernel_diff import KernelDiff, kernel_diff
from hostproof.report.kernel_diff_terminal import to_text

WORLD = surfaces.catalogue()
HEAVY, LIGHT, *REST = surfaces.MODULES
OLD = surfaces.kernel(symbols=("shield_init",))
NEW = surfaces.kernel(
    (
        replace(LIGHT, text_bytes=1300, code_sha256="b" * 64, sites={}),
        surfaces.module("fresh", "pci:v9*", sites={"port": 2}),
        *REST,
    ),
    symbols=("eater_init", "both_init"),
    image=surfaces.image(sites={}),
    package="linux-test 2",
)
GOLDEN = """\
WORSE: the host reaches 1 driver anew (fresh); it lost 1 mechanism that refuses host input
  (shield); it has code for 1 input more (eater)
old  linux-test 1
new  linux-test 2

a host of t reaches 6 -> 6 drivers (+0: 1 anew, 1 no more); of those in both 1 changed, 4 did not
their loadable code: 5.6 KiB -> 3.0 KiB (-2.6 KiB)
modules: 6 -> 6 (+0); mechanisms that differ: 3

REFUSES HOST INPUT NO MORE: 1
  shield: mechanism shield
    old has it: symbol.shield_init = yes
    new has it not: symbol.shield_init = no

CONSUMES HOST INPUT ANEW: 1
  eater: mechanism eater
    old has it not: symbol.eater_init = no
    new has it: symbol.eater_init = yes

REFUSES HOST INPUT ANEW: 1
  both-ways: mechanism both-ways
    old has it not: symbol.both_init = no
    new has it: symbol.both_init = yes

REACHED ANEW: 1 driver
  fresh                 not there -> presentable; 1000 B; 1 key; sites port 2

REACHED NO MORE: 1 driver
  heavy                 presentable -> not there; 3.9 KiB; 2 keys; sites pci-config 2, port 1

CHANGED: 1 driver
  light                 code changed; 1000 B -> 1.3 KiB (+300 B); sites port 3 -> 0 (-3)

SITES IN DRIVERS THAT THE HOST REACHES: 2 interfaces changed
  pci-config            2 -> 0 (-2)
  port                  4 -> 2 (-2)

SITES IN THE IMAGE: 1 interface changed
  port                  2 -> 0 (-2)

LIMITS
  linux-test 1: built-in drivers of acpi: a limit
  linux-test 2: built-in drivers of acpi: a limit
"""


def compared(old: KernelFacts, new: KernelFacts) -> KernelDiff:
    return kernel_diff(WORLD, old, new, WORLD.technologies["t"], worlds.use())


def test_a_small_difference_reads_so() -> None:
    assert to_text(compared(OLD, NEW)) == GOLDEN


def test_the_first_line_is_the_verdict() -> None:
    less = surfaces.kernel(tuple(surfaces.MODULES[1:]), symbols=("shield_init",))

    assert to_text(compared(OLD, OLD)).startswith("no difference\n")
    assert to_text(compared(OLD, less)).startswith(
        "different, and not worse: no driver reached anew, nothing that refuses"
    )
    assert to_text(compared(less, OLD)).startswith("WORSE: the host reaches 1 driver anew (heavy)\n")


def test_where_something_was_seen_is_told_to_those_who_ask() -> None:
    text = " ".join(to_text(compared(OLD, NEW), verbose=True, width=140).split())

    assert f"old has it: symbol.shield_init = yes (kernel.deb@sha256:{'1' * 64}+0x20 (shield_init))" in text


def test_of_lists_that_differ_the_difference_is_shown() -> None:
    world = worlds.catalogue(
        mechanism=[{"id": "caller", "name": "a caller", "image": '"guard" in calls.main', **worlds.SOURCED}]
    )
    many = tuple(f"function_{number}" for number in range(40))
    one, other = (
        replace(OLD, answers={"calls.main": Answer(calls, "main", 0)})
        for calls in (many, tuple(sorted((*many, "guard"))))
    )
    text = to_text(kernel_diff(world, one, other, world.technologies["t"], worlds.use()))

    assert "old has it not: calls.main = 40 as in the other kernel" in text
    assert "new has it: calls.main = guard, 40 as in the other kernel" in text


def test_a_driver_that_became_built_in_says_so() -> None:
    built = surfaces.kernel((LIGHT, *REST), builtin=("heavy",), builtin_aliases={"heavy": HEAVY.aliases})

    assert "heavy                 3.9 KiB -> built in" in to_text(compared(surfaces.kernel(), built))


def test_long_lists_are_cut_with_the_way_to_the_rest() -> None:
    many = tuple(surfaces.module(f"m{number}", "pci:v*") for number in range(30))
    change = compared(surfaces.kernel(()), surfaces.kernel(many))

    assert "(m0, m1, m10, m11, m12 and 25 more)" in " ".join(to_text(change).split())
    assert "and 10 drivers more (-v lists them)" in to_text(change)
    assert "lists them" not in to_text(change, verbose=True)


def test_colour_only_repeats_words() -> None:
    coloured = to_text(compared(OLD, NEW), color=True)

    assert coloured != GOLDEN
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == GOLDEN


@pytest.mark.parametrize("hostile", ledgers.HOSTILE)
@pytest.mark.parametrize("verbose", [False, True])
def test_hostile_names_write_nothing_to_the_terminal(hostile: str, verbose: bool) -> None:
    named = surfaces.module(hostile, "pci:v7*", sites={"port": 1})
    kernel = surfaces.kernel(
        (named, *REST), package=hostile, notes=(hostile,), source=hostile, image_name=hostile,
        answers={"symbol.shield_init": Answer(False, hostile, 3, module=hostile, note=hostile)},
    )  # fmt: skip
    text = to_text(compared(OLD, kernel), verbose=verbose) + to_text(compared(kernel, OLD), verbose=verbose)

    assert all(character.isprintable() for line in text.split("\n") for character in line)


@settings(max_examples=30)
@given(kernels(), kernels(), st.integers(20, 160), st.booleans())
def test_no_line_is_wider_than_asked_for(one: KernelFacts, other: KernelFacts, width: int, verbose: bool) -> None:
    text = to_text(compared(one, other), width=width, verbose=verbose)

    assert all(cell_len(line) <= width for line in text.split("\n"))
