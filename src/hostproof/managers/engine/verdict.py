"""Verdicts: what the prover says about an objective of a model, as a record that can be stored and compared.

`decide` asks the induction first, because a proof for any number of pages takes less than a search, and searches for the
shortest trace where it fails. The two never contradict each other: a trace is a counterexample to any proof, and the
tests of the models run both.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import msgspec

from hostproof.managers.engine.concrete import Machine
from hostproof.managers.engine.induction import Failure, settle
from hostproof.managers.engine.language import Model, ObjectiveClause, Switches
from hostproof.managers.engine.search import Limits, Trace, explore
from hostproof.managers.engine.walk import text

__all__ = ["DutyTable", "VerdictRecord", "decide", "decide_all", "digest", "rendering", "weakest_duties"]

ENGINE = "1"
"""Version of the engine: raised where its meaning of a model changes."""


class VerdictRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a state that an objective forbids is reachable, for one policy and the duties that the guest keeps."""

    id: str
    """Stable short hash of everything but the times and versions of tools."""
    technology: str
    version: str
    objective: str
    sentence: str
    policy: dict[str, bool]
    duties: tuple[str, ...]
    result: str
    """`proved`, `trace` or `unknown`."""
    bound: str
    """`any` number of pages for a proof; the sizes that were searched otherwise."""
    invariants: tuple[str, ...] = ()
    """Ids of the model's invariants that are inductive in this run; together they exclude the violation."""
    trace: Trace | None = None
    why_not: tuple[Failure, ...] = ()
    """For `unknown`: where the induction stops. For `trace`: empty."""
    assumptions: tuple[str, ...] = ()
    primitives: tuple[str, ...] = ()
    engine: str = ENGINE
    z3: str = ""
    states: int = 0
    depth: int = 0
    exhausted: bool = False
    """Whether the search saw every state of its sizes."""
    queries: int = 0
    digest: str = ""
    seconds: float = 0.0


class DutyTable(msgspec.Struct, frozen=True):
    """The weakest duties under which an objective is proved, and what each dropped duty opens."""

    weakest: tuple[tuple[str, ...], ...]
    """Every minimal set of duties under which it is proved; empty where it is not proved under all of them."""
    dropped: dict[str, VerdictRecord]
    """Per duty: the verdict where the guest keeps all others."""


def rendering(model: Model) -> str:
    """The canonical text of what a model means: sentences and sources are left out, ids stay."""
    return "\n".join(_lines(model))


def digest(model: Model) -> str:
    """sha256 of the canonical text."""
    return hashlib.sha256(rendering(model).encode()).hexdigest()


def decide(
    model: Model,
    objective: str,
    policy: Switches | None = None,
    without: Sequence[str] = (),
    sizes: Mapping[str, int] | None = None,
    limits: Limits | None = None,
) -> VerdictRecord:
    """The verdict on one objective; `without` names the duties that the guest does not keep."""
    return decide_all(model, [objective], policy, without, sizes, limits)[objective]


def decide_all(
    model: Model,
    objectives: Sequence[str] | None = None,
    policy: Switches | None = None,
    without: Sequence[str] = (),
    sizes: Mapping[str, int] | None = None,
    limits: Limits | None = None,
) -> dict[str, VerdictRecord]:
    """Verdicts on several objectives (all by default): one induction for what is provable, one search for the rest."""
    switches = model.switches(policy, without)
    wanted = [model.objective(name) for name in objectives or [clause.id for clause in model.objectives]]
    sizes = dict(sizes or {sort.name: 2 for sort in model.sorts if sort.uninterpreted})
    verdicts: dict[str, VerdictRecord] = {}
    proof = settle(model, wanted, switches)
    for clause in wanted:
        if clause.id in proof.excluded:
            verdicts[clause.id] = _record(
                clause, model, switches, result="proved", bound="any", invariants=proof.invariants,
                queries=proof.queries, z3=proof.z3, seconds=proof.seconds,
            )  # fmt: skip
    rest = [clause for clause in wanted if clause.id not in verdicts]
    if not rest:
        return verdicts
    started = time.monotonic()
    exploration = explore(Machine(model, switches, sizes), {clause.id: clause.never for clause in rest}, limits)
    spent = proof.seconds + time.monotonic() - started
    bound = ", ".join(f"{count} {name}" for name, count in sorted(sizes.items())) or "no pages"
    for clause in rest:
        found = exploration.found.get(clause.id)
        others = {one.id for one in wanted} - {clause.id}
        relevant = tuple(failure for failure in proof.failures if failure.clause not in others)
        verdicts[clause.id] = _record(
            clause, model, switches, result="trace" if found else "unknown", bound=bound, trace=found,
            why_not=() if found else relevant, queries=proof.queries, z3=proof.z3,
            states=exploration.states, depth=exploration.depth, exhausted=exploration.complete, seconds=spent,
        )  # fmt: skip
    return {clause.id: verdicts[clause.id] for clause in wanted}


def weakest_duties(
    model: Model, objective: str, policy: Switches | None = None, limits: Limits | None = None
) -> DutyTable:
    """The weakest duties that an objective needs, found by dropping more and more of them."""
    clause = [model.objective(objective)]

    def proved(kept: Sequence[str]) -> bool:
        without = [duty for duty in model.duties if duty not in kept]
        return objective in settle(model, clause, model.switches(policy, without)).excluded

    dropped = {duty: decide(model, objective, policy, [duty], limits=limits) for duty in model.duties}
    weakest: list[tuple[str, ...]] = []
    if proved(model.duties):
        needed = [duty for duty, verdict in dropped.items() if verdict.result != "proved"]
        optional = [duty for duty in model.duties if duty not in needed]
        for count in range(len(optional) + 1):
            for more in combinations(optional, count):
                kept = tuple(duty for duty in model.duties if duty in needed or duty in more)
                if not any(set(known) <= set(kept) for known in weakest) and proved(kept):
                    weakest.append(kept)
    return DutyTable(tuple(weakest), dropped)


def _record(clause: ObjectiveClause, model: Model, switches: Switches, **fields: object) -> VerdictRecord:
    duties = tuple(name for name in model.duties if switches[name])
    policy = {constant.name: switches[constant.name] for constant in model.constants if not constant.duty}
    record = VerdictRecord(
        id="", technology=model.name, version=model.version, objective=clause.id, sentence=clause.sentence,
        policy=policy, duties=duties, assumptions=clause.assumptions, primitives=clause.primitives,
        digest=digest(model), **fields,  # type: ignore[arg-type]
    )  # fmt: skip
    identity = msgspec.structs.replace(
        record, seconds=0.0, z3="", states=0, depth=0, exhausted=False, queries=0, why_not=()
    )
    encoded = msgspec.json.encode(identity, order="sorted")
    return msgspec.structs.replace(record, id=hashlib.sha256(encoded).hexdigest()[:12])


def _lines(model: Model) -> Iterator[str]:
    yield f"model {model.name} {model.version}"
    for sort in model.sorts:
        yield f"sort {sort.name} {', '.join(sort.values) if sort.values is not None else 'uninterpreted'}"
    for variable in model.variables:
        signature = f"{', '.join(sort.name for sort in variable.arguments)} -> {variable.result.name}"
        yield f"variable {variable.name}: {signature} = {', '.join(map(text, variable.initial)) or 'any'}"
        if variable.alive is not None:
            yield f"  alive[{', '.join(name.name for name in variable.dummies)}] {text(variable.alive)}"
    for constant in model.constants:
        yield f"{'duty' if constant.duty else 'policy'} {constant.name} = {constant.default}"
    for operation in model.operations:
        listed = ", ".join(f"{name.name}: {name.of.name}" for name in operation.parameters)
        yield f"operation {operation.name}({listed}) by {operation.caller.value}"
        for guard in operation.guards:
            yield f"  guard {guard.id} [{guard.error}] {text(guard.condition)}"
        for effect in operation.effects:
            each = f" each {', '.join(name.name for name in effect.each)}" if effect.each else ""
            yield f"  {text(effect.target)} := {text(effect.value)} when {text(effect.when)}{each}"
    for objective in model.objectives:
        yield f"never {objective.id} {text(objective.never)}"
    for invariant in model.invariants:
        yield f"invariant {invariant.id} {text(invariant.clause)}"
