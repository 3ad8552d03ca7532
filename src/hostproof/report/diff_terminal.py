"""The difference between two ledgers on a terminal, and as plain text for a mail

The first line says whether the host can do more than before, the second counts the rows, the third the bytes. Then each
list of rows with its reasons; rows that only another rule set made stand apart at the end.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from hostproof.knowledge.terms import Status
from hostproof.ledger.diff import CountChange, LedgerDiff, RowChange
from hostproof.report.page import STYLES, Page, capture, finished
from hostproof.report.words import count, size

__all__ = ["render_diff", "to_text"]

_SHOWN = 40


def render_diff(difference: LedgerDiff, console: Console, *, verbose: bool = False) -> None:
    """Print `difference` on `console`; without `verbose` at most 40 rows of each list."""
    page = Page(console)
    _head(difference, page)
    limit = None if verbose else _SHOWN
    _changes(page, "OPENED", difference.opened, limit, STYLES[Status.OPEN])
    _changes(page, "APPEARED", difference.appeared, limit)
    _changes(page, "CLOSED", difference.closed, limit, "green")
    _changes(page, "VANISHED", difference.vanished, limit)
    _changes(page, "MOVED", difference.moved, limit)
    _changes(page, "PRESENCE CHANGED", difference.presence, limit)
    _findings(page, difference)
    rules = f"IN RULE SET {difference.new.rule_set}, and not the VM's doing"
    _changes(page, f"NEW {rules}", difference.new_rules, limit)


def to_text(difference: LedgerDiff, *, width: int = 100, color: bool = False, verbose: bool = False) -> str:
    """What `render_diff` prints at `width` columns."""
    console = capture(width, color)
    render_diff(difference, console, verbose=verbose)
    return finished(console)


def _head(difference: LedgerDiff, page: Page) -> None:
    old, new = difference.old, difference.new
    if difference.is_worse:
        page.item("WORSE: the host can do more than before", style=STYLES[Status.OPEN])
    elif difference.is_empty:
        rules = f", but for {count(len(difference.new_rules), 'row')} by the rule set" if difference.new_rules else ""
        page.item(f"no difference{rules}", style="green")
    else:
        page.item("different, and not worse", style="bold")
    rows = f"open rows: {difference.open_before:,} -> {difference.open_after:,}"
    opened = sum(row.after is Status.OPEN for row in difference.appeared)
    gone = sum(row.before is Status.OPEN for row in difference.vanished)
    page.item(
        f"{rows} ({len(difference.opened):,} opened, {opened:,} appeared open, {len(difference.closed):,} closed, "
        f"{gone:,} open ones vanished)"
    )
    before, after = difference.control_before, difference.control_after
    page.item(
        f"channels under the host's control: {before.controlled} of {before.existing} -> "
        f"{after.controlled} of {after.existing}"
    )
    for label, change in (
        ("configured", difference.configured),
        ("presentable", difference.presentable),
        ("total", difference.total),
    ):
        _count(page, label, change)
    gained = difference.open_text_bytes_after - difference.open_text_bytes_before
    page.item(
        f"code behind open rows: {size(difference.open_text_bytes_before)} -> "
        f"{size(difference.open_text_bytes_after)} ({_signed(gained)}; what drivers share counts for each)"
    )
    page.blank()
    for label, name in (("old", old), ("new", new)):
        page.item(
            f"{name.name}: {name.technology}, use {name.use}, rule set {name.rule_set}, hostproof {name.hostproof}",
            label=label,
            column=5,
        )
    if old.rule_set != new.rule_set:
        same = "the inputs are the same" if difference.same_inputs else "the inputs differ too"
        page.item(f"the rule sets differ ({old.rule_set} -> {new.rule_set}), {same}", style="yellow")


def _count(page: Page, label: str, change: CountChange) -> None:
    if not change.before and not change.after:
        return
    ends = [
        f"{count(one.modules, 'driver')}, {size(one.text_bytes)}" if one else "not known"
        for one in (change.before, change.after)
    ]
    gained = (
        f" ({'+' if change.modules >= 0 else '-'}{count(abs(change.modules), 'driver')}, {_signed(change.text_bytes)})"
        if change.text_bytes is not None and (change.modules is not None)
        else ""
    )
    page.item(f"{label}: {ends[0]} -> {ends[1]}{gained}")


def _signed(number: int) -> str:
    return f"{'+' if number >= 0 else ''}{size(number)}"


def _changes(page: Page, title: str, rows: Sequence[RowChange], limit: int | None, style: str = "bold") -> None:
    """One list of rows under its title, with the bytes of drivers."""
    if not rows:
        return
    page.heading(f"{title}: {count(len(rows), 'row')}", style)
    for row in rows[:limit]:
        code = f" {size(row.text_bytes)}" if row.text_bytes is not None else ""
        page.item(f"{row.id}  {_states(row)}{code}: {row.reason}", indent=2)
    if limit is not None and len(rows) > limit:
        page.item(f"and {count(len(rows) - limit, 'row')} more", indent=2)


def _states(row: RowChange) -> str:
    """`open -> refused`, `-> open`, `presentable -> configured`."""
    if row.before is row.after and row.presence_before and row.presence_after:
        return f"{row.presence_before.value} -> {row.presence_after.value}"
    ends = (row.before.value if row.before else "", row.after.value if row.after else "gone")
    return f"{ends[0]} -> {ends[1]}".lstrip()


def _findings(page: Page, difference: LedgerDiff) -> None:
    if difference.objectives:
        page.heading("OBJECTIVES")
        words = {True: "met", False: "not met", None: "undecided"}
        for change in difference.objectives:
            page.item(f"{change.id}  {words[change.before]} -> {words[change.after]}: {change.reason}", indent=2)
    if difference.attacks:
        page.heading("ATTACKS")
        for attack in difference.attacks:
            page.item(
                f"{attack.name}  {attack.before or 'not listed'} -> {attack.after or 'not listed'}: {attack.reason}",
                indent=2,
            )
