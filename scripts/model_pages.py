"""Writes a page of documentation per model, generated from its operations: `make generate` runs it.

An engineer of the technology can check such a page line by line: each operation with its caller, its guards with their ids,
errors and clauses, its effects; then duties, policies, objectives, invariants and assumptions.

    python scripts/model_pages.py            write docs/reference/models/*.md
    python scripts/model_pages.py --check    status 1 where a page is not what the model says
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from hostproof.managers import registry
from hostproof.managers.engine import Effect, Model, Operation
from hostproof.managers.engine.terms import TRUE
from hostproof.managers.engine.walk import text

FOLDER = Path(__file__).resolve().parents[1] / "docs/reference/models"
INDEX = "README.md"


def page(key: str, model: Model) -> str:
    """The page of one model."""
    lines = [f"# {model.title} (`{key}`)", "", f"Version {model.version}. Generated from the model: do not edit.", ""]
    lines += _state(model)
    lines += _table("Duties of the guest", ("duty", "the guest keeps it if"), _constants(model, True))
    lines += _table("Policies", ("policy", "meaning", "default", "source"), _constants(model, False))
    lines += ["## Operations", ""]
    for operation in model.operations:
        lines += _operation(operation)
    lines += ["## Objectives", "", "States that must never be reached.", ""]
    for clause in model.objectives:
        lines += [f"- **{clause.id}**: {clause.sentence}. Never: `{_code(text(clause.never))}`."]
        if clause.assumptions:
            lines += [f"  Rests on {', '.join(clause.assumptions)}."]
        if clause.primitives:
            lines += [f"  Primitives: {', '.join(clause.primitives)}."]
    lines += [""]
    invariants = [(f"`{one.id}`", one.sentence, f"`{_code(text(one.clause))}`") for one in model.invariants]
    lines += _table("Invariants", ("id", "why it is kept", "clause"), invariants)
    assumptions = [(f"`{one.id}`", one.sentence, ", ".join(one.broken_by) or "-") for one in model.assumptions]
    lines += _table("Assumptions", ("id", "sentence", "broken by"), assumptions)
    lines += _table("Reachable, or the proofs would be about nothing", ("state",), [(one,) for one in model.witnesses])
    return "\n".join(lines).rstrip() + "\n"


def index(models: dict[str, Model]) -> str:
    """The list of all pages."""
    lines = [
        "# Models of security managers",
        "",
        "One page per model, generated from its operations by",
        "`scripts/model_pages.py`.",
        "",
    ]
    for key, model in models.items():
        lines.append(
            f"- [`{key}`]({key}.md): {model.title}, {model.version}; {len(model.operations)} operations, "
            f"{len(model.objectives)} objectives, {len(model.invariants)} invariants"
        )
    return "\n".join(lines) + "\n"


def _state(model: Model) -> list[str]:
    rows = []
    for variable in model.variables:
        arguments = ", ".join(sort.name for sort in variable.arguments)
        name = f"`{variable.name}[{arguments}]`" if arguments else f"`{variable.name}`"
        values = variable.result.name if variable.result.values is None else ", ".join(variable.result.values)
        start = ", ".join(text(value) for value in variable.initial) or "any"
        rows.append((name, values, start, variable.meaning or "-"))
    return _table("State", ("cell", "values", "at the start", "meaning"), rows)


def _constants(model: Model, duty: bool) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for one in model.constants:
        if one.duty is duty:
            source = f" [{one.source}]" if duty and one.source else ""
            if duty:
                rows.append((f"`{one.name}`", f"{one.sentence}{source}"))
            else:
                rows.append((f"`{one.name}`", one.sentence, "on" if one.default else "off", one.source or "-"))
    return rows


def _operation(operation: Operation) -> Iterator[str]:
    given = ", ".join(f"{name.name}: {name.of.name}" for name in operation.parameters)
    yield f"### {operation.name}({given})"
    yield ""
    yield f"Caller: {operation.caller.value}. {operation.sentence} Source: {operation.source}."
    yield ""
    guards = [
        (f"`{guard.id}`", f"`{_code(text(guard.condition))}`", guard.error or "-", guard.source or "-", guard.redundant)
        for guard in operation.guards
    ]
    yield from _rows(("guard", "must hold", "else", "clause", "may go, because"), guards)
    effects = [(f"`{_code(_effect(effect))}`",) for effect in operation.effects]
    yield from _rows(("effect",), effects)


def _effect(effect: Effect) -> str:
    when = "" if effect.when is TRUE or text(effect.when) == "true" else f" when {text(effect.when)}"
    each = f" for each {', '.join(name.name for name in effect.each)}" if effect.each else ""
    return f"{text(effect.target)} := {text(effect.value)}{when}{each}"


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"## {title}", "", *_rows(head, rows)] if rows else []


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if not rows:
        return
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def _code(words: str) -> str:
    return words.replace("`", "'")


def pages() -> dict[str, str]:
    """Every page by file name. Versions that differ in defaults alone have none of their own."""
    models = {key: factory() for key, factory in registry.every().items() if not factory.version}
    return {INDEX: index(models), **{f"{key}.md": page(key, model) for key, model in models.items()}}


def main(words: Sequence[str]) -> int:
    """Write the pages, or say which are stale."""
    wanted = pages()
    stale = [
        name for name, text in wanted.items() if not (FOLDER / name).exists() or (FOLDER / name).read_text() != text
    ]
    stale += [path.name for path in FOLDER.glob("*.md") if path.name not in wanted]
    if "--check" in words:
        print("\n".join(f"{name} is not what the model says" for name in stale) or "every page is what its model says")
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in FOLDER.glob("*.md"):
        if path.name not in wanted:
            path.unlink()
    for name, content in wanted.items():
        (FOLDER / name).write_text(content)
    print(f"{len(wanted)} pages, {len(stale)} of them new")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
