"""A comparison of threat models as a table that a person reads on a terminal or pastes into a mail."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from hostproof.ledger.compare import Column, Comparison

__all__ = ["to_text"]

MARKS = {"absent": "-", "out-of-scope": "o", "prevented": "P", "host": "H", "unknown": "?"}
LEGEND = "H the host controls it   P the security manager stops it   ? depends on a switch   - absent   o out of scope"


def to_text(comparison: Comparison, *, width: int = 100, verbose: bool = False) -> str:
    """The comparison, one line per channel and one column per technology; `verbose` gives the reason of each letter."""
    lines = [f"threat models for use {comparison.use}: {comparison.use_name}", ""]
    lines += _objectives(comparison, width)
    lines += _threats(comparison, width)
    lines += _channels(comparison)
    lines += ["", LEGEND, ""]
    lines += _reasons(comparison, width) if verbose else ["-v gives the reason of each letter", ""]
    lines += _options(comparison, width)
    for column in comparison.columns:
        if column.undecided:
            text = f"{column.technology}: nothing here decides {', '.join(column.undecided)}"
            lines += textwrap.wrap(text, width, subsequent_indent="  ")
    return "\n".join(lines).rstrip() + "\n"


def _objectives(comparison: Comparison, width: int) -> Iterator[str]:
    yield "objectives"
    for column in comparison.columns:
        for finding in column.objectives:
            state = {True: "met", False: "NOT met", None: "unknown"}[finding.met]
            text = f"{column.technology:<12}{finding.id} {state}: {finding.reason}"
            yield from textwrap.wrap(text, width, initial_indent="  ", subsequent_indent=" " * 14)
    yield ""


def _threats(comparison: Comparison, width: int) -> Iterator[str]:
    yield "threats that drop out"
    none = True
    for column in comparison.columns:
        for finding in column.threats:
            if not finding.applies:
                none = False
                text = f"{column.technology:<12}{finding.id} {finding.name}: {finding.reason}"
                yield from textwrap.wrap(text, width, initial_indent="  ", subsequent_indent=" " * 14)
    if none:
        yield "  none"
    yield ""


def _channels(comparison: Comparison) -> Iterator[str]:
    name_width = 46
    heads = [column.technology for column in comparison.columns]
    widths = [max(len(head), 7) for head in heads]
    yield (
        f"{'channel':<{name_width}}  "
        + "  ".join(f"{head:<{size}}" for head, size in zip(heads, widths, strict=True)).rstrip()
    )
    for channel, name in comparison.channels.items():
        label = f"{channel} {name}"
        label = label if len(label) <= name_width else label[: name_width - 1] + "…"
        cells = [_cell(column, channel) for column in comparison.columns]
        row = "  ".join(f"{cell:<{size}}" for cell, size in zip(cells, widths, strict=True))
        yield f"{label:<{name_width}}  {row}".rstrip()
    controls = [f"{column.control.controlled}/{column.control.existing}" for column in comparison.columns]
    row = "  ".join(f"{cell:<{size}}" for cell, size in zip(controls, widths, strict=True))
    yield f"{'channels the host controls, of those that exist':<{name_width}} {row}".rstrip()


def _reasons(comparison: Comparison, width: int) -> Iterator[str]:
    """Why each letter stands where it does, technologies with the same reason together."""
    yield "reasons"
    for channel, name in comparison.channels.items():
        yield f"  {channel} {name}"
        by_reason: dict[str, list[str]] = {}
        for column in comparison.columns:
            cell = column.channels[channel]
            text = cell.reason + (f" ({cell.what})" if cell.what else "")
            by_reason.setdefault(f"{MARKS[cell.state]} {text}", []).append(column.technology)
        for reason, technologies in by_reason.items():
            text = f"{', '.join(technologies)}: {reason}"
            yield from textwrap.wrap(text, width, initial_indent="    ", subsequent_indent="      ")
    yield ""


def _cell(column: Column, channel: str) -> str:
    cell = column.channels[channel]
    threats = "".join(threat[1:] for threat in cell.threats)
    return f"{MARKS[cell.state]} T{threats}" if threats else MARKS[cell.state]


def _options(comparison: Comparison, width: int) -> Iterator[str]:
    for option in comparison.options:
        chosen = "default" if option.default else "chosen"
        text = f"option {option.id}={option.value} ({chosen}): {option.position}"
        yield from textwrap.wrap(text, width, subsequent_indent="  ")
    yield ""
