"""One row of the ledger with everything that is known about it

Status and why; the facts, each with the place where it was read; the evidence, what decides first; what is missing and the
option that supplies it; the rows on which the evidence rests; advice; sources.
"""

from __future__ import annotations

from rich.console import Console

from hostproof.knowledge.terms import Checked
from hostproof.ledger.model import Evidence, FactSeen, Ledger, Row
from hostproof.report.page import STYLES, Page, capture, finished
from hostproof.report.words import place, size

__all__ = ["explain_row", "explain_text", "ordered"]

_COLUMN = 14


def explain_row(ledger: Ledger, row: Row, console: Console) -> None:
    """Print everything about `row` of `ledger` on `console`."""
    page = Page(console)
    page.item(
        row.status.value, label=row.id + ":", column=len(row.id) + 2, style=STYLES[row.status], label_style="bold"
    )
    page.item(row.reason, indent=2, column=2)
    page.blank()
    for label, text in _identity(ledger, row):
        page.item(text, label=label, column=_COLUMN)
    if row.facts:
        page.heading("Why the row exists")
        _facts(page, row.facts, 2)
    if row.evidence:
        page.heading("Evidence, what decides first")
        for number, evidence in enumerate(ordered(row.evidence), start=1):
            _evidence(ledger, page, number, evidence)
    if row.missing:
        page.heading("Missing")
        for fact in row.missing:
            page.item(
                f"supplied by {fact.supply}" if fact.supply else "no option supplies it",
                label=fact.name,
                indent=2,
                column=32,
            )
    if row.advice:
        page.heading("What the guest's owner could do")
        page.item(row.advice, indent=2, column=2)
    if row.sources:
        page.heading("Sources of the row")
        for source in row.sources:
            page.item(source, indent=2)


def explain_text(ledger: Ledger, row: Row, *, width: int = 100, color: bool = False) -> str:
    """What `explain_row` prints at `width` columns."""
    console = capture(width, color)
    explain_row(ledger, row, console)
    return finished(console)


def ordered(evidence: list[Evidence]) -> list[Evidence]:
    """The evidence that decides first, each part in the order of the ledger."""
    return sorted(evidence, key=lambda one: not one.decides)


def _identity(ledger: Ledger, row: Row) -> list[tuple[str, str]]:
    """What the row is about, as pairs of label and text."""
    what = next((channel.what for channel in ledger.channels if channel.id == row.channel), "")
    threat = next((threat.name for threat in ledger.threats if threat.id == row.threat), "")
    pairs = [
        ("channel", f"{row.channel} {row.channel_name}" + (f": {what}" if what else "")),
        ("instance", f"{row.instance_name} ({row.instance})" if row.instance_name != row.instance else row.instance),
        ("threat", f"{row.threat.value} {threat}".rstrip()),
        ("objectives", ", ".join(objective.value for objective in row.objectives) or "none"),
        ("presence", row.presence.value),
    ]
    if row.place:
        pairs.append(("presented at", place(row.place)))
    if row.text_bytes is not None:
        pairs.append(("code", f"{size(row.text_bytes)} of executable text, with what it needs"))
    return pairs


def _facts(page: Page, facts: list[FactSeen], indent: int) -> None:
    for fact in facts:
        where = f"  [{place(fact.place)}]" if fact.place else ""
        page.item(f"{fact.name} = {fact.value}{where}", indent=indent)


def _evidence(ledger: Ledger, page: Page, number: int, evidence: Evidence) -> None:
    """One piece of evidence: what it would make of the row, by which rule, and why it does not where it does not."""
    decision = f"{evidence.status.value}, decides" if evidence.decides else f"{evidence.by}, does not decide"
    page.item(
        f"{decision}: {evidence.mechanism}",
        label=f"{number}.",
        indent=2,
        column=5,
        style="" if evidence.decides else "dim",
    )
    if evidence.why_not:
        page.item(evidence.why_not, label="why not:", indent=5, column=14)
    page.item(f"{evidence.rule} ({evidence.by})", label="rule:", indent=5, column=14)
    _facts(page, evidence.facts, 5)
    states = {row.id: row.status.value for row in ledger.rows} if evidence.rests_on else {}
    for row in evidence.rests_on:
        page.item(f"{row} ({states.get(row, 'not a row of this ledger')})", label="rests on:", indent=5, column=15)
    for source in evidence.sources:
        page.item(source, label="source:", indent=5, column=14)
    if evidence.checked is not Checked.PRIMARY:
        page.item(f"read as: {evidence.checked.value}", indent=5)
