"""Matching: devices to modules as modprobe does it, what a host may present, and closures over dependencies."""

from __future__ import annotations

import ctypes
import ctypes.util
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.kernel import match
from hostproof.artefacts.kernel.facts import KernelFacts, Module
from hostproof.errors import InputError

AHCI = "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01"


def kernel(
    *modules: tuple[str, list[str], list[str], int], builtin: dict[str, tuple[str, ...]] | None = None
) -> KernelFacts:
    return KernelFacts(
        release="6",
        version="6",
        architecture="x86_64",
        source="k",
        builtin_aliases=builtin or {},
        modules=tuple(
            Module(name, f"{name}.ko", size, "0" * 64, tuple(aliases), tuple(depends))
            for name, aliases, depends, size in modules
        ),
    )


KERNEL = kernel(
    ("ahci", ["pci:v*d*sv*sd*bc01sc06i01*", "pci:v00008086d00002922sv*sd*bc*sc*i*"], ["libahci"], 100),
    ("libahci", [], ["libata", "pci_core_is_built_in"], 10),
    ("libata", [], ["libahci"], 1),  # a circle, which a damaged package may hold
    ("8250_pnp", ["pnp:dPNP0501*", "acpi*:PNP0501:*"], [], 1000),
    ("virtio_net", ["virtio:d00000001v*"], ["failover"], 10_000),
    ("failover", [], [], 100_000),
    ("ext4", ["fs-ext4"], [], 1_000_000),
    ("i2c_i801", ["of:N*T*Cvendor,a-name*"], [], 5),
)


def test_a_device_binds_every_driver_whose_alias_matches_and_says_which() -> None:
    drivers = match.configured(KERNEL, [AHCI])

    assert drivers.direct == ("ahci",)
    assert drivers.keys["ahci"] == (
        ("pci:v*d*sv*sd*bc01sc06i01*", AHCI),
        ("pci:v00008086d00002922sv*sd*bc*sc*i*", AHCI),
    )


def test_the_closure_takes_what_is_needed_once_and_leaves_out_what_is_built_in() -> None:
    drivers = match.configured(KERNEL, [AHCI])

    assert drivers.closure == ("ahci", "libahci", "libata")
    assert drivers.text_bytes == 111
    assert match.driver_text(KERNEL, "virtio_net") == 110_000
    assert match.driver_text(KERNEL, "no_such_module") == 0


def test_a_host_may_present_every_driver_with_an_alias_on_its_buses() -> None:
    assert match.presentable(KERNEL, ["pci"]).direct == ("ahci",)
    assert match.presentable(KERNEL, ["acpi"]).direct == ("8250_pnp",)
    assert match.presentable(KERNEL, ["pci", "virtio", "pnp"]).direct == ("8250_pnp", "ahci", "virtio_net")
    assert match.presentable(KERNEL, []).direct == ()
    assert match.presentable(KERNEL, ["virtio"]).keys["virtio_net"] == (("virtio:d00000001v*", ""),)


def test_an_acpi_device_is_a_pnp_device_too() -> None:
    keys = match.configured(KERNEL, ["acpi:PNP0501:"]).keys["8250_pnp"]

    assert keys == (("acpi*:PNP0501:*", "acpi:PNP0501:"), ("pnp:dPNP0501*", "acpi:PNP0501:"))
    assert match.configured(KERNEL, ["pnp:dPNP0501"]).direct == ("8250_pnp",)
    assert match.configured(KERNEL, ["acpi:QEMU0002:PNP0501:"]).direct == ("8250_pnp",)


def test_built_in_drivers_match_by_the_aliases_that_the_kernel_writes() -> None:
    facts = kernel(builtin={"pcieport": ("pci:v*d*sv*sd*bc06sc04i*",), "ext4": ("fs-ext4",)})

    found = match.matching(facts.builtin_aliases, ["pci:v1d1sv1sd1bc06sc04i00"], facts.source)

    assert found.keys() == {"pcieport"}


def test_every_bus_alone_gives_what_asking_for_it_gives() -> None:
    facts = kernel(
        ("a", ["pci:v*", "acpi*:A0001:*"], ["c"], 1),
        ("b", ["pci:v1*", "fs-b"], [], 2),
        ("c", [], [], 4),
        ("d", ["virtio:d1v*"], ["a"], 8),
    )
    found = match.presentable_by_bus(facts)

    assert {name: match.presentable(facts, [name]) for name in ("pci", "acpi", "virtio")} == found
    assert found["virtio"] == match.DriverSet(("d",), ("a", "c", "d"), 13, {"d": (("virtio:d1v*", ""),)})


def test_buses_without_number_are_refused() -> None:
    chain = [(f"m{index}", [f"bus{index}:x"], [f"m{index + 1}"], 1) for index in range(2000)]

    with pytest.raises(InputError, match="bus by bus"):
        match.presentable_by_bus(kernel(*chain))


def test_a_kernel_without_modules_gives_an_empty_set() -> None:
    facts = kernel()

    assert match.configured(facts, [AHCI]) == match.DriverSet((), (), 0, {})


@pytest.mark.parametrize(
    ("pattern", "modalias", "expected"),
    [
        ("pci:v*d*sv*sd*bc01sc06i01*", AHCI, True),
        ("pci:v*d*sv*sd*bc01sc06i0", AHCI, False),
        ("acpi*:LNXCPU:*", "acpi:LNXCPU:", True),
        ("acpi*:LNXCPU:*", "acpi:PNP0103:LNXCPU:", True),
        ("mdio:0000????*", "mdio:00001111", True),
        ("mdio:0000????", "mdio:0000111", False),
        ("usb:v1d[0-4]*dc*", "usb:v1d3dc", True),
        ("usb:v1d[0-4]*dc*", "usb:v1d5dc", False),
        ("x[!a-c]", "xd", True),
        ("x[!a-c]", "xa", False),
        ("x[^a]", "xa", False),
        ("x[]a]", "x]", True),
        ("x[a", "x[a", True),
        ("x\\*", "x*", True),
        ("x\\*", "xy", False),
        ("platform:a-b", "platform:a_b", True),
        ("platform:a_b", "platform:a-b", True),
        ("", "", True),
        ("*", "", True),
        ("?", "", False),
        ("a*b*a", "aba", True),
        ("a*a", "a", False),
    ],
)
def test_aliases_are_patterns_as_fnmatch_reads_them(pattern: str, modalias: str, expected: bool) -> None:
    assert match.matches(pattern, modalias) is expected


def balanced(pattern: str) -> bool:
    """Whether every bracket has its end: libraries differ on what an open one means."""
    return not pattern.count("[") or all("]" in part[2:] for part in pattern.split("[")[1:])


libc = ctypes.CDLL(ctypes.util.find_library("c") or None)


@settings(max_examples=1500)
@given(
    st.text("ab:*?_", max_size=12) | st.text("ab:*?[]!_0123", max_size=12).filter(balanced),
    st.text("ab:_012", max_size=10),
)
def test_agrees_with_the_c_library(pattern: str, modalias: str) -> None:
    expected = libc.fnmatch(pattern.encode(), modalias.encode(), 0) == 0

    assert match.matches(pattern, modalias) is expected
    assert match.matching({"m": [pattern]}, [modalias]).keys() == ({"m"} if expected else set())


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    start = time.monotonic()
    for piece in ("a*", "a?*", "[ab]*"):
        assert not match.matches("pci:" + piece * 200 + "z", "pci:" + "a" * 4000)
    assert time.monotonic() - start < 1


def hostile(**modules: tuple[tuple[str, ...], tuple[str, ...]]) -> KernelFacts:
    """A kernel of modules with these aliases and dependencies."""
    made = tuple(
        Module(name, f"{name}.ko", 1, "0" * 64, aliases, depends) for name, (aliases, depends) in modules.items()
    )
    return KernelFacts("6.1.0", "6.1.0", "x86_64", "evil.json", modules=made)


def test_a_long_chain_of_dependencies_is_refused_in_time() -> None:
    chain = hostile(**{f"m{n}": ((), (f"m{n + 1}",)) for n in range(5000)})

    with pytest.raises(InputError, match=r"evil\.json: more than 1000000 steps"):
        match.driver_texts(chain, [f"m{n}" for n in range(5000)])


def test_aliases_of_many_stars_are_refused_in_time() -> None:
    stars = hostile(**{f"m{n}": (("virtio:d0000000" + "*" * 2000, "*" + "[0-9]*" * 300), ()) for n in range(500)})

    with pytest.raises(InputError, match=r"evil\.json: more than 10000000 characters"):
        match.configured(stars, [f"virtio:d{n:08X}v00001AF4" for n in range(80)])


def test_more_modules_than_any_kernel_has_are_refused() -> None:
    many = hostile(**{f"m{n}": (("pci:*",), ()) for n in range(20_001)})

    with pytest.raises(InputError, match="20001 drivers"):
        match.presentable(many, ["pci"])
