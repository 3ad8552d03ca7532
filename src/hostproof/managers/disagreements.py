"""Where proofs and the catalogue's claims disagree: a finding about one of them.

Each technology is asked as the catalogue describes it, and with every feature that a policy maps to both on and off where the
technology leaves it optional.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from hostproof.knowledge.predicate import Facts
from hostproof.knowledge.records import Primitive
from hostproof.knowledge.terms import Verdict
from hostproof.managers.proofs import ProvedVerdicts

__all__ = ["Disagreement", "disagreements"]


@dataclass(frozen=True, slots=True, order=True)
class Disagreement:
    """One primitive on which the two say different things."""

    technology: str
    primitive: str
    catalogue: str
    models: str
    reason: str

    def __str__(self) -> str:
        return f"{self.technology} {self.primitive}: catalogue {self.catalogue}, models {self.models}: {self.reason}"


def disagreements(
    proved: ProvedVerdicts, primitives: Sequence[Primitive], technologies: Sequence[str], facts: Callable[[str], Facts]
) -> Iterator[Disagreement]:
    """Every disagreement, for the facts that `facts` gives for a technology."""
    for technology in technologies:
        known = facts(technology)
        for primitive in primitives:
            ours = proved.verdict(primitive, known)
            if ours.kind == "catalogue":
                continue
            theirs = proved.fallback.verdict(primitive, known)
            if ours.verdict is not theirs.verdict:
                yield Disagreement(technology, primitive.id, _word(theirs.verdict), _word(ours.verdict), ours.reason)


def _word(verdict: Verdict | None) -> str:
    return "unknown" if verdict is None else str(verdict)
