"""A trace as pictures of memory: per step every page with what is known of it, and which address answers with which page

One panel per state, the initial one first. A box is an element (a page, an address, an entry); its lines are the cells about
it, and those that the step changed stand out. An arrow goes from box to box where a relation holds or a function leads.
The picture is a self-contained SVG without script or links.

SOURCE: W3C, Scalable Vector Graphics (SVG) 1.1, Second Edition: 5 (document structure), 9 (shapes), 10 (text).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape

from hostproof.errors import UsageError
from hostproof.managers.records import Stored, TraceRecord, Verdict
from hostproof.report.trace_story import call
from hostproof.report.words import shorten

__all__ = ["render"]

_BOX, _LINE, _GAP, _MARGIN, _TITLE = 210, 15, 34, 16, 34
_CELL = re.compile(r"^([^\[]+)(?:\[(.*)\])?$")
_QUIET = ("false", "any", "NONE")
MAX_BOXES = 60


@dataclass(frozen=True, slots=True)
class _Box:
    name: str
    lines: tuple[tuple[str, bool], ...]
    """Text, and whether the step changed it."""


@dataclass(frozen=True, slots=True)
class _Panel:
    title: str
    boxes: tuple[_Box, ...]
    arrows: tuple[tuple[str, str, str, bool], ...]
    """From, to, name, changed."""

    @property
    def height(self) -> int:
        rows = [len(box.lines) for box in self.boxes]
        return _TITLE + _LINE * (max(rows, default=0) + 2) + _GAP + 12 * len(self.arrows)


def render(stored: Stored, verdict: Verdict) -> str:
    """The picture. Raises UsageError where the verdict is no trace, or its instance is too large to draw."""
    trace = verdict.story()
    if trace is None:
        raise UsageError(f"{verdict.objective} of {stored.model.name} has no trace: it is {verdict.result}")
    panels = list(_panels(trace))
    if any(len(panel.boxes) > MAX_BOXES for panel in panels):
        raise UsageError("the instance has too many elements for a picture", hint="--format mermaid or json")
    columns = max((len(panel.boxes) for panel in panels), default=1)
    width = max(480, 2 * _MARGIN + columns * (_BOX + _MARGIN))
    height = _TITLE + sum(panel.height for panel in panels) + 2 * _MARGIN + 20
    title = f"{stored.model.title}: {verdict.objective}, trace {verdict.id}"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        f'font-family="monospace" font-size="12" role="img" aria-label="{_text(title)}">',
        f"<title>{_text(title)}</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="{_MARGIN}" y="22" font-size="15" font-weight="bold">{_text(title)}</text>',
    ]
    top = _TITLE
    for panel in panels:
        out += _draw(panel, top)
        top += panel.height
    out.append(f'<text x="{_MARGIN}" y="{top + 16}" fill="#b71c1c">broken: {_text(verdict.sentence)}</text>')
    return "\n".join([*out, "</svg>", ""])


def _panels(trace: TraceRecord) -> Iterator[_Panel]:
    cells = dict(trace.start)
    yield _panel("0. at the start", cells, set())
    for number, step in enumerate(trace.steps, start=1):
        changed = {change.cell for change in step.changes}
        cells |= {change.cell: change.after for change in step.changes}
        yield _panel(f"{number}. {step.caller}: {call(step)}", cells, changed)


def _panel(title: str, cells: Mapping[str, str], changed: set[str]) -> _Panel:
    lines: dict[str, list[tuple[str, bool]]] = {}
    arrows = []
    elements = {name for cell in cells for name in _arguments(cell)}
    for cell, value in cells.items():
        matched = _CELL.match(cell)
        variable, names = (matched[1] if matched else cell), _arguments(cell)
        for name in names:
            lines.setdefault(name, [])
        if not names:
            if value not in _QUIET or cell in changed:
                lines.setdefault("state", []).append((f"{cell} = {value}", cell in changed))
        elif len(names) == 1 and value in elements:
            lines[names[0]].append((f"{variable} = {value}", cell in changed))
            arrows.append((names[0], value, variable, cell in changed))
        elif len(names) == 1:
            if value not in _QUIET or cell in changed:
                lines[names[0]].append((f"{variable} = {value}", cell in changed))
        elif value == "true" and len(names) == 2:
            arrows.append((names[0], names[1], variable, cell in changed))
        elif value not in _QUIET or cell in changed:
            lines[names[0]].append((f"{variable}[{', '.join(names)}] = {value}", cell in changed))
    boxes = tuple(_Box(name, tuple(found)) for name, found in sorted(lines.items()))
    return _Panel(title, boxes, tuple(arrow for arrow in arrows if {arrow[0], arrow[1]} <= set(lines)))


def _arguments(cell: str) -> list[str]:
    matched = _CELL.match(cell)
    return [name.strip() for name in matched[2].split(",")] if matched and matched[2] else []


def _draw(panel: _Panel, top: int) -> Iterator[str]:
    yield f'<text x="{_MARGIN}" y="{top + 20}" font-weight="bold">{_text(panel.title)}</text>'
    places = {}
    tall = _LINE * (max((len(box.lines) for box in panel.boxes), default=0) + 2)
    for number, box in enumerate(panel.boxes):
        left, at = _MARGIN + number * (_BOX + _MARGIN), top + _TITLE
        places[box.name] = (left + _BOX // 2, at + tall)
        yield f'<rect x="{left}" y="{at}" width="{_BOX}" height="{tall}" rx="4" fill="{_fill(box)}" stroke="#455a64"/>'
        yield f'<text x="{left + 8}" y="{at + 15}" font-weight="bold">{_text(box.name)}</text>'
        for row, (line, changed) in enumerate(box.lines, start=2):
            style = ' fill="#e65100" font-weight="bold"' if changed else ""
            yield f'<text x="{left + 8}" y="{at + 3 + row * _LINE}"{style}>{_text(shorten(line, 28))}</text>'
    for number, (one, other, name, changed) in enumerate(panel.arrows):
        (x1, y1), (x2, _) = places[one], places[other]
        low = y1 + 14 + 12 * number
        colour = "#e65100" if changed else "#607d8b"
        yield f'<path d="M{x1},{y1} V{low} H{x2} V{y1}" fill="none" stroke="{colour}"/>'
        yield f'<circle cx="{x2}" cy="{y1}" r="3" fill="{colour}"/>'
        yield f'<text x="{(x1 + x2) // 2}" y="{low - 2}" font-size="10" fill="{colour}">{_text(name)}</text>'


def _fill(box: _Box) -> str:
    """Red where the host has a hand in it, green where it is the guest's."""
    words = {word for line, _ in box.lines for word in re.findall(r"\w+", line.partition("=")[2])}
    if words & {"HOST", "HYPERVISOR", "GARBAGE", "FOREIGN"}:
        return "#ffebee"
    return "#e8f5e9" if words & {"GUEST", "DATA", "OWNED", "MAPPED", "REALM", "NEW"} else "#fafafa"


def _text(text: str) -> str:
    return escape(shorten(text, 400), quote=True)
