"""Who stops it? The rooms that can close a row, asked in one order; the first that holds decides, all are listed.

Security manager (verdict), attestation (pin), guest (mechanism found in the image, its configuration or command line),
end-to-end protection, hardening evidence. Each function here reads like the sentence it stands for and gives what it
found and which facts it would have needed.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import structs

from hostproof.artefacts.cmdline import CommandLine
from hostproof.knowledge.load import Catalogue
from hostproof.knowledge.predicate import Fact, Facts, Truth, parse
from hostproof.knowledge.records import Audit, Mitigation, Pin
from hostproof.knowledge.terms import Checked, Coverage, Status, Tree, Verdict
from hostproof.ledger.audits import AuditedCode
from hostproof.ledger.instances import Occurrence
from hostproof.ledger.model import Evidence, FactSeen, PlaceSeen
from hostproof.ledger.patterns import meets, parts_meet
from hostproof.managers.verdicts import PrimitiveVerdict
from hostproof.place import Place

__all__ = [
    "COMMAND_LINE_ROW",
    "INITRD_ROW",
    "KERNEL_ROW",
    "NEVER",
    "NOT_MEASURED",
    "PINNED_FIRST",
    "POLICY_ROW",
    "Finding",
    "Rooms",
    "fact_seen",
    "facts_seen",
    "place_seen",
]

KERNEL_ROW = "C02/kernel/T1"
INITRD_ROW = "C02/initrd/T1"
COMMAND_LINE_ROW = "C03/command-line/T1"
POLICY_ROW = "C09/debug-policy/T1"
PINNED_FIRST = (INITRD_ROW, COMMAND_LINE_ROW, POLICY_ROW)
"""Rows that other rows rest on: what an initrd, a command line or a launch policy closes is closed only while these are."""
_EDITED = {INITRD_ROW: "initrd", COMMAND_LINE_ROW: "command line", POLICY_ROW: "launch policy"}

DEFINITION = "definition"
KERNEL_SPACES = frozenset(
    ("config", "module", "kernel", "mechanism", "symbol", "calls", "instruction")
    + ("parameter", "initcall", "section", "changelog")
)
"""Name spaces of facts that were found in a kernel."""
NOT_MEASURED = "no measurement closes it"
NEVER = "it cannot be enabled"

_ROOM_OF_STATUS = {Status.SEALED: "end-to-end", Status.HARDENED: "hardening", Status.PREVENTED: "security-manager"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule says of one row: evidence (deciding or not), and facts that it would have needed to decide."""

    evidence: Evidence | None = None
    missing: tuple[Fact, ...] = ()
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Rooms:
    """Everything that can close rows of one VM, evaluated once: none of these conditions depends on the row."""

    catalogue: Catalogue
    facts: Facts
    verdicts: Mapping[str, PrimitiveVerdict]
    command_line: CommandLine | None
    code: AuditedCode
    """The drivers' code, with what was recorded of audits of it."""
    definition: str
    """Name of the VM definition: what it switches rests on the launch policy."""
    mitigations: dict[str, tuple[Truth, Truth]] = field(init=False)
    pins: dict[str, tuple[Truth, Fact]] = field(init=False)
    by_channel: dict[str, tuple[list[tuple[list[str], Mitigation]], list[tuple[list[str], Pin]]]] = field(init=False)

    def __post_init__(self) -> None:
        mitigations = {
            name: (parse(record.applies)(self.facts), parse(record.holds)(self.facts))
            for name, record in self.catalogue.mitigations.items()
        }
        pins = {
            name: (parse(record.when)(self.facts), self.facts.fact(f"verifier.{record.register}"))
            for name, record in self.catalogue.pins.items()
        }
        by_channel: dict[str, tuple[list[tuple[list[str], Mitigation]], list[tuple[list[str], Pin]]]] = {
            channel: ([], []) for channel in self.catalogue.channels
        }
        for mitigation in self.catalogue.mitigations.values():
            for channel, pattern in _by_channel(mitigation.closes, self.catalogue.channels):
                by_channel[channel][0].append((pattern.split("/"), mitigation))
        for pin in self.catalogue.pins.values():
            for channel, pattern in _by_channel(pin.rows, self.catalogue.channels):
                by_channel[channel][1].append((pattern.split("/"), pin))
        object.__setattr__(self, "mitigations", mitigations)
        object.__setattr__(self, "pins", pins)
        object.__setattr__(self, "by_channel", by_channel)

    def security_manager(self, occurrence: Occurrence, pinned: Mapping[str, Status]) -> Iterator[Finding]:
        """A row is prevented where the security manager stops every primitive that would feed it."""
        verdicts = [self.verdicts[name] for name in occurrence.primitives]
        if not verdicts or any(verdict.verdict is Verdict.POSSIBLE for verdict in verdicts):
            return
        if any(verdict.verdict is None for verdict in verdicts):
            yield Finding(missing=tuple(fact for verdict in verdicts for fact in verdict.missing))
            return
        because = [fact for verdict in verdicts for fact in verdict.because]
        yield _resting(
            Evidence(
                status=Status.PREVENTED,
                by="security-manager",
                rule="+".join(f"primitive:{verdict.primitive}" for verdict in verdicts),
                mechanism="; ".join(dict.fromkeys(verdict.reason for verdict in verdicts)),
                facts=facts_seen(because),
                sources=list(dict.fromkeys(source for verdict in verdicts for source in verdict.sources)),
                checked=max((verdict.checked for verdict in verdicts), key=list(Checked).index),
                rests_on=self._rests_on(because),
            ),
            pinned,
        )

    def attestation(self, occurrence: Occurrence, row_id: str) -> Iterator[Finding]:
        """A row is attested where a measurement covers its content and a verifier's policy checks that measurement."""
        parts = row_id.split("/")
        for pattern, pin in self.by_channel[occurrence.channel.id][1]:
            if parts_meet(parts, pattern):
                yield self._pin(pin)

    def _pin(self, pin: Pin) -> Finding:
        when, checks = self.pins[pin.id]
        if when.value is False:
            return Finding()
        covers = pin.coverage in (Coverage.CONTENT, Coverage.REPORT)
        if when.value is None:  # what a verifier does not check closes nothing, whether it covers the input or not
            return Finding(missing=when.missing if covers and checks.value is not False else ())
        if covers and pin.checked is not Checked.UNCHECKED and checks.value is None:
            return Finding(missing=(checks,), advice=f"have a verifier check {pin.register}")
        why_not = _pin_fails(pin, bool(checks.value))
        mechanism = f"{pin.register} covers it by {pin.coverage}" + (f": {pin.note}" if pin.note else "")
        if pin.coverage is Coverage.NONE:
            mechanism = pin.note or f"{pin.register} does not cover it"
        return Finding(
            Evidence(
                status=Status.ATTESTED,
                by="attestation",
                rule=f"pin:{pin.id}",
                mechanism=mechanism,
                decides=not why_not,
                why_not=why_not,
                facts=facts_seen((*when.because, *((checks,) if covers else ()))),
                sources=list(pin.sources),
                checked=pin.checked,
            ),
            advice=f"have a verifier check {pin.register}" if covers and not checks.value else "",
        )

    def guest(self, occurrence: Occurrence, row_id: str, pinned: Mapping[str, Status]) -> Iterator[Finding]:
        """A row is refused where this guest has no code that consumes it, or a mechanism found in it says no."""
        if occurrence.consumed is False:
            mechanism = occurrence.refusal or "this kernel has no code that reads it"
            evidence = Evidence(
                status=Status.REFUSED,
                by="guest",
                rule=f"instance:{occurrence.channel.id}/{occurrence.id}",
                mechanism=mechanism,
                facts=facts_seen(occurrence.facts),
                sources=list(occurrence.sources),
                rests_on=self._rests_on(occurrence.facts),
            )
            yield _resting(evidence, pinned)
        elif occurrence.consumed is None:
            yield Finding(missing=occurrence.missing)
        yield from (_resting(evidence, pinned) for evidence in occurrence.found)
        if occurrence.driver is not None:
            yield from self._blacklisted(occurrence.driver, pinned)
        parts = row_id.split("/")
        for pattern, mitigation in self.by_channel[occurrence.channel.id][0]:
            if parts_meet(parts, pattern):
                yield self._mitigation(mitigation, pinned)

    def _blacklisted(self, driver: str, pinned: Mapping[str, Status]) -> Iterator[Finding]:
        """`module_blacklist=` keeps a module out (kernel/module/main.c, blacklisted()), if the host cannot edit it."""
        line = self.command_line
        if line is None or driver not in line.module_blacklist():
            return
        fact = Fact("cmdline.module_blacklist", ",".join(line.module_blacklist()), line.place)
        evidence = Evidence(
            status=Status.REFUSED,
            by="guest",
            rule="command-line:module_blacklist",
            mechanism=f"module_blacklist= names {driver}: the kernel refuses to load it",
            facts=facts_seen([fact]),
            sources=["KPARAM"] if "KPARAM" in self.catalogue.sources else [],
            rests_on=[KERNEL_ROW, COMMAND_LINE_ROW],
        )
        yield _resting(evidence, pinned)

    def _mitigation(self, mitigation: Mitigation, pinned: Mapping[str, Status]) -> Finding:
        applies, holds = self.mitigations[mitigation.id]
        if applies.value is False:
            return Finding()
        decisive = not mitigation.partial and mitigation.checked is not Checked.UNCHECKED
        if mitigation.impossible:
            return Finding(_never(mitigation))
        if holds.value is False:
            return Finding(advice=mitigation.advice if decisive else "")
        if applies.value is None or holds.value is None:
            return Finding(missing=(*applies.missing, *holds.missing) if decisive else ())
        because = (*applies.because, *holds.because)
        evidence = Evidence(
            status=mitigation.status,
            by=_ROOM_OF_STATUS.get(mitigation.status, "guest"),
            rule=f"mitigation:{mitigation.id}",
            mechanism=f"{mitigation.name}: {mitigation.stops}",
            decides=decisive,
            why_not="" if decisive else _mitigation_fails(mitigation),
            facts=facts_seen(because),
            sources=list(mitigation.sources),
            checked=mitigation.checked,
            rests_on=self._rests_on(because) if mitigation.tree is not Tree.PLATFORM else [],
        )
        return _resting(evidence, pinned)

    def hardening(self, occurrence: Occurrence, row_id: str) -> Iterator[Finding]:
        """A row is hardened where a named audit of this very code (by digest) found nothing. Changed code: stale."""
        if occurrence.driver is not None:
            yield from map(Finding, self.code.evidence(occurrence.driver, occurrence.channel.id, row_id))
        for audit in self.catalogue.audits.values():
            if audit.driver == occurrence.driver and any(meets(row_id, row) for row in audit.rows):
                yield Finding(self._audit(audit))

    def _audit(self, audit: Audit) -> Evidence:
        why_not = self.code.published(audit)
        return Evidence(
            status=Status.HARDENED,
            by="hardening",
            rule=f"audit:{audit.id}",
            mechanism=f"{audit.finding} ({audit.date})",
            decides=not why_not,
            why_not=why_not,
            sources=list(audit.sources),
            checked=audit.checked,
        )

    def _rests_on(self, facts: Iterable[Fact]) -> list[str]:
        """What is found in a kernel, an initrd or a command line rests on that, and a feature that the definition's launch
        policy switches on that policy.
        """
        rows: dict[str, None] = {}
        for fact in facts:
            space = fact.name.split(".", 1)[0]
            if space in KERNEL_SPACES:
                rows[KERNEL_ROW] = None
            elif space == "initrd":
                rows[INITRD_ROW] = None
            elif space == "cmdline":
                rows[COMMAND_LINE_ROW] = None
            elif space == "feature" and fact.place is not None and fact.place.artefact == self.definition:
                rows[POLICY_ROW] = None
            elif space == "definition" and fact.name not in ("definition.technology", "definition.given"):
                rows[DEFINITION] = None
        return list(rows)


def _by_channel(patterns: Iterable[str], channels: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Each pattern over row ids with the channels that it may match."""
    for pattern in patterns:
        head = pattern.split("/", 1)[0]
        for channel in channels:
            if fnmatch.fnmatchcase(channel, head):
                yield channel, pattern


def _pin_fails(pin: Pin, verified: bool) -> str:
    if pin.coverage is Coverage.NONE:
        return NOT_MEASURED
    if pin.coverage is Coverage.PRESENCE:
        return "only its presence is measured, not what it holds"
    if pin.checked is Checked.UNCHECKED:
        return "nobody checked this claim against its source"
    return "" if verified else f"measured, and the verifier does not check {pin.register}"


def _never(mitigation: Mitigation) -> Evidence:
    """A mechanism that exists and cannot be enabled is listed, so that nobody has to ask for it."""
    return Evidence(
        status=mitigation.status,
        by="guest",
        rule=f"mitigation:{mitigation.id}",
        mechanism=f"{mitigation.name}: {mitigation.stops}",
        decides=False,
        why_not=f"{NEVER}: {mitigation.impossible}",
        sources=list(mitigation.sources),
        checked=mitigation.checked,
    )


def _mitigation_fails(mitigation: Mitigation) -> str:
    if mitigation.partial:
        return "partial: it narrows the input and does not close it"
    return "nobody checked this claim against its source"


def _resting(evidence: Evidence, pinned: Mapping[str, Status]) -> Finding:
    """What the host may edit (initrd, command line, launch policy, definition) closes nothing until it is pinned."""
    if not evidence.decides:
        return Finding(evidence)
    if DEFINITION in evidence.rests_on:
        why_not = "the host writes the definition: it proves nothing about what the guest will be fed"
        rests_on = [row for row in evidence.rests_on if row != DEFINITION]
        return Finding(structs.replace(evidence, decides=False, why_not=why_not, rests_on=rests_on))
    for row in PINNED_FIRST:
        if row not in evidence.rests_on:
            continue
        status = pinned.get(row)
        what = _EDITED[row]
        if status is None:  # the row itself is being decided: what the host wrote does not vouch for what it wrote
            return Finding(structs.replace(evidence, decides=False, why_not=f"the host writes the {what}"))
        if not status.closed:
            why_not = f"the {what} is itself a host input, and {row} is {status}"
            missing = (Fact(row, None, None, f"what pins the {what}: --verifier POLICY"),)
            weakened = structs.replace(evidence, decides=False, why_not=why_not)
            return Finding(weakened, missing=missing if status is Status.UNKNOWN else ())
    return Finding(evidence)


def place_seen(place: Place | None) -> PlaceSeen | None:
    """A place as the ledger stores it."""
    if place is None:
        return None
    return PlaceSeen(place.artefact, place.line, place.column, place.offset, place.path)


def fact_seen(fact: Fact) -> FactSeen:
    """A fact as the ledger stores it; true and false read `yes` and `no`."""
    value: object = fact.value
    if isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, tuple):
        text = ", ".join(value)
    else:
        text = "unknown" if value is None else str(value)
    return FactSeen(fact.name, text, place_seen(fact.place))


def facts_seen(facts: Iterable[Fact] | Sequence[Fact]) -> list[FactSeen]:
    """Facts as the ledger stores them, each once."""
    return [fact_seen(fact) for fact in dict.fromkeys(facts)]
