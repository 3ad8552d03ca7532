"""The search against the answers of toys, against a search without symmetry, and against wrong declarations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest

from hostproof.managers.engine import FALSE, Caller, Model, ModelBuilder, ModelError, Sort, all_of, exists, toy
from hostproof.managers.engine.concrete import Machine, State
from hostproof.managers.engine.search import Limits, explore
from tests.managers.engine import toys


def everything(machine: Machine) -> dict[State, int]:
    """Every state with its depth, by the plainest search there is: no symmetry, nothing forgotten, all starts."""
    depth = dict.fromkeys(all_starts(machine), 0)
    layer = list(depth)
    while layer:
        after = []
        for state in layer:
            for instance in machine.instances:
                if instance.enabled(state) and (new := instance.apply(state)) not in depth:
                    depth[new] = depth[state] + 1
                    after.append(new)
        layer = after
    return depth


def all_starts(machine: Machine) -> list[State]:
    starts: list[list[int]] = [[]]
    for variable, _ in machine.cells:
        values = [value.index for value in variable.initial] or range(machine.size(variable.result))
        starts = [[*start, value] for start in starts for value in values]
    return [tuple(start) for start in starts]


def test_the_shortest_way_to_three_is_three_increments() -> None:
    model = toys.counter()

    found = explore(Machine(model, model.switches(), {}), {"M1": model.objectives[0].never}).found

    assert [step.operation for step in found["M1"].steps] == ["increment"] * 3


def test_a_trace_tells_arguments_guards_and_changes_with_names_that_stay() -> None:
    model = toys.mutual_exclusion()
    machine = Machine(model, model.switches(without=["polite"]), {"Process": 3})

    trace = explore(machine, {"M3": model.objectives[0].never}).found["M3"]

    assert [str(step) for step in trace.steps] == ["guest: enter(me=p0)", "guest: enter(me=p1)"]
    assert [(change.cell, change.before, change.after) for change in trace.steps[0].changes] == [
        ("lock", "FREE", "HELD"),
        ("inside[p0]", "false", "true"),
    ]
    assert trace.steps[1].guards == ("enter.free",)
    assert trace.start["inside[p2]"] == "false"


@pytest.mark.parametrize(
    ("make", "sizes", "without"),
    [
        (toys.counter, {}, []),
        (toys.mutual_exclusion, {"Process": 3}, []),
        (toys.mutual_exclusion, {"Process": 3}, ["polite"]),
        (toys.graph, {"Process": 2, "Page": 2}, []),
        (toys.graph, {"Process": 2, "Page": 1}, []),
        (toy.model, {"SystemPage": 2, "GuestPage": 2}, []),
        (toy.model, {"SystemPage": 3, "GuestPage": 1}, ["accept_once"]),
    ],
)
def test_symmetry_keeps_classes_of_states_and_depths(
    make: Callable[[], Model], sizes: Mapping[str, int], without: Sequence[str]
) -> None:
    model = make()
    machine = Machine(model, model.switches(without=without), sizes)
    depths = everything(machine)
    bad = {clause.id: machine.predicate(clause.never) for clause in model.objectives}
    shortest = {
        name: min((depth for state, depth in depths.items() if holds(state)), default=None)
        for name, holds in bad.items()
    }

    seen = explore(machine, {clause.id: clause.never for clause in model.objectives}, exhaust=True)

    assert seen.complete
    assert len({machine.canonical(machine.forget(state)) for state in depths}) == seen.states
    assert {name: len(seen.found[name]) if name in seen.found else None for name in bad} == shortest


def test_a_trace_through_a_value_that_was_called_dead_is_an_error() -> None:
    page = Sort("Page", prefix="s")
    m = ModelBuilder("wrong", "1", "Reads what it calls dead")
    (p,) = page.names("p")
    given, marked, done = (m.function(name, [page]) for name in ("given", "marked", "done"))
    m.alive(marked, [p], given[p])
    with m.operation("mark", Caller.HOST, "Marks a page before it is given.", "1") as op:
        s = op.parameter("s", page)
        op.set(marked[s], True)
        op.set(given[s], True)
    with m.operation("take", Caller.HOST, "Takes it; the mark stays.", "2") as op:
        s = op.parameter("s", page)
        op.guard("take.given", given[s])
        op.set(given[s], False)
        op.set(done[s], True)
    m.objective("M1", exists([p], all_of(done[p], ~given[p], ~marked[p])), "a page that was taken is marked")
    model = m.build()

    with pytest.raises(ModelError, match="not the one searched for"):
        explore(Machine(model, model.switches(), {"Page": 1}), {"M1": model.objectives[0].never})


def test_a_search_stops_at_its_limits_and_says_that_it_is_not_complete() -> None:
    model = toys.graph()
    machine = Machine(model, model.switches(), {"Process": 3, "Page": 3})

    seen = explore(machine, {"never": FALSE}, Limits(states=50), exhaust=True)

    assert (seen.complete, seen.states < 1000) == (False, True)


def test_sizes_must_be_given() -> None:
    model = toys.mutual_exclusion()

    with pytest.raises(ModelError, match="number of Process"):
        Machine(model, model.switches(), {})
