"""Why rows are left when every change has been made: groups with one reason each, the largest first"""

from __future__ import annotations

from collections.abc import Collection

from hostproof.knowledge.terms import Presence, Status
from hostproof.ledger.evidence import NEVER, NOT_MEASURED
from hostproof.ledger.model import Evidence, Ledger, Row
from hostproof.ledger.what_if.model import Left

__all__ = ["left"]

OBSERVED = ["O"]


def left(ledger: Ledger, rows: Collection[str] | None = None) -> list[Left]:
    """The rows of this ledger that are in the way, in groups: `rows`, or all open ones where it is None."""
    observed = {channel.id for channel in ledger.channels if channel.kinds == OBSERVED}
    groups: dict[tuple[Status, str], list[str]] = {}
    for row in ledger.rows:
        if row.status is Status.OPEN if rows is None else row.id in rows:
            groups.setdefault((row.status, _reason(row, observed)), []).append(row.id)
    found = [Left(reason, status, ids) for (status, reason), ids in groups.items()]
    return sorted(found, key=lambda group: (group.status is not Status.OPEN, -len(group.rows), group.reason))


def _reason(row: Row, observed: Collection[str]) -> str:
    if row.status is Status.UNKNOWN:
        return _lacks(row)
    if row.channel in observed:
        return "the host observes, and no mechanism of the catalogue hides it from it"
    idle = [item for item in row.evidence if not item.decides and item.why_not]
    almost = next((one for one in idle if one.why_not != NOT_MEASURED and not one.why_not.startswith(NEVER)), None)
    if row.text_bytes is not None and row.presence is Presence.CONFIGURED:
        return "a driver that the definition's devices need" + _almost(almost)
    if almost is not None:
        return "something is there that does not close it" + _almost(almost)
    if row.advice:
        return f"what the catalogue advises is none of the changes: {row.advice}"
    if row.text_bytes is not None:
        return "a driver that no change takes away"
    if any(item.why_not == NOT_MEASURED for item in idle):
        return "no measurement covers it, and no mechanism of the catalogue refuses it"
    return "no mechanism of the catalogue closes it"


def _almost(evidence: Evidence | None) -> str:
    return f" ({evidence.why_not})" if evidence is not None else ""


def _lacks(row: Row) -> str:
    if not row.missing:
        return row.reason
    return "unknown: " + ", ".join(sorted({fact.supply or fact.name for fact in row.missing}))
