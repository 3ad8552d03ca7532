"""The ledger on a terminal, and as plain text for a mail

The first line answers *is it a confidential VM at all, and is it a debug one?*, the second counts the drivers, the third
says how much the host controls. Then come the objectives that are not met, warnings, and what was assessed; then the parts:
open rows by threat and by channel, what is unknown and which option would tell, attacks that work, waivers that lapsed,
positions on disputed questions, closed rows, inputs. `verbose` lists every row.

Colour only repeats what a word already says.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from hostproof.knowledge.terms import Presence, Status
from hostproof.ledger.model import Ledger, Row
from hostproof.report import summary
from hostproof.report.page import STYLES, Page, capture, finished
from hostproof.report.words import count, missing, place, size

__all__ = ["render", "to_text"]

_HEAVIEST = 4
_NAMES = 3
_SUPPLIES = 10


def render(ledger: Ledger, console: Console, *, verbose: bool = False) -> None:
    """Print `ledger` on `console`, whose own settings decide width and colour (none with NO_COLOR or into a pipe)."""
    page = Page(console)
    _head(ledger, page)
    _open(ledger, page)
    _unknown(ledger, page, verbose)
    _attacks(ledger, page, verbose)
    _waivers(ledger, page, verbose)
    _options(ledger, page, verbose)
    _closed(ledger, page)
    if verbose:
        _rows(ledger, page)
    _inputs(ledger, page, verbose)


def to_text(ledger: Ledger, *, width: int = 100, color: bool = False, verbose: bool = False) -> str:
    """What `render` prints at `width` columns; escape sequences only where `color` asks for them."""
    console = capture(width, color)
    render(ledger, console, verbose=verbose)
    return finished(console)


def _head(ledger: Ledger, page: Page) -> None:
    page.item(ledger.headline.confidential, style="bold")
    page.item(ledger.headline.drivers)
    page.item(summary.control(ledger))
    for objective in summary.not_met(ledger):
        why = f"missing: {missing(objective.missing)}" if objective.missing else objective.reason
        state = "is undecided" if objective.met is None else "IS NOT MET"
        page.item(
            f"objective {objective.id.value} {state} ({objective.name}): {why}",
            style="yellow" if objective.met is None else "bold red",
        )
    for warning in ledger.headline.warnings:
        page.item(f"warning: {warning}", style="bold yellow")
    page.blank()
    page.item(f"{ledger.name}: {ledger.technology_name} ({ledger.technology}), use: {ledger.use_name} ({ledger.use})")
    page.item(f"rule set {ledger.rule_set}, hostproof {ledger.hostproof}")
    for threat in ledger.threats:
        if not threat.applies:
            page.item(f"{threat.id.value} {threat.name} does not apply: {threat.reason}")


def _open(ledger: Ledger, page: Page) -> None:
    rows = [row for row in ledger.rows if row.status is Status.OPEN]
    if not rows:
        page.heading("OPEN: no row")
        return
    page.heading(f"OPEN: {count(len(rows), 'row')}", STYLES[Status.OPEN])
    names = {threat.id: threat.name for threat in ledger.threats}
    for threat, number in summary.by_threat(rows).items():
        page.item(names.get(threat, ""), label=f"{threat.value}{number:>8,}", indent=2, column=14)
    page.blank()
    for channel in summary.by_channel(ledger, rows):
        threats = ", ".join(f"{threat.value} {number:,}" for threat, number in summary.by_threat(channel.rows).items())
        page.item(
            f"{channel.name}: {count(len(channel.rows), 'row')} ({threats})", label=channel.id, indent=2, column=6
        )
        page.item(_who(channel.rows), indent=6, column=8)


def _who(rows: Sequence[Row]) -> str:
    """The instances behind the open rows of a channel: the heaviest drivers, then what is no driver."""
    parts = []
    if drivers := summary.heaviest(rows):
        shown = [
            f"{driver.instance} {size(driver.text_bytes)}"
            + (" (configured)" if driver.presence is Presence.CONFIGURED else "")
            for driver in drivers[:_HEAVIEST]
        ]
        heaviest = "the heaviest: " if len(drivers) > 1 else ""
        parts.append(f"{count(len(drivers), 'driver')}, {heaviest}{_listed(shown, len(drivers))}")
    names = list(dict.fromkeys(row.instance_name or row.instance for row in rows if row.text_bytes is None))
    if names:
        parts.append(_listed(names[:_NAMES], len(names), "; "))
    return "; ".join(parts)


def _listed(shown: Sequence[str], total: int, separator: str = ", ") -> str:
    """`a, b and 12 more`."""
    text = separator.join(shown)
    return f"{text} and {total - len(shown):,} more" if total > len(shown) else text


def _unknown(ledger: Ledger, page: Page, verbose: bool) -> None:
    rows = [row for row in ledger.rows if row.status is Status.UNKNOWN]
    if not rows:
        return
    page.heading(f"UNKNOWN: {count(len(rows), 'row')}; facts that would tell, the most useful first", "yellow")
    supplies = summary.supplies(ledger)
    for supply in supplies if verbose else supplies[:_SUPPLIES]:
        names = supply.names if verbose else supply.names[:_NAMES]
        page.item(
            f"{supply.supply or 'no option'}: {_listed(names, len(supply.names))}",
            label=f"{count(supply.rows, 'row'):>10}",
            indent=2,
            column=14,
        )
    if len(supplies) > _SUPPLIES and not verbose:
        page.item(f"and {count(len(supplies) - _SUPPLIES, 'option')} more", indent=2)
    if silent := sum(not row.missing for row in rows):
        page.item(f"{count(silent, 'row')} of them name no fact: see the reason of the row", indent=2)


def _attacks(ledger: Ledger, page: Page, verbose: bool) -> None:
    if not ledger.attacks:
        return
    working = summary.attacks_that_work(ledger)
    states = {state: sum(attack.state == state for attack in ledger.attacks) for state in _ATTACK_STATES}
    rest = ", ".join(f"{number} {state}" for state, number in states.items() if number and state != "works")
    page.heading(
        f"ATTACKS: {count(len(working), 'published attack')} {'works' if len(working) == 1 else 'work'} here"
        + (f" ({rest})" if rest else ""),
        "bold red" if working else "bold",
    )
    for attack in ledger.attacks if verbose else working:
        references = f" [{', '.join(attack.references)}]" if attack.references else ""
        state = "" if attack.state == "works" else f"{attack.state}: "
        lacks = f"; missing: {missing(attack.missing)}" if attack.missing else ""
        page.item(f"{state}{attack.name} ({attack.venue}){references}: {attack.reason}{lacks}", indent=2)


_ATTACK_STATES = ("works", "unknown", "fixed", "not-affected", "out-of-scope")


def _waivers(ledger: Ledger, page: Page, verbose: bool) -> None:
    lapsed = ledger.waivers if verbose else summary.lapsed(ledger)
    if not lapsed:
        return
    page.heading("WAIVERS" if verbose else "WAIVERS that need attention", "bold")
    for waiver in lapsed:
        what = f"{waiver.state}: {waiver.pattern}, {count(waiver.rows, 'row')}"
        page.item(f"{what}, owner {waiver.owner}, until {waiver.expires}: {waiver.reason}", indent=2)


def _options(ledger: Ledger, page: Page, verbose: bool) -> None:
    if not ledger.options:
        return
    page.heading("DISPUTED QUESTIONS and the position taken")
    for option in summary.chosen_first(ledger):
        origin = "default" if option.default else "chosen"
        position = f" {option.position}" if option.position and (verbose or not option.default) else ""
        page.item(f"{option.id}={option.value} ({origin}): {option.question}{position}", indent=2)


def _closed(ledger: Ledger, page: Page) -> None:
    closed = [row for row in ledger.rows if row.status.closed]
    page.heading(f"CLOSED: {count(len(closed), 'row')}")
    for status, number in summary.by_status(closed).items():
        page.item(
            _MEANINGS[status], label=f"{status.value:<13}{number:>7,}", indent=2, column=24, label_style=STYLES[status]
        )


_MEANINGS = {
    Status.ACCEPTED: "waived, with owner and expiry",
    Status.HARDENED: "consumed; a named audit or campaign of this code found nothing",
    Status.SEALED: "the data is protected end to end",
    Status.REFUSED: "this guest does not consume it",
    Status.ATTESTED: "measured, and a verifier checks the measurement",
    Status.PREVENTED: "the security manager stops it",
    Status.OUT_OF_SCOPE: "a rule of the threat model excludes it",
    Status.ABSENT: "the channel does not exist here",
}


def _rows(ledger: Ledger, page: Page) -> None:
    """Every row, by channel: id and presence, then the reason, then what is missing."""
    page.heading("ROWS")
    for channel in summary.by_channel(ledger, ledger.rows):
        page.heading(f"{channel.id} {channel.name}")
        for row in channel.rows:
            what = [row.id, row.presence.value]
            if row.text_bytes is not None:
                what.append(size(row.text_bytes))
            if row.place:
                what.append(place(row.place))
            page.item("  ".join(what), label=row.status.value, indent=2, column=16, label_style=STYLES[row.status])
            lacks = f" Missing: {missing(row.missing)}." if row.missing else ""
            page.item(row.reason + lacks, indent=16, column=16)


def _inputs(ledger: Ledger, page: Page, verbose: bool) -> None:
    page.heading("INPUTS")
    for given in ledger.inputs:
        digest = f", sha256 {given.sha256 if verbose else given.sha256[:16]}" if given.sha256 else ""
        kind = f" ({given.kind})" if given.kind else ""
        page.item(f"{given.name}{kind}{digest}", label=given.role, indent=2, column=16)
    for note in ledger.notes:
        page.item(f"note: {note}", indent=2)
