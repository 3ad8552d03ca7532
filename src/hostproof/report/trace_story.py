"""A trace as a numbered story: who does what, in the words of the specification, and what changes

Each step names the operation with its arguments, says what it is and where it is specified, and lists the cells that changed.
The last line is the sentence that the last state breaks.
"""

from __future__ import annotations

from collections.abc import Iterator

from hostproof.managers.records import Card, StepRecord, Stored, Verdict
from hostproof.report.page import Page, capture, finished
from hostproof.report.words import count

__all__ = ["call", "narrate", "to_text"]


def call(step: StepRecord) -> str:
    """`RMPUPDATE(s=s0, g=g1)`."""
    inside = ", ".join(f"{name}={value}" for name, value in step.arguments.items())
    return f"{step.operation}({inside})" if inside else step.operation


def narrate(stored: Stored, verdict: Verdict, page: Page) -> None:
    """Print the story of one verdict's trace; nothing where it has none. Raises InputError where the trace is broken."""
    trace = verdict.story()
    if trace is None:
        return
    page.heading(f"{verdict.objective}, {stored.model.title}: not {verdict.sentence!r}", style="bold red")
    sizes = ", ".join(count(number, name) for name, number in trace.sizes.items()) or "no pages"
    page.item(f"trace {verdict.id}, {count(len(trace.steps), 'step')}; instance: {sizes}{_run(stored, verdict)}")
    for number, step in enumerate(trace.steps, start=1):
        _step(stored.model, number, step, page)
    page.item(f"so it does not hold that {verdict.sentence}", label=f"{len(trace.steps) + 1:>3}", column=5, style="red")


def to_text(stored: Stored, verdict: Verdict, *, width: int = 100, color: bool = False) -> str:
    """What `narrate` prints at `width` columns."""
    console = capture(width, color)
    narrate(stored, verdict, Page(console))
    return finished(console)


def _run(stored: Stored, verdict: Verdict) -> str:
    """What differs from the defaults."""
    parts = list(differs(stored.model, verdict))
    return f"; {', '.join(parts)}" if parts else ""


def differs(card: Card, verdict: Verdict) -> Iterator[str]:
    """Policies that are not as by default, and duties that the guest does not keep."""
    for name, value in verdict.policy.items():
        if card.policies.get(name) is not value:
            yield f"{name}={'on' if value else 'off'}"
    for name in card.duties:
        if name not in verdict.duties:
            yield f"without {name}"


def _step(card: Card, number: int, step: StepRecord, page: Page) -> None:
    page.item(f"{step.caller}: {call(step)}", label=f"{number:>3}", column=5, style="bold")
    known = card.operations.get(step.operation)
    if known is not None:
        page.item(f"{known.sentence} [{known.source}]", indent=5, column=5)
    for change in step.changes:
        meaning = card.cells.get(change.cell.partition("[")[0], "")
        told = f"   ({meaning})" if meaning else ""
        page.item(f"{change.cell}: {change.before} -> {change.after}{told}", indent=7, column=9, style="dim")
