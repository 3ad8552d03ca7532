"""Known answers of Debian 12's kernels 6.1.192-1, measured for the project before these readers were written.

The packages are found in the directory that HOSTPROOF_KERNELS names; `make kernels` fetches them with apt-get. The
tests on the facts in `examples/` need no package and run always.
"""

from __future__ import annotations

import lzma
import os
import time
from itertools import zip_longest
from pathlib import Path

import pytest

from hostproof.artefacts.archive import ar
from hostproof.artefacts.archive.decompress import chunks
from hostproof.artefacts.archive.region import Region
from hostproof.artefacts.archive.stream import ByteStream
from hostproof.artefacts.archive.tar import members
from hostproof.artefacts.kernel import match
from hostproof.artefacts.kernel.facts import KernelFacts
from hostproof.artefacts.kernel.facts_file import decode, encode
from hostproof.artefacts.kernel.read import read_kernel
from hostproof.cli import kernels as kernels_of_the_command_line
from hostproof.knowledge.load import catalogue
from tests.artefacts.archive import samples as archives

EXAMPLE = Path(__file__).parents[3] / "examples/facts/debian-12-cloud-6.1.192.json"
STOCK = "linux-image-6.1.0-55-amd64-unsigned_6.1.192-1_amd64.deb"
CLOUD = "linux-image-6.1.0-55-cloud-amd64-unsigned_6.1.192-1_amd64.deb"
PRESENTABLE = ("pci", "virtio", "acpi", "pnp")
Q35 = (  # PCI functions of QEMU's q35 with -nodefaults, one virtio network card and one virtio disk
    "pci:v00008086d000029C0sv00001AF4sd00001100bc06sc00i00",
    "pci:v00008086d00002918sv00001AF4sd00001100bc06sc01i00",
    "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01",
    "pci:v00008086d00002930sv00001AF4sd00001100bc0Csc05i00",
    "pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00",
    "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00",
)
VIRTIO = ("virtio:d00000001v00001AF4", "virtio:d00000002v00001AF4")
VIRTIO_PCI = {"virtio", "virtio_pci", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_ring"}


def mebibytes(size: int) -> float:
    return round(size / (1 << 20), 2)


def numbers(drivers: match.DriverSet) -> tuple[int, int, float]:
    return len(drivers.direct), len(drivers.closure), mebibytes(drivers.text_bytes)


def total(facts: KernelFacts) -> tuple[int, float]:
    modules = facts.modules or ()
    return len(modules), mebibytes(sum(module.text_bytes for module in modules))


@pytest.fixture(scope="module")
def kernels() -> Path:
    name = os.environ.get("HOSTPROOF_KERNELS")
    if not name or not (Path(name) / STOCK).is_file() or not (Path(name) / CLOUD).is_file():
        pytest.skip("no kernel packages: run `make kernels` and set HOSTPROOF_KERNELS")
    return Path(name)


@pytest.fixture(scope="module")
def stock(kernels: Path) -> KernelFacts:
    return read_kernel(kernels / STOCK)


@pytest.fixture(scope="module")
def cloud() -> KernelFacts:
    return decode(EXAMPLE.read_bytes(), EXAMPLE.name)


@pytest.mark.slow
def test_the_stock_kernel_has_4023_modules_of_which_a_host_can_present_820(stock: KernelFacts) -> None:
    assert total(stock) == (4023, 65.35)
    assert numbers(match.presentable(stock, PRESENTABLE)) == (820, 1167, 35.90)
    assert numbers(match.presentable(stock, (*PRESENTABLE, *match.BEHIND_CONTROLLER))) == (1437, 1848, 41.75)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("buses", "expected"),
    [
        (("pci",), (598, 879, 33.70)),
        (("virtio",), (15, 36, 1.85)),
        (("acpi",), (211, 314, 3.00)),
        (("pnp",), (13, 23, 0.30)),
        (("usb",), (351, 473, 7.95)),
        (("hid",), (112, 136, 0.81)),
        (("serio",), (34, 37, 0.19)),
        (("vmbus",), (8, 17, 0.59)),
        (("xen", "xen-backend"), (12, 26, 0.87)),
        (("i2c",), (353, 433, None)),
        (("spi",), (107, 161, None)),
        (("of",), (227, 320, 2.55)),
        (("dmi",), (30, 45, 0.48)),
        (("wmi",), (25, 35, 0.13)),
    ],
)
def test_the_stock_kernel_by_bus(stock: KernelFacts, buses: tuple[str, ...], expected: tuple[int, int, float]) -> None:
    direct, closure, text = numbers(match.presentable(stock, buses))

    assert (direct, closure, text if expected[2] is not None else None) == expected


@pytest.mark.slow
def test_a_q35_guest_makes_the_stock_kernel_load_13_modules(stock: KernelFacts) -> None:
    configured = match.configured(stock, Q35)

    assert configured.direct == ("ahci", "i2c_i801", "lpc_ich", "virtio_pci")
    assert numbers(configured) == (4, 13, 0.28)
    assert numbers(match.configured(stock, Q35 + VIRTIO)) == (6, 17, 0.33)  # with the drivers of the virtio devices


def test_the_cloud_kernel_has_1121_modules_of_which_a_host_can_present_127(cloud: KernelFacts) -> None:
    assert total(cloud) == (1121, 16.10)
    assert numbers(match.presentable(cloud, PRESENTABLE)) == (127, 175, 2.35)
    assert numbers(match.presentable(cloud, (*PRESENTABLE, *match.BEHIND_CONTROLLER))) == (211, 265, 2.83)


def test_a_q35_guest_makes_the_cloud_kernel_load_5_modules(cloud: KernelFacts) -> None:
    configured = match.configured(cloud, Q35)

    assert numbers(configured) == (1, 5, 0.03)
    assert set(configured.closure) == VIRTIO_PCI
    assert numbers(match.configured(cloud, Q35 + VIRTIO)) == (3, 9, 0.08)


def test_the_facts_of_the_cloud_kernel_say_what_it_is(cloud: KernelFacts) -> None:
    assert cloud.release == "6.1.0-55-cloud-amd64"
    assert cloud.version == "6.1.192"
    assert cloud.architecture == "x86_64"
    assert cloud.package == "linux-image-6.1.0-55-cloud-amd64-unsigned 6.1.192-1"
    assert cloud.source == CLOUD
    assert cloud.config is not None
    assert (cloud.config["AMD_MEM_ENCRYPT"].value, cloud.config["VIRTIO_MMIO"].value) == ("y", "m")
    assert cloud.config["INTEL_TDX_GUEST"].value == "n"  # 6.1 of Debian cannot be a TDX guest
    assert cloud.notes == ()
    assert len(EXAMPLE.read_bytes()) < 1_000_000  # 774 KB: half of it sites, answers and source files


def test_matching_the_facts_file_takes_no_time() -> None:
    start = time.process_time()
    facts = decode(EXAMPLE.read_bytes(), EXAMPLE.name)
    match.configured(facts, Q35)
    drivers = match.presentable(facts, (*PRESENTABLE, *match.BEHIND_CONTROLLER))
    match.driver_texts(facts, drivers.direct)

    assert time.process_time() - start < 0.25


@pytest.mark.slow
def test_the_facts_in_examples_are_those_of_the_package(kernels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(kernels)

    read = encode(kernels_of_the_command_line.read(CLOUD, catalogue())).splitlines()
    kept = EXAMPLE.read_bytes().splitlines()
    unlike = [number for number, lines in enumerate(zip_longest(read, kept), 1) if lines[0] != lines[1]]

    assert unlike == [], f"lines that differ; write {EXAMPLE.name} anew with `hostproof kernel-facts`"


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["xz", "zst"])
def test_packed_modules_and_an_rpm_give_the_same_modules(
    kernels: Path, cloud: KernelFacts, tmp_path: Path, suffix: str
) -> None:
    """Debian 13 packs modules with xz, Fedora packs them in an RPM: the cloud kernel, packed again."""
    pack = (lambda data: lzma.compress(data, preset=0)) if suffix == "xz" else archives.zstd
    files: archives.Files = {}
    with (kernels / CLOUD).open("rb") as file:
        data = next(part for name, part in ar.members(Region.of_descriptor(file.fileno(), CLOUD)) if "data" in name)
        for member in members(ByteStream(chunks(data), CLOUD)):
            if member.kind == "file" and "/modules" in member.name:
                ko = member.name.endswith(".ko")
                files[f"{member.name}.{suffix}" if ko else member.name] = (
                    pack(bytes(member.read())) if ko else bytes(member.read())
                )
    package = tmp_path / "kernel.rpm"
    package.write_bytes(archives.rpm(archives.zstd(archives.cpio(files))))
    facts = read_kernel(package)

    assert facts.modules is not None
    assert cloud.modules is not None
    assert [(m.name, m.text_sha256, m.aliases, m.depends) for m in facts.modules] == [
        (m.name, m.text_sha256, m.aliases, m.depends) for m in cloud.modules
    ]
    assert all(module.path.endswith(f".ko.{suffix}") for module in facts.modules)
    assert facts.builtin == cloud.builtin
