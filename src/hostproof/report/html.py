"""The ledger as one page: no network, no fonts or scripts from elsewhere, readable without scripts

The page says first what the terminal says first. Below stand the rows by channel, each with an anchor made of its id
(`#C13/e1000e/T3`), its facts, evidence and places folded; evidence that several rows share stands once, so that a ledger of
3,000 rows stays small. Filter and search need the inline script, everything else is plain HTML.

All text of the ledger is escaped twice over: `visible` makes controls and direction overrides show, Jinja's autoescape
quotes what HTML would obey. A content security policy with the digests of our own style and script forbids anything else.

SOURCE: W3C, Content Security Policy Level 3, 2.3 (hash sources) and 3.3 (the `meta` element); WHATWG HTML, 7.4.6.4 (a
fragment is looked up among ids as it stands before it is decoded).
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib import resources
from urllib.parse import quote

from jinja2 import DictLoader, Environment, StrictUndefined, Template
from markupsafe import Markup

from hostproof.knowledge.terms import Kind, Presence, Status
from hostproof.ledger.model import ChannelSummary, Evidence, Ledger, Row
from hostproof.report import summary
from hostproof.report.explain import ordered
from hostproof.report.words import count, drivers, missing, place, size, visible

__all__ = ["anchor", "render"]

_OPEN_AT_MOST = 200
"""A channel with more rows is folded at first, so that the page shows quickly."""


@dataclass(frozen=True, slots=True)
class _Shared:
    """Evidence that more than one row has: shown once, under `anchor`."""

    anchor: str
    number: int
    evidence: Evidence
    rows: int


@dataclass(frozen=True, slots=True)
class _Group:
    """A channel with its rows, as the page shows it."""

    channel: ChannelSummary
    rows: tuple[Row, ...]
    statuses: dict[Status, int]
    unfolded: bool


def render(ledger: Ledger) -> str:
    """The page as text; the same ledger gives the same page."""
    style, script = _asset("ledger.css"), _asset("ledger.js")
    shared = _shared(ledger)
    groups = _groups(ledger)
    return _template().render(
        ledger=ledger,
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; "
        "base-uri 'none'; form-action 'none'",
        ids={row.id for row in ledger.rows},
        control=summary.control(ledger),
        statuses=summary.by_status(ledger.rows),
        strip=_strip(ledger),
        groups=groups,
        bare=[channel for channel in ledger.channels if channel.id not in {group.channel.id for group in groups}],
        threats=_threats(ledger),
        supplies=summary.supplies(ledger),
        options=summary.chosen_first(ledger),
        heaviest=summary.heaviest(row for row in ledger.rows if row.status is Status.OPEN)[:10],
        shared=sorted(shared.values(), key=lambda one: one.number),
        share=lambda evidence: shared.get(repr(evidence)),
        all_statuses=list(Status),
        all_presences=list(Presence),
    )


def anchor(name: str) -> str:
    """`name` as an id and as a fragment alike: letters, digits, `/` and `_.-~` as they are, all else percent-encoded."""
    return quote(visible(name), safe="/")


@cache
def _template() -> Template:
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda value: visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value,
        loader=DictLoader({"ledger.html.j2": _asset("ledger.html.j2")}),
    )
    environment.filters.update(
        anchor=anchor,
        count=count,
        drivers=drivers,
        kind=_kind,
        missing=missing,
        ordered=ordered,
        place=place,
        size=size,
    )
    return environment.get_template("ledger.html.j2")


def _kind(letter: str) -> str:
    """The word for a kind of channel, or what stands there where it is none."""
    return next((kind.name.lower() for kind in Kind if kind.value == letter), letter)


def _asset(name: str) -> str:
    return resources.files("hostproof.report").joinpath("templates", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """The hash source of an inline style or script, as CSP writes it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _shared(ledger: Ledger) -> dict[str, _Shared]:
    """Evidence that stands in more than one row, by its `repr` (it cannot be hashed), numbered by its first row."""
    counts: Counter[str] = Counter()
    found: dict[str, Evidence] = {}
    for row in ledger.rows:
        for evidence in row.evidence:
            counts[repr(evidence)] += 1
            found.setdefault(repr(evidence), evidence)
    several = [key for key in found if counts[key] > 1]
    return {
        key: _Shared(f"evidence-{number}", number, found[key], counts[key])
        for number, key in enumerate(several, start=1)
    }


def _groups(ledger: Ledger) -> list[_Group]:
    channels = {channel.id: channel for channel in ledger.channels}
    groups = []
    for group in summary.by_channel(ledger, ledger.rows):
        channel = channels.get(group.id) or ChannelSummary(group.id, group.name, [], True, True, "")
        statuses = summary.by_status(group.rows)
        unfolded = Status.OPEN in statuses and len(group.rows) <= _OPEN_AT_MOST
        groups.append(_Group(channel, group.rows, statuses, unfolded))
    return groups


def _threats(ledger: Ledger) -> list[tuple[str, dict[Status, int]]]:
    """Each threat's id with the statuses of its rows."""
    return [
        (threat.id.value, summary.by_status(row for row in ledger.rows if row.threat is threat.id))
        for threat in ledger.threats
    ]


def _strip(ledger: Ledger) -> list[tuple[Status, float, float]]:
    """The bar of all rows by status: start and width in thousandths of the whole."""
    parts, start = [], 0.0
    for status, number in summary.by_status(ledger.rows).items():
        width = round(1000 * number / len(ledger.rows), 2)
        parts.append((status, round(start, 2), width))
        start += width
    return parts
