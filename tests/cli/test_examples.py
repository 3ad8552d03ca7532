"""Every example in the tree gives the ledger that stands beside it, byte for byte."""

from __future__ import annotations

import shlex
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

    assert status == 1
    assert output.read_bytes() == command.with_name("ledger.json").read_bytes()
