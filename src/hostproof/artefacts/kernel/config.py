r"""Kernel configurations: `.config`, `/boot/config-*`, and Kconfig fragments.

SOURCE: `scripts/kconfig/confdata.c` (conf_read_simple, conf_write): lines are `CONFIG_X=value` or `# CONFIG_X is not set`;
a string value stands in double quotes with `\` before `"` and `\`; where a symbol is set twice the last one holds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hostproof.artefacts.kernel.facts import ConfigValue
from hostproof.errors import InputError
from hostproof.place import Place

__all__ = ["Config", "looks_like_config", "read_config"]

MAX_BYTES = 4 << 20
MAX_NOTED = 5

_SET = re.compile(r"CONFIG_(\w+)=(.*)")
_UNSET = re.compile(r"# CONFIG_(\w+) is not set")
_HEADER = re.compile(r"# Linux/(\S+) (\d\S*)(?: \S+)* Kernel Configuration")
_FIRST = re.compile(rb"(?m)^(CONFIG_\w+=|# CONFIG_\w+ is not set|# Linux/\S+ \S+ .*Kernel Configuration)")


@dataclass(frozen=True, slots=True)
class Config:
    """The symbols of a configuration with their lines, the header's words, and sentences about doubtful lines."""

    symbols: dict[str, ConfigValue]
    version: str
    """From the header `# Linux/x86 6.1.192 Kernel Configuration`; empty in fragments."""
    architecture: str
    """The kernel's word, from the header and the symbols; empty where neither says."""
    notes: tuple[str, ...]


def looks_like_config(head: bytes) -> bool:
    """Whether the start of a file is that of a configuration or fragment."""
    return b"\0" not in head and _FIRST.search(head) is not None


def read_config(data: bytes, name: str) -> Config:
    """The configuration in `data`. Raises InputError where it holds no symbol, or is no text."""
    if len(data) > MAX_BYTES:
        raise InputError(f"a configuration larger than {MAX_BYTES >> 20} MiB", place=Place(name))
    symbols: dict[str, ConfigValue] = {}
    version = word = ""
    doubtful: list[int] = []
    twice: list[str] = []
    for number, raw in enumerate(data.decode("utf-8", "backslashreplace").split("\n"), 1):
        line = raw.rstrip()
        if found := _SET.fullmatch(line):
            symbol, value = found[1], _value(found[2])
        elif found := _UNSET.fullmatch(line):
            symbol, value = found[1], "n"
        else:
            if not version and (found := _HEADER.match(line)):
                word, version = found[1], found[2]
            elif line and not line.lstrip().startswith("#"):
                doubtful.append(number)
            continue
        if symbol in symbols and symbols[symbol].value != value:
            twice.append(symbol)
        symbols[symbol] = ConfigValue(value, number)
    if not symbols:
        raise InputError(
            "no configuration symbol",
            place=Place(name, line=1),
            expected="lines such as `CONFIG_PCI=y` and `# CONFIG_ACPI is not set`",
            hint="give the kernel's .config or /boot/config-RELEASE",
        )
    return Config(symbols, version, _architecture(word, symbols), _notes(name, doubtful, twice))


def _value(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return re.sub(r"\\(.)", r"\1", text[1:-1])
    return text


def _architecture(word: str, symbols: dict[str, ConfigValue]) -> str:
    def on(symbol: str) -> bool:
        return symbol in symbols and symbols[symbol].value == "y"

    for symbol, architecture in (
        ("X86_64", "x86_64"),
        ("ARM64", "aarch64"),
        ("S390", "s390x"),
        ("X86_32", "i686"),
        ("ARM", "arm"),
        ("PPC64", "ppc64"),
        ("LOONGARCH", "loongarch64"),
    ):
        if on(symbol):
            return architecture
    if on("RISCV"):
        return "riscv64" if on("64BIT") else "riscv32"
    return {"arm64": "aarch64", "s390": "s390x", "x86_64": "x86_64"}.get(word, "")


def _notes(name: str, doubtful: list[int], twice: list[str]) -> tuple[str, ...]:
    notes = []
    if doubtful:
        lines = ", ".join(str(line) for line in doubtful[:MAX_NOTED])
        more = f" and {len(doubtful) - MAX_NOTED} more" if len(doubtful) > MAX_NOTED else ""
        notes.append(f"{name}: lines {lines}{more} are neither a symbol nor a comment and were passed over")
    if twice:
        symbols = ", ".join(twice[:MAX_NOTED])
        notes.append(f"{name}: set more than once, the last one holds: {symbols}")
    return tuple(notes)
