"""The threat model that follows from a technology and a use.

From the feature bits of a technology and the axes of a use, this module derives which objectives the technology meets,
which threats apply, which channels exist and which of them the host controls, each with the rule that says so. It
reads facts only through predicates, so that the same derivation serves `compare` (a technology as its vendor
describes it) and `assess` (a VM whose policy bits are known).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hostproof.knowledge.load import Catalogue
from hostproof.knowledge.predicate import Fact, Facts, Truth, parse
from hostproof.knowledge.records import Channel, Primitive, Rule
from hostproof.knowledge.terms import Checked, Objective, Threat, Verdict

__all__ = ["ChannelJudgement", "Judgement", "ThreatModel", "derive", "first_rule"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether something holds (None: unknown), the sentence that says why, and the rule it comes from."""

    holds: bool | None
    reason: str
    rule: Rule | None = None
    because: tuple[Fact, ...] = ()
    missing: tuple[Fact, ...] = ()
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChannelJudgement:
    """One channel in this threat model.

    `absent` holds where the channel does not exist here, `out_of_scope` where the model excludes it;
    `threat_absent` tells threats that drop out of this channel alone. `prevented` says whether the security manager
    stops every primitive that feeds it (None: it depends on what was not given).
    """

    channel: Channel
    absent: Judgement
    out_of_scope: Judgement
    threat_absent: dict[Threat, Judgement]
    prevented: bool | None

    @property
    def exists(self) -> bool:
        return self.absent.holds is not True

    @property
    def controlled(self) -> bool:
        """Whether the host controls it: it exists and is not prevented by proof or clause."""
        return self.exists and self.prevented is not True


@dataclass(frozen=True, slots=True)
class ThreatModel:
    """What a technology in a use has to fear from its host."""

    objectives: dict[Objective, Judgement]
    threats: dict[Threat, Judgement]
    channels: dict[str, ChannelJudgement]

    @property
    def control(self) -> tuple[int, int]:
        """How much the host controls: channels under its control, out of those that exist here."""
        existing = [judgement for judgement in self.channels.values() if judgement.exists]
        return sum(judgement.controlled for judgement in existing), len(existing)


def derive(catalogue: Catalogue, facts: Facts, prevents: Callable[[Primitive, Facts], Verdict | None]) -> ThreatModel:
    """The threat model for these facts. `prevents` is the security manager's verdict on a primitive."""
    threats = {record.id: _applies(record.not_applicable, facts) for record in catalogue.threats.values()}
    verdicts = {name: prevents(primitive, facts) for name, primitive in catalogue.primitives.items()}
    return ThreatModel(
        objectives={record.id: _met(record.requires, facts) for record in catalogue.objectives.values()},
        threats=threats,
        channels={
            channel.id: ChannelJudgement(
                channel=channel,
                absent=first_rule(channel.absent, facts),
                out_of_scope=first_rule(channel.out_of_scope, facts),
                threat_absent={
                    threat: first_rule(channel.threat_absent.get(threat, []), facts) for threat in channel.threats
                },
                prevented=_all_prevented([verdicts[name] for name in channel.primitives]),
            )
            for channel in catalogue.channels.values()
        },
    )


def first_rule(rules: Sequence[Rule], facts: Facts) -> Judgement:
    """The first rule that holds; failing that, unknown if one might hold; else that none does.

    A rule that nobody checked against a source never decides.
    """
    missing: tuple[Fact, ...] = ()
    for rule in rules:
        if rule.checked is Checked.UNCHECKED:
            continue
        truth = parse(rule.when)(facts)
        if truth.value:
            return Judgement(True, rule.reason, rule, truth.because, (), tuple(rule.sources))
        missing += truth.missing if truth.value is None else ()
    if missing:
        return Judgement(None, "it depends on what was not given", missing=tuple(dict.fromkeys(missing)))
    return Judgement(False, "no rule holds")


def _applies(not_applicable: Sequence[Rule], facts: Facts) -> Judgement:
    """A threat applies unless a rule takes it out; a rule that might take it out does not."""
    out = first_rule(not_applicable, facts)
    if out.holds:
        return Judgement(False, out.reason, out.rule, out.because, (), out.sources)
    return Judgement(True, "nothing in this technology and use takes it out", missing=out.missing)


def _met(requires: Sequence[Rule], facts: Facts) -> Judgement:
    """An objective is met where every requirement holds; the first that fails is the reason."""
    truths: list[tuple[Rule, Truth]] = [(rule, parse(rule.when)(facts)) for rule in requires]
    failing = [(rule, truth) for rule, truth in truths if truth.value is False]
    if failing:
        because = tuple(fact for _, truth in failing for fact in truth.because)
        reason = "; ".join(rule.reason for rule, _ in failing)
        sources = tuple(dict.fromkeys(source for rule, _ in failing for source in rule.sources))
        return Judgement(False, reason, failing[0][0], because, (), sources)
    missing = tuple(dict.fromkeys(fact for _, truth in truths for fact in truth.missing))
    if missing:
        names = ", ".join(fact.name for fact in missing)
        return Judgement(None, f"it depends on {names}", missing=missing)
    sources = tuple(dict.fromkeys(source for rule, _ in truths for source in rule.sources))
    because = tuple(fact for _, truth in truths for fact in truth.because)
    return Judgement(True, "every requirement holds", because=because, sources=sources)


def _all_prevented(verdicts: Sequence[Verdict | None]) -> bool | None:
    """Whether every primitive is prevented; a channel without primitives is not prevented by anyone."""
    if not verdicts or any(verdict is Verdict.POSSIBLE for verdict in verdicts):
        return False
    return None if any(verdict is None for verdict in verdicts) else True
