"""Two small kernels compared, with known answers, and what holds for every pair."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given

from hostproof.artefacts.kernel.facts import KernelFacts, Sites
from hostproof.errors import InputError
from hostproof.ledger.kernel_diff import Change, KernelDiff, SitesChange, encode, kernel_diff
from hostproof.ledger.mechanism_roles import roles_of_mechanisms
from hostproof.ledger.surface import Reach
from tests.ledger import surfaces, worlds
from tests.ledger.test_surface import kernels

WORLD = surfaces.catalogue()
OLD = surfaces.kernel()


def compared(old: KernelFacts, new: KernelFacts) -> KernelDiff:
    return kernel_diff(WORLD, old, new, WORLD.technologies["t"], worlds.use())


def test_a_kernel_does_not_differ_from_itself() -> None:
    change = compared(OLD, OLD)

    assert (change.is_empty, change.is_worse) == (True, False)
    assert change.unchanged == 6
    assert (change.drivers, change.text_bytes, change.modules) == (Change(6, 6), Change(5750, 5750), Change(6, 6))


def test_a_driver_that_came_is_gained_and_worse() -> None:
    fresh = surfaces.module("fresh", "pci:v9*", sites={"port": 2}, text=30)
    change = compared(OLD, surfaces.kernel((*surfaces.MODULES, fresh)))

    assert [(one.name, one.before, one.after) for one in change.gained] == [("fresh", None, Reach.PRESENTABLE)]
    assert change.gained[0].sites == [SitesChange("port", 0, 2)]
    assert change.interfaces == [SitesChange("port", 4, 6)]
    assert change.text_bytes == Change(5750, 5780)
    assert change.is_worse


def test_a_module_that_no_device_binds_is_no_difference_but_in_number() -> None:
    change = compared(OLD, surfaces.kernel((*surfaces.MODULES, surfaces.module("quiet", "fs-quiet"))))

    assert (change.gained, change.changed, change.modules) == ([], [], Change(6, 7))
    assert (change.is_worse, change.is_empty) == (False, False)


def test_a_driver_that_a_new_key_makes_reachable_is_gained() -> None:
    modules = (*surfaces.MODULES[:-1], surfaces.module("alone", "pci:v9*", text=900))
    change = compared(OLD, surfaces.kernel(modules))

    assert [(one.name, one.before, one.after) for one in change.gained] == [
        ("alone", Reach.MADE_BY_DRIVERS, Reach.PRESENTABLE)
    ]
    assert (change.gained[0].keys_before, change.gained[0].keys_after) == (2, 1)


def test_other_code_is_a_change_and_a_rebuild_is_none() -> None:
    heavy, light, *rest = surfaces.MODULES
    rebuilt = replace(light, text_sha256="f" * 64, text_bytes=1016)
    other = replace(heavy, code_sha256="b" * 64, sites={"pci-config": Sites(5, ("f",)), "port": Sites(1, ("g",))})
    change = compared(OLD, surfaces.kernel((other, rebuilt, *rest)))

    assert [(one.name, one.code, one.sites) for one in change.changed] == [
        ("heavy", True, [SitesChange("pci-config", 2, 5)])
    ]
    assert change.unchanged == 5
    assert not change.is_worse


def test_without_digests_size_and_sites_tell() -> None:
    heavy, light, *rest = (replace(module, code_sha256="") for module in surfaces.MODULES)
    change = compared(
        surfaces.kernel((heavy, light, *rest)), surfaces.kernel((heavy, replace(light, text_bytes=9), *rest))
    )

    assert [(one.name, one.code) for one in change.changed] == [("light", None)]


def test_what_changed_most_comes_first() -> None:
    heavy, light, helper, stick, *rest = (replace(module, code_sha256="b" * 64) for module in surfaces.MODULES)
    nearer = replace(stick, aliases=("pci:v9*",))
    new = (heavy, replace(light, sites={}), replace(helper, text_bytes=250), nearer, *rest)
    change = compared(OLD, surfaces.kernel(new))

    assert [one.name for one in change.changed] == ["stick", "light", "helper", "heavy", "words"]


def test_a_driver_that_became_built_in_is_not_compared_by_sites() -> None:
    heavy, *rest = surfaces.MODULES
    built = surfaces.kernel(tuple(rest), builtin=("heavy",), builtin_aliases={"heavy": heavy.aliases})
    change = compared(OLD, built)

    assert [(one.name, one.text_before, one.text_after, one.sites) for one in change.changed] == [
        ("heavy", 4000, None, [])
    ]
    assert change.gained == []


def test_what_only_one_kernel_counted_is_no_change() -> None:
    change = compared(replace(OLD, sites_counted=("port",), image=None), OLD)

    assert (change.interfaces, change.image_interfaces) == ([], [])
    assert all(found.interface == "port" for one in change.changed for found in one.sites)


def test_sites_of_images_are_compared() -> None:
    change = compared(OLD, surfaces.kernel(image=surfaces.image(sites={"pci-wide": Sites(1, ("x",))})))

    assert change.image_interfaces == [SitesChange("port", 2, 0), SitesChange("pci-wide", 0, 1)]


def test_what_mechanisms_are_for_is_told_by_the_rules_that_name_them() -> None:
    roles = roles_of_mechanisms(WORLD)

    assert roles.refusing == {"shield", "both_ways"}
    assert roles.consuming == {"eater", "both_ways"}


@pytest.mark.parametrize(
    ("before", "after", "worse"),
    [
        ("shield_init", "", True),
        ("", "shield_init", False),
        ("eater_init", "", False),
        ("", "eater_init", True),
        ("both_init", "", True),
        ("", "both_init", False),
        ("idle_init", "", False),
        ("", "idle_init", False),
    ],
)
def test_losing_what_refuses_and_gaining_what_consumes_is_worse(before: str, after: str, worse: bool) -> None:
    change = compared(surfaces.kernel(symbols=(before,)), surfaces.kernel(symbols=(after,)))

    assert len(change.mechanisms) == 1
    assert change.is_worse is worse


def test_a_mechanism_says_what_was_seen_and_where() -> None:
    change = compared(OLD, surfaces.kernel(symbols=("shield_init",))).mechanisms[0]

    assert (change.id, change.before, change.after) == ("shield", False, True)
    assert [(seen.name, seen.value) for seen in (*change.seen_before, *change.seen_after)] == [
        ("symbol.shield_init", "no"), ("symbol.shield_init", "yes")
    ]  # fmt: skip
    assert change.seen_after[0].place is not None


def test_a_mechanism_of_which_one_kernel_tells_nothing_is_neither_gained_nor_lost() -> None:
    change = compared(replace(surfaces.kernel(symbols=("shield_init",)), answers={}), OLD)

    assert [(one.id, one.before, one.after) for one in change.mechanisms if one.id == "shield"] == [
        ("shield", None, False)
    ]
    assert not change.is_worse


@pytest.mark.parametrize("turned", [False, True])
def test_modules_of_one_kernel_alone_are_refused_with_the_way_out(turned: bool) -> None:
    pair = [OLD, replace(OLD, modules=None, source="vmlinuz")]

    with pytest.raises(InputError) as error:
        compared(*(reversed(pair) if turned else pair))

    assert str(error.value).startswith("vmlinuz: the modules of this kernel are unknown")
    assert f"--with-{'old' if turned else 'new'}" in str(error.value)


def test_two_images_without_modules_are_compared() -> None:
    change = compared(replace(OLD, modules=None), replace(surfaces.kernel(symbols=("eater_init",)), modules=None))

    assert change.is_worse


def test_other_architectures_are_said() -> None:
    assert compared(OLD, replace(OLD, architecture="aarch64")).notes[0] == (
        "the kernels are of different architectures: x86_64, aarch64"
    )


def test_json_says_whether_it_is_worse() -> None:
    written = json.loads(encode(compared(OLD, surfaces.kernel(symbols=("eater_init",)))))

    assert (written["format"], written["is_worse"], written["is_empty"]) == ("hostproof-kernel-diff/1", True, False)


@given(kernels())
def test_no_kernel_differs_from_itself(kernel: KernelFacts) -> None:
    assert compared(kernel, kernel).is_empty


@given(kernels(), kernels())
def test_what_one_way_gains_the_other_way_loses(one: KernelFacts, other: KernelFacts) -> None:
    there, back = compared(one, other), compared(other, one)

    assert [change.name for change in there.gained] == [change.name for change in back.lost]
    assert [change.name for change in there.lost] == [change.name for change in back.gained]
    assert [change.name for change in there.changed] == [change.name for change in back.changed]
    assert [change.id for change in there.refusing(True)] == [change.id for change in back.refusing(False)]
    assert [change.id for change in there.consuming(True)] == [change.id for change in back.consuming(False)]
    assert (there.unchanged, there.drivers.before) == (back.unchanged, back.drivers.after)


@given(kernels(), kernels())
def test_every_driver_is_counted_once(one: KernelFacts, other: KernelFacts) -> None:
    change = compared(one, other)
    both = len(change.changed) + change.unchanged

    assert both + len(change.lost) == change.drivers.before
    assert both + len(change.gained) == change.drivers.after


@given(kernels(), kernels())
def test_the_same_kernels_give_the_same_bytes(one: KernelFacts, other: KernelFacts) -> None:
    assert encode(compared(one, other)) == encode(compared(one, other))
