"""The derived threat model as the ledger stores it: objectives, threats, channels, options used."""

from __future__ import annotations

from collections.abc import Mapping

from hostproof.knowledge.load import Catalogue
from hostproof.knowledge.threat_model import ChannelJudgement, ThreatModel
from hostproof.ledger.decide import missing_facts
from hostproof.ledger.model import ChannelSummary, ObjectiveFinding, OptionUsed, ThreatFinding

__all__ = ["channels", "objectives", "options", "threats"]


def objectives(catalogue: Catalogue, model: ThreatModel) -> list[ObjectiveFinding]:
    """Which objectives the technology, as switched, meets at all."""
    return [
        ObjectiveFinding(
            id=name,
            name=catalogue.objectives[name].name,
            met=judgement.holds,
            reason=judgement.reason,
            missing=missing_facts(judgement.missing),
            sources=list(judgement.sources),
        )
        for name, judgement in model.objectives.items()
    ]


def threats(catalogue: Catalogue, model: ThreatModel) -> list[ThreatFinding]:
    """Which threats apply, with the reason."""
    return [
        ThreatFinding(
            id=name,
            name=catalogue.threats[name].name,
            applies=judgement.holds is not False,
            reason=judgement.reason,
            sources=list(judgement.sources),
        )
        for name, judgement in model.threats.items()
    ]


def channels(model: ThreatModel, technology: str) -> list[ChannelSummary]:
    """Every channel: does it exist here, does the host control it, and why."""
    return [
        ChannelSummary(
            id=judgement.channel.id,
            name=judgement.channel.name,
            kinds=[str(kind) for kind in judgement.channel.kinds],
            exists=judgement.exists,
            controlled=judgement.controlled,
            reason=channel_reason(judgement),
            what=judgement.channel.per_technology.get(technology, ""),
        )
        for judgement in model.channels.values()
    ]


def channel_reason(judgement: ChannelJudgement) -> str:
    """One sentence on a channel: why it is absent, stopped, out of scope or under the host's control."""
    if judgement.absent.holds:
        return f"absent: {judgement.absent.reason}"
    if judgement.out_of_scope.holds:
        return f"out of scope: {judgement.out_of_scope.reason}"
    if judgement.prevented:
        return "the security manager stops every primitive that feeds it"
    if judgement.prevented is None:
        return "whether the security manager stops it depends on feature bits that were not given"
    return "the host controls it"


def options(catalogue: Catalogue, chosen: Mapping[str, str]) -> list[OptionUsed]:
    """The positions used on questions where sources disagree."""
    return [
        OptionUsed(
            id=option.id,
            question=option.question,
            value=chosen.get(option.id, option.default),
            default=option.id not in chosen,
            position=option.positions[chosen.get(option.id, option.default)],
        )
        for option in catalogue.options.values()
    ]
