"""Options on this VM's kernel command line that open or close channels, as the catalogue knows them.

They are host inputs themselves unless something pins the command line: the row `C03/command-line/T1` lists them, with
what each does, and what opens a channel is said in the ledger's notes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from msgspec import structs

from hostproof.artefacts.cmdline import CommandLine, Parameter
from hostproof.knowledge.predicate import Fact
from hostproof.knowledge.records import CommandLineOption
from hostproof.ledger.evidence import COMMAND_LINE_ROW, facts_seen
from hostproof.ledger.model import Row

__all__ = ["Seen", "listed", "notes", "seen"]


@dataclass(frozen=True, slots=True)
class Seen:
    """A catalogued option that stands on the command line, with the fact that says where."""

    option: CommandLineOption
    fact: Fact


def seen(options: Sequence[CommandLineOption], line: CommandLine | None) -> list[Seen]:
    """The catalogued options that stand on `line`, in the order of the catalogue."""
    return list(_seen(options, line)) if line is not None else []


def _seen(options: Sequence[CommandLineOption], line: CommandLine) -> Iterator[Seen]:
    for option in options:
        name, equals, wanted = option.option.partition("=")
        for parameter in line.all(name):
            if not equals or not wanted or wanted in (parameter.value or "").split(","):
                what = f"{_written(parameter)}: {option.effect} {', '.join(option.rows)}: {option.meaning}"
                yield Seen(option, Fact(f"cmdline.{parameter.name}", what, line.place_of(name)))
                break


def _written(parameter: Parameter) -> str:
    return parameter.written if parameter.value is None else f"{parameter.written}={parameter.value}"


def listed(rows: Sequence[Row], found: Sequence[Seen]) -> list[Row]:
    """The rows, with what stands on the command line listed in its own row."""
    facts = facts_seen(item.fact for item in found)
    return [
        structs.replace(row, facts=[*row.facts, *facts]) if row.id == COMMAND_LINE_ROW and facts else row
        for row in rows
    ]


def notes(found: Sequence[Seen]) -> list[str]:
    """A sentence for each option that opens a channel."""
    return [f"the command line opens a channel: {item.fact.value}" for item in found if item.option.effect == "opens"]
