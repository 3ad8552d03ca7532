"""The page of a surface: whole, small, self-contained, and nothing of a kernel becomes markup."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from pathlib import Path

import ledgers
import pytest
from hypothesis import given, settings
from msgspec.structs import replace
from pages import Page
from tests.ledger import surfaces, worlds
from tests.ledger.test_surface import kernels

from hostproof.artefacts.kernel.facts import KernelFacts
from hostproof.ledger.surface import Driver, Reach, Surface, surface
from hostproof.report.surface_html import HEIGHT, WIDTH, fields, render, shade

WORLD = surfaces.catalogue()
TECHNOLOGY = WORLD.technologies["t"]
WHOLE = surface(WORLD, surfaces.kernel(), TECHNOLOGY, None)
STOCK = "linux-image-6.1.0-55-amd64-unsigned_6.1.192-1_amd64.deb"
TAGS = {
    "html", "head", "meta", "title", "style", "body", "header", "main", "section", "h1", "h2", "p", "code", "ul", "li", "svg",
    "g", "rect", "text", "div", "table", "caption", "thead", "tbody", "tr", "th", "td", "br", "span",
}  # fmt: skip


def check(view: Surface) -> Page:
    """What holds for every page."""
    page = Page(render(view))
    ids, titles = page.attributes("id"), [tag for tag, _ in page.elements].count("title")
    tiles = [tile for bus in fields(view) for tile in bus.tiles]
    labels = page.attributes("aria-labelledby")
    policy = next(str(found["content"]) for _, found in page.elements if found.get("http-equiv"))
    digest = base64.b64encode(hashlib.sha256(page.raw["style"].encode()).digest()).decode()
    assert {tag for tag, _ in page.elements} <= TAGS
    assert len(ids) == len(set(ids))
    assert set(labels) <= set(ids)
    assert titles == 1 + len(tiles)
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'"
    for _, attributes in page.elements:
        assert not {
            name for name in attributes if name.startswith("on") or name in ("href", "src", "style", "xlink:href")
        }
    assert "url(" not in page.raw["style"].replace("url(#", "")
    assert "@import" not in page.raw["style"]
    return page


def boxes(page: Page, names: str) -> list[dict[str, str]]:
    """The rectangles of the map whose class is one of these."""
    return [
        {name: str(value) for name, value in attributes.items()}
        for tag, attributes in page.elements
        if tag == "rect" and "x" in attributes and re.match(names, str(attributes["class"]))
    ]


def test_every_driver_with_code_that_the_host_reaches_is_on_the_map() -> None:
    page = check(WHOLE)
    drivers = boxes(page, r"s\d")

    assert len(drivers) == 5
    for name in (
        "heavy: presentable, 3.9 KiB, 2 keys; pci-config 2, port 1",
        "helper: needed, 200 B, 0 keys; no site seen",
    ):
        assert name in page.text


def test_the_map_is_drawn_inside_its_frame() -> None:
    for box in boxes(check(WHOLE), ""):
        x, y, width, height = (float(box[name]) for name in ("x", "y", "width", "height"))
        assert -0.1 <= x <= x + width <= WIDTH + 0.2
        assert -0.1 <= y <= y + height <= HEIGHT + 0.2


def test_the_tables_say_the_same_in_numbers() -> None:
    text = check(WHOLE).text

    assert "pci presentable 2 1 3 4.9 KiB 3 5.1 KiB 6" in text
    assert "what hides of pci-config" in text
    assert "port_card presentable pci 1 built in" in text
    assert "limit: built-in drivers of acpi: a limit" in text


def test_devices_of_a_definition_are_marked() -> None:
    machine = worlds.machine(worlds.device("card", "pci:v00000003d00000001sv00000000"))
    page = check(surface(WORLD, surfaces.kernel(), TECHNOLOGY, machine))

    assert len(boxes(page, r"s\d configured")) == 1
    assert "the definition presents its device" in page.text


def test_a_kernel_of_which_nothing_is_known_has_a_page() -> None:
    page = check(surface(WORLD, KernelFacts("6.1", "6.1", "x86_64", "vmlinuz"), TECHNOLOGY, None))

    assert "modules unknown" in page.text


@pytest.mark.parametrize(
    ("score", "text_bytes", "expected"),
    [(0, 1024, 0), (1, 1 << 20, 1), (1, 1024, 1), (2, 1024, 2), (4, 1024, 3), (8, 1024, 4), (16, 1024, 5), (9, 0, 5)],
)
def test_shades_double(score: int, text_bytes: int, expected: int) -> None:
    assert shade(Driver("a", Reach.PRESENTABLE, text_bytes=text_bytes, score=score)) == expected


@pytest.mark.parametrize("hostile", ledgers.HOSTILE)
def test_hostile_names_become_no_markup(hostile: str) -> None:
    modules = (surfaces.module(hostile, f"pci:{hostile}", f"{hostile}:x", sites={"port": 1}),)
    kernel = surfaces.kernel(modules, package=hostile, notes=(hostile,), architecture="x86_64", image_sha256="1" * 64)
    text = render(surface(WORLD, kernel, TECHNOLOGY, worlds.machine(name=hostile)))

    check(surface(WORLD, kernel, TECHNOLOGY, worlds.machine(name=hostile)))
    assert all(character.isprintable() or character == "\n" for character in text)


def test_hostile_architectures_become_no_markup() -> None:
    view = replace(WHOLE, architecture="<script>\x1b", image_sha256="<b>", technology="<i>")

    assert "<script" not in render(view)
    check(view)


@settings(max_examples=20)
@given(kernels())
def test_every_kernel_has_a_page(kernel: KernelFacts) -> None:
    check(surface(WORLD, kernel, TECHNOLOGY, None))


@pytest.mark.slow
def test_the_page_of_a_stock_kernel_is_below_two_megabytes() -> None:
    from hostproof.cli import kernels as reading
    from hostproof.knowledge.load import catalogue

    folder = os.environ.get("HOSTPROOF_KERNELS")
    if not folder or not (Path(folder) / STOCK).is_file():
        pytest.skip(f"no {STOCK}: run `make kernels` and set HOSTPROOF_KERNELS")
    known = catalogue()
    kernel = reading.read(str(Path(folder) / STOCK), known)
    view = surface(known, kernel, known.technologies["kvm"], None)

    check(view)
    assert len(render(view).encode()) < 2_000_000
