"""The surface of a kernel as one page: a map of its code by bus and driver, and the same numbers as tables

The area of a driver is its text, its shade the number of its sites per KiB, weighed as the interfaces are. The map is plain
SVG: every driver has a title that a pointer or a screen reader shows, a pattern marks those that a VM's definition presents,
and no script or network is needed. Shades are those of one hue, so that they are told apart in print and by every eye.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from jinja2 import DictLoader, Environment, StrictUndefined, Template
from markupsafe import Markup

from hostproof.ledger.surface import Driver, Surface
from hostproof.report.treemap import Box, squarified
from hostproof.report.words import count, size, visible

__all__ = ["render"]

WIDTH, HEIGHT = 1200.0, 760.0
HEAD = 16.0
"""Height of a bus's name above its drivers."""
SHADES = 5
LISTED = 400
"""Drivers in the table; the rest is in the JSON and CSV forms."""
_LETTER = 6.2  # width of a letter of the map's font size, about


@dataclass(frozen=True, slots=True)
class Tile:
    """A driver on the map. `shade` is 0 (no site seen) to 5."""

    driver: Driver
    box: Box
    shade: int
    label: str
    title: str


@dataclass(frozen=True, slots=True)
class Field:
    """A bus on the map, with the drivers whose nearest way in it is."""

    bus: str
    box: Box
    label: str
    tiles: tuple[Tile, ...]


def render(surface: Surface) -> str:
    """The page as text; the same surface gives the same page."""
    template, style = _template()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    reached = [driver for driver in surface.drivers if driver.reach.by_host]
    return template.render(
        surface=surface,
        style=Markup(style),  # our own style sheet
        style_digest=digest,
        fields=fields(surface),
        reached=reached[:LISTED],
        left_out=max(0, len(reached) - LISTED),
        width=WIDTH,
        height=HEIGHT,
    )


def fields(surface: Surface) -> list[Field]:
    """The map: buses by weight, and in each its drivers by weight."""
    by_bus: dict[str, list[Driver]] = {}
    order = [total.bus for total in surface.by_bus]
    for driver in surface.drivers:
        if not driver.reach.by_host or not driver.text_bytes:
            continue
        bus = min(driver.buses, key=order.index) if driver.buses else "needed by others"
        by_bus.setdefault(bus, []).append(driver)
    weights = {bus: sum(driver.text_bytes or 0 for driver in drivers) for bus, drivers in by_bus.items()}
    buses = sorted(weights, key=lambda bus: (-weights[bus], bus))
    boxes = squarified([weights[bus] for bus in buses], Box(0, 0, WIDTH, HEIGHT))
    return [_field(bus, box, by_bus[bus]) for bus, box in zip(buses, boxes, strict=True)]


def _field(bus: str, box: Box, drivers: list[Driver]) -> Field:
    drivers = sorted(drivers, key=lambda driver: (-(driver.text_bytes or 0), driver.name))
    head = HEAD if box.height > 3 * HEAD and box.width > 3 * HEAD else 0.0
    inner = Box(box.x, box.y + head, box.width, box.height - head)
    boxes = squarified([float(driver.text_bytes or 0) for driver in drivers], inner)
    tiles = tuple(_tile(driver, place) for driver, place in zip(drivers, boxes, strict=True))
    text = f"{bus}: {count(len(drivers), 'driver')}, {size(sum(driver.text_bytes or 0 for driver in drivers))}"
    return Field(bus, box, _fitting(text, box.width) if head else "", tiles)


def _tile(driver: Driver, box: Box) -> Tile:
    sites = ", ".join(f"{found.interface} {found.count:,}" for found in driver.sites) or "no site seen"
    title = f"{driver.name}: {driver.reach.value}, {size(driver.text_bytes or 0)}, {count(driver.keys, 'key')}; {sites}"
    label = _fitting(driver.name, box.width) if box.height > HEAD else ""
    return Tile(driver, box, shade(driver), label, visible(title))


def shade(driver: Driver) -> int:
    """0 where no site was seen, else 1 to 5: the score per KiB of text, doubling from 1."""
    if not driver.score:
        return 0
    density = driver.score * 1024 / max(driver.text_bytes or 1, 1)
    step = 1
    while step < SHADES and density >= 1 << step:
        step += 1
    return step


def _fitting(text: str, width: float) -> str:
    letters = int((width - 6) / _LETTER)
    shown = visible(text)
    return shown if len(shown) <= letters else (shown[: letters - 1] + "…" if letters > 3 else "")


@cache
def _template() -> tuple[Template, str]:
    folder = resources.files("hostproof.report") / "templates"
    style = (folder / "surface.css").read_text(encoding="utf-8")
    page = (folder / "surface.html.j2").read_text(encoding="utf-8")
    environment = Environment(
        loader=DictLoader({"surface": page}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"size": size, "count": count, "visible": visible}
    return environment.get_template("surface"), style
