"""The difference between two kernels on a terminal, and as plain text for a mail

The first line says whether the host can do more than before, and with what. Then numbers, mechanisms gained and lost with
what was seen of each, and drivers that the host reaches anew, no more, or in another form.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hostproof.knowledge.terms import Status
from hostproof.ledger.kernel_diff import Change, DriverChange, KernelDiff, MechanismChange, SitesChange
from hostproof.ledger.model import FactSeen
from hostproof.ledger.surface import Reach
from hostproof.report.page import STYLES, Page, capture, finished
from hostproof.report.words import count, place, shorten, size

__all__ = ["to_text"]

_SHOWN = 20
_NAMED = 5
_INTERFACES = 6
_VALUE = 100  # characters of a fact's value: a function may call many others


def to_text(difference: KernelDiff, *, width: int = 100, color: bool = False, verbose: bool = False) -> str:
    """The difference at `width` columns; without `verbose` at most 20 drivers of each list."""
    console = capture(width, color)
    page = Page(console)
    _head(difference, page)
    limit = None if verbose else _SHOWN
    groups = (
        ("REFUSES HOST INPUT NO MORE", difference.refusing(False), STYLES[Status.OPEN]),
        ("CONSUMES HOST INPUT ANEW", difference.consuming(True), STYLES[Status.OPEN]),
        ("REFUSES HOST INPUT ANEW", difference.refusing(True), "green"),
        ("CONSUMES HOST INPUT NO MORE", difference.consuming(False), "green"),
    )
    for title, changes, style in groups:
        _mechanisms(page, title, changes, verbose, style)
    rest = [change for change in difference.mechanisms if not any(change in changes for _, changes, _ in groups)]
    _mechanisms(page, "OTHER MECHANISMS", rest, verbose)
    _drivers(page, "REACHED ANEW", difference.gained, limit, STYLES[Status.OPEN])
    _drivers(page, "REACHED NO MORE", difference.lost, limit, "green")
    _drivers(page, "CHANGED", difference.changed, limit)
    _interfaces(page, "SITES IN DRIVERS THAT THE HOST REACHES", difference.interfaces)
    _interfaces(page, "SITES IN THE IMAGE", difference.image_interfaces)
    if difference.notes:
        page.heading("LIMITS", "yellow")
        for note in difference.notes:
            page.item(note, indent=2)
    return finished(console)


def _head(difference: KernelDiff, page: Page) -> None:
    if difference.is_worse:
        page.item(f"WORSE: {'; '.join(_why(difference))}", style=STYLES[Status.OPEN])
    elif difference.is_empty:
        page.item("no difference", style="green")
    else:
        page.item(
            "different, and not worse: no driver reached anew, nothing that refuses host input lost", style="bold"
        )
    for label, kernel in (("old", difference.old), ("new", difference.new)):
        page.item(kernel, label=label, column=5)
    page.blank()
    drivers = difference.drivers
    page.item(
        f"a host of {difference.technology} reaches {drivers.before:,} -> {count(drivers.after, 'driver')} "
        f"({_signed(drivers)}: {len(difference.gained):,} anew, {len(difference.lost):,} no more); "
        f"of those in both {len(difference.changed):,} changed, {difference.unchanged:,} did not"
    )
    text = difference.text_bytes
    page.item(f"their loadable code: {size(text.before)} -> {size(text.after)} ({_signed_size(text)})")
    modules = difference.modules
    numbers = f"{modules.before:,} -> {modules.after:,} ({_signed(modules)})" if modules else "not known"
    page.item(f"modules: {numbers}; mechanisms that differ: {len(difference.mechanisms)}")


def _why(difference: KernelDiff) -> list[str]:
    """What makes it worse, in a few words."""
    found = []
    if difference.gained:
        names = _some(change.name for change in difference.gained)
        found.append(f"the host reaches {count(len(difference.gained), 'driver')} anew ({names})")
    if lost := difference.refusing(False):
        names = _some(change.id for change in lost)
        found.append(
            f"it lost {count(len(lost), 'mechanism')} that {'refuse' if len(lost) > 1 else 'refuses'} host input ({names})"
        )
    if more := difference.consuming(True):
        found.append(f"it has code for {count(len(more), 'input')} more ({_some(change.id for change in more)})")
    return found


def _some(names: Iterable[str]) -> str:
    found = list(names)
    more = f" and {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more


def _signed(change: Change | SitesChange) -> str:
    return f"{change.after - change.before:+,}"


def _signed_size(change: Change) -> str:
    gained = change.after - change.before
    return f"{'+' if gained >= 0 else ''}{size(gained)}"


def _mechanisms(page: Page, title: str, changes: Sequence[MechanismChange], verbose: bool, style: str = "bold") -> None:
    if not changes:
        return
    words = {True: "has it", False: "has it not", None: "cannot tell"}
    page.heading(f"{title}: {len(changes):,}", style)
    for change in changes:
        page.item(f"{change.id}: {change.name}", indent=2)
        for label, state, seen in (
            ("old", change.before, change.seen_before),
            ("new", change.after, change.seen_after),
        ):
            others = {fact.name: fact.value for fact in (*change.seen_before, *change.seen_after) if fact not in seen}
            facts = "; ".join(_fact(fact, others.get(fact.name, ""), verbose) for fact in seen)
            page.item(f"{words[state]}{f': {facts}' if facts else ''}", indent=4, label=label, column=8)


def _fact(fact: FactSeen, other: str, verbose: bool) -> str:
    """`symbol.tdx_early_init = yes`, of a list what the other kernel's does not have. With everything, and where it was
    read, only for those who ask.
    """
    if verbose:
        return f"{fact.name} = {fact.value}{f' ({place(fact.place)})' if fact.place else ''}"
    values, known = fact.value.split(", "), set(other.split(", "))
    own = [value for value in values if value not in known]
    if not known.isdisjoint(values) and len(values) > 1:
        more = f"{len(values) - len(own)} as in the other kernel"
        return f"{fact.name} = {shorten(', '.join((*own, more)), _VALUE)}"
    return f"{fact.name} = {shorten(fact.value, _VALUE)}"


def _drivers(page: Page, title: str, changes: Sequence[DriverChange], limit: int | None, style: str = "bold") -> None:
    """One list of drivers under its title, the largest first."""
    if not changes:
        return
    page.heading(f"{title}: {count(len(changes), 'driver')}", style)
    for change in changes[:limit]:
        page.item("; ".join(_words(change, limit)), indent=2, label=change.name, column=24)
    if limit is not None and len(changes) > limit:
        page.item(f"and {count(len(changes) - limit, 'driver')} more (-v lists them)", indent=2)


def _words(change: DriverChange, limit: int | None) -> list[str]:
    """How a driver changed, most telling first."""
    words = []
    if change.before is not change.after:
        words.append(f"{_reach(change.before)} -> {_reach(change.after)}")
    if change.code and change.before is not None and change.after is not None:
        words.append("code changed")
    words.append(_text(change))
    alone = change.before is None or change.after is None
    if alone and (change.keys_before or change.keys_after):
        words.append(count(change.keys_before or change.keys_after, "key"))
    elif change.keys_before != change.keys_after:
        keys = Change(change.keys_before, change.keys_after)
        words.append(f"keys {keys.before:,} -> {keys.after:,} ({_signed(keys)})")
    shown = change.sites if limit is None else change.sites[:_INTERFACES]
    sites = [
        f"{found.interface} {found.before or found.after:,}"
        if alone
        else f"{found.interface} {found.before:,} -> {found.after:,} ({_signed(found)})"
        for found in shown
    ]
    more = len(change.sites) - len(shown)
    if sites:
        words.append(f"sites {', '.join(sites)}{f' and of {more} more' if more else ''}")
    return words


def _reach(reach: Reach | None) -> str:
    return "not there" if reach is None else reach.value.replace("-", " ")


def _text(change: DriverChange) -> str:
    """`1.0 KiB -> 1.5 KiB (+512 B)`; one end where only one kernel has it or both are the same."""
    before, after = change.text_before, change.text_after
    ends = ["built in" if text is None else size(text) for text in (before, after)]
    if change.before is None or before == after:
        return ends[1]
    if change.after is None:
        return ends[0]
    gained = f" ({_signed_size(Change(before, after))})" if before is not None and after is not None else ""
    return f"{ends[0]} -> {ends[1]}{gained}"


def _interfaces(page: Page, title: str, changes: Sequence[SitesChange]) -> None:
    if not changes:
        return
    page.heading(f"{title}: {count(len(changes), 'interface')} changed")
    for change in changes:
        page.item(
            f"{change.before:,} -> {change.after:,} ({_signed(change)})", indent=2, label=change.interface, column=24
        )
