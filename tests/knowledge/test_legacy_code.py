"""Code that binds without a match table: what it reads, when it runs, and in which guests."""

from __future__ import annotations

import re

import pytest

from hostproof.knowledge.load import catalogue
from hostproof.knowledge.predicate import Fact, Value, parse
from hostproof.knowledge.records import LegacyCode
from hostproof.knowledge.terms import Checked, Kind

CODE = catalogue().legacy_code


class Guest:
    """Facts by name; a mechanism is asked of the image first, then of the package."""

    def __init__(self, facts: dict[str, Value]) -> None:
        self.facts = facts

    def fact(self, name: str) -> Fact:
        space, _, rest = name.partition(".")
        if space == "mechanism":
            mechanism = catalogue().mechanisms_by_fact[rest]
            answers = [parse(text)(self).value for text in (mechanism.image, mechanism.package) if text]
            return Fact(name, next((value for value in answers if value is not None), None))
        return Fact(name, self.facts.get(name))


def present(module: str, facts: dict[str, Value]) -> bool | None:
    return parse(CODE[module].present)(Guest(facts)).value


X86: dict[str, Value] = {"architecture": "x86_64", "kernel.version": "6.1.192"}
ARM: dict[str, Value] = {"architecture": "aarch64", "kernel.version": "6.12.117"}


def test_the_list_is_as_long_as_the_ways_that_were_read_in_the_source() -> None:
    assert len(CODE) >= 60


@pytest.mark.parametrize(
    "module", ["it87", "nct6775", "w83627ehf", "f71882fg", "w83627hf_wdt", "tpm_nsc", "pata_legacy"]
)
@pytest.mark.parametrize(("value", "runs"), [("y", True), ("m", False), ("n", False)])
def test_a_module_without_an_alias_runs_unasked_only_where_it_is_built_in(module: str, value: str, runs: bool) -> None:
    assert present(module, {**X86, f"module.{module}": value}) is runs


@pytest.mark.parametrize("module", ["ns558", "applesmc"])
@pytest.mark.parametrize(("value", "runs"), [("y", True), ("m", True), ("n", False)])
def test_a_module_that_a_table_of_the_host_loads_runs_wherever_it_lies(module: str, value: str, runs: bool) -> None:
    assert present(module, {**X86, f"module.{module}": value}) is runs


@pytest.mark.parametrize(
    ("module", "facts", "expected"),
    [
        ("i8042", {**X86, "symbol.i8042.i8042_probe": True}, True),
        ("i8042", {**X86, "config.SERIO_I8042": "n"}, False),
        ("serial8250-isa", {**X86, "config.SERIAL_8250": "y", "config.SERIAL_8250_RUNTIME_UARTS": "4"}, True),
        ("serial8250-isa", {**X86, "config.SERIAL_8250": "y", "config.SERIAL_8250_RUNTIME_UARTS": "0"}, False),
        ("serial8250-isa", {**ARM, "config.SERIAL_8250": "y", "config.SERIAL_8250_RUNTIME_UARTS": "4"}, False),
        ("early-quirks", {**X86, "symbol.early_quirks": True}, True),
        ("early-quirks", {**ARM, "symbol.early_quirks": False}, False),
        ("kvm-arm-services", {**ARM, "symbol.kvm_init_hyp_services": True}, True),
        ("kvm-arm-services", {**X86, "symbol.kvm_init_hyp_services": False}, False),
        ("p2sb", {**X86, "symbol.p2sb_fs_init": False, "symbol.p2sb_bar": False}, False),
        ("p2sb", {**X86, "config.P2SB": "y"}, True),
        ("hypervisor-detection", {**X86, "symbol.kvm_init_platform": True}, True),
        ("probe_roms", {"architecture": "x86_64"}, None),  # no kernel was given
    ],
)
def test_code_is_there_as_image_or_configuration_says(
    module: str, facts: dict[str, Value], expected: bool | None
) -> None:
    assert present(module, facts) is expected


@pytest.mark.parametrize("code", CODE.values(), ids=lambda code: code.module)
def test_each_was_read_at_a_file_and_a_function(code: LegacyCode) -> None:
    assert code.checked is Checked.PRIMARY
    assert any(re.search(r"[\w/.-]+\.[ch], \w+", source) for source in code.sources)


@pytest.mark.parametrize("code", CODE.values(), ids=lambda code: code.module)
def test_each_says_what_it_reads_and_when_in_a_sentence(code: LegacyCode) -> None:
    assert code.probes.endswith(".")
    assert code.when.endswith(".")


def test_each_stands_under_a_channel_through_which_a_guest_reads_or_is_set_up() -> None:
    kinds = {
        code.module: {kind for row in code.rows for kind in catalogue().channels[row.partition("/")[0]].kinds}
        for code in CODE.values()
    }

    assert [module for module, own in kinds.items() if not own & {Kind.READ, Kind.LAUNCH}] == []


def test_no_presence_rests_on_a_mechanism_of_another_architecture_alone() -> None:
    """What only x86 has is not present on arm64, whatever the configuration says there."""
    x86_only = [code.module for code in CODE.values() if re.search(r"arch/x86/", code.sources[0].split(";")[0])]
    everything: dict[str, Value] = {"architecture": "aarch64", "kernel.version": "6.12.117"}
    seen = [module for module in x86_only if present(module, everything) is True]

    assert seen == []
