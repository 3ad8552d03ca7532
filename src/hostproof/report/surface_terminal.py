"""The surface of a kernel on a terminal, and as plain text for a mail

First the kernel and what limits what is told of it, then the drivers by bus, the interfaces with what counting them cannot
see, and the drivers in the order of what matters. `verbose` lists every driver that the host reaches, with its functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hostproof.ledger.surface import BusTotal, Driver, InterfaceTotal, Reach, Surface
from hostproof.report.page import Page, capture, finished
from hostproof.report.words import count, shorten, size

__all__ = ["to_text"]

_SHOWN = 15
_FUNCTIONS = 6
_INTERFACES = 4


def to_text(surface: Surface, *, width: int = 100, color: bool = False, verbose: bool = False) -> str:
    """The surface at `width` columns."""
    console = capture(width, color)
    page = Page(console)
    _head(surface, page)
    _buses(surface.by_bus, page, verbose)
    _interfaces(surface.by_interface, page, verbose)
    _drivers(surface, page, verbose)
    return finished(console)


def _head(surface: Surface, page: Page) -> None:
    page.item(f"{surface.kernel} ({surface.architecture})", style="bold")
    reached = [driver for driver in surface.drivers if driver.reach.by_host and not driver.built_in]
    built_in = sum(driver.built_in for driver in surface.drivers)
    if surface.modules is None or surface.text_bytes is None:
        modules = "modules that are not known"
    else:
        text = sum(driver.text_bytes or 0 for driver in reached)
        modules = f"{count(len(reached), 'module')} of {surface.modules:,}, {size(text)} of {size(surface.text_bytes)}"
    others = f"{count(built_in, 'driver')} built in" if built_in else "no built-in driver is known"
    page.item(f"a host of {surface.technology} reaches {modules}; {others}")
    page.item(f"it may present devices of {', '.join(surface.buses) or 'no bus'}")
    if surface.vm:
        configured = [driver for driver in surface.drivers if driver.reach is Reach.CONFIGURED]
        page.item(f"{surface.vm} presents devices of {count(len(configured), 'driver')}: {_names(configured)}")
    if surface.image_text_bytes is not None:
        page.item(f"image: {size(surface.image_text_bytes)} of text, sha256 {surface.image_sha256}")
    for note in surface.notes:
        page.item(f"limit: {note}", style="yellow")


def _names(drivers: Iterable[Driver]) -> str:
    return ", ".join(driver.name for driver in drivers) or "none"


def _buses(found: Sequence[BusTotal], page: Page, verbose: bool) -> None:
    totals = [total for total in found if verbose or total.reach.by_host]
    page.heading(f"BY BUS: {count(len(totals), 'bus', 'buses')}")
    page.item("drivers with match keys, their text; with all they need: modules, text; sites in the drivers", indent=2)
    for total in totals:
        built_in = f", {total.built_in} built in" if total.built_in else ""
        page.item(
            f"{count(total.drivers, 'driver')}{built_in}, {count(total.keys, 'key')}, {size(total.text_bytes)}; "
            f"{count(total.closure, 'module')}, {size(total.closure_bytes)}; {count(total.sites, 'site')}",
            indent=2,
            label=f"{total.bus}  {_short(total.reach)}",
            column=30,
        )
    rest = [total.bus for total in found if total not in totals]
    if rest:
        page.item(f"other buses (-v lists them): {', '.join(rest)}", indent=2)


def _short(reach: Reach) -> str:
    return reach.value.replace("-", " ")


def _interfaces(totals: Sequence[InterfaceTotal], page: Page, verbose: bool) -> None:
    if not totals:
        return
    page.heading("BY INTERFACE: sites in modules that the host reaches, in all modules, and in the image")
    for total in totals:
        if not (total.sites or total.image_sites or verbose):
            continue
        image = "unknown" if total.image_sites is None else f"{total.image_sites:,}"
        page.item(
            f"{total.reached_sites:,} in {total.reached_modules:,}; {total.sites:,} in {total.modules:,}; "
            f"image {image}{f' in {len(total.image_functions):,} functions' if total.image_functions else ''}",
            indent=2,
            label=total.id,
            column=24,
        )
        page.item(f"not seen: {total.blind}", column=24, style="dim")
        if verbose and total.image_functions:
            page.item(f"image: {', '.join(total.image_functions)}", column=24)
    absent = [total.id for total in totals if not (total.sites or total.image_sites)]
    if absent and not verbose:
        page.item(f"no site of {', '.join(absent)}", indent=2)


def _drivers(surface: Surface, page: Page, verbose: bool) -> None:
    drivers, counted = surface.drivers, bool(surface.by_interface)
    for reach in Reach:
        group = [driver for driver in drivers if driver.reach is reach]
        if not group or not (reach.by_host or verbose):
            continue
        code = size(sum(driver.text_bytes or 0 for driver in group))
        page.heading(f"{_short(reach).upper()}: {count(len(group), 'driver')}, {code}")
        shown = group if verbose else group[:_SHOWN]
        for driver in shown:
            _driver(driver, page, counted, verbose)
        if len(group) > len(shown):
            page.item(f"and {count(len(group) - len(shown), 'driver')} more (-v lists them)", indent=2)
    made, rest = (sum(driver.reach is way for driver in drivers) for way in (Reach.MADE_BY_DRIVERS, Reach.NOT_REACHED))
    if (made or rest) and not verbose:
        page.blank()
        page.item(
            f"not listed (-v lists them): {count(made, 'driver')} whose devices other drivers or board code make, so that "
            f"keys do not tell whether this host can cause one; {count(rest, 'driver')} without a key for a device of it"
        )


def _no_sites(driver: Driver, counted: bool) -> str:
    """Why no site of a driver is listed."""
    if driver.built_in:
        return "its sites are among the image's"
    return "no site seen" if counted else "sites not counted"


def _driver(driver: Driver, page: Page, counted: bool, verbose: bool) -> None:
    where = "built in" if driver.built_in else size(driver.text_bytes or 0)
    sites = ", ".join(
        f"{found.interface} {found.count:,}" for found in driver.sites[: None if verbose else _INTERFACES]
    )
    more = len(driver.sites) - _INTERFACES
    if more > 0 and not verbose:
        sites += f" and {more} more"
    buses = shorten(" ".join(driver.buses), 24)
    page.item(
        f"{where}; {count(driver.keys, 'key')} on {buses or 'no bus'}; {sites or _no_sites(driver, counted)}",
        indent=2,
        label=driver.name,
        column=24,
    )
    for found in driver.sites if verbose else ():
        functions = ", ".join(found.functions[:_FUNCTIONS])
        rest = f" and {len(found.functions) - _FUNCTIONS} more" if len(found.functions) > _FUNCTIONS else ""
        page.item(f"{found.interface}: {functions}{rest}", column=26, style="dim")
