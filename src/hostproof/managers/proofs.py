"""Verdicts on primitives from stored proofs and traces, in the place of the catalogue's claims.

For a primitive the objectives that name it are asked, in every model of the technology, under the policies that the VM's facts
decide. All proved: prevented (if they answer the whole primitive), with the ids of the proofs, the guest's duties and the
assumptions. One broken whatever is unknown: possible, with the shortest trace. Otherwise the answer depends on facts that were
not given. Where no model speaks, or its prover gave no answer, the catalogue speaks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

from hostproof.knowledge.predicate import Fact, Facts, Truth, parse
from hostproof.knowledge.records import Primitive
from hostproof.knowledge.terms import Checked
from hostproof.knowledge.terms import Verdict as Answer
from hostproof.managers.policies import answered, mapping
from hostproof.managers.records import Library, Stored, Verdict, library
from hostproof.managers.verdicts import CatalogueVerdicts, PrimitiveVerdict, Verdicts

__all__ = ["ProvedVerdicts", "Spoken", "proved"]

MAX_UNKNOWN = 6
"""Policies that no fact decides: beyond that many the catalogue speaks."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """What one model says of one primitive: a list of verdicts on its objectives per way to complete the facts."""

    stored: Stored
    cases: tuple[tuple[Verdict, ...], ...]
    because: tuple[Fact, ...]
    missing: tuple[Fact, ...]

    @property
    def published(self) -> bool:
        """Whether a verdict is stored for every case, and each is a proof or a trace."""
        return bool(self.cases) and all(case and all(v.result != "unknown" for v in case) for case in self.cases)

    def proofs(self) -> Iterator[Verdict]:
        """The verdicts of the first case."""
        yield from self.cases[0]


@dataclass(frozen=True)
class ProvedVerdicts:
    """`Verdicts` by the library of proofs, and by `fallback` where no model speaks."""

    library: Library
    fallback: Verdicts = field(default_factory=CatalogueVerdicts)

    def verdict(self, primitive: Primitive, facts: Facts) -> PrimitiveVerdict:
        """The verdict of the models, else that of the fallback."""
        spoken = list(self.spoken(primitive.id, facts))
        answer = _judge(primitive, spoken) if spoken and all(one.published for one in spoken) else None
        return answer or self.fallback.verdict(primitive, facts)

    def spoken(self, primitive: str, facts: Facts) -> Iterator[Spoken]:
        """What each model of the VM's technology says of a primitive."""
        technology = facts.fact("technology").value
        for stored in self.library.of(str(technology)) if technology is not None else []:
            over = mapping(stored.model.name).passes_over
            objectives = [one for one in stored.model.objectives if primitive in one.primitives]
            wanted = [one.id for one in objectives if primitive not in over.get(one.id, ())]
            if wanted and _applies(stored, primitive, facts):
                yield _ask(stored, wanted, facts)


def _applies(stored: Stored, primitive: str, facts: Facts) -> bool:
    """Whether the model describes what this VM does about the primitive."""
    conditions = mapping(stored.model.name).applies
    limits = [conditions[name] for name in ("*", primitive) if name in conditions]
    return all(parse(condition)(facts).value for condition in limits)


def _ask(stored: Stored, wanted: Sequence[str], facts: Facts) -> Spoken:
    """The verdicts on the objectives for every value of the policies that no fact decides."""
    truths: dict[str, Truth] = {
        name: parse(condition)(facts)
        for name, condition in mapping(stored.model.name).policies.items()
        if name in stored.model.policies
    }
    because = tuple(fact for truth in truths.values() if truth.value is not None for fact in truth.because)
    open_ones = [name for name, truth in truths.items() if truth.value is None]
    missing = tuple(fact for name in open_ones for fact in truths[name].missing)
    if len(open_ones) > MAX_UNKNOWN:
        return Spoken(stored, (), because, missing)
    known = {name: bool(truth.value) for name, truth in truths.items() if truth.value is not None}
    cases = []
    for values in product((False, True), repeat=len(open_ones)):
        policy = stored.model.policies | known | dict(zip(open_ones, values, strict=True))
        run = stored.run(policy, stored.model.duties)
        cases.append(tuple(run[name] for name in wanted if name in run))
    return Spoken(stored, tuple(cases), because, missing)


def _judge(primitive: Primitive, spoken: Sequence[Spoken]) -> PrimitiveVerdict | None:
    """Prevented where everything is proved in every case; possible where something is broken in every case."""
    always = [one for one in spoken if all(any(v.result == "trace" for v in case) for case in one.cases)]
    if always:
        return _possible(primitive, always)
    if primitive.id not in answered():
        return None
    if all(v.result == "proved" for one in spoken for case in one.cases for v in case):
        return _prevented(primitive, spoken)
    missing = tuple(dict.fromkeys(fact for one in spoken for fact in one.missing))
    reason = f"whether the host can {_lower(primitive.name)} depends on what was not given"
    return PrimitiveVerdict(primitive.id, None, reason, (), missing, tuple(primitive.sources), Checked.PRIMARY, "proof")


def _possible(primitive: Primitive, spoken: Sequence[Spoken]) -> PrimitiveVerdict:
    found = [(v.steps, v, one) for one in spoken for v in one.proofs() if v.result == "trace"]
    steps, verdict, model = min(found, key=lambda item: (item[0], item[1].id))
    length = "1 step" if steps == 1 else f"{steps} steps"
    reason = f"trace {verdict.id} of {length}: not {verdict.sentence!r} ({model.stored.model.title})"
    sources = (f"trace:{verdict.id}", *primitive.sources)
    return PrimitiveVerdict(primitive.id, Answer.POSSIBLE, reason, model.because, (), sources, Checked.PRIMARY, "trace")


def _prevented(primitive: Primitive, spoken: Sequence[Spoken]) -> PrimitiveVerdict:
    parts: list[str] = []
    sources: list[str] = []
    because: list[Fact] = []
    for one in spoken:
        for verdict in one.proofs():
            parts.append(_sentence(one.stored, verdict))
            sources.append(f"proof:{verdict.id}")
        because += _deciding(one)
    reason = "; ".join(dict.fromkeys(parts))
    kept = tuple(dict.fromkeys([*sources, *primitive.sources]))
    facts = tuple(dict.fromkeys(because))
    return PrimitiveVerdict(primitive.id, Answer.PREVENTED, reason, facts, (), kept, Checked.PRIMARY, "proof")


def _deciding(spoken: Spoken) -> Iterable[Fact]:
    """The facts on which the proofs rest: those of policies whose other value would not be proved."""
    model = spoken.stored.model
    for name, condition in mapping(model.name).policies.items():
        for verdict in spoken.proofs():
            other = {**verdict.policy, name: not verdict.policy.get(name, False)}
            flipped = spoken.stored.run(other, verdict.duties).get(verdict.objective)
            if flipped is None or flipped.result != "proved":
                yield from (fact for fact in spoken.because if fact.name in parse(condition).names)


def _sentence(stored: Stored, verdict: Verdict) -> str:
    """`no page in use is changed in place (proof 1a2b3c4d5e6f, any number of pages; guest duties: ...; assumes ...)`."""
    inside = [f"proof {verdict.id}, {'any number of pages' if verdict.bound == 'any' else verdict.bound}"]
    if duties := stored.needed(verdict.objective):
        inside.append(f"guest duties: {', '.join(duties)}")
    if verdict.assumptions:
        inside.append(f"assumes {', '.join(verdict.assumptions)}")
    return f"{verdict.sentence} ({'; '.join(inside)})"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]


def proved() -> ProvedVerdicts:
    """The verdicts that come with hostproof, and the catalogue's claims behind them."""
    return ProvedVerdicts(library())
