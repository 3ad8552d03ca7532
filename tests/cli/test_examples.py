"""Every example in the tree gives the ledger that stands beside it, byte for byte."""

from __future__ import annotations

import shlex
from itertools import zip_longest
from pathlib import Path

import pytest

from hostproof.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*/command"))


def test_there_is_an_example_of_each_kind() -> None:
    assert [command.parent.name for command in EXAMPLES] == ["kata", "pkvm", "snp", "tdx"]


@pytest.mark.parametrize("command", EXAMPLES, ids=lambda path: path.parent.name)
def test_an_example_gives_its_expected_ledger(command: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    output = tmp_path / "ledger.json"

    status = main(
        [
            *shlex.split(command.read_text().replace("\\\n", " "))[1:],
            "--format",
            "json",
            "--output",
            str(output),
            "--at",
            "2026-11-01",
        ]
    )

    expected = command.with_name("ledger.json").read_bytes().splitlines(keepends=True)
    written = output.read_bytes().splitlines(keepends=True)
    # A few lines that differ, not both files: CI prints what an assertion compares in full, and that is megabytes.
    unlike = [lines for lines in enumerate(zip_longest(expected, written), 1) if lines[1][0] != lines[1][1]]

    assert status == 1
    assert unlike[:3] == [], "(line, (expected, written)); `make generate` writes them anew"
