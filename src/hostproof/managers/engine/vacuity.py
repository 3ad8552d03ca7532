"""Guards against empty proofs: a model in which nothing happens satisfies every objective.

Under all duties and default policies each operation must fire somewhere, each witness must be reachable, and availability (A1)
must come out broken. Every guard is removed in turn: an objective must break, or the model says why it is redundant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from hostproof.managers.engine.concrete import Machine
from hostproof.managers.engine.language import Guard, Model, Operation
from hostproof.managers.engine.search import Limits, explore
from hostproof.managers.engine.verdict import decide_all
from hostproof.managers.engine.walk import variables_of

__all__ = ["Mutant", "mutants", "silent"]


@dataclass(frozen=True, slots=True)
class Mutant:
    """What removing one guard does: objectives that break, with the length of the trace, and those no longer proved."""

    operation: str
    guard: str
    broken: dict[str, int]
    unknown: tuple[str, ...]
    """Neither proved nor broken at the sizes searched: the guard may matter, nobody knows."""
    redundant: str
    """The model's reason why the guard may go."""

    @property
    def survives(self) -> bool:
        """Whether nothing breaks and no reason is given: a defect of the model."""
        return not self.broken and not self.unknown and not self.redundant


def silent(
    model: Model, sizes: Mapping[str, int] | None = None, limits: Limits | None = None, policy: Mapping[str, bool] = {}
) -> list[str]:
    """One sentence per sign that the model is too weak to prove anything about; empty where there is none."""
    sizes = sizes or _two(model)
    targets = dict(model.witnesses)
    availability = [clause for clause in model.objectives if clause.id.partition(".")[0] == "A1"]
    targets.update({clause.id: clause.never for clause in availability})
    waiting = {operation.name for operation in model.operations if not operation.may_never_fire}
    found = explore(Machine(model, model.switches(policy), sizes), targets, limits, operations=waiting)
    wrong = [f"{name} never happens" for name in sorted(waiting - set(found.fired))]
    wrong += [f"never reached: {name}" for name in model.witnesses if name not in found.found]
    wrong += [
        f"{clause.id} holds, although the host may always refuse service"
        for clause in availability
        if clause.id not in found.found
    ]
    return wrong


def mutants(
    model: Model,
    sizes: Mapping[str, int] | None = None,
    limits: Limits | None = None,
    policy: Mapping[str, bool] = {},
) -> Iterator[Mutant]:
    """The model without each of its guards in turn. Guards of duties are left to `weakest_duties`."""
    verdicts = decide_all(model, policy=policy, sizes=sizes, limits=_short(limits))
    provable = [name for name, verdict in verdicts.items() if verdict.result == "proved"]
    duties = set(model.duties)
    for operation in model.operations:
        for guard in operation.guards:
            if variables_of(guard.condition)[1] & duties:
                continue
            changed = _without(model, operation, guard)
            after = decide_all(changed, provable, policy, sizes=sizes, limits=_short(limits)) if provable else {}
            broken = {name: len(verdict.trace) for name, verdict in after.items() if verdict.trace is not None}
            unknown = tuple(name for name, verdict in after.items() if verdict.result == "unknown")
            yield Mutant(operation.name, guard.id, broken, unknown, guard.redundant)


def _short(limits: Limits | None) -> Limits:
    return limits or Limits(states=100_000, seconds=10.0)


def _without(model: Model, operation: Operation, guard: Guard) -> Model:
    kept = tuple(one for one in operation.guards if one is not guard)
    operations = tuple(replace(one, guards=kept) if one is operation else one for one in model.operations)
    return replace(model, operations=operations)


def _two(model: Model) -> dict[str, int]:
    return {sort.name: 2 for sort in model.sorts if sort.uninterpreted}
