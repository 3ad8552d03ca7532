"""What every record of the catalogue is made of: identifiers, sentences, conditions, and the sources it cites."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from hostproof.knowledge.terms import Checked

__all__ = ["Citation", "Condition", "Identifier", "Rule", "Sentence", "Source", "Sourced"]

Identifier = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$", max_length=80)]
Sentence = Annotated[str, Meta(min_length=3)]
Condition = str
"""The text of a predicate; the loader parses it and resolves every name in it."""
Citation = Annotated[str, Meta(min_length=1)]
"""`KEY` or `KEY: clause`; `KEY` is the key of a `Source`."""


class Source(Struct, frozen=True, forbid_unknown_fields=True):
    """A document, mail, commit or file that facts are read from."""

    key: Identifier
    title: Sentence
    address: list[str]
    """URLs, or `repository path @ commit`. Empty where none was captured; then `note` says so."""
    note: str = ""


class Sourced(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every fact carries."""

    sources: Annotated[list[Citation], Meta(min_length=1)]
    checked: Checked


class Rule(Sourced, frozen=True, kw_only=True):
    """When `when` holds, `reason` is why."""

    when: Condition
    reason: Sentence
