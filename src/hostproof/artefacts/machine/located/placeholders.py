"""Placeholders that templates leave to be filled later: `@NAME@`, `${NAME}`, `{{ name }}`.

Projects ship definitions with holes: Kata Containers writes `@NAME@` (filled by `make`), its tests write `${NAME}`
(filled by `envsubst`), charts and playbooks write `{{ .. }}`. A placeholder is left as it is: nobody here knows what
will stand there, and a fact that rests on one is unknown.
"""

from __future__ import annotations

import re

__all__ = ["PLACEHOLDER", "find", "note", "whole"]

PLACEHOLDER = r"@[A-Za-z_][A-Za-z0-9_]{0,80}@|\$\{[A-Za-z_][A-Za-z0-9_]{0,80}\}|\{\{[^{}\n]{0,200}\}\}"
"""The pattern of one placeholder, without groups."""

_ONE = re.compile(PLACEHOLDER)


def find(text: str) -> tuple[str, ...]:
    """The placeholders in `text`, each once, in order."""
    return tuple(dict.fromkeys(_ONE.findall(text)))


def whole(text: str) -> str | None:
    """`text` where it is one placeholder and nothing else, else None."""
    stripped = text.strip()
    return stripped if _ONE.fullmatch(stripped) else None


def note(text: str) -> tuple[str, ...]:
    """The sentence that a template deserves; empty where there is no placeholder."""
    names = find(text)
    if not names:
        return ()
    shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    return (f"a template: {len(names)} placeholders are left as they are ({shown}), what rests on them is unknown",)
