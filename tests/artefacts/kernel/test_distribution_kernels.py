"""Distributions' kernels, read completely with everything that the catalogue asks, and the numbers measured on them.

The expected numbers of 6.1.192 were measured with other tools before this reader was written. They need
HOSTPROOF_KERNELS, a directory with Debian's kernel packages (`make kernels`).
"""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path

import pytest

from hostproof.artefacts.kernel.facts import ImageFacts, KernelFacts
from hostproof.cli import kernels
from hostproof.knowledge.load import catalogue
from hostproof.ledger.surface import Reach, Surface, surface

pytestmark = pytest.mark.slow

STOCK = "linux-image-6.1.0-55-amd64-unsigned_6.1.192-1_amd64.deb"
CLOUD = "linux-image-6.1.0-55-cloud-amd64-unsigned_6.1.192-1_amd64.deb"
FOLDER = Path(os.environ.get("HOSTPROOF_KERNELS") or ".kernels")
PARTS = ("linux-binary-unsigned-", "linux-base-", "linux-modules-")
WHOLE = sorted(path.name for path in FOLDER.glob("linux-image-*.deb"))
SPLIT = sorted(path.name for path in FOLDER.glob(f"{PARTS[0]}*.deb"))
ABSENT = "no Debian kernels: run `make kernels` and set HOSTPROOF_KERNELS"


@functools.lru_cache(maxsize=2)
def read(name: str) -> KernelFacts:
    """The kernel of a package, with the packages that hold its other parts."""
    paths = [FOLDER / name]
    if name.startswith(PARTS[0]):
        rest = name.removeprefix(PARTS[0])
        paths += [path for part in PARTS[1:] if (path := FOLDER / (part + rest)).is_file()]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        pytest.skip(f"{missing[0].name}: {ABSENT}")
    return kernels.read_all([str(path) for path in paths], catalogue())


def view(name: str) -> Surface:
    known = catalogue()
    return surface(known, read(name), known.technologies["kvm"], None)


def image(facts: KernelFacts) -> ImageFacts:
    assert facts.image is not None
    return facts.image


@pytest.mark.parametrize("name", [*WHOLE, *SPLIT] or [pytest.param("none", marks=pytest.mark.skip(ABSENT))])
def test_a_distribution_kernel_is_read_completely(name: str) -> None:
    facts = read(name)
    found, modules = image(facts), facts.modules or ()
    said = " ".join((*facts.notes, *found.notes))
    config = facts.config or {}

    assert found.symbols > 50_000
    assert found.data_symbols is (config["KALLSYMS_ALL"].value == "y")
    assert (found.types > 50_000) is ("DEBUG_INFO_BTF" in config and config["DEBUG_INFO_BTF"].value == "y")
    assert len(found.sources) > 500
    assert found.text_bytes > 8 << 20
    assert len(modules) > 300
    assert all(re.fullmatch("[0-9a-f]{64}", module.code_sha256) for module in modules if module.text_bytes)
    assert sum(bool(module.sites) for module in modules) > len(modules) // 8
    assert facts.sites_counted == tuple(sorted(catalogue().interfaces))
    assert {"pci", "acpi", "virtio", "platform"} <= set(found.driver_buses)
    assert all(len(reason.split()) > 3 for reason in found.driver_buses.values() if reason)
    assert all(answer.value is not None or answer.note for answer in facts.answers.values())
    assert set(facts.answers) >= {
        fact for fact in kernels.questions(catalogue()).facts if re.fullmatch(r"(symbol|parameter|initcall)\.\w+", fact)
    }
    for word in ("unknown", "not followed", "left out", "cannot", "holds no"):
        assert word not in said


def test_there_is_a_split_kernel_of_three_packages() -> None:
    names = [name for name in SPLIT if "cloud" in name] or SPLIT
    if not names:
        pytest.skip(ABSENT)
    facts = read(names[0])

    assert facts.source.count(" + ") == 2
    assert facts.config is not None
    assert facts.changelog_cves is not None


# C.2 counts 8,968 keys on pci and 8,567 on usb: 8 and 4 of them stand twice in one module (nvme, aic79xx, ...)
# bus: modules, keys; modules of the closure; text in hundredths of MiB of the modules and of the closure
BUSES = {
    STOCK: {
        "pci": (598, 8960, 879, 2573, 3370), "virtio": (15, 15, 36, 19, 185), "acpi": (211, 707, 314, 121, 300),
        "pnp": (13, 44, 23, 11, 30), "usb": (351, 8563, 473, 359, 795), "hid": (112, 868, 136, 41, 81),
        "serio": (34, 43, 37, 13, 19), "vmbus": (8, 15, 17, 10, 59),
    },
    CLOUD: {
        "pci": (87, 612, None, 135, None), "virtio": (11, 11, None, 11, None), "acpi": (29, 70, None, 17, None),
        "hid": (65, 412, None, 16, None), "vmbus": (8, 15, None, 10, None), "serio": (1, 2, None, 0, None),
    },
}  # fmt: skip


def hundredths(number: int) -> int:
    """Bytes as hundredths of MiB."""
    return round(number * 100 / (1 << 20))


@pytest.mark.parametrize(("name", "bus"), [(name, bus) for name, buses in BUSES.items() for bus in buses])
def test_buses_have_the_numbers_measured(name: str, bus: str) -> None:
    total = next(total for total in view(name).by_bus if total.bus == bus)
    drivers, keys, closure, text, closure_text = BUSES[name][bus]

    assert (total.drivers, total.keys) == (drivers, keys)
    assert hundredths(total.text_bytes) == text
    assert closure is None or total.closure == closure
    assert closure_text is None or hundredths(total.closure_bytes) == closure_text


@pytest.mark.parametrize(
    ("name", "modules", "text", "presentable", "behind"),
    [(STOCK, 4023, 6535, 820, 1437), (CLOUD, 1121, 1610, 127, 211)],
)
def test_totals_are_those_measured(name: str, modules: int, text: int, presentable: int, behind: int) -> None:
    whole = view(name)
    ways = [driver.reach for driver in whole.drivers if not driver.built_in]

    assert (whole.modules, hundredths(whole.text_bytes or 0)) == (modules, text)
    assert ways.count(Reach.PRESENTABLE) == presentable
    assert ways.count(Reach.PRESENTABLE) + ways.count(Reach.BEHIND_CONTROLLER) == behind


# C.4 counts 6,671 `in` in 298 modules (test_module_known_answers.py); the interface has `ins` and a function too
@pytest.mark.parametrize(("name", "sites", "modules"), [(STOCK, 6737, 299)])
def test_port_reads_of_modules_are_those_measured(name: str, sites: int, modules: int) -> None:
    total = next(total for total in view(name).by_interface if total.id == "port-read")

    assert (total.modules, total.sites) == (modules, sites)


# C.3: PCI drivers that the image registers, by the name that they give themselves. C.3 counts one more, the stub of the PCI
# core (`pci_compat_driver`): it has neither a match table nor a probe function, and binds nothing
@pytest.mark.parametrize(
    ("name", "names"),
    [
        (
            STOCK,
            "8250_mid 8250_pericom agpgart-amd64 agpgart-intel agpgart-sis agpgart-via iosf_mbi_pci pcieport serial shpchp "
            "xen-platform-pci",
        ),
        (CLOUD, "8250_pericom nvme pcieport serial xen-platform-pci"),
    ],
)
def test_built_in_pci_drivers_are_those_measured(name: str, names: str) -> None:
    found = {driver.name for driver in image(read(name)).drivers if driver.bus == "pci"}

    assert " ".join(sorted(found)) == names


@pytest.mark.parametrize(("name", "symbols"), [(STOCK, 94_266), (CLOUD, 87_347)])
def test_symbols_are_those_measured(name: str, symbols: int) -> None:
    assert image(read(name)).symbols == symbols
