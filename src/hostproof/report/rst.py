"""A summary in reStructuredText, in the style of the kernel's documents, to be sent to a mailing list

Tables are simple tables with the free text in the last column, so that they can be read as they are. What the markup would
obey is escaped by a backslash, and no line starts with a character that makes a list, a directive or a section.

SOURCE: docutils, "reStructuredText Markup Specification": Escaping Mechanism, Simple Tables, Reference Names, Inline Markup
Recognition Rules.
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Sequence

from hostproof.knowledge.terms import Status, Threat
from hostproof.ledger.model import Ledger, Row
from hostproof.report import summary
from hostproof.report.words import count, missing, visible

__all__ = ["escape", "render"]

_WIDTH = 78
_MARKUP = re.compile(r"[\\*`|]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_ENUMERATOR = re.compile(r"[A-Za-z0-9#]+[.)](?:\s|$)")


def render(ledger: Ledger) -> str:
    """Headline, objectives that are not met, threats by status, channels by threat, attacks that work."""
    parts = [
        _title(f"Threat model of {ledger.name}", "="),
        _fields(
            [
                ("Confidential", ledger.headline.confidential),
                ("Drivers", ledger.headline.drivers),
                ("Control", summary.control(ledger)),
                ("Technology", f"{ledger.technology_name} ({ledger.technology})"),
                ("Use", f"{ledger.use_name} ({ledger.use})"),
                ("Rules", f"{ledger.rule_set}, hostproof {ledger.hostproof}"),
            ]
        ),
        *_findings(ledger),
        _title("Threats", "-"),
        _threats(ledger),
        _title("Channels", "-"),
        _channels(ledger),
    ]
    if working := summary.attacks_that_work(ledger):
        parts.append(_title("Attacks that work here", "-"))
        parts += [
            _item(f"{attack.name} ({', '.join([attack.venue, *attack.references])}): {attack.reason}")
            for attack in working
        ]
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """`text` in one line that reads as it stands: inline markup, and what a line must not start with, is escaped."""
    shown = " ".join(visible(text).split())
    escaped = _MARKUP.sub(lambda found: "\\" + found[0], shown)
    return _start(escaped)


def _start(line: str) -> str:
    """`line` with its first character escaped where it would make a list, a table, a title or a directive."""
    if line and not line.startswith("\\") and (not line[0].isalnum() or _ENUMERATOR.match(line)):
        return "\\" + line
    return line


def _title(text: str, underline: str) -> str:
    shown = escape(text)
    return f"{shown}\n{underline * max(_columns(shown), 4)}"


def _wrapped(text: str, indent: int, first: str = "") -> str:
    """`text` in lines of 78 columns; `first` stands before the first, the others are indented."""
    lines = textwrap.wrap(text, _WIDTH - indent, break_long_words=False, break_on_hyphens=False) or [""]
    rest = (" " * indent + _start(line) for line in lines[1:])
    return "\n".join([first + lines[0], *rest])


def _fields(pairs: Sequence[tuple[str, str]]) -> str:
    return "\n".join(_wrapped(escape(text), 2, f":{name}: ").rstrip() for name, text in pairs)


def _item(text: str) -> str:
    return _wrapped(escape(text), 2, "* ")


def _findings(ledger: Ledger) -> list[str]:
    texts = [
        f"Objective {objective.id.value} {'is undecided' if objective.met is None else 'is not met'} ({objective.name}): "
        f"{objective.reason}" + (f"; missing: {missing(objective.missing)}" if objective.missing else "")
        for objective in summary.not_met(ledger)
    ]
    return [_item(text) for text in [*texts, *(f"Warning: {warning}" for warning in ledger.headline.warnings)]]


def _threats(ledger: Ledger) -> str:
    names = {threat.id: threat.name for threat in ledger.threats}
    counted = {threat: [row for row in ledger.rows if row.threat is threat] for threat in Threat}
    return _table(
        ["Threat", "Open", "Unknown", "Closed", "Name"],
        [[threat.value, *_numbers(rows), escape(names.get(threat, ""))] for threat, rows in counted.items()],
    )


def _channels(ledger: Ledger) -> str:
    groups = summary.by_channel(ledger, ledger.rows)
    if not groups:
        return "No channel has rows."
    header = ["Channel", *(threat.value for threat in Threat), "Open", "Unknown", "Closed", "Name"]
    lines = []
    for group in groups:
        cells = [summary.worst(row for row in group.rows if row.threat is threat) for threat in Threat]
        lines.append([escape(group.id) or "none", *cells, *_numbers(group.rows), escape(group.name)])
    total = count(len(ledger.rows), "row")
    return f"The worst status of each channel under each threat, then its rows; {total} in all.\n\n" + _table(
        header, lines
    )


def _numbers(rows: Sequence[Row]) -> list[str]:
    opened = sum(row.status is Status.OPEN for row in rows)
    unknown = sum(row.status is Status.UNKNOWN for row in rows)
    return [str(opened), str(unknown), str(len(rows) - opened - unknown)]


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A simple table. Only the last column may be wider than its border, so free text stands there."""
    widths = [
        max(_columns(row[column]) for row in [header, *lines]) if column < len(header) - 1 else 4
        for column in range(len(header))
    ]
    border = "  ".join("=" * width for width in widths)
    body = ["  ".join(_padded(cell, width) for cell, width in zip(row, widths, strict=True)) for row in lines]
    head = "  ".join(_padded(cell, width) for cell, width in zip(header, widths, strict=True))
    return "\n".join(line.rstrip() for line in [border, head, border, *body, border])


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _columns(text))


def _columns(text: str) -> int:
    """Columns that docutils gives `text`: two for wide characters, none for combining ones."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )
