"""Whether the obligations of a model stay in the fragment that z3 decides: many-sorted EPR.

From an uninterpreted sort to another an edge is drawn by every total function between them, and by every `exists` under a
`forall` where the term is used. Without a cycle only finitely many elements matter, and z3 always answers.
"""

from __future__ import annotations

from collections.abc import Iterator

from hostproof.managers.engine.language import Model, Switches
from hostproof.managers.engine.terms import Choice, Equal, Every, Not, Quantified, Some, Sort, Term
from hostproof.managers.engine.walk import fix_switches, parts

__all__ = ["cycles"]

_Edge = tuple[Sort, Sort, str]


def cycles(model: Model, switches: Switches) -> list[str]:
    """One sentence per cycle between sorts; empty where every obligation is decidable."""
    edges = [
        (argument, variable.result, f"function {variable.name}")
        for variable in model.variables
        if variable.result.uninterpreted
        for argument in variable.arguments
        if argument.uninterpreted
    ]

    def add(term: Term, where: str, polarities: tuple[bool, ...]) -> None:
        fixed = fix_switches(term, switches)
        for positive in polarities:
            edges.extend((one, other, where) for one, other in _alternations(fixed, positive, ()))

    for operation in model.operations:
        for guard in operation.guards:
            add(guard.condition, f"{operation.name}, guard {guard.id}", (True,))
        for effect in operation.effects:
            for term in (effect.value, effect.when):
                add(term, f"{operation.name}, its effects", (True, False))
    for invariant in model.invariants:
        add(invariant.clause, f"invariant {invariant.id}", (True, False))
    for objective in model.objectives:
        add(objective.never, f"objective {objective.id}", (True,))
    return list(_found(edges))


def _alternations(term: Term, positive: bool, outer: tuple[Sort, ...]) -> Iterator[tuple[Sort, Sort]]:
    """Edges from sorts quantified universally to sorts quantified existentially inside them."""
    match term:
        case Quantified(universal=universal, names=names, body=body):
            sorts = tuple(name.of for name in names if name.of.uninterpreted)
            if universal is positive:
                yield from _alternations(body, positive, outer + sorts)
            else:
                yield from ((one, other) for one in outer for other in sorts)
                yield from _alternations(body, positive, outer)
        case Not(part=part):
            yield from _alternations(part, not positive, outer)
        case Every(parts=inside) | Some(parts=inside):
            for part in inside:
                yield from _alternations(part, positive, outer)
        case Choice() | Equal():
            for part in parts(term):
                yield from _alternations(part, positive, outer)
                yield from _alternations(part, not positive, outer)


def _found(edges: list[_Edge]) -> Iterator[str]:
    """A sentence for every edge that lies on a cycle."""
    after: dict[Sort, set[Sort]] = {}
    for one, other, _ in edges:
        after.setdefault(one, set()).add(other)
    for one, other, where in dict.fromkeys(edges):
        reached, todo = {other}, [other]
        while todo:
            for sort in after.get(todo.pop(), set()) - reached:
                reached.add(sort)
                todo.append(sort)
        if one in reached:
            yield f"{where}: from {one.name} to {other.name} and back"
