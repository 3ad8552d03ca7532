"""A trace as a Mermaid sequence diagram: one lane per party, one message per step, one note per change

SOURCE: Mermaid documentation, "Sequence diagrams": participants, messages, notes, "Entity codes to escape characters".
"""

from __future__ import annotations

from hostproof.errors import UsageError
from hostproof.managers.records import Stored, Verdict
from hostproof.report.trace_story import call
from hostproof.report.words import shorten

__all__ = ["render"]

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ,.:()=[]/_-+'")
_LANES = {"host": "host", "guest": "guest", "cpu": "processor", "dma": "device", "manager": "security manager"}
_MAX_CHANGES = 8


def render(stored: Stored, verdict: Verdict) -> str:
    """The diagram. Raises UsageError where the verdict is no trace."""
    trace = verdict.story()
    if trace is None:
        raise UsageError(f"{verdict.objective} of {stored.model.name} has no trace: it is {verdict.result}")
    callers = {step.caller for step in trace.steps} | {"manager"}
    lines = ["sequenceDiagram"]
    lines += [f"    participant {lane} as {name}" for lane, name in _LANES.items() if lane in callers]
    lines.append(f"    Note over manager: {_escaped(f'{stored.model.title}, {verdict.objective}, trace {verdict.id}')}")
    for number, step in enumerate(trace.steps, start=1):
        lane = step.caller if step.caller in _LANES else "manager"
        lines.append(f"    {lane}->>manager: {number}. {_escaped(call(step))}")
        told = [f"{change.cell}: {change.before} to {change.after}" for change in step.changes[:_MAX_CHANGES]]
        if more := len(step.changes) - len(told):
            told.append(f"and {more} more")
        if told:
            lines.append(f"    Note right of manager: {'<br/>'.join(map(_escaped, told))}")
    lines.append(f"    Note over manager: broken: {_escaped(verdict.sentence)}")
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """`text` in a form that stays text: `;` ends a statement, `#` begins an entity."""
    return "".join(one if one in _PLAIN else f"#{ord(one)};" for one in shorten(text, 120))
