"""The surface of a small kernel with known answers, and what holds for every surface."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from hostproof.artefacts.kernel.facts import KernelFacts, Module
from hostproof.errors import InputError, UsageError
from hostproof.ledger.surface import Reach, Surface, encode, narrowed, surface
from tests.ledger import surfaces, worlds

WORLD = surfaces.catalogue()
TECHNOLOGY = WORLD.technologies["t"]
WHOLE = surface(WORLD, surfaces.kernel(), TECHNOLOGY, None)


def reach(view: Surface) -> dict[str, Reach]:
    return {driver.name: driver.reach for driver in view.drivers}


def test_every_driver_is_reached_in_the_nearest_way() -> None:
    assert reach(WHOLE) == {
        "heavy": Reach.PRESENTABLE,
        "light": Reach.PRESENTABLE,
        "port_card": Reach.PRESENTABLE,
        "stick": Reach.BEHIND_CONTROLLER,
        "words": Reach.BY_IDENTITY,
        "helper": Reach.NEEDED,
        "alone": Reach.MADE_BY_DRIVERS,
        "ext4": Reach.NOT_REACHED,
    }


def test_a_device_of_the_definition_comes_before_what_the_host_may_present() -> None:
    machine = worlds.machine(
        worlds.device("card", "pci:v00000003d00000001sv00000000"), worlds.device("built", "pci:v00000001d00000001sv00000000")
    )  # fmt: skip
    view = surface(WORLD, surfaces.kernel(), TECHNOLOGY, machine)

    assert view.vm == "vm"
    assert {name for name, way in reach(view).items() if way is Reach.CONFIGURED} == {"light", "port_card"}
    assert [driver.name for driver in view.drivers[:2]] == ["light", "port_card"]
    assert reach(view)["helper"] is Reach.NEEDED


def test_drivers_stand_by_reach_then_weighed_sites_then_bytes() -> None:
    assert [(driver.name, driver.score) for driver in WHOLE.drivers[:3]] == [
        ("heavy", 8),
        ("light", 6),
        ("port_card", 0),
    ]


def test_a_driver_has_its_keys_bytes_and_sites() -> None:
    light = next(driver for driver in WHOLE.drivers if driver.name == "light")

    assert (light.keys, light.buses, light.text_bytes, light.closure_bytes) == (2, ["pci"], 1000, 1200)
    assert [(found.interface, found.count) for found in light.sites] == [("port", 3)]
    assert light.sites[0].functions == ["light_port_0", "light_port_1", "light_port_2"]


def test_a_built_in_driver_has_neither_bytes_nor_sites() -> None:
    card = next(driver for driver in WHOLE.drivers if driver.name == "port_card")

    assert (card.built_in, card.text_bytes, card.closure_bytes, card.sites, card.keys) == (True, None, None, [], 1)


def test_buses_are_totalled_alone_and_with_all_that_is_needed() -> None:
    pci = WHOLE.by_bus[0]

    assert (pci.bus, pci.reach, pci.drivers, pci.built_in, pci.keys) == ("pci", Reach.PRESENTABLE, 2, 1, 3)
    assert (pci.text_bytes, pci.closure, pci.closure_bytes, pci.sites) == (5000, 3, 5200, 6)
    assert [total.bus for total in WHOLE.by_bus] == ["pci", "virtio", "usb", "dmi", "of", "acpi"]
    assert WHOLE.by_bus[-1].built_in == 1


def test_interfaces_are_totalled_with_what_counting_cannot_see() -> None:
    totals = {total.id: total for total in WHOLE.by_interface}
    port = totals["port"]

    assert [total.id for total in WHOLE.by_interface] == ["pci-config", "port", "pci-wide"]
    assert (port.modules, port.sites, port.reached_modules, port.reached_sites) == (2, 4, 2, 4)
    assert (port.image_sites, port.image_functions, port.blind) == (2, ["inb_one", "inb_two"], "what hides of port")
    assert totals["pci-wide"].image_sites == 0


def test_without_an_image_its_sites_are_unknown_and_not_none() -> None:
    view = surface(WORLD, surfaces.kernel(image=None), TECHNOLOGY, None)

    assert [total.image_sites for total in view.by_interface] == [None, None, None]
    assert view.image_text_bytes is None


def test_what_limits_the_numbers_is_said() -> None:
    bare = surface(WORLD, surfaces.kernel(image=None, sites_counted=(), notes=("a note",)), TECHNOLOGY, None)

    assert WHOLE.notes == ["built-in drivers of acpi: a limit"]
    assert bare.notes[0] == "a note"
    assert "sites were not counted" in bare.notes[1]
    assert bare.notes[2].startswith("nothing was read of an image")


def test_a_limit_of_several_buses_is_said_once() -> None:
    image = surfaces.image(driver_buses={"usb": "no types", "pci": "no types", "acpi": "a limit", "virtio": ""})
    view = surface(WORLD, surfaces.kernel(image=image), TECHNOLOGY, None)

    assert view.notes == ["built-in drivers of acpi: a limit", "built-in drivers of pci, usb: no types"]


def test_a_kernel_of_another_architecture_is_said_first_to_be_no_such_guest() -> None:
    elsewhere = surface(WORLD, surfaces.kernel(architecture="aarch64", notes=("a note",)), TECHNOLOGY, None)
    plain = structs.replace(TECHNOLOGY, id="kvm")

    assert elsewhere.notes[0] == "a kernel for aarch64 is no guest of t: these are x86_64"
    assert surface(WORLD, surfaces.kernel(architecture="riscv64", notes=("a note",)), plain, None).notes[0] == "a note"


def test_a_kernel_without_modules_has_a_surface() -> None:
    view = surface(WORLD, surfaces.kernel(()), TECHNOLOGY, None)

    unknown = surface(WORLD, replace(surfaces.kernel(()), modules=None), TECHNOLOGY, None)

    assert (view.modules, view.text_bytes, {driver.name for driver in view.drivers}) == (0, 0, {"ext4", "port_card"})
    assert (unknown.modules, unknown.text_bytes) == (None, None)


def test_one_bus_and_one_interface_narrow_drivers_and_totals() -> None:
    assert [driver.name for driver in narrowed(WHOLE, ["pci"], []).drivers] == ["heavy", "light", "port_card"]
    assert [total.bus for total in narrowed(WHOLE, ["pci"], []).by_bus] == ["pci"]
    assert [driver.name for driver in narrowed(WHOLE, [], ["pci"]).drivers] == ["heavy", "stick"]
    assert [total.id for total in narrowed(WHOLE, [], ["pci"]).by_interface] == ["pci-config", "pci-wide"]
    assert [driver.name for driver in narrowed(WHOLE, ["virtio"], ["port"]).drivers] == ["heavy"]
    assert narrowed(WHOLE, [], []) is WHOLE


@pytest.mark.parametrize(("buses", "interfaces"), [(["isa"], []), ([], ["msr"]), ([], ["pci-"]), ([], ["po"])])
def test_a_name_that_nothing_has_is_a_usage_error_that_lists_those_there_are(
    buses: list[str], interfaces: list[str]
) -> None:
    with pytest.raises(UsageError) as error:
        narrowed(WHOLE, buses, interfaces)

    assert ("pci" if buses else "pci-config") in (error.value.hint or "")


def test_aliases_of_buses_without_number_are_refused() -> None:
    chain = tuple(worlds.module(f"m{index}", f"bus{index}:x", depends=(f"m{index + 1}",)) for index in range(2000))

    with pytest.raises(InputError, match="dependencies"):
        surface(WORLD, surfaces.kernel(chain), TECHNOLOGY, None)


def test_a_driver_that_is_needed_by_itself_ends() -> None:
    circle = (worlds.module("a", "pci:v*", depends=("b",)), worlds.module("b", depends=("a", "a", "b")))
    view = surface(WORLD, surfaces.kernel(circle), TECHNOLOGY, None)

    assert [driver.closure_bytes for driver in view.drivers if not driver.built_in] == [2000, 2000]


HEADS = ("pci:", "acpi*:", "virtio:", "usb:", "cpu:", "of:", "", "-", ":")
NAMES = ("a", "b", "c", "d")


@st.composite
def kernels(draw: st.DrawFn) -> KernelFacts:
    """Kernels of up to four modules that need one another in every way."""
    modules: list[Module] = []
    for name in draw(st.lists(st.sampled_from(NAMES), unique=True)):
        aliases = draw(
            st.lists(st.builds(str.__add__, st.sampled_from(HEADS), st.sampled_from(("x*", "y"))), max_size=4)
        )
        sites = draw(st.dictionaries(st.sampled_from(surfaces.COUNTED), st.integers(1, 3)))
        depends = tuple(draw(st.lists(st.sampled_from((*NAMES, "absent")), max_size=3)))
        size = draw(st.integers(0, 9))
        digest = draw(st.sampled_from(("a", "b"))) * 64
        modules.append(surfaces.module(name, *aliases, sites=sites, depends=depends, text=size, digest=digest))
    symbols = tuple(draw(st.lists(st.sampled_from(("shield_init", "eater_init", "both_init")), unique=True)))
    return surfaces.kernel(tuple(modules), symbols=symbols)


@given(kernels(), st.lists(st.sampled_from(HEADS[:5])), st.lists(st.sampled_from(("pci", "port", "pci-wide"))))
def test_what_is_narrowed_is_a_part(kernel: KernelFacts, heads: list[str], interfaces: list[str]) -> None:
    view = surface(WORLD, kernel, TECHNOLOGY, None)
    known = [total.bus for total in view.by_bus]
    part = narrowed(view, [bus for head in heads if (bus := head.rstrip(":*")) in known], interfaces)

    assert all(driver in view.drivers for driver in part.drivers)
    assert all(total in view.by_bus for total in part.by_bus)
    assert all(total in view.by_interface for total in part.by_interface)


@given(kernels())
def test_the_same_kernel_gives_the_same_bytes(kernel: KernelFacts) -> None:
    assert encode(surface(WORLD, kernel, TECHNOLOGY, None)) == encode(surface(WORLD, kernel, TECHNOLOGY, None))


@given(kernels())
def test_totals_are_those_of_the_drivers(kernel: KernelFacts) -> None:
    view = surface(WORLD, kernel, TECHNOLOGY, None)
    loadable = [driver for driver in view.drivers if not driver.built_in]

    assert view.text_bytes == sum(driver.text_bytes or 0 for driver in loadable)
    for total in view.by_bus:
        bound = [driver for driver in loadable if total.bus in driver.buses]
        assert (total.drivers, total.text_bytes) == (len(bound), sum(driver.text_bytes or 0 for driver in bound))
    for interface in view.by_interface:
        assert interface.sites == sum(s.count for d in loadable for s in d.sites if s.interface == interface.id)
