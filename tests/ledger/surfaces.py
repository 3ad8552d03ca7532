"""A small kernel with known sites, and the catalogue that counts them, for the tests of surfaces and of their reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hostproof.artefacts.kernel.facts import Answer, ImageDriver, ImageFacts, KernelFacts, Module, Sites
from hostproof.knowledge.load import Catalogue
from tests.ledger import worlds

COUNTED = ("pci-config", "pci-wide", "port")


def interface(name: str, weight: int, **more: Any) -> dict[str, Any]:
    base = {
        "id": name, "name": f"reads {name}", "channels": ["C02"], "functions": [f"{name.replace('-', '_')}_read"],
        "weight": weight, "blind": f"what hides of {name}", **worlds.SOURCED,
    }  # fmt: skip
    return {**base, **more}


def mechanism(name: str, symbol: str) -> dict[str, Any]:
    return {"id": name, "name": f"mechanism {name}", "image": f"symbol.{symbol}", **worlds.SOURCED}


def catalogue() -> Catalogue:
    """Three interfaces; a mechanism that refuses, one that consumes, one that does both, and one that does neither."""
    return worlds.catalogue(
        interface=[interface("pci-config", 3), interface("pci-wide", 1), interface("port", 2)],
        mechanism=[
            mechanism("shield", "shield_init"),
            mechanism("eater", "eater_init"),
            mechanism("both-ways", "both_init"),
            mechanism("idle", "idle_init"),
        ],
        mitigation=[
            worlds.mitigation("m", ["C02/kernel/T1"], "mechanism.shield or (mechanism.both_ways and not mechanism.eater)")
        ],
        instance=[
            {"channel": "C02", "id": "food", "name": "food", "consumed": "mechanism.eater", **worlds.SOURCED},
            {"channel": "C02", "id": "more", "name": "more", "consumed": "mechanism.both_ways", **worlds.SOURCED},
        ],
        builtin_driver=[{"module": "ext4", "aliases": ["acpi*:E0001:*"], **worlds.SOURCED}],
    )  # fmt: skip


def module(name: str, *aliases: str, sites: Mapping[str, int] | None = None, digest: str = "", **more: Any) -> Module:
    """A module with so many sites by interface, each in a function of its own."""
    counted = {
        key: Sites(number, tuple(f"{name}_{key}_{place}".replace("-", "_") for place in range(number)))
        for key, number in (sites or {}).items()
    }
    return replace(worlds.module(name, *aliases, **more), sites=counted, code_sha256=digest or "a" * 64)


def image(**more: Any) -> ImageFacts:
    base: dict[str, Any] = {
        "sha256": "1" * 64, "unpacked_sha256": "2" * 64, "symbols": 10, "data_symbols": True, "types": 5,
        "text_bytes": 5000, "sites": {"port": Sites(2, ("inb_one", "inb_two"))}, "driver_buses": {"pci": "", "acpi": "a limit"},
        "drivers": (ImageDriver("pci", "port-card", "", "port_card", 64, "port_probe", ("pci:v00000001d*sv*",)),),
    }  # fmt: skip
    return ImageFacts(**{**base, **more})


MODULES = (
    module("heavy", "pci:v00000002d*sv*", "virtio:d00000001v*", sites={"pci-config": 2, "port": 1}, text=4000),
    module("light", "pci:v00000003d*sv*", "pci:v00000004d*sv*", depends=("helper",), sites={"port": 3}, text=1000),
    module("helper", text=200),
    module("stick", "usb:v1p2*", sites={"pci-wide": 1}, text=500),
    module("words", "dmi*:svnX:*", text=50),
    module("alone", "fs-alone", "of:N*T*Cx", text=900),
)


def kernel(modules: tuple[Module, ...] = MODULES, *, symbols: tuple[str, ...] = (), **more: Any) -> KernelFacts:
    """A kernel of these modules whose image has these symbols of the mechanisms' and no others."""
    asked = ("shield_init", "eater_init", "both_init", "idle_init")
    answers = {f"symbol.{name}": Answer(name in symbols, name, 32) for name in asked}
    base: dict[str, Any] = {
        "sites_counted": COUNTED, "image": image(), "answers": answers, "image_sha256": "1" * 64, "package": "linux-test 1",
    }  # fmt: skip
    return replace(worlds.kernel({}, modules), **{**base, **more})
