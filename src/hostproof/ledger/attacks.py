"""The published attacks, judged against one VM: which work here, which are fixed, which do not reach it."""

from __future__ import annotations

from collections.abc import Iterator

from hostproof.knowledge.load import Catalogue
from hostproof.knowledge.predicate import Facts, parse
from hostproof.knowledge.records import Attack
from hostproof.ledger.decide import missing_facts
from hostproof.ledger.model import AttackFinding, MissingFact

__all__ = ["findings"]


def findings(catalogue: Catalogue, facts: Facts) -> Iterator[AttackFinding]:
    """Every attack of the catalogue, in its order."""
    for attack in catalogue.attacks.values():
        state, reason, missing = _judge(attack, facts)
        yield AttackFinding(
            id=attack.id,
            name=attack.name,
            venue=attack.venue,
            state=state,
            reason=reason,
            breaks=list(attack.breaks),
            channels=list(attack.channels),
            references=list(attack.references),
            missing=missing,
            sources=list(attack.sources),
            checked=attack.checked,
        )


def _crash_counts(facts: Facts) -> bool:
    """Whether a mere crash is a finding: a position on a disputed question, or the policy of this use."""
    return facts.fact("option.crash_is_finding").value == "yes" or facts.fact("use.crash_policy").value == "finding"


def _judge(attack: Attack, facts: Facts) -> tuple[str, str, list[MissingFact]]:
    affected, fixed = parse(attack.affected)(facts), parse(attack.fixed)(facts)
    if attack.affected == "false":
        return "not-affected", f"a negative control: {attack.fixed_by}", []
    if affected.value is False:
        return "not-affected", f"{attack.affected} does not hold here", []
    if attack.breaks == ["AV"] and not _crash_counts(facts):
        return "out-of-scope", "it only stops the guest: a crash that discloses or corrupts nothing is no finding", []
    if attack.physical and facts.fact("option.physical_interposer").value == "out":
        return "out-of-scope", "a physical interposer is out of scope in this threat model", []
    if fixed.value:
        return "fixed", attack.fixed_by or f"{attack.fixed} holds here", []
    missing = (*affected.missing, *(fixed.missing if fixed.value is None else ()))
    if affected.value is None or fixed.value is None:
        return "unknown", "it depends on " + ", ".join(sorted({fact.name for fact in missing})), missing_facts(missing)
    return (
        "works",
        f"nothing found here fixes it; what would: {attack.fixed_by}" if attack.fixed_by else "no fix is known",
        [],
    )
