"""Every word of `--format` renders, deterministically, and costs nothing until it is used."""

from __future__ import annotations

import subprocess
import sys

import ledgers
import pytest

from hostproof.ledger.codec import encode
from hostproof.report import FORMATS


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("make", [ledgers.sample, ledgers.hostile])
def test_every_format_gives_text_that_ends_with_a_newline_and_is_always_the_same(name, make) -> None:  # type: ignore[no-untyped-def]
    first, second = FORMATS[name](make()), FORMATS[name](make())
    data = first.encode() if isinstance(first, str) else first

    assert first == second
    assert data.endswith(b"\n")


def test_the_words_are_those_of_the_command_line() -> None:
    assert list(FORMATS) == ["terminal", "json", "html", "sarif", "junit", "rst", "mermaid"]


def test_json_is_the_ledger_itself() -> None:
    assert FORMATS["json"](ledgers.sample()) == encode(ledgers.sample())


def test_naming_the_formats_loads_no_renderer() -> None:
    code = (
        "import sys, hostproof.report; "
        "print([name for name in ('rich', 'jinja2', 'msgspec', 'xml.etree.ElementTree') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout == "[]\n"
