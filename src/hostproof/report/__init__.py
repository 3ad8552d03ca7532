"""Ledgers made readable: terminal, JSON, HTML, SARIF, JUnit, reStructuredText, Mermaid.

Every renderer is a function of a ledger alone: the same ledger gives the same text. They import what they need when they
are called, so that naming the formats costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from hostproof.ledger.model import Ledger

__all__ = ["FORMATS"]


def _terminal(ledger: Ledger) -> str:
    from hostproof.report.terminal import to_text

    return to_text(ledger)


def _json(ledger: Ledger) -> bytes:
    from hostproof.ledger.codec import encode

    return encode(ledger)


FORMATS: dict[str, Callable[[Ledger], str | bytes]] = {
    "terminal": _terminal,
    "json": _json,
}
"""The words of `--format`, each with its renderer; a `str` is text to be written as UTF-8."""
