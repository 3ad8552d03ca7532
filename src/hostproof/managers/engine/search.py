"""The search for shortest traces: breadth first over the states of a small instance, one per class of symmetry.

Traces are replayed from the initial state without forgetting dead cells, so that steps name the same pages throughout
and a wrong declaration of what is dead is found out.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import msgspec

from hostproof.managers.engine.concrete import Instance, Machine, State
from hostproof.managers.engine.terms import ModelError, Term

__all__ = ["Change", "Exploration", "Limits", "Step", "Trace", "explore"]


class Change(msgspec.Struct, frozen=True):
    """One cell that a step changed: `gpa[s0]` from `g0` to `g1`."""

    cell: str
    before: str
    after: str


class Step(msgspec.Struct, frozen=True):
    """An operation that somebody took: its arguments, the guards that held, and what changed."""

    operation: str
    caller: str
    arguments: dict[str, str]
    guards: tuple[str, ...]
    changes: tuple[Change, ...]

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={value}" for name, value in self.arguments.items())
        return f"{self.caller}: {self.operation}({inside})"


class Trace(msgspec.Struct, frozen=True):
    """The shortest way to a state: sizes of the instance, the cells at the start, the steps."""

    sizes: dict[str, int]
    start: dict[str, str]
    steps: tuple[Step, ...]

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a search stops: states kept, and seconds."""

    states: int = 200_000
    seconds: float = 20.0


@dataclass(slots=True)
class Exploration:
    """What a search saw. `complete`: every reachable state was visited, so a target not found is unreachable here."""

    found: dict[str, Trace] = field(default_factory=dict)
    fired: dict[str, int] = field(default_factory=dict)
    """Operations that can happen, with the depth at which they first do."""
    met: dict[str, int] = field(default_factory=dict)
    """How many of the visited states meet each target; 1 at most unless the search exhausts."""
    states: int = 0
    transitions: int = 0
    depth: int = 0
    complete: bool = False
    seconds: float = 0.0


_Origin = tuple[State, Instance] | None


def explore(
    machine: Machine,
    targets: Mapping[str, Term],
    limits: Limits | None = None,
    exhaust: bool = False,
    operations: Collection[str] = (),
) -> Exploration:
    """Shortest traces to all targets in one pass; stops when all are found and `operations` have happened, unless `exhaust`."""
    limits = limits or Limits()
    started = time.monotonic()
    result = Exploration()
    watched = {name: machine.predicate(term) for name, term in targets.items()}
    open_targets = set(watched)
    parents: dict[State, _Origin] = {}
    layer: list[State] = []

    def arrive(state: State, origin: _Origin) -> None:
        parents[state] = origin
        layer.append(state)
        for name in [name for name, holds in watched.items() if holds(state)]:
            result.met[name] = result.met.get(name, 0) + 1
            if name in open_targets:
                open_targets.discard(name)
                result.found[name] = _replay(machine, parents, state, targets[name])
            if not exhaust:
                del watched[name]

    for raw in machine.initial():
        state = machine.canonical(machine.forget(raw))
        if state not in parents:
            arrive(state, None)
    seen: set[State] = set()
    bounded = False
    while layer and (open_targets or exhaust or set(operations) - set(result.fired)) and not bounded:
        current, layer = layer, []
        for number, state in enumerate(current):
            if len(parents) >= limits.states or (number % 64 == 0 and time.monotonic() - started > limits.seconds):
                bounded = True
                break
            for instance in machine.instances:
                if not instance.enabled(state):
                    continue
                result.transitions += 1
                result.fired.setdefault(instance.operation.name, result.depth + 1)
                after = machine.forget(instance.apply(state))
                if after in parents or after in seen:
                    continue
                seen.add(after)
                after = machine.canonical(after)
                if after not in parents:
                    arrive(after, (state, instance))
        result.depth += 1
        seen.clear()
    result.states = len(parents)
    result.complete = not layer and not bounded
    result.seconds = time.monotonic() - started
    return result


def _replay(machine: Machine, parents: Mapping[State, _Origin], last: State, target: Term) -> Trace:
    """The way to `last` as steps on states that keep their names and forget nothing."""
    path: list[tuple[State, Instance]] = []
    state, origin = last, parents[last]
    while origin is not None:
        path.append((state, origin[1]))
        state = origin[0]
        origin = parents[state]
    path.reverse()
    raw = next(start for start in machine.initial() if machine.canonical(machine.forget(start)) == state)
    start, steps = raw, []
    for wanted, instance in path:
        taken, after = _same_step(machine, raw, wanted, instance)
        steps.append(_step(machine, taken, raw, after))
        raw = after
    if not machine.predicate(target)(raw):
        raise _forgotten(machine, "the last state of the trace is not the one searched for")
    shown = dict(machine.show(i, value) for i, value in enumerate(start))
    return Trace(dict(machine.sizes), shown, tuple(steps))


def _same_step(machine: Machine, raw: State, wanted: State, like: Instance) -> tuple[Instance, State]:
    """The instance that leads from `raw` to the class of `wanted`: the same operation if it does."""
    ranked = sorted(machine.instances, key=lambda instance: instance.operation is not like.operation)
    for instance in ranked:
        if instance.enabled(raw):
            after = instance.apply(raw)
            if machine.canonical(machine.forget(after)) == wanted:
                return instance, after
    raise _forgotten(machine, f"{like.operation.name} of the trace cannot be replayed")


def _forgotten(machine: Machine, message: str) -> ModelError:
    return ModelError.at(machine.model.name, message, hint="an `alive` of the model is false where the value is read")


def _step(machine: Machine, instance: Instance, before: State, after: State) -> Step:
    changes = []
    for i, (old, new) in enumerate(zip(before, after, strict=True)):
        if old != new:
            cell, shown = machine.show(i, old)
            changes.append(Change(cell, shown, machine.show(i, new)[1]))
    operation = instance.operation
    guards = tuple(guard.id for guard in operation.guards)
    return Step(operation.name, operation.caller.value, instance.show(), guards, tuple(changes))
