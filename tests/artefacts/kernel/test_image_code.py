"""Sites and calls in the text of an image."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.artefacts.kernel.facts import Sites
from hostproof.artefacts.kernel.image_code import Functions, branches, calls_of, image_sites, source_name
from hostproof.artefacts.kernel.questions import Interface
from hostproof.artefacts.kernel.symbols import Symbols
from hostproof.artefacts.kernel.vmlinux import ImageSection, Vmlinux
from tests.artefacts.kernel.linked_image import Function, link, words, x86

RET = x86("c3")
PCI = Interface("pci-config", ("pci_read_config_*",))
PORTS = Interface("port-read", ("acpi_os_read_port",), ("in",))


def test_calls_jumps_and_conditional_jumps_to_a_function_are_sites() -> None:
    kernel, symbols = link(
        [
            Function("pci_read_config_word", [RET]),
            Function("probe", [("call", "pci_read_config_word"), ("call", "pci_read_config_word"), RET]),
            Function("tail", [("jmp", "pci_read_config_word")]),
            Function("maybe", [("je", "pci_read_config_word"), RET], init=True),
            Function("other", [("call", "probe"), RET]),
        ]
    )

    actual = image_sites(kernel, symbols, [PCI])

    assert actual == {"pci-config": Sites(4, ("maybe", "probe", "tail"))}


def test_a_site_counts_for_the_function_that_the_source_has() -> None:
    kernel, symbols = link(
        [
            Function("pci_read_config_dword.constprop.0", [RET]),
            Function("probe.isra.0.cold", [("call", "pci_read_config_dword.constprop.0"), RET]),
            Function("__pi_early", [("call", "pci_read_config_dword.constprop.0"), RET]),
        ]
    )

    actual = image_sites(kernel, symbols, [PCI])

    assert actual == {"pci-config": Sites(2, ("early", "probe"))}


def test_what_functions_of_an_interface_do_is_no_site_of_it_but_may_be_one_of_another() -> None:
    kernel, symbols = link(
        [
            Function("acpi_os_read_port", [x86("ec"), ("call", "pci_read_config_word"), RET]),
            Function("pci_read_config_word", [x86("ed"), ("jmp", "pci_read_config_byte")]),
            Function("pci_read_config_byte", [RET]),
            Function("acpi_hw_read", [("call", "acpi_os_read_port"), RET]),
        ]
    )

    actual = image_sites(kernel, symbols, [PCI, PORTS])

    assert actual == {
        "pci-config": Sites(1, ("acpi_os_read_port",)),
        "port-read": Sites(2, ("acpi_hw_read", "pci_read_config_word")),
    }


def test_bytes_of_a_call_inside_another_instruction_are_no_site() -> None:
    inside = x86("48b8") + b"\xe8" + struct.pack("<i", -(2 + 5 + 16)) + x86("000000 c3")  # movabs rax, imm64; ret
    kernel, symbols = link([Function("pci_read_config_word", [RET]), Function("probe", [inside])])
    at, target = branches(kernel.bytes_of(kernel.sections[0]), "x86_64")

    assert (18, 0) in zip(at.tolist(), target.tolist(), strict=True)
    assert image_sites(kernel, symbols, [PCI]) == {}


def test_a_function_may_belong_to_several_interfaces() -> None:
    kernel, symbols = link(
        [Function("pci_read_config_word", [RET]), Function("probe", [("call", "pci_read_config_word"), RET])]
    )

    actual = image_sites(kernel, symbols, [PCI, Interface("any", ("pci_*",)), Interface("none", ("usb_*",))])

    assert actual == {"any": Sites(1, ("probe",)), "pci-config": Sites(1, ("probe",))}


def test_replacements_of_alternatives_are_no_code_that_runs_where_it_stands() -> None:
    kernel, symbols = link(
        [Function("probe", [RET])], executable=[(".altinstr_replacement", x86("ec")), (".noinstr.text", x86("ec c3"))]
    )

    actual = image_sites(kernel, symbols, [PORTS])

    assert actual == {"port-read": Sites(1, ())}


def test_branches_of_aarch64_go_both_ways() -> None:
    ret, hvc = words(0xD65F03C0), words(0xD4000002)
    kernel, symbols = link(
        [
            Function("before", [("bl", "ioremap"), ret]),
            Function("ioremap", [ret]),
            Function("after", [hvc, ("b", "ioremap")]),
        ],
        architecture="aarch64",
    )

    actual = image_sites(kernel, symbols, [Interface("mmio-map", ("ioremap",)), Interface("hypercall", (), ("hvc",))])

    assert actual == {"hypercall": Sites(1, ("after",)), "mmio-map": Sites(2, ("after", "before"))}


def test_data_of_a_flat_image_that_looks_like_an_instruction_is_no_site() -> None:
    ret, hvc = words(0xD65F03C0), words(0xD4000002)
    kernel, symbols = link(
        [Function("code", [hvc, ret]), Function("table", [hvc], letter="d")], architecture="aarch64", flat=True
    )

    actual = image_sites(kernel, symbols, [Interface("hypercall", (), ("hvc",))])

    assert actual == {"hypercall": Sites(1, ("code",))}


def test_the_text_of_another_architecture_is_not_read() -> None:
    kernel, symbols = link([Function("f", [x86("ec")])])
    other = Vmlinux("vmlinux", "s390x", kernel.data, kernel.sha256, kernel.sections)

    assert image_sites(other, symbols, [PORTS]) == {}
    with pytest.raises(ValueError, match="s390x"):
        branches(b"", "s390x")


def test_calls_of_a_function_are_named_as_the_source_does_without_itself() -> None:
    kernel, symbols = link(
        [
            Function("helper.constprop.0", [RET]),
            Function("memcpy", []),
            Function("__memcpy", [RET]),
            Function("probe", [("call", "helper.constprop.0"), ("je", "probe.cold"), ("call", "probe"), RET]),
            Function("probe.cold", [("call", "__memcpy"), ("jmp", "probe")]),
            Function("alone", [RET]),
        ]
    )

    assert calls_of(kernel, Functions(symbols), symbols.variants("probe")) == ("__memcpy", "helper", "memcpy")
    assert calls_of(kernel, Functions(symbols), symbols.variants("alone")) == ()


def test_a_jump_into_another_function_names_it() -> None:
    kernel, symbols = link([Function("target", [x86("90909090"), RET]), Function("f", [b"\xe9", b"\xed\xff\xff\xff"])])

    assert calls_of(kernel, Functions(symbols), symbols.variants("f")) == ("target",)


@pytest.mark.parametrize(
    ("name", "source"),
    [("foo", "foo"), ("foo.cold", "foo"), ("__pi_foo", "foo"), ("__pi_foo.isra.0", "foo"), ("foo.bar", "foo.bar")],
)
def test_the_name_that_the_source_has(name: str, source: str) -> None:
    assert source == source_name(name)


@given(
    st.binary(max_size=300),
    st.lists(st.tuples(st.integers(0, 400), st.sampled_from("tTwdr")), max_size=12),
    st.sampled_from(["x86_64", "aarch64"]),
    st.integers(0, (1 << 64) - 500),
)
def test_any_text_with_any_symbols_is_read(
    code: bytes, places: list[tuple[int, str]], architecture: str, base: int
) -> None:
    places = sorted(places)
    section = ImageSection(".text", base, 0, len(code), executable=True)
    kernel = Vmlinux("vmlinux", architecture, code, "", (section,))
    names = [f"f{index % 3}" for index in range(len(places))]
    symbols = Symbols([base + place for place, _ in places], "".join(each for _, each in places), names, complete=True)

    sites = image_sites(kernel, symbols, [Interface("f", ("f0", "f1*"), ("in", "rdmsr", "hvc"))])

    assert all(site.count > 0 for site in sites.values())
    functions = Functions(symbols)
    for index in range(len(symbols)):
        assert set(calls_of(kernel, functions, [symbols.symbol(index)]) or ()) <= set(names)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from("tTwdr")), max_size=20), st.sampled_from([0, (1 << 64) - 60])
)
def test_an_address_belongs_to_the_function_that_the_symbols_tell(places: list[tuple[int, str]], base: int) -> None:
    places = sorted(places)
    names = [f"f{index}" for index in range(len(places))]
    symbols = Symbols([base + place for place, _ in places], "".join(each for _, each in places), names, complete=True)
    functions = Functions(symbols)
    addresses = range(base, base + 50)
    expected = [each.name if (each := symbols.at(address)) and each.is_function else "" for address in addresses]

    assert expected == [functions.at(address) for address in addresses]


def test_a_function_longer_than_functions_are_is_not_searched_for_calls() -> None:
    kernel, symbols = link([Function("f", [bytes(2 << 20)])])

    assert calls_of(kernel, Functions(symbols), symbols.variants("f")) is None
