"""How a row is decided: does the input exist here, who stops it, and else is it open or unknown?

1. A threat, channel or instance that a rule of the threat model takes out is `absent` or `out-of-scope`.
2. The rooms are asked in order (`hostproof.ledger.evidence`); the first that decides gives the status, all are listed.
3. Else the row is `open` if the facts suffice, and `unknown`, naming the missing facts, if they do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from hostproof.knowledge.predicate import Fact
from hostproof.knowledge.terms import Checked, Kind, Presence, Status, Threat
from hostproof.knowledge.threat_model import Judgement, ThreatModel, first_rule
from hostproof.ledger.evidence import NEVER, NOT_MEASURED, Finding, Rooms, facts_seen, place_seen
from hostproof.ledger.instances import Occurrence
from hostproof.ledger.model import Evidence, MissingFact, Row

__all__ = ["Court", "missing_facts"]


@dataclass(frozen=True, slots=True)
class Court:
    """Decides rows. `pinned` are statuses of rows that others rest on; they are decided first and put in."""

    model: ThreatModel
    rooms: Rooms
    pinned: Mapping[str, Status]

    def row(self, occurrence: Occurrence, threat: Threat) -> Row:
        """The decided row of one occurrence under one threat."""
        row_id = f"{occurrence.channel.id}/{occurrence.id}/{threat}"
        findings = list(self._findings(occurrence, threat, row_id))
        evidence = [finding.evidence for finding in findings if finding.evidence is not None]
        evidence.sort(key=lambda item: not item.decides)
        missing = tuple(dict.fromkeys(fact for finding in findings for fact in finding.missing))
        decided = evidence[0] if evidence and evidence[0].decides else None
        if decided is not None:
            status, reason, missing = decided.status, decided.mechanism, ()
        elif missing:
            status, reason = Status.UNKNOWN, "it depends on " + ", ".join(sorted({fact.name for fact in missing}))
        else:
            status, reason = Status.OPEN, _why_open(occurrence, evidence)
        presence = Presence.ABSENT if status is Status.ABSENT else occurrence.presence
        sources = [source for item in evidence for source in item.sources]
        return Row(
            id=row_id,
            channel=occurrence.channel.id,
            channel_name=occurrence.channel.name,
            instance=occurrence.id,
            instance_name=occurrence.name,
            threat=threat,
            objectives=list(occurrence.channel.objectives),
            status=status,
            presence=presence,
            reason=reason,
            place=place_seen(occurrence.place),
            text_bytes=occurrence.text_bytes,
            evidence=evidence,
            missing=missing_facts(missing),
            facts=facts_seen(occurrence.facts),
            sources=list(dict.fromkeys([*occurrence.sources, *sources])),
            advice=_advice(findings) if status is Status.OPEN else "",
        )

    def _findings(self, occurrence: Occurrence, threat: Threat, row_id: str) -> Iterator[Finding]:
        yield from self._threat_model(occurrence, threat)
        yield from self.rooms.security_manager(occurrence, self.pinned)
        yield from self.rooms.attestation(occurrence, row_id)
        yield from self.rooms.guest(occurrence, row_id, self.pinned)
        yield from self.rooms.hardening(occurrence, row_id)

    def _threat_model(self, occurrence: Occurrence, threat: Threat) -> Iterator[Finding]:
        """What the technology and the use take out, and why."""
        channel = self.model.channels[occurrence.channel.id]
        yield _taken_out(channel.absent, Status.ABSENT, f"channel:{channel.channel.id}")
        yield _taken_out(channel.out_of_scope, Status.OUT_OF_SCOPE, f"channel:{channel.channel.id}")
        applies = self.model.threats[threat]
        if applies.holds is False:
            yield Finding(_evidence(applies, Status.ABSENT, f"threat:{threat}"))
        else:
            yield Finding(missing=applies.missing)
        dropped = channel.threat_absent.get(threat)
        if dropped is not None:
            yield _taken_out(dropped, Status.ABSENT, f"channel:{channel.channel.id}:{threat}")
        record = occurrence.record
        if record is not None:
            rule = f"instance:{record.channel}/{record.id}"
            yield _taken_out(first_rule(record.absent, self.rooms.facts), Status.ABSENT, rule)
            yield _taken_out(first_rule(record.out_of_scope, self.rooms.facts), Status.OUT_OF_SCOPE, rule)


def _taken_out(judgement: Judgement, status: Status, rule: str) -> Finding:
    if judgement.holds:
        return Finding(_evidence(judgement, status, rule))
    return Finding(missing=judgement.missing)


def _evidence(judgement: Judgement, status: Status, rule: str) -> Evidence:
    return Evidence(
        status=status,
        by="threat-model",
        rule=rule,
        mechanism=judgement.reason,
        facts=facts_seen(judgement.because),
        sources=list(judgement.sources),
        checked=judgement.rule.checked if judgement.rule is not None else Checked.PRIMARY,
    )


def _why_open(occurrence: Occurrence, evidence: Iterable[Evidence]) -> str:
    """The sentence of an open row: who presents it, and what almost stops it."""
    if occurrence.driver is not None:
        if occurrence.presence is Presence.CONFIGURED:
            text = (
                f"the host presents a device that this guest binds to {occurrence.driver}, and nothing found stops it"
            )
        else:
            text = f"the host may present what makes this guest load {occurrence.driver}, and nothing found stops it"
    elif set(occurrence.channel.kinds) == {Kind.OBSERVATION}:
        text = "the host can observe it, and nothing found stops it"
    elif occurrence.presence is Presence.PRESENTABLE:
        text = "not configured, but the host may present it: this guest has code that consumes it"
    elif occurrence.presence is Presence.UNKNOWN:
        text = "the host may present it: this guest has code that consumes it"
    else:
        text = "the host can feed it, and nothing found stops it"
    almost = next((item for item in evidence if not item.decides and _almost(item)), None)
    return f"{text} ({almost.mechanism}: {almost.why_not})" if almost is not None else text


def _almost(evidence: Evidence) -> bool:
    """Whether evidence that does not decide is worth a word in the reason: not what nobody could have here."""
    return evidence.why_not != NOT_MEASURED and not evidence.why_not.startswith(NEVER)


def _advice(findings: Iterable[Finding]) -> str:
    """What the owner could do: the first pieces of advice, in the order of the rooms."""
    advice = dict.fromkeys(finding.advice for finding in findings if finding.advice)
    return "; ".join(list(advice)[:3])


def missing_facts(facts: Iterable[Fact]) -> list[MissingFact]:
    """Missing facts as the ledger stores them, by name."""
    supplies = {fact.name: fact.supply or "" for fact in facts}
    return [MissingFact(name, supplies[name]) for name in sorted(supplies)]
