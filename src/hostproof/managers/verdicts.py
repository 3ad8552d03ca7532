"""The verdict of a security manager on a host primitive.

One small interface: `Verdicts`. Today the catalogue's claims stand behind it (`CatalogueVerdicts`: rules with their
clause, over feature bits); an executable model of a security manager answers through the same interface with a proof
or a trace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from hostproof.knowledge.predicate import Fact, Facts, parse
from hostproof.knowledge.records import Primitive
from hostproof.knowledge.terms import Checked, Verdict

__all__ = ["CatalogueVerdicts", "PrimitiveVerdict", "Verdicts"]


@dataclass(frozen=True, slots=True)
class PrimitiveVerdict:
    """What the security manager does to a primitive.

    `verdict` is None where a feature bit that decides it was not given; `missing` names it. `reason` is the clause
    that prevents it or the trace that does it.
    """

    primitive: str
    verdict: Verdict | None
    reason: str
    because: tuple[Fact, ...] = ()
    missing: tuple[Fact, ...] = ()
    sources: tuple[str, ...] = ()
    checked: Checked = Checked.PRIMARY
    kind: str = "catalogue"
    """`catalogue` (a sourced claim), `proof` or `trace`."""


class Verdicts(Protocol):
    """Whatever can say what a security manager does to a primitive, given the facts of a VM."""

    def verdict(self, primitive: Primitive, facts: Facts) -> PrimitiveVerdict: ...


class CatalogueVerdicts:
    """Verdicts as the catalogue's sources state them. A rule that nobody checked never prevents anything."""

    def verdict(self, primitive: Primitive, facts: Facts) -> PrimitiveVerdict:
        """Prevented by the first rule that holds; unknown if one might; else possible."""
        missing: tuple[Fact, ...] = ()
        for rule in primitive.prevented:
            if rule.checked is Checked.UNCHECKED:
                continue
            truth = parse(rule.when)(facts)
            if truth.value:
                return PrimitiveVerdict(
                    primitive.id, Verdict.PREVENTED, rule.reason, truth.because, (), tuple(rule.sources), rule.checked
                )
            missing += truth.missing if truth.value is None else ()
        sources = tuple(primitive.sources)
        if missing:
            reason = f"whether the host can {primitive.name} depends on what was not given"
            return PrimitiveVerdict(
                primitive.id, None, reason, (), tuple(dict.fromkeys(missing)), sources, primitive.checked
            )
        trace = primitive.trace or primitive.name
        return PrimitiveVerdict(primitive.id, Verdict.POSSIBLE, trace, (), (), sources, primitive.checked)
