"""Kernel facts: what is written is read back, readable and one module per line; other files are refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.kernel.facts import FORMAT, ConfigValue, KernelFacts, Module
from hostproof.artefacts.kernel.facts_file import decode, encode
from hostproof.errors import HostproofError, InputError

DIGEST = "0" * 64
PCI = tuple(f"pci:v00008086d0000{number:04X}sv*sd*bc*sc*i*" for number in (0x1000, 0x2001, 0x30D3))
FACTS = KernelFacts(
    release="6.1.0-55-amd64",
    version="6.1.192",
    architecture="x86_64",
    source="k.deb",
    config={"PCI": ConfigValue("y", 3), "HZ": ConfigValue("250", 9)},
    builtin=("ext4",),
    modules=(
        Module("e1000e", "kernel/e1000e.ko", 12, DIGEST, PCI, ("ptp",)),
        Module("ptp", "kernel/ptp.ko", 7, DIGEST),
    ),
)

texts = st.text(max_size=12)
aliases = st.lists(st.text('ab*:{}[],\\"', max_size=30) | st.sampled_from(PCI), max_size=8).map(tuple)
modules = st.builds(Module, texts, texts, st.integers(0, 2**40), st.just(DIGEST), aliases, st.lists(texts).map(tuple))
kernels = st.builds(
    KernelFacts,
    release=texts,
    version=st.sampled_from(["", "6.1.192", "6.12-rc1"]),
    architecture=texts,
    source=texts,
    package=texts,
    config=st.none() | st.dictionaries(texts, st.builds(ConfigValue, texts, st.integers(0, 10**6)), max_size=4),
    builtin=st.none() | st.lists(texts, max_size=3).map(tuple),
    builtin_aliases=st.dictionaries(texts, aliases, max_size=3),
    modules=st.none() | st.lists(modules, max_size=4).map(tuple),
    notes=st.lists(texts, max_size=2).map(tuple),
)


@settings(max_examples=300)
@given(kernels)
def test_what_is_written_is_read_back(facts: KernelFacts) -> None:
    assert decode(encode(facts), "x") == facts
    assert encode(decode(encode(facts), "x")) == encode(facts)


def test_no_modules_and_modules_unknown_are_different_facts() -> None:
    assert decode(encode(replace(FACTS, modules=())), "x").modules == ()
    assert decode(encode(replace(FACTS, modules=None)), "x").modules is None
    assert decode(encode(replace(FACTS, builtin=())), "x").builtin == ()
    assert decode(encode(replace(FACTS, config=None)), "x").config is None


def test_the_file_has_one_line_per_module_and_neighbouring_aliases_written_once() -> None:
    lines = encode(FACTS).decode().splitlines()

    assert json.loads(lines[1].rstrip(","))["aliases"] == [
        ["pci:v00008086d0000", ["1000", "2001", "30D3"], "sv*sd*bc*sc*i*"]
    ]
    assert [line.count('"text_sha256"') for line in lines] == [0, 1, 1, 0]
    assert json.loads(encode(FACTS))["config"] == {"HZ": ["250", 9], "PCI": ["y", 3]}


def test_values_may_be_written_out_in_full() -> None:
    wire = json.loads(encode(FACTS))
    wire["config"]["PCI"] = {"value": "y", "line": 3}
    wire["modules"][0]["aliases"] = list(PCI)

    assert decode(json.dumps(wire).encode(), "x") == FACTS


def test_the_place_of_a_symbol_is_its_line() -> None:
    facts = replace(FACTS, config_name="boot/config")

    assert str(facts.config_place("HZ")) == "k.deb!boot/config:9 (CONFIG_HZ)"
    assert str(facts.config_place("NONE")) == "k.deb!boot/config (CONFIG_NONE)"


GOOD = encode(FACTS).decode()
MALFORMED = {
    "empty": ("", "not a kernel-facts file"),
    "a list": ("[]", "not a kernel-facts file"),
    "another format": (GOOD.replace(FORMAT, "hostproof-kernel-facts/9"), "kernel facts of format"),
    "a number for a release": (GOOD.replace('"6.1.0-55-amd64"', "6"), "$.release"),
    "a version that is none": (GOOD.replace('"6.1.192"', '"abc"'), "$.version"),
    "a version of many digits": (GOOD.replace('"6.1.192"', f'"{"9" * 6000}"'), "$.version"),
    "negative text": (GOOD.replace('"text_bytes":12', '"text_bytes":-1'), "$.modules[0].text_bytes"),
    "a digest of another length": (GOOD.replace(DIGEST, "00"), "$.modules[0].text_sha256"),
    "an alias group of four": (GOOD.replace('"sv*sd*bc*sc*i*"]', '"",""]'), "$.modules[0].aliases"),
    "deep nesting": ("[" * 100_000, "not a kernel-facts file"),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_files_are_refused_by_field(name: str) -> None:
    text, message = MALFORMED[name]

    with pytest.raises(InputError) as caught:
        decode(text.encode(), "facts.json")
    assert message in str(caught.value)
    assert str(caught.value).startswith("facts.json: ")


def test_alias_groups_that_unfold_to_gigabytes_are_refused() -> None:
    group = ["x" * 100_000, [""] * 100_000, ""]
    wire = json.loads(encode(FACTS))
    wire["modules"][0]["aliases"] = [group]

    with pytest.raises(InputError, match="unfold to too much"):
        decode(json.dumps(wire).encode(), "x")


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(HostproofError):
        decode(data, "x")
