"""The answer of `what-if` on a terminal, and as plain text for a mail

First what is known of the VM, then the changes, best first: how many open rows each closes, how many it opens, the bytes of
presentable code that go, and what to type. Then the smallest set that reaches the target, then what no change closes. There
are no boxes: the text can be pasted into a mail.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from hostproof.knowledge.terms import Status
from hostproof.ledger.what_if.model import Effect, Left, SmallestSet, Suggestion, WhatIf
from hostproof.report.page import STYLES, Page, capture, finished
from hostproof.report.words import count, shorten, size

__all__ = ["render_what_if", "to_text"]

_TOP = 20
_ROWS = 3
_HOW = 160
_HEAD = f"{'rank':>4}{'closes':>8}{'opens':>7}{'bytes':>10}  "
_COLUMN = len(_HEAD)


def render_what_if(answer: WhatIf, console: Console, *, top: int = _TOP, verbose: bool = False) -> None:
    """Print `answer` on `console`: the `top` best changes, or all of them with their rows where `verbose`."""
    page = Page(console)
    page.item(f"{answer.name}: {answer.technology}, use {answer.use}, rule set {answer.rule_set}", style="bold")
    page.item(f"{count(answer.open, 'open row')}, {count(answer.unknown, 'unknown row')}")
    tried = len({one.change.id for one in answer.suggestions}) + sum(answer.idle.values())
    page.item(f"{count(tried, 'change')} tried, {answer.assessments:,} changed VMs assessed")
    _ranked(answer, page, len(answer.suggestions) if verbose else top, verbose)
    if answer.smallest is not None:
        _smallest(answer.smallest, page, verbose)
    _left(answer, page, verbose)
    _not_tried(answer, page)


def to_text(answer: WhatIf, *, width: int = 100, color: bool = False, top: int = _TOP, verbose: bool = False) -> str:
    """What `render_what_if` prints at `width` columns."""
    console = capture(width, color)
    render_what_if(answer, console, top=top, verbose=verbose)
    return finished(console)


def _ranked(answer: WhatIf, page: Page, top: int, verbose: bool) -> None:
    useful = [one for one in answer.suggestions if one.effect.closes or one.effect.settled or one.effect.text_bytes > 0]
    harmful = [one for one in answer.suggestions if one not in useful]
    if not useful:
        page.heading("SINGLE CHANGES: none of those tried closes a row")
    else:
        page.heading("SINGLE CHANGES, the one that closes most first")
        page.item("change", label=_HEAD.rstrip(), column=_COLUMN)
        for rank, one in enumerate(useful[:top], start=1):
            _suggestion(one, rank, page, verbose)
        if len(useful) > top:
            page.item(
                f"and {count(len(useful) - top, 'change')} more that close or settle something (--top, -v)", indent=2
            )
    if harmful and verbose:
        page.heading("CHANGES THAT CLOSE NOTHING, and do something else")
        for one in harmful:
            page.item(f"{one.change.sentence}{_side(one.effect)}", indent=2, column=4)
    elif harmful:
        number = count(len(harmful), "change")
        page.item(f"closing nothing, and opening something or taking knowledge away: {number} (-v)", indent=2)
    if idle := ", ".join(f"{number} {kind}" for kind, number in answer.idle.items()):
        page.item(f"making no difference at all: {idle}", indent=2)


def _suggestion(one: Suggestion, rank: int, page: Page, verbose: bool) -> None:
    effect = one.effect
    label = f"{rank:>4}{effect.closes:>8,}{len(effect.opened):>7,}{_bytes(effect.text_bytes):>10}"
    page.item(f"{one.change.sentence}{_side(effect)}", label=label, column=_COLUMN)
    page.item(f"how: {one.change.how if verbose else shorten(one.change.how, _HOW)}", indent=_COLUMN, column=_COLUMN)
    if one.needs:
        page.item(f"only together with {', '.join(one.needs)}", indent=_COLUMN, column=_COLUMN)
    if one.change.breaks:
        page.item(f"breaks: {one.change.breaks}", indent=_COLUMN, column=_COLUMN, style="yellow")
    if verbose:
        if one.change.note:
            page.item(f"note: {one.change.note}", indent=_COLUMN, column=_COLUMN)
        _rows(effect, page)


def _bytes(number: int) -> str:
    return size(number) if number else "-"


def _side(effect: Effect) -> str:
    """What a change does besides closing open rows."""
    parts = [
        f"{what} {len(rows)}"
        for what, rows in (
            ("opens", effect.opened),
            ("settles unknown", effect.settled),
            ("leaves unknown", [*effect.unsettled, *effect.blurred]),
        )
        if rows
    ]
    parts += [f"stops {', '.join(effect.attacks_stopped)}"] if effect.attacks_stopped else []
    parts += [f"lets {', '.join(effect.attacks_enabled)} work"] if effect.attacks_enabled else []
    return f" [{'; '.join(parts)}]" if parts else ""


def _rows(effect: Effect, page: Page) -> None:
    for what, rows in (
        ("closed", effect.closed),
        ("gone", effect.gone),
        ("OPENED", effect.opened),
        ("settled", effect.settled),
        ("unknown now", [*effect.unsettled, *effect.blurred]),
    ):
        if rows:
            page.item(f"{what}: {', '.join(rows)}", indent=_COLUMN, column=_COLUMN + 2)


def _smallest(found: SmallestSet, page: Page, verbose: bool) -> None:
    targets = ", ".join(found.targets)
    if not found.before:
        page.heading(f"TARGET {targets}: reached as it is", "green")
        return
    page.heading(f"TARGET {targets}: {_verdict(found)}", "green" if found.reached else STYLES[Status.OPEN])
    page.item(
        f"{count(found.before, 'row')} in the way, {count(sum(len(one.rows) for one in found.remaining), 'row')} left"
    )
    page.item(_proof(found))
    for number, (change, adds) in enumerate(zip(found.changes, found.adds, strict=True), start=1):
        page.item(f"{change.sentence} ({_adds(adds)})", label=f"{number:>4}", column=6)
        page.item(f"how: {change.how if verbose else shorten(change.how, _HOW)}", indent=6, column=6)
        if verbose and change.note:
            page.item(f"note: {change.note}", indent=6, column=6)
    if found.changes:
        effect = found.effect
        page.item(
            f"with all of them: {count(effect.open, 'open row')}, {count(effect.unknown, 'unknown row')}, "
            f"{size(effect.text_bytes)} of presentable code less{_side(effect)}"
        )
    if found.remaining:
        page.heading("IN THE WAY EVEN WITH EVERY CHANGE")
        _groups(found.remaining, page, verbose)


def _verdict(found: SmallestSet) -> str:
    changes = count(len(found.changes), "change")
    if found.reached:
        return f"{changes} {'reaches' if len(found.changes) == 1 else 'reach'} it"
    return (
        f"NOT reached by all changes together; {changes} {'gets' if len(found.changes) == 1 else 'get'} as far"
        if found.changes
        else "NOT reached by any change"
    )


def _proof(found: SmallestSet) -> str:
    if found.proven:
        return "proven minimal: yes (of the changes tried, if none undoes what another closes)"
    return f"proven minimal: no (at least {count(found.at_least, 'change')})"


def _adds(rows: Sequence[str]) -> str:
    if not rows:
        return "clears none alone, and the others need it"
    shown = ", ".join(rows[:_ROWS])
    return f"clears {len(rows):,}: {shown}" + (f" and {len(rows) - _ROWS:,} more" if len(rows) > _ROWS else "")


def _left(answer: WhatIf, page: Page, verbose: bool) -> None:
    if answer.smallest is not None and answer.smallest.remaining:
        return
    number = sum(len(group.rows) for group in answer.left)
    if not number:
        page.heading("NO OPEN ROW is left with every change made")
        return
    page.heading(f"WHAT NO CHANGE CLOSES: {count(number, 'row')}, with every change made", STYLES[Status.OPEN])
    _groups(answer.left, page, verbose)


def _groups(groups: Sequence[Left], page: Page, verbose: bool) -> None:
    for group in groups:
        shown = group.rows if verbose else group.rows[:_ROWS]
        more = f" and {len(group.rows) - len(shown):,} more" if len(group.rows) > len(shown) else ""
        page.item(f"{group.reason}: {', '.join(shown)}{more}", label=f"{len(group.rows):>6,}", column=8)


def _not_tried(answer: WhatIf, page: Page) -> None:
    if not answer.not_tried:
        return
    page.heading("NOT TRIED")
    for item in answer.not_tried:
        page.item(f"{item.kind}: {item.what}: {item.why}", indent=2, column=4)
