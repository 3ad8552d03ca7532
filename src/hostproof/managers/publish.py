"""From a model to its stored verdicts: which runs are published, and the card that goes with them.

Published are: the default run; each policy flipped; each duty dropped; every combination of the policies that facts of a VM map
to (`policies.toml`), under all duties; and the runs in which published attacks are replayed (`replays.toml`). The engine is
imported here and by nobody who only reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import msgspec

from hostproof.managers.engine import Model
from hostproof.managers.engine.induction import settle
from hostproof.managers.engine.search import Limits
from hostproof.managers.engine.verdict import ENGINE, VerdictRecord, decide_all, digest, weakest_duties
from hostproof.managers.policies import mapping, replays
from hostproof.managers.records import (
    FORMAT,
    AssumptionCard,
    Card,
    ObjectiveCard,
    OperationCard,
    Stored,
    SwitchCard,
    Verdict,
)
from hostproof.managers.registry import Factory, technologies_of

__all__ = ["LIMITS", "Run", "card", "encode", "prove_run", "runs", "stored", "weakest"]

LIMITS = Limits(states=64_000, seconds=120.0)
"""Of a search: the number of states decides, so that a slower machine finds the same."""
MUTANTS = Limits(states=15_000, seconds=120.0)
"""Of a search where a policy is flipped that no fact of a VM maps to, and of other versions."""
MAX_MAPPED = 5
_LINE = msgspec.json.Encoder(order="deterministic")


@dataclass(frozen=True, slots=True)
class Run:
    """Policies that differ from their default, and duties that the guest does not keep."""

    policy: Mapping[str, bool]
    without: tuple[str, ...] = ()


def runs(model: Model, factory: Factory) -> list[Run]:
    """The published runs, the default one first."""
    defaults = {constant.name: constant.default for constant in model.constants if not constant.duty}
    if factory.version:
        return [Run({})]
    mapped = [name for name in defaults if name in mapping(factory.key).policies][:MAX_MAPPED]
    found = [Run({})]
    found += [Run({name: not value}) for name, value in defaults.items()]
    for values in product((False, True), repeat=len(mapped)):
        changed = {name: value for name, value in zip(mapped, values, strict=True) if value != defaults[name]}
        if len(changed) > 1:
            found.append(Run(changed))
    found += [Run({}, (duty,)) for duty in model.duties]
    for replay in replays().values():
        for scene in (*replay.found, *replay.gone):
            run = Run({name: on for name, on in scene.policy.items() if on != defaults.get(name)}, tuple(scene.without))
            if scene.model == factory.key and run not in found:
                found.append(run)
    return found


def card(model: Model, factory: Factory) -> Card:
    """What a person needs of the model to read its verdicts."""
    return Card(
        name=factory.key,
        version=model.version,
        title=model.title,
        technologies=list(technologies_of(factory)),
        variant=factory.version,
        digest=digest(model),
        engine=ENGINE,
        switches=[SwitchCard(one.name, one.sentence, one.default, one.duty, one.source) for one in model.constants],
        objectives=[
            ObjectiveCard(one.id, one.sentence, list(one.assumptions), list(one.primitives)) for one in model.objectives
        ],
        invariants={one.id: one.sentence for one in model.invariants},
        assumptions={one.id: AssumptionCard(one.sentence, list(one.broken_by)) for one in model.assumptions},
        operations={
            one.name: OperationCard(
                one.caller.value, one.sentence, one.source, {guard.id: guard.source for guard in one.guards}
            )
            for one in model.operations
        },
        cells={one.name: one.meaning for one in model.variables if one.meaning},
    )


def prove_run(model: Model, factory: Factory, run: Run, objectives: Sequence[str] | None = None) -> list[Verdict]:
    """The verdicts of one run, now."""
    mutant = factory.version or any(name not in mapping(factory.key).policies for name in run.policy)
    limits = MUTANTS if mutant else LIMITS
    found = decide_all(model, objectives, run.policy, run.without, factory.sizes(model), limits)
    return [_stored(record) for record in found.values()]


def stored(model: Model, factory: Factory, verdicts: Sequence[Verdict]) -> Stored:
    """The file: the verdicts of all runs, with the card and the weakest duties."""
    return Stored(FORMAT, card(model, factory), weakest(model, verdicts), list(verdicts))


def weakest(model: Model, verdicts: Sequence[Verdict]) -> dict[str, list[list[str]]]:
    """The weakest duties of each objective that is proved by default: those that may not be dropped, if they suffice."""
    if not any(one.duties != model.duties for one in verdicts):
        return {}
    policy = {constant.name: constant.default for constant in model.constants if not constant.duty}
    proved: set[tuple[str, tuple[str, ...]]] = {
        (one.objective, one.duties) for one in verdicts if one.result == "proved" and one.policy == policy
    }
    needed: dict[tuple[str, ...], list[str]] = {}
    for clause in model.objectives:
        if (clause.id, model.duties) in proved:
            without = [(duty, tuple(other for other in model.duties if other != duty)) for duty in model.duties]
            kept = tuple(duty for duty, others in without if (clause.id, others) not in proved)
            needed.setdefault(kept, []).append(clause.id)
    found: dict[str, list[list[str]]] = {}
    for kept, names in needed.items():
        switches = model.switches(None, [duty for duty in model.duties if duty not in kept])
        settled = settle(model, [model.objective(name) for name in names], switches)
        for name in names:
            if name in settled.excluded:
                found[name] = [list(kept)]
            else:
                table = weakest_duties(model, name, limits=LIMITS)
                found[name] = [list(duties) for duties in table.weakest]
    return dict(sorted(found.items()))


def _stored(record: VerdictRecord) -> Verdict:
    trace = msgspec.Raw(msgspec.json.encode(record.trace))
    why_not = tuple(str(failure)[:2000] for failure in record.why_not[:5])
    return Verdict(
        id=record.id, technology=record.technology, version=record.version, objective=record.objective,
        sentence=record.sentence, policy=record.policy, duties=record.duties, result=record.result, bound=record.bound,
        invariants=record.invariants, assumptions=record.assumptions, primitives=record.primitives, digest=record.digest,
        states=record.states, queries=record.queries, seconds=round(record.seconds, 3),
        steps=len(record.trace) if record.trace else 0, why_not=why_not, trace=trace,
    )  # fmt: skip


def encode(stored: Stored, before: Stored | None = None) -> bytes:
    """The file: a card, then one verdict per line. A verdict that stood there before keeps its times."""
    kept = {one.id: one for one in before.verdicts} if before else {}
    lines = list(_lines(stored, kept))
    return b"".join(lines)


def _lines(stored: Stored, kept: Mapping[str, Verdict]) -> Iterator[bytes]:
    yield b'{\n"format":' + _LINE.encode(stored.format) + b',\n"model":' + _LINE.encode(stored.model)
    yield b',\n"weakest":' + _LINE.encode(stored.weakest) + b',\n"verdicts":[\n'
    for number, verdict in enumerate(stored.verdicts):
        old = kept.get(verdict.id)
        times = {} if old is None else {"seconds": old.seconds, "queries": old.queries, "states": old.states}
        yield (b",\n" if number else b"") + _LINE.encode(msgspec.structs.replace(verdict, **times))
    yield b"\n]}\n"
