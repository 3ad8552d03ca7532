"""Drivers that are registered in a way that is not followed, found by the shape of their structure.

A registering function that is inlined into its own file is no call: `acpi_scan_add_handler` with
`generic_device_handler` (PRP0001) is one on every kernel since 5.10.

Any symbol of data counts where a probe pointer, a name and a table check out. Without symbols of data
(CONFIG_KALLSYMS_ALL) nothing has a shape: of the places in Debian's 6.1 and 7.2 that then would, none but that one was
a driver that no call registers, and some sixty were something else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from hostproof.artefacts.kernel.registration_shapes import Layout
from hostproof.artefacts.kernel.structure_check import Search, begins_symbol, checked
from hostproof.artefacts.kernel.vmlinux import Vmlinux

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Addresses = npt.NDArray[np.uint64]

__all__ = ["find_shapes"]

MAX_DRIVERS = 20_000
MAX_SHAPES = 200_000


def find_shapes(search: Search, layouts: Sequence[Layout]) -> None:
    """Takes in what has the shape of a driver and was not registered in a way that is followed."""
    import numpy as np

    kernel, symbols = search.kernel, search.symbols
    functions = np.array(sorted(search.functions), np.uint64)
    starts = np.array(symbols.addresses, np.uint64)
    budget = MAX_SHAPES
    for section in kernel.sections if symbols.complete and len(functions) else ():
        body = kernel.bytes_of(section)
        if (section.executable and not kernel.flat) or section.address % 8 or len(body) < 64:
            continue
        words = np.frombuffer(body[: len(body) & ~7], ">u8" if search.order == "big" else "<u8").astype(np.uint64)
        inside = np.flatnonzero((words >= functions[0]) & (words <= functions[-1]))
        probes = inside[_among(functions, words[inside])]
        for layout in layouts:
            if not layout.tables or layout.shape.bare:
                continue
            for index in _candidates(words, probes, layout, kernel, section.address, starts):
                address = section.address + 8 * index
                budget -= 1
                if address in search.found or budget < 0 or not begins_symbol(symbols, address, layout.size):
                    continue
                driver = checked(search, layout, None, address, 0)
                if driver is not None and len(search.found) < MAX_DRIVERS:
                    canonical = driver.name.replace("-", "_")
                    module = canonical if canonical in search.builtin else ""
                    search.found[address] = replace(driver, module=module)


def _among(known: Addresses, values: Addresses) -> npt.NDArray[np.bool_]:
    """Which values are among those known, which are sorted and not none."""
    import numpy as np

    found: npt.NDArray[np.bool_] = known[np.minimum(np.searchsorted(known, values), len(known) - 1)] == values
    return found


def _candidates(
    words: Addresses,
    probes: npt.NDArray[np.int64],
    layout: Layout,
    kernel: Vmlinux,
    base: int,
    symbols: Addresses,
) -> list[int]:
    """Where a structure of this shape may begin, in words: its probe is a function, its name points into data, and it
    and a table begin symbols.
    """
    import numpy as np

    starts = np.concatenate([probes - offset // 8 for offset in layout.probes])
    starts = starts[(starts >= 0) & (starts + layout.size // 8 <= len(words))]
    starts = starts[_among(symbols, np.uint64(base) + 8 * starts.astype(np.uint64))]
    for offset in layout.unset:
        starts = starts[words[starts + offset // 8] == 0]
    if layout.name is not None and not layout.name_bytes:
        starts = starts[_in_data(words[starts + layout.name // 8], kernel)]
    kept = np.zeros(len(starts), bool)
    for table in layout.tables:
        kept |= _among(symbols, words[starts + table.offset // 8])
    found: list[int] = np.unique(starts[kept]).tolist()
    return found


def _in_data(values: Addresses, kernel: Vmlinux) -> npt.NDArray[np.bool_]:
    import numpy as np

    inside = np.zeros(len(values), bool)
    for section in kernel.sections:
        if not section.executable or kernel.flat:
            inside |= (values >= np.uint64(section.address)) & (values < np.uint64(section.address + section.size))
    return inside
