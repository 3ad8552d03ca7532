"""Sites in the modules of Debian 12's kernels 6.1.192-1: numbers measured before these readers, and pyelftools' answer.

The packages are found in the directory that HOSTPROOF_KERNELS names.
"""

from __future__ import annotations

import io
import os
import time
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import SymbolTableSection

from hostproof.artefacts.kernel.facts import Module
from hostproof.artefacts.kernel.module import read_modules
from hostproof.artefacts.kernel.questions import Interface, Questions
from hostproof.artefacts.kernel.symbols import base_name
from tests.artefacts.kernel.packages import modules

STOCK = "linux-image-6.1.0-55-amd64-unsigned_6.1.192-1_amd64.deb"
CLOUD = "linux-image-6.1.0-55-cloud-amd64-unsigned_6.1.192-1_amd64.deb"
ARM64 = "linux-image-6.12.117+deb12-cloud-arm64-unsigned_6.12.117-1~deb12u1_arm64.deb"
BATCH = 64

# function -> sites, modules of the stock kernel; None where only one of the two was measured
KNOWN: dict[str, tuple[int, int | None]] = {
    "pci_read_config_dword": (843, None),
    "pci_read_config_word": (666, None),
    "pci_read_config_byte": (455, None),
    "ioread32": (5794, None),
    "ioread8": (929, None),
    "ioremap": (405, None),
    "virtqueue_get_buf": (60, 15),
    "dma_alloc_attrs": (1183, 260),
    "acpi_evaluate_object": (148, None),
    "acpi_evaluate_integer": (133, None),
    "acpi_evaluate_dsm": (31, None),
    "usb_control_msg": (1224, 211),
    "hid_open_report": (84, 84),
    "request_firmware": (438, 217),
    "request_threaded_irq": (626, 416),
}


@pytest.fixture(scope="module")
def kernels() -> Path:
    name = os.environ.get("HOSTPROOF_KERNELS")
    if not name or not (Path(name) / STOCK).is_file() or not (Path(name) / CLOUD).is_file():
        pytest.skip("no kernel packages: run `make kernels` and set HOSTPROOF_KERNELS")
    return Path(name)


def batches(files: Sequence[tuple[str, bytes]], questions: Questions) -> Iterator[Module]:
    for start in range(0, len(files), BATCH):
        part = [(data, path, path) for path, data in files[start : start + BATCH]]
        yield from (file.module for file in read_modules(part, questions=questions))


@pytest.mark.slow
def test_the_stock_kernel_has_the_sites_that_were_counted_by_other_means(kernels: Path) -> None:
    """The `in` instructions were counted with a capstone sweep of all code, the calls with a script over relocations."""
    files = list(modules(kernels / STOCK))
    ports = Interface("in", (), ("in",))
    firmware = Interface("firmware", ("request_firmware*", "firmware_request*"))
    questions = Questions((*(Interface(name, (name,)) for name in KNOWN), ports, firmware))
    sites: Counter[str] = Counter()
    found: Counter[str] = Counter()
    start = time.process_time()
    for module in batches(files, questions):
        found.update(module.sites.keys())
        sites.update({name: each.count for name, each in module.sites.items()})
    took = time.process_time() - start

    assert len(files) == 4023
    expected = {name: (count, found[name] if many is None else many) for name, (count, many) in KNOWN.items()}
    assert {name: (sites[name], found[name]) for name in KNOWN} == expected
    assert (sites["in"], found["in"]) == (6671, 298)
    assert found["firmware"] == 247
    assert took < 12  # 3 s on an idle core; 12 says that something became quadratic


@pytest.mark.slow
@pytest.mark.parametrize(("package", "every"), [(CLOUD, 1), (STOCK, 16), (ARM64, 8)])
def test_imports_and_sites_agree_with_pyelftools(kernels: Path, package: str, every: int) -> None:
    if not (kernels / package).is_file():
        pytest.skip(f"no {package} in HOSTPROOF_KERNELS")
    files = list(modules(kernels / package, every))
    expected = {path: oracle(data) for path, data in files}
    names = sorted({name for each in expected.values() for name in each})
    questions = Questions(tuple(Interface(name, (name,)) for name in names))

    assert len(files) > 50
    for (path, _), module in zip(files, batches(files, questions), strict=True):
        mine = {name: (each.count, set(each.functions)) for name, each in module.sites.items()}
        assert mine == expected[path], path


def oracle(data: bytes) -> dict[str, tuple[int, set[str]]]:
    """By imported symbol: relocations in executable sections, and the functions they are in."""
    file = ELFFile(io.BytesIO(data))
    table = file.get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    symbols = list(table.iter_symbols())
    functions: dict[int, list[tuple[int, int, str]]] = defaultdict(list)
    for number, symbol in enumerate(symbols):
        if symbol["st_info"]["type"] == "STT_FUNC":
            functions[symbol["st_shndx"]].append((symbol["st_value"], -number, symbol.name))
    for each in functions.values():
        each.sort()
    found: dict[str, tuple[int, set[str]]] = {}
    for section in file.iter_sections():
        if not isinstance(section, RelocationSection):
            continue
        target = section["sh_info"]
        if not file.get_section(target)["sh_flags"] & 4:
            continue
        for relocation in section.iter_relocations():
            symbol = symbols[relocation["r_info_sym"]]
            if symbol["st_shndx"] == "SHN_UNDEF" and symbol.name:
                count, owners = found.get(symbol.name, (0, set()))
                owner = _owner(functions[target], symbols, relocation["r_offset"])
                found[symbol.name] = (count + 1, owners | ({base_name(owner)} if owner else set()))
    return found


def _owner(functions: list[tuple[int, int, str]], symbols: list[object], offset: int) -> str:
    index = bisect_right(functions, (offset, 1, "")) - 1
    if index < 0:
        return ""
    value, number, name = functions[index]
    return name if offset < value + symbols[-number]["st_size"] else ""  # type: ignore[index]
