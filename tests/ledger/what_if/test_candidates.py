"""What is worth trying: only what a rule names, only what this VM has."""

from __future__ import annotations

import json
from importlib import resources

import pytest

from hostproof.knowledge.load import catalogue
from hostproof.ledger.what_if.boot import blacklist, boot_changes, vain
from hostproof.ledger.what_if.candidates import candidates
from hostproof.ledger.what_if.changes import Kind
from hostproof.ledger.what_if.drivers import Loadable, singles
from hostproof.ledger.what_if.host import SWITCHES
from hostproof.ledger.what_if.kconfig import DRIVERS, PROMPTLESS, kconfig_changes
from hostproof.ledger.what_if.literals import literals
from tests.ledger.what_if.scenes import assessed, instance, option, subject, world
from tests.ledger.worlds import kernel, mitigation


def offered(holds: str, config: dict[str, str]) -> list[str]:
    here = world(instance("x"), mitigation=[mitigation("m", ["C11/x/*"], holds)])
    return [change.id for change in kconfig_changes(kernel(config), literals(here), {})]


@pytest.mark.parametrize(
    ("holds", "config", "expected"),
    [
        ('config.X == "n"', {"X": "y"}, ["CONFIG_X=n"]),
        ('config.X == "n"', {"X": "m"}, ["CONFIG_X=n"]),
        ('config.X == "n"', {"X": "n"}, []),
        ('config.X == "y"', {"X": "n"}, ["CONFIG_X=y"]),
        ('config.X == "y"', {"X": "y"}, ["CONFIG_X=n"]),
        ('config.X != "y"', {"X": "y"}, ["CONFIG_X=n"]),
        ('config.X in ["y", "m"]', {"X": "n"}, ["CONFIG_X=y"]),
        ('config.X == "y" or config.X == "m"', {"X": "n"}, ["CONFIG_X=y"]),
        ('config.X == "y" or config.X == "m"', {"X": "m"}, ["CONFIG_X=n"]),
        ('config.UARTS == "0"', {"UARTS": "4"}, ["CONFIG_UARTS=0"]),
        ('config.X == "y"', {"Y": "n"}, []),  # the configuration does not know the symbol
        ('config.X == config.Y', {"X": "y", "Y": "n"}, []),
        ('config.SWIOTLB == "n"', {"SWIOTLB": "y"}, []),  # no prompt
    ],
)  # fmt: skip
def test_only_values_that_a_rule_names_and_the_configuration_knows_are_offered(
    holds: str, config: dict[str, str], expected: list[str]
) -> None:
    assert offered(holds, config) == expected


def test_a_symbol_that_can_only_make_an_input_consumed_is_not_tried() -> None:
    here = world(instance("x", consumed='config.X == "y"'), instance("y", consumed='config.Y == "y"'))
    vm = subject(here, kernel=kernel({"X": "n", "Y": "y"}))

    changes, skipped = candidates(here, vm, assessed(here, vm), (Kind.KCONFIG,))

    assert [change.id for change in changes] == ["CONFIG_Y=n"]
    assert [item.what for item in skipped] == ["1 values"]


def test_options_are_those_that_rules_read_and_the_line_lacks() -> None:
    here = world(
        instance("x"),
        mitigation=[
            mitigation("a", ["C11/x/*"], 'cmdline.mce == "off" or "noearly" in cmdline.pci or cmdline.no_kvmclock == "set"'),
            mitigation("b", ["C11/x/*"], 'cmdline.earlycon == "unset" and not "force" in cmdline.acpi'),
        ],
        command_line_option=[
            option("mce=off"), option("no-kvmclock"), option("vain=1"), option("earlycon=", "opens"), option("debug", "opens"),
        ],
    )  # fmt: skip
    line = subject(here, command_line="pci=noearly earlycon=uart debug").command_line
    assert line is not None

    found = {change.id: change.sentence for change in boot_changes(here.command_line_options, literals(here), line, "")}

    assert found == {
        "mce=off": "boot with mce=off: what it does",
        "no-kvmclock": "boot with no-kvmclock: what it does",
        "no earlycon=": "boot without earlycon=: what it does",
    }
    assert vain(here.command_line_options, literals(here)) == ["vain=1"]


def test_a_list_of_modules_that_the_kernel_would_cut_off_is_not_offered() -> None:
    line = subject(world(), command_line="ro").command_line
    assert line is not None

    assert blacklist("pci", ["e1000"], line, "x86_64") is not None
    assert blacklist("pci", ["a" * 20] * 100, line, "x86_64") is None


def test_of_modules_that_take_the_same_drivers_the_one_with_most_code_is_tried() -> None:
    depends = {"nic": ("core",), "core": ("lib",)}
    sizes = {"nic": 10, "core": 20, "lib": 30, "gpu": 5, "idle": 9}
    drivers = Loadable({"pci": ("nic", "gpu")}, frozenset(), depends, {}, sizes, dict.fromkeys(sizes, ""))

    assert singles(drivers, {"nic": 2, "gpu": 1}) == ["lib", "gpu"]
    assert singles(drivers, {"nic": 2, "gpu": 1}, limit=1) == ["lib"]
    assert singles(drivers, {"nic": 2, "gpu": 1}, {"gpu", "idle"}, limit=1) == ["lib", "gpu"]


def test_long_chains_of_modules_cost_no_square() -> None:
    """Ten thousand modules, each needing the one before: who needs what is asked of drivers with open rows only."""
    names = [f"m{number}" for number in range(10_000)]
    depends = {name: (names[number - 1],) if number else () for number, name in enumerate(names)}
    drivers = Loadable({}, frozenset(), depends, {}, dict.fromkeys(names, 1), dict.fromkeys(names, ""))

    assert singles(drivers, {names[-1]: 1, names[5000]: 2}, limit=2) == ["m0", "m5001"]


def test_tables_name_what_the_catalogue_and_the_boards_know() -> None:
    asked = {name.removeprefix("config.") for name in literals(catalogue()).values if name.startswith("config.")}
    inventories = resources.files("hostproof.artefacts.machine") / "boards"
    switches = {
        name.removesuffix("=off")
        for entry in inventories.iterdir()
        if entry.name.startswith("qemu-") and "x86_64" in entry.name
        for layout in json.loads(entry.read_bytes())["layouts"]
        for name, effect in layout["switches"].items()
        if name.endswith("=off") and effect["removed"]
    }

    assert set(DRIVERS) - asked == set()
    assert PROMPTLESS - asked == set()
    assert set(SWITCHES) == switches
