"""Ledgers shown to a person or written for a machine."""

from __future__ import annotations

import os
import shutil
import sys

from hostproof.cli import files
from hostproof.ledger import codec, diff
from hostproof.ledger.model import Ledger
from hostproof.report import FORMATS

__all__ = ["colour", "ledger", "read_ledger", "width"]


def read_ledger(name: str) -> Ledger:
    """The ledger in the file `name`. Raises InputError where it is none."""
    return codec.decode(files.read_bytes(name, "the ledger"), name)


def ledger(value: Ledger, form: str, output: str | None, *, verbose: bool, baseline: Ledger | None) -> None:
    """Show or write a ledger; against a baseline, what changed comes first on the terminal."""
    if form == "terminal":
        from hostproof.report import terminal

        text = terminal.to_text(value, width=width(), color=output is None and colour(), verbose=verbose)
        if baseline is not None:
            from hostproof.report import diff_terminal

            change = diff.diff(baseline, value)
            text = diff_terminal.to_text(change, width=width(), color=output is None and colour()) + "\n" + text
        files.write_output(text, output)
    elif form == "sarif" and baseline is not None:
        from hostproof.report import sarif

        files.write_output(sarif.render(value, diff.diff(baseline, value)), output)
    else:
        files.write_output(FORMATS[form](value), output)


def width() -> int:
    """Columns to write for: the terminal's, within reason; 100 where there is none."""
    if not sys.stdout.isatty():
        return 100
    return max(60, min(shutil.get_terminal_size((100, 24)).columns, 140))


def colour() -> bool:
    """Whether colour helps: a terminal, and nobody said NO_COLOR (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
