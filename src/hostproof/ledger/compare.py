"""Threat models side by side: several technologies in one use, each as its vendor describes it.

No VM is read: feature bits that a launch policy would switch stay unknown, and the comparison says which.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from msgspec import Struct

from hostproof.knowledge.load import Catalogue
from hostproof.knowledge.predicate import Value
from hostproof.knowledge.records import Technology, Use
from hostproof.knowledge.terms import Threat
from hostproof.knowledge.threat_model import ChannelJudgement, derive
from hostproof.ledger import summaries
from hostproof.ledger.environment import VmFacts
from hostproof.ledger.features import resolve
from hostproof.ledger.model import Control, ObjectiveFinding, OptionUsed, ThreatFinding
from hostproof.managers.verdicts import Verdicts

__all__ = ["Cell", "Column", "Comparison", "compare"]


class Cell(Struct, frozen=True):
    """One channel in one technology: `absent`, `out-of-scope`, `prevented`, `host` or `unknown`, and why."""

    state: str
    reason: str
    what: str
    threats: list[str]
    """Threats that apply on this channel here."""


class Column(Struct, frozen=True):
    """One technology in the comparison. `undecided` are optional feature bits that nothing switched."""

    technology: str
    name: str
    security_manager: str
    control: Control
    objectives: list[ObjectiveFinding]
    threats: list[ThreatFinding]
    channels: dict[str, Cell]
    undecided: list[str]


class Comparison(Struct, frozen=True):
    """Threat models side by side. `channels` are names by id, in the order of the catalogue."""

    use: str
    use_name: str
    rule_set: str
    channels: dict[str, str]
    options: list[OptionUsed]
    columns: list[Column]


def compare(
    catalogue: Catalogue,
    technologies: Sequence[Technology],
    use: Use,
    verdicts: Verdicts,
    *,
    chosen: Mapping[str, str],
    stated: Mapping[str, Value],
) -> Comparison:
    """The threat models of these technologies in this use."""
    return Comparison(
        use=use.id,
        use_name=use.name,
        rule_set=catalogue.rule_set,
        channels={channel.id: channel.name for channel in catalogue.channels.values()},
        options=summaries.options(catalogue, chosen),
        columns=[_column(catalogue, technology, use, verdicts, chosen, stated) for technology in technologies],
    )


def _column(
    catalogue: Catalogue,
    technology: Technology,
    use: Use,
    verdicts: Verdicts,
    chosen: Mapping[str, str],
    stated: Mapping[str, Value],
) -> Column:
    bare = VmFacts(technology, use, catalogue.options, chosen, stated=stated, mechanisms=catalogue.mechanisms_by_fact)
    features = resolve(catalogue.features, technology, None, bare)
    facts = replace(bare, features=features)
    model = derive(catalogue, facts, lambda primitive, at: verdicts.verdict(primitive, at).verdict)
    controlled, existing = model.control
    dropped = {threat for threat, judgement in model.threats.items() if judgement.holds is False}
    return Column(
        technology=technology.id,
        name=technology.name,
        security_manager=technology.security_manager,
        control=Control(controlled, existing, len(catalogue.channels)),
        objectives=summaries.objectives(catalogue, model),
        threats=summaries.threats(catalogue, model),
        channels={
            name: Cell(
                _state(judgement),
                summaries.channel_reason(judgement),
                judgement.channel.per_technology.get(technology.id, ""),
                _threats(judgement, dropped) if judgement.exists else [],
            )
            for name, judgement in model.channels.items()
        },
        undecided=sorted(name for name, fact in features.items() if fact.value is None),
    )


def _state(judgement: ChannelJudgement) -> str:
    if judgement.absent.holds:
        return "absent"
    if judgement.out_of_scope.holds:
        return "out-of-scope"
    return {True: "prevented", False: "host", None: "unknown"}[judgement.prevented]


def _threats(judgement: ChannelJudgement, dropped: set[Threat]) -> list[str]:
    return [
        str(threat)
        for threat in judgement.channel.threats
        if threat not in dropped and not judgement.threat_absent[threat].holds
    ]
