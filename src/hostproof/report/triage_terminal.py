"""The triage of CVE records on a terminal, and as plain text for a mail

First the counts, then what is affected with the rows that show it and what to do, then what is under investigation and why.
What is fixed or not affected is counted by reason; `verbose` lists it with every step.
"""

from __future__ import annotations

from collections.abc import Sequence

from hostproof.knowledge.terms import Status
from hostproof.ledger.triage_model import Decision, Triage, VexStatus
from hostproof.report.page import STYLES, Page, capture, finished
from hostproof.report.words import count, shorten

__all__ = ["to_text"]

_COLUMN = 18
_LONG = 400
_WORDS = {
    VexStatus.AFFECTED: "AFFECTED",
    VexStatus.UNDER_INVESTIGATION: "UNDER INVESTIGATION",
    VexStatus.FIXED: "FIXED",
    VexStatus.NOT_AFFECTED: "NOT AFFECTED",
}
_STYLES = {
    VexStatus.AFFECTED: STYLES[Status.OPEN],
    VexStatus.UNDER_INVESTIGATION: STYLES[Status.UNKNOWN],
    VexStatus.FIXED: STYLES[Status.REFUSED],
    VexStatus.NOT_AFFECTED: STYLES[Status.REFUSED],
}


def to_text(triage: Triage, *, width: int = 100, color: bool = False, verbose: bool = False) -> str:
    """The triage at `width` columns."""
    console = capture(width, color)
    page = Page(console)
    page.item(f"{triage.name}: {triage.technology}, kernel {triage.kernel or triage.release}", style="bold")
    groups = {status: [item for item in triage.decisions if item.status is status] for status in VexStatus}
    counts = ", ".join(f"{len(group)} {_WORDS[status].lower()}" for status, group in groups.items())
    page.item(f"{count(len(triage.decisions), 'CVE')}: {counts}")
    for note in triage.notes:
        page.item(f"limit: {note}", style="yellow")
    for status, group in groups.items():
        if group:
            _group(status, group, page, verbose)
    if triage.passed_over:
        page.heading(f"PASSED OVER: {count(len(triage.passed_over), 'record')}")
        reasons = sorted({item.reason for item in triage.passed_over})
        for reason in reasons:
            ids = [item.cve for item in triage.passed_over if item.reason == reason]
            page.item(f"{reason}: {shorten(', '.join(ids), _LONG)}", indent=2, column=4)
    return finished(console)


def _group(status: VexStatus, group: Sequence[Decision], page: Page, verbose: bool) -> None:
    page.heading(f"{_WORDS[status]}: {count(len(group), 'CVE')}", _STYLES[status])
    settled = status in (VexStatus.FIXED, VexStatus.NOT_AFFECTED)
    if settled and not verbose:
        reasons = sorted({_reason(item) for item in group})
        for reason in reasons:
            ids = [item.cve for item in group if _reason(item) == reason]
            page.item(f"{reason}: {len(ids)} ({shorten(', '.join(ids), _LONG)})", indent=2, column=4)
        return
    for item in group:
        page.item(item.title or "no title", indent=2, label=item.cve, column=_COLUMN)
        page.item(item.summary if verbose else shorten(item.summary, _LONG), column=_COLUMN)
        if item.action:
            page.item(f"do: {item.action if verbose else shorten(item.action, _LONG)}", column=_COLUMN)
        if verbose:
            page.item(f"files: {', '.join(item.files) or 'none named'}", column=_COLUMN, style="dim")
            for step in item.because:
                page.item(f"- {step}", column=_COLUMN, style="dim")


def _reason(decision: Decision) -> str:
    """The reason in a few words, by which decisions are counted."""
    if decision.justification is not None:
        return decision.justification.value.replace("_", " ")
    return "the changelog names it" if "changelog" in decision.summary else "the version has the fix"
