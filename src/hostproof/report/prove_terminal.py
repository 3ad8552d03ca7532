"""The answers of `prove` on a terminal: the matrix of technologies and objectives, and the verdicts one by one

A cell of the matrix says what all models of the technology say of the objective and its parts together: `proved`, `duties`
(proved while the guest keeps its duties), `3 steps` (the shortest trace), `?` (neither), `-` (no model speaks).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console

from hostproof.managers.objectives import OBJECTIVES, base
from hostproof.managers.records import Stored, Verdict
from hostproof.report.page import Page, capture, finished
from hostproof.report.trace_story import differs, narrate
from hostproof.report.words import count

__all__ = ["Coverage", "Told", "attack_text", "cell", "coverage_text", "render_prove", "to_text", "verdict_text"]

_STYLES = {"proved": "green", "duties": "cyan", "?": "yellow", "-": "dim"}
_WIDE = 11


@dataclass(frozen=True, slots=True)
class Told:
    """The verdicts of one model of one technology."""

    technology: str
    stored: Stored
    verdicts: Sequence[Verdict]


@dataclass(frozen=True, slots=True)
class Coverage:
    """Attacks of the catalogue: those that models replay, those that break a named assumption, and the others."""

    total: int
    replayed: Mapping[str, Sequence[str]]
    """Attack -> sentences: where it is found, where it is gone."""
    assumed: Mapping[str, Sequence[str]]
    """Attack -> `model: assumption`."""
    others: Sequence[str]


def render_prove(answers: Sequence[Told], console: Console, *, verbose: bool = False, trace: bool = False) -> None:
    """Print the answers: the matrix where several technologies were asked, else each verdict."""
    page = Page(console)
    technologies = list(dict.fromkeys(answer.technology for answer in answers))
    if trace:
        for answer in answers:
            for verdict in answer.verdicts:
                narrate(answer.stored, verdict, page)
        if not any(verdict.result == "trace" for answer in answers for verdict in answer.verdicts):
            page.item("no trace: everything that was asked is proved or unknown")
        return
    if len(technologies) > 1:
        _matrix(answers, technologies, console, page)
    if len(technologies) == 1 or verbose:
        for answer in answers:
            _model(answer, page, verbose)
    _summary(answers, page)


def to_text(
    answers: Sequence[Told], *, width: int = 100, color: bool = False, verbose: bool = False, trace: bool = False
) -> str:
    """What `render_prove` prints at `width` columns."""
    console = capture(width, color)
    render_prove(answers, console, verbose=verbose, trace=trace)
    return finished(console)


def cell(answers: Sequence[Told], technology: str, objective: str) -> str:
    """The word of one cell of the matrix."""
    found = [
        (answer.stored, verdict)
        for answer in answers
        if answer.technology == technology
        for verdict in answer.verdicts
        if base(verdict.objective) == objective
    ]
    if not found:
        return "-"
    if broken := [verdict.steps for _, verdict in found if verdict.result == "trace"]:
        return count(min(broken), "step")
    if any(verdict.result == "unknown" for _, verdict in found):
        return "?"
    return "duties" if any(_needed(stored, verdict) for stored, verdict in found) else "proved"


def _needed(stored: Stored, verdict: Verdict) -> list[str]:
    """Duties that the guest keeps in this run and that the proof needs."""
    return [name for name in stored.needed(verdict.objective) if name in verdict.duties]


def _matrix(answers: Sequence[Told], technologies: Sequence[str], console: Console, page: Page) -> None:
    from rich.text import Text

    rows = [name for name in OBJECTIVES if any(cell(answers, one, name) != "-" for one in technologies)]
    head = Text(f"{'':<4}")
    for technology in technologies:
        head.append(f"{technology:>{_WIDE}}", style="bold")
    console.print(head, no_wrap=True, overflow="ignore", crop=False)
    for objective in rows:
        line = Text(f"{objective:<4}", style="bold")
        for technology in technologies:
            word = cell(answers, technology, objective)
            line.append(f"{word:>{_WIDE}}", style=_STYLES.get(word, "red"))
        console.print(line, no_wrap=True, overflow="ignore", crop=False)
    page.blank()
    for objective in rows:
        page.item(OBJECTIVES[objective], label=objective, column=4, style="dim")
    page.blank()
    page.item(
        "proved: for any number of pages. duties: proved while the guest keeps its duties. steps: the shortest trace of host "
        "actions that breaks it, or a part of it. ?: neither proof nor trace. -: no model speaks of it."
    )


def _model(answer: Told, page: Page, verbose: bool) -> None:
    model = answer.stored.model
    page.heading(f"{model.title}, {model.version} ({model.name})")
    if answer.verdicts and (changed := list(differs(model, answer.verdicts[0]))):
        page.item(f"here: {', '.join(changed)}", indent=2)
    for verdict in answer.verdicts:
        style = {"proved": "green", "trace": "red"}.get(verdict.result, "yellow")
        page.item(_line(answer.stored, verdict), label=f"  {verdict.objective}", column=15, label_style=style)
        if verbose:
            _details(answer.stored, verdict, page)


def _line(stored: Stored, verdict: Verdict) -> str:
    """One verdict in a sentence."""
    if verdict.result == "proved":
        parts = [f"proved for any number of pages ({verdict.seconds:.2f} s)"]
        parts.append(f"{count(len(verdict.invariants), 'invariant')}, {count(len(verdict.assumptions), 'assumption')}")
        if needed := _needed(stored, verdict):
            parts.append(f"guest duties: {', '.join(needed)}")
    elif verdict.result == "trace":
        trace = verdict.story()
        names = " > ".join(step.operation for step in trace.steps) if trace else ""
        parts = [f"broken in {count(verdict.steps, 'step')}", names]
    else:
        parts = [f"neither proved nor broken ({verdict.bound})"]
    return f"{verdict.sentence}: {'; '.join(parts)} [{verdict.id}]"


def _details(stored: Stored, verdict: Verdict, page: Page) -> None:
    card = stored.model
    for duty, opened in _opened(stored, verdict):
        told = f"{count(opened.steps, 'step')} [{opened.id}]" if opened.result == "trace" else opened.result
        page.item(f"without {duty}: {told}", indent=15, column=17, style="cyan")
    for name in verdict.invariants:
        page.item(f"{name}: {card.invariants.get(name, '')}", indent=15, column=17, style="dim")
    for name in verdict.assumptions:
        assumption = card.assumptions.get(name)
        told = assumption.sentence if assumption else ""
        broken = f" Broken by {', '.join(assumption.broken_by)}." if assumption and assumption.broken_by else ""
        page.item(f"assumes {name}: {told}{broken}", indent=15, column=17)
    for sentence in verdict.why_not:
        page.item(f"the induction stops: {sentence}", indent=15, column=17, style="yellow")


def _opened(stored: Stored, verdict: Verdict) -> Iterator[tuple[str, Verdict]]:
    """What each duty that a proof needs keeps closed: the verdict where the guest drops it alone."""
    if verdict.result != "proved":
        return
    for duty in _needed(stored, verdict):
        others = tuple(name for name in verdict.duties if name != duty)
        opened = stored.run(verdict.policy, others).get(verdict.objective)
        if opened is not None:
            yield duty, opened


def _summary(answers: Sequence[Told], page: Page) -> None:
    verdicts = [verdict for answer in answers for verdict in answer.verdicts]
    counted = {kind: sum(one.result == kind for one in verdicts) for kind in ("proved", "trace", "unknown")}
    page.blank()
    page.item(
        f"{count(len(verdicts), 'verdict')}: {counted['proved']} proved, {count(counted['trace'], 'trace')}, "
        f"{counted['unknown']} unknown; {count(len(answers), 'model')}"
    )


def verdict_text(stored: Stored, verdict: Verdict, *, width: int = 100, color: bool = False) -> str:
    """One verdict with everything behind it, for `explain ID`."""
    console = capture(width, color)
    page = Page(console)
    model = stored.model
    page.item(f"verdict {verdict.id}: {model.title}, {verdict.objective}", style="bold")
    page.item(_line(stored, verdict), indent=2)
    page.item(f"run: {', '.join(_switches(verdict)) or 'no policies and duties'}", indent=2)
    page.item(f"model {model.name} {model.version}, digest {verdict.digest[:16]}, bound: {verdict.bound}", indent=2)
    _details(stored, verdict, page)
    narrate(stored, verdict, page)
    return finished(console)


def _switches(verdict: Verdict) -> Iterator[str]:
    for name, value in verdict.policy.items():
        yield f"{name}={'on' if value else 'off'}"
    for name in verdict.duties:
        yield f"duty {name}"


def coverage_text(coverage: Coverage, *, width: int = 100, color: bool = False, verbose: bool = False) -> str:
    """The coverage of published attacks, as numbers and lists."""
    console = capture(width, color)
    page = Page(console)
    reached = len(coverage.replayed) + len(set(coverage.assumed) - set(coverage.replayed))
    page.item(
        f"{reached} of {coverage.total} attacks of the catalogue: {len(coverage.replayed)} replayed by a model, "
        f"{reached - len(coverage.replayed)} break a named assumption, {len(coverage.others)} outside of both",
        style="bold",
    )
    page.heading("REPLAYED: the affected model finds it, and the fixed one proves it gone")
    for attack, sentences in coverage.replayed.items():
        page.item("; ".join(sentences), label=f"  {attack}", column=28)
    page.heading("ASSUMPTIONS BROKEN")
    for attack, names in coverage.assumed.items():
        told = names if verbose else names[:3]
        more = f" and {len(names) - 3} more (-v)" if len(names) > len(told) else ""
        page.item(f"{', '.join(told)}{more}", label=f"  {attack}", column=28)
    page.heading("OUTSIDE OF BOTH: code of drivers and guests, launch inputs, side channels that no model names")
    page.item(", ".join(coverage.others) or "none", indent=2)
    return finished(console)


def attack_text(
    story: str,
    sentences: Sequence[str],
    broken: Sequence[str],
    traces: Sequence[tuple[Stored, Verdict]],
    *,
    width: int = 100,
    color: bool = False,
) -> str:
    """What the models say of one published attack; empty where they say nothing."""
    if not sentences and not broken:
        return ""
    console = capture(width, color)
    page = Page(console)
    if sentences:
        page.heading("IN THE MODELS")
        page.item(story, indent=2)
        for sentence in sentences:
            page.item(f"- {sentence}", indent=2, column=4)
    if broken:
        page.heading("ASSUMPTIONS OF PROOFS THAT IT BREAKS")
        for name in broken:
            page.item(f"- {name}", indent=2, column=4)
    for stored, verdict in traces:
        narrate(stored, verdict, page)
    return finished(console)
