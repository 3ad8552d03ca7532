"""The beginning of an audit file: what to look at in a driver, bound to the digest of its code

One `[[audit]]` per interface through which the driver reads what the host chooses or fills, with the functions that hold its
sites. Who looked, when, how and with which verdict is left empty: a file is not read before a person has filled it in. Names
come from the kernel, that is from whoever built it; they are written so that they stay in their comment or string.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hostproof.ledger.surface import Driver, InterfaceTotal, SiteCount, Surface
from hostproof.report.words import count, visible

__all__ = ["to_toml"]

_LEAST_WEIGHT = 2
_PER_LINE = 6


def to_toml(surface: Surface) -> str:
    """The text of the file for every driver of the surface."""
    interfaces = {total.id: total for total in surface.by_interface}
    lines = [
        f"# Audits of drivers of {visible(surface.kernel)}; see docs/how-to/audits.md.",
        '# verdict: "nothing found", "findings fixed" or "findings open". interface = "*" stands for everything that the',
        "# driver reads of the host, what counting sites does not see included.",
    ]
    for driver in surface.drivers:
        lines += ["", *_driver(driver, interfaces, surface.kernel)]
    return "\n".join(lines) + "\n"


def _driver(driver: Driver, interfaces: Mapping[str, InterfaceTotal], kernel: str) -> Iterator[str]:
    name = visible(driver.name)
    if driver.built_in:
        yield f"# {name} is built in: the image does not tell its code apart, so no audit can be bound to it."
        return
    if not driver.code_sha256:
        yield f"# {name}: these facts carry no digest of its code; read the kernel again with this hostproof."
        return
    weights = {total.id: total.weight for total in interfaces.values()}
    direct = [sites for sites in driver.sites if weights.get(sites.interface, 0) >= _LEAST_WEIGHT]
    rest = [sites for sites in driver.sites if sites not in direct]
    if rest:
        kept = ", ".join(f"{sites.interface} ({sites.count})" for sites in rest)
        yield f"# {name} also has sites of {visible(kept)}: hooks and preparations, which no row asks an audit of."
    for number, sites in enumerate(direct or [SiteCount("*", 0)]):
        if number or rest:
            yield ""
        yield from _entry(driver, sites, interfaces.get(sites.interface), kernel)


def _entry(driver: Driver, sites: SiteCount, total: InterfaceTotal | None, kernel: str) -> Iterator[str]:
    if total is None:
        yield "# No site of an interface was seen in it."
    else:
        yield f"# {visible(total.name)}: {count(sites.count, 'site')}"
        for start in range(0, len(sites.functions), _PER_LINE):
            yield f"#   {visible(', '.join(sites.functions[start : start + _PER_LINE]))}"
        yield f"# not seen: {visible(total.blind)}"
    yield "[[audit]]"
    yield f"driver = {_quoted(driver.name)}"
    yield f"interface = {_quoted(sites.interface)}"
    yield f"code_sha256 = {_quoted(driver.code_sha256)}"
    yield f"kernel = {_quoted(kernel)}"
    yield 'by = ""'
    yield "# date = 2026-12-31"
    yield 'method = ""'
    yield 'verdict = ""'


def _quoted(text: str) -> str:
    """A TOML string of one line; a character that is not printable stands as its visible escape."""
    return '"' + visible(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
