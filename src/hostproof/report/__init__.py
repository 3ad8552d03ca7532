"""Ledgers made readable: terminal, JSON, HTML, SARIF, JUnit, reStructuredText, Mermaid.

Every renderer is a function of a ledger alone: the same ledger gives the same text. They are imported when they are
called, so that the command line names the formats at no cost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hostproof.ledger.model import Ledger

__all__ = ["FORMATS"]


def _terminal(ledger: Ledger) -> str:
    from hostproof.report.terminal import to_text

    return to_text(ledger)


def _json(ledger: Ledger) -> bytes:
    from hostproof.ledger.codec import encode

    return encode(ledger)


def _html(ledger: Ledger) -> str:
    from hostproof.report.html import render

    return render(ledger)


def _sarif(ledger: Ledger) -> str:
    from hostproof.report.sarif import render

    return render(ledger)


def _junit(ledger: Ledger) -> bytes:
    from hostproof.report.junit import render

    return render(ledger)


def _rst(ledger: Ledger) -> str:
    from hostproof.report.rst import render

    return render(ledger)


def _mermaid(ledger: Ledger) -> str:
    from hostproof.report.mermaid import render

    return render(ledger)


FORMATS: dict[str, Callable[[Ledger], str | bytes]] = {
    "terminal": _terminal,
    "json": _json,
    "html": _html,
    "sarif": _sarif,
    "junit": _junit,
    "rst": _rst,
    "mermaid": _mermaid,
}
"""The words of `--format`, each with its renderer; a `str` is text to be written as UTF-8."""
