"""The published JSON schema of ledgers: `ledger.schema.json`, JSON Schema draft 2020-12

It is generated from the types of `hostproof.ledger.model`, so the two cannot disagree; `python -m hostproof.report.schema`
prints it. SOURCE: JSON Schema 2020-12, core section 8.1 (`$schema`, `$id`) and 8.2.4 (`$defs`).
"""

from __future__ import annotations

import json
import sys

import msgspec

from hostproof.ledger.model import FORMAT, Ledger

__all__ = ["DIALECT", "schema", "to_text"]

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, object]:
    """The schema as a dictionary."""
    (root,), definitions = msgspec.json.schema_components([Ledger], ref_template="#/$defs/{name}")
    definitions["Ledger"]["properties"]["format"] = {"const": FORMAT}
    return {
        "$schema": DIALECT,
        "$id": f"urn:hostproof:{FORMAT.replace('/', ':')}",
        "title": f"hostproof ledger ({FORMAT})",
        **root,
        "$defs": definitions,
    }


def to_text() -> str:
    """The schema as it is published: sorted keys, two spaces, a newline at the end."""
    return json.dumps(schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(to_text())
