"""What the rows of a ledger amount to: the counts, groups and orders that every format shows alike.

Nothing here formats anything, so the terminal, the page and the tables for mail cannot disagree about a number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from hostproof.knowledge.terms import Kind, Presence, Status, Threat
from hostproof.ledger.model import (
    AttackFinding,
    ChannelSummary,
    Ledger,
    MissingFact,
    ObjectiveFinding,
    OptionUsed,
    Row,
    WaiverReport,
)

__all__ = [
    "ChannelRows",
    "Driver",
    "Supply",
    "attacks_that_work",
    "by_channel",
    "by_status",
    "by_threat",
    "chosen_first",
    "control",
    "heaviest",
    "lapsed",
    "not_met",
    "only_observed",
    "supplies",
    "worst",
]


@dataclass(frozen=True, slots=True)
class ChannelRows:
    """The rows of one channel, in the order of the ledger."""

    id: str
    name: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Driver:
    """A driver with open rows. `text_bytes` counts what it needs as well, so drivers must not be added up."""

    instance: str
    text_bytes: int
    presence: Presence


@dataclass(frozen=True, slots=True)
class Supply:
    """An option of the command line that supplies missing facts, and how many rows wait for one of them."""

    supply: str
    rows: int
    names: tuple[str, ...]
    """The facts, those that most rows wait for first."""


def control(ledger: Ledger) -> str:
    """`the host controls 41 of 47 channels that exist here (53 known)`."""
    seen = ledger.control
    noun = "channel that exists" if seen.existing == 1 else "channels that exist"
    return f"the host controls {seen.controlled} of {seen.existing} {noun} here ({seen.known} known)"


def by_status(rows: Iterable[Row]) -> dict[Status, int]:
    """How many rows have each status, in the order in which a report lists them; none for a status without rows."""
    counts = Counter(row.status for row in rows)
    return {status: counts[status] for status in Status if counts[status]}


def by_threat(rows: Iterable[Row]) -> dict[Threat, int]:
    """How many rows fall under each threat that has rows."""
    counts = Counter(row.threat for row in rows)
    return {threat: counts[threat] for threat in Threat if counts[threat]}


def by_channel(ledger: Ledger, rows: Iterable[Row]) -> list[ChannelRows]:
    """`rows` by channel, in the order of the ledger's channels; channels without rows are left out.

    A row of a channel that the ledger does not list comes last, under the name that the row gives it.
    """
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.channel, []).append(row)
    names = {channel.id: channel.name for channel in ledger.channels}
    order = [*dict.fromkeys(channel.id for channel in ledger.channels), *groups]
    return [
        ChannelRows(channel, names.get(channel, groups[channel][0].channel_name), tuple(groups.pop(channel)))
        for channel in order
        if channel in groups
    ]


def worst(rows: Iterable[Row]) -> str:
    """`open` where any row is, else `unknown`, else `closed`; empty where there is no row."""
    statuses = {row.status for row in rows}
    if Status.OPEN in statuses:
        return "open"
    return "unknown" if Status.UNKNOWN in statuses else "closed" if statuses else ""


def only_observed(channel: ChannelSummary | None) -> bool:
    """Whether the host only observes on this channel: it feeds the guest nothing."""
    return channel is not None and set(channel.kinds) == {Kind.OBSERVATION.value}


def heaviest(rows: Iterable[Row]) -> list[Driver]:
    """The drivers among `rows`, each once, those with most executable bytes first."""
    found = {
        row.instance: Driver(row.instance, row.text_bytes, row.presence) for row in rows if row.text_bytes is not None
    }
    return sorted(found.values(), key=lambda driver: (-driver.text_bytes, driver.instance))


def supplies(ledger: Ledger) -> list[Supply]:
    """The options that would supply missing facts, the one for which most unknown rows wait first."""
    waiting: dict[str, set[str]] = {}
    facts: dict[str, Counter[str]] = {}
    for row in ledger.rows:
        if row.status is Status.UNKNOWN:
            _note(row.missing, row.id, waiting, facts)
    return sorted(
        (
            Supply(supply, len(rows), tuple(sorted(facts[supply], key=lambda name: (-facts[supply][name], name))))
            for supply, rows in waiting.items()
        ),
        key=lambda supply: (-supply.rows, supply.supply),
    )


def _note(
    missing: Iterable[MissingFact], row: str, waiting: dict[str, set[str]], facts: dict[str, Counter[str]]
) -> None:
    for fact in missing:
        waiting.setdefault(fact.supply, set()).add(row)
        facts.setdefault(fact.supply, Counter())[fact.name] += 1


def not_met(ledger: Ledger) -> list[ObjectiveFinding]:
    """The objectives that the technology does not meet (`met` false) or that a missing fact leaves undecided."""
    return [objective for objective in ledger.objectives if objective.met is not True]


def attacks_that_work(ledger: Ledger) -> list[AttackFinding]:
    """The published attacks that work against this VM."""
    return [attack for attack in ledger.attacks if attack.state == "works"]


def lapsed(ledger: Ledger) -> list[WaiverReport]:
    """The waivers that have expired or match no row that would be open."""
    return [waiver for waiver in ledger.waivers if waiver.state != "used"]


def chosen_first(ledger: Ledger) -> list[OptionUsed]:
    """The disputed questions, those on which the user chose a position first."""
    return sorted(ledger.options, key=lambda option: option.default)
