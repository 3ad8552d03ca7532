"""The surface of a kernel as comma-separated values, one line per driver, for spreadsheets and scripts

SOURCE: RFC 4180. A cell that a spreadsheet would take for a formula (it starts with `=`, `+`, `-`, `@`, a tab or a return)
is written behind an apostrophe: names come from the kernel, that is from whoever built it.
"""

from __future__ import annotations

import csv
import io

from hostproof.ledger.surface import Surface
from hostproof.report.words import visible

__all__ = ["to_csv"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_csv(surface: Surface) -> str:
    """A header line and one line per driver, with a column of sites for every interface that has one."""
    interfaces = [
        total.id
        for total in surface.by_interface
        if any(found.interface == total.id for driver in surface.drivers for found in driver.sites)
    ]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    head = [
        "driver",
        "reach",
        "built_in",
        "buses",
        "keys",
        "text_bytes",
        "closure_bytes",
        "score",
        "code_sha256",
        "path",
    ]
    writer.writerow([*head, *interfaces])
    for driver in surface.drivers:
        counts = {found.interface: found.count for found in driver.sites}
        cells = [
            driver.name,
            driver.reach.value,
            "yes" if driver.built_in else "no",
            " ".join(driver.buses),
            driver.keys,
            "" if driver.text_bytes is None else driver.text_bytes,
            "" if driver.closure_bytes is None else driver.closure_bytes,
            driver.score,
            driver.code_sha256,
            driver.path,
        ]
        sites = ["" if driver.built_in else counts.get(interface, 0) for interface in interfaces]
        writer.writerow([_safe(cell) if isinstance(cell, str) else cell for cell in (*cells, *sites)])
    return out.getvalue()


def _safe(cell: str) -> str:
    shown = visible(cell)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown
