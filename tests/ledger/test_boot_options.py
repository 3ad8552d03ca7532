"""What stands on the kernel's command line is listed where a person asks whether anything pins it."""

from __future__ import annotations

import pytest

from hostproof.artefacts import cmdline
from hostproof.knowledge.records import CommandLineOption
from hostproof.knowledge.terms import Checked
from hostproof.ledger import boot_options
from hostproof.place import Place
from tests.ledger.worlds import SOURCED, catalogue, ledger, row


def option(text: str, effect: str = "closes") -> CommandLineOption:
    return CommandLineOption(
        option=text, effect=effect, rows=["C11/x/*"], meaning="what it does", sources=["DOC"], checked=Checked.PRIMARY
    )


@pytest.mark.parametrize(
    ("known", "line", "expected"),
    [
        ("mce=off", "quiet mce=off", True),
        ("mce=off", "mce=on", False),
        ("pci=noearly", "pci=nommconf,noearly", True),
        ("pci=noearly", "pci=nommconf pci=noearly", True),
        ("no-kvmclock", "no_kvmclock", True),
        ("module_blacklist=", "module_blacklist=a,b", True),
        ("debug", "debugger", False),
        ("debug", "-- debug", False),
    ],
)
def test_an_option_is_seen_as_the_kernel_reads_it(known: str, line: str, expected: bool) -> None:
    found = boot_options.seen([option(known)], cmdline.parse(line, Place("--cmdline")))

    assert bool(found) is expected


def test_without_a_command_line_nothing_is_seen() -> None:
    assert boot_options.seen([option("debug")], None) == []


def test_the_row_of_the_command_line_lists_them_and_the_notes_say_what_opens() -> None:
    known = {"effect": "opens", "option": "iomem=relaxed", "rows": ["C02/*/*"], "meaning": "memory is open", **SOURCED}
    world = catalogue(command_line_option=[known])

    value = ledger(world, command_line="quiet iomem=relaxed")

    assert [fact.value for fact in row(value, "C03/command-line/T1").facts] == [
        "iomem=relaxed: opens C02/*/*: memory is open"
    ]
    assert value.notes == ["the command line opens a channel: iomem=relaxed: opens C02/*/*: memory is open"]
