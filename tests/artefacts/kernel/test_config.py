"""Configurations: values, unset symbols, strings, lines, and text that is none."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.artefacts.kernel.config import looks_like_config, read_config
from hostproof.artefacts.kernel.facts import ConfigValue
from hostproof.errors import InputError
from tests.artefacts.kernel import samples

CORPUS = Path(__file__).parents[2] / "corpus" / "kernel"


def test_values_come_with_their_lines_and_without_quotes() -> None:
    config = read_config(samples.CONFIG, "config")

    assert config.symbols == {
        "X86_64": ConfigValue("y", 5),
        "PCI": ConfigValue("y", 6),
        "VIRTIO": ConfigValue("m", 7),
        "ACPI": ConfigValue("n", 8),
        "LOCALVERSION": ConfigValue('-"quoted"', 9),
        "HZ": ConfigValue("250", 10),
    }
    assert (config.version, config.architecture, config.notes) == ("6.1.7", "x86_64", ())


def test_a_fragment_is_a_configuration_without_a_header() -> None:
    data = (CORPUS / "confidential.config").read_bytes()
    config = read_config(data, "confidential.config")

    assert looks_like_config(data)
    assert config.version == ""
    assert config.symbols["AMD_MEM_ENCRYPT"].value == "y"
    assert config.symbols["MODULES"].value == "n"
    assert config.symbols["AMD_MEM_ENCRYPT"].line == 1 + data.decode().splitlines().index("CONFIG_AMD_MEM_ENCRYPT=y")


@pytest.mark.parametrize(
    ("lines", "architecture"),
    [
        ("CONFIG_ARM64=y", "aarch64"),
        ("CONFIG_S390=y", "s390x"),
        ("CONFIG_RISCV=y\nCONFIG_64BIT=y", "riscv64"),
        ("CONFIG_X86_64=y\nCONFIG_X86=y", "x86_64"),
        ("# Linux/arm64 6.12.1 Kernel Configuration\nCONFIG_A=y", "aarch64"),
        ("CONFIG_A=y", ""),
    ],
)
def test_the_architecture_follows_from_symbols_or_header(lines: str, architecture: str) -> None:
    assert read_config(lines.encode(), "c").architecture == architecture


def test_where_a_symbol_is_set_twice_the_last_one_holds_and_a_note_says_so() -> None:
    config = read_config(b"CONFIG_A=y\nCONFIG_B=1\n# CONFIG_A is not set\n", "c")

    assert config.symbols["A"] == ConfigValue("n", 3)
    assert config.notes == ("c: set more than once, the last one holds: A",)


def test_lines_that_are_neither_symbol_nor_comment_are_noted() -> None:
    config = read_config(b"CONFIG_A=y\nA=y\nnonsense\n\n# a comment\n", "c")

    assert config.notes == ("c: lines 2, 3 are neither a symbol nor a comment and were passed over",)


@pytest.mark.parametrize("data", [b"", b"\0\1\2", b"# a comment\n", b"key = value\n", b"config A\n\tbool\n"])
def test_text_without_a_symbol_is_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="no configuration symbol"):
        read_config(data, "c")


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"CONFIG_A=y\n", True),
        (b"# c\n# CONFIG_A is not set\n", True),
        (b"{}", False),
        (b"CONFIG_A=y\0", False),
        (b"", False),
    ],
)
def test_a_configuration_is_told_by_its_lines(head: bytes, expected: bool) -> None:
    assert looks_like_config(head) is expected


SYMBOLS = st.dictionaries(
    st.from_regex(r"[A-Z0-9_]{1,20}", fullmatch=True),
    st.text(st.characters(codec="ascii", exclude_characters="\n\r"), max_size=20),
    min_size=1,
)


@given(SYMBOLS)
def test_quoted_strings_survive(symbols: dict[str, str]) -> None:
    lines = [
        f'CONFIG_{name}="{value.translate({34: chr(92) + chr(34), 92: chr(92) * 2})}"'
        for name, value in symbols.items()
    ]
    config = read_config("\n".join(lines).encode(), "c")

    assert {name: value.value for name, value in config.symbols.items()} == symbols


@given(st.binary(max_size=300))
def test_arbitrary_bytes_give_symbols_or_an_error(data: bytes) -> None:
    try:
        assert read_config(data, "c").symbols
    except InputError as error:
        assert error.place is not None
