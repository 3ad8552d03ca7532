"""Writes the expected ledger of every example: `make generate` runs it, `tests/cli/test_examples.py` holds them to it.

Each `examples/NAME/command` is the command as the README shows it, run in the root of the tree.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from hostproof.cli.main import main

ROOT = Path(__file__).resolve().parents[1]


def words(command: Path) -> list[str]:
    """The words after `hostproof` of an example's command."""
    return shlex.split(command.read_text().replace("\\\n", " "))[1:]


def run() -> int:
    """Assess every example and write its ledger; gives the number of examples that could not be assessed."""
    failed = 0
    for command in sorted((ROOT / "examples").glob("*/command")):
        output = command.with_name("ledger.json")
        status = main([*words(command), "--format", "json", "--output", str(output), "--at", "2026-11-01"])
        print(f"{command.parent.name}: {'written' if status in (0, 1) else f'status {status}'}")
        failed += status not in (0, 1)
    return failed


if __name__ == "__main__":
    sys.exit(run())
