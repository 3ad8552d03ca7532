"""A diagram for Mermaid: the host on one side, the guest on the other, one edge per channel coloured by its worst status

GitHub, GitLab and most wikis render it from a fenced block. Edges of channels on which the host only observes run from the
guest to the host. Labels are quoted, and every character that is not plain is written as `#NNN;`.

SOURCE: Mermaid documentation, "Flowcharts": "Special characters that break syntax", "Entity codes to escape characters",
"Styling links".
"""

from __future__ import annotations

from collections.abc import Sequence

from hostproof.ledger.model import ChannelSummary, Ledger, Row
from hostproof.report import summary
from hostproof.report.words import shorten

__all__ = ["MAX_EDGES", "render"]

MAX_EDGES = 400
"""Mermaid draws at most 500 edges unless it is configured otherwise (`maxEdges`)."""

_LABEL = 60
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ,.:/+_-")
_COLOURS = {
    "open": "stroke:#c62828,stroke-width:3px",
    "unknown": "stroke:#b8860b,stroke-width:2px,stroke-dasharray:5",
    "closed": "stroke:#2e7d32",
    "no row": "stroke:#808080",
}


def render(ledger: Ledger) -> str:
    """The diagram as text. Channels that do not exist here are left out; the open ones come first."""
    groups = {group.id: group.rows for group in summary.by_channel(ledger, ledger.rows)}
    edges = []
    for channel in ledger.channels:
        rows = groups.get(channel.id, ())
        if channel.exists:
            edges.append((channel, summary.worst(rows) or "no row", rows))
    order = list(_COLOURS)
    edges.sort(key=lambda edge: order.index(edge[1]))
    lines = [
        "flowchart LR",
        f'    host["host: controls {ledger.control.controlled} of {ledger.control.existing} channels"]',
        f'    guest["guest: {_escaped(ledger.name)}, {_escaped(ledger.technology)}"]',
    ]
    lines += [_edge(channel, state, rows) for channel, state, rows in edges[:MAX_EDGES]]
    for state, style in _COLOURS.items():
        if numbers := [str(number) for number, edge in enumerate(edges[:MAX_EDGES]) if edge[1] == state]:
            lines.append(f"    linkStyle {','.join(numbers)} {style}")
    if len(edges) > MAX_EDGES:
        lines.append(f"    %% {len(edges) - MAX_EDGES} channels are left out")
    return "\n".join(lines) + "\n"


def _edge(channel: ChannelSummary, state: str, rows: Sequence[Row]) -> str:
    number = sum(row.status.value == state for row in rows) if state in ("open", "unknown") else len(rows)
    state = f"{number} {state}" if rows else state
    label = f'"{_escaped(f"{channel.id} {channel.name}")}: {state}"'
    if summary.only_observed(channel):
        return f"    guest -. {label} .-> host"
    return f"    host -- {label} --> guest"


def _escaped(text: str) -> str:
    """`text`, at most 60 characters, in a form that stays text inside a quoted label."""
    return "".join(character if character in _PLAIN else f"#{ord(character)};" for character in shorten(text, _LABEL))
