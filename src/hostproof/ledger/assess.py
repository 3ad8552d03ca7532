"""The ledger of a VM: everything that is known, there, stopped and pinned, joined into rows.

`assess` is the one place where the rooms meet. It is a pure function: the same subject gives the same ledger, and its
canonical encoding the same bytes.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hostproof import __version__
from hostproof.artefacts.cmdline import CommandLine
from hostproof.artefacts.initrd.model import Initrd
from hostproof.artefacts.kernel.facts import KernelFacts
from hostproof.artefacts.machine.model import Machine
from hostproof.attestation.verifier import VerifierPolicy
from hostproof.knowledge.load import Catalogue
from hostproof.knowledge.predicate import Fact, Value
from hostproof.knowledge.records import Channel, Rule, Technology, Use
from hostproof.knowledge.terms import Presence, Status, Threat
from hostproof.knowledge.threat_model import ThreatModel, derive
from hostproof.ledger import attacks, boot_options, builtin, drivers, headline, instances, summaries
from hostproof.ledger.audits import AuditedCode, Audits
from hostproof.ledger.decide import Court, missing_facts
from hostproof.ledger.environment import KERNEL_SUPPLY, VmFacts
from hostproof.ledger.evidence import INITRD_ROW, PINNED_FIRST, POLICY_ROW, Rooms, fact_seen, place_seen
from hostproof.ledger.features import launch_policy, resolve
from hostproof.ledger.instances import DriverView, Occurrence
from hostproof.ledger.loading import Loading
from hostproof.ledger.model import FORMAT, Control, Headline, InputFile, Ledger, MissingFact, Row, WaiverReport
from hostproof.ledger.waivers import Waivers, apply
from hostproof.managers.verdicts import PrimitiveVerdict, Verdicts
from hostproof.place import Place

__all__ = ["Subject", "assess", "vm_facts"]

CONTROLLERS = "C13"
"""Controllers are PCI functions: what stands behind them is presented through this channel."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is assessed. Everything but technology and use may be missing; rows then say which fact they lack.

    `chosen` are positions on disputed questions, `stated` facts given by a person, `asked` whether the technology was
    asked for rather than read from the definition, `today` the date on which waivers are judged.
    """

    name: str
    technology: Technology
    use: Use
    today: datetime.date
    asked: bool = False
    machine: Machine | None = None
    kernel: KernelFacts | None = None
    command_line: CommandLine | None = None
    initrd: Initrd | None = None
    verifier: VerifierPolicy | None = None
    waivers: Waivers | None = None
    audits: Audits = field(default_factory=Audits)
    chosen: Mapping[str, str] = field(default_factory=dict)
    stated: Mapping[str, Value] = field(default_factory=dict)
    use_place: Place | None = None
    inputs: tuple[InputFile, ...] = ()
    notes: tuple[str, ...] = ()


def vm_facts(catalogue: Catalogue, subject: Subject) -> VmFacts:
    """The facts of the subject, with its feature bits resolved."""
    confidential = subject.machine.confidential if subject.machine else None
    bare = VmFacts(
        technology=subject.technology,
        use=subject.use,
        options=catalogue.options,
        chosen=subject.chosen,
        machine=subject.machine,
        kernel=subject.kernel,
        command_line=subject.command_line,
        initrd=subject.initrd,
        verifier=subject.verifier,
        stated=subject.stated,
        use_place=subject.use_place,
        mechanisms=catalogue.mechanisms_by_fact,
    )
    return replace(bare, features=resolve(catalogue.features, subject.technology, confidential, bare))


def assess(catalogue: Catalogue, subject: Subject, verdicts: Verdicts) -> Ledger:
    """The ledger of `subject`, with security managers answering through `verdicts`."""
    facts = vm_facts(catalogue, subject)
    judged: dict[str, PrimitiveVerdict] = {
        name: verdicts.verdict(primitive, facts) for name, primitive in catalogue.primitives.items()
    }
    model = derive(catalogue, facts, lambda primitive, _: judged[primitive.id].verdict)
    code = AuditedCode(catalogue, subject.kernel, subject.audits)
    definition = subject.machine.place.artefact if subject.machine else ""
    rooms = Rooms(catalogue, facts, judged, subject.command_line, code, definition)
    buses = subject.technology.presentable_buses
    homes = {bus for channel in catalogue.channels.values() for bus in channel.driver_buses}
    view = drivers.view(subject.kernel, subject.machine, buses, catalogue.builtin_drivers, homes)
    options = boot_options.seen(catalogue.command_line_options, subject.command_line)
    loading = _loading(catalogue, subject)
    rows = boot_options.listed(_rows(catalogue, subject, model, rooms, view, loading), options)
    reports: list[WaiverReport] = []
    if subject.waivers is not None:
        rows, reports = apply(rows, subject.waivers, subject.today)
    controlled, existing = model.control
    return Ledger(
        format=FORMAT,
        hostproof=__version__,
        rule_set=catalogue.rule_set,
        name=subject.name,
        technology=subject.technology.id,
        technology_name=subject.technology.name,
        use=subject.use.id,
        use_name=subject.use.name,
        headline=_headline(subject, catalogue.unmet, model, facts, view, loading, rows),
        control=Control(controlled, existing, len(catalogue.channels)),
        inputs=list(subject.inputs),
        objectives=summaries.objectives(catalogue, model),
        threats=summaries.threats(catalogue, model),
        channels=summaries.channels(model, subject.technology.id),
        options=summaries.options(catalogue, subject.chosen),
        rows=rows,
        attacks=list(attacks.findings(catalogue, facts)),
        waivers=reports,
        features=[fact_seen(fact) for fact in facts.features.values()],
        notes=[*_notes(subject), *(loading.notes() if loading else ()), *boot_options.notes(options),
               *code.notes(row.id for row in rows)],
    )  # fmt: skip


def _notes(subject: Subject) -> list[str]:
    """What a person should know of how the inputs were read."""
    parts = (subject.machine, subject.kernel, subject.command_line)
    return [*subject.notes, *(note for part in parts if part is not None for note in part.notes)]


def _loading(catalogue: Catalogue, subject: Subject) -> Loading | None:
    """When the kernel's modules can be loaded, where an initrd was given."""
    if subject.initrd is None:
        return None
    line = subject.command_line
    rdinit = line.get("rdinit") if line is not None else "unset"
    return Loading(subject.initrd, subject.kernel, "" if rdinit == "unset" else rdinit, catalogue.sources)


def _rows(
    catalogue: Catalogue,
    subject: Subject,
    model: ThreatModel,
    rooms: Rooms,
    view: DriverView,
    loading: Loading | None,
) -> list[Row]:
    """Every row, in the order of channel, instance and threat. Rows that others rest on are decided first."""
    occurrences = list(_occurrences(catalogue, subject, model, rooms, view, loading))
    pinned: dict[str, Status] = {}
    for row_id in PINNED_FIRST:
        for occurrence in occurrences:
            for threat in occurrence.threats:
                if f"{occurrence.channel.id}/{occurrence.id}/{threat}" == row_id:
                    pinned[row_id] = Court(model, rooms, pinned).row(occurrence, threat).status
    court = Court(model, rooms, pinned)
    rows = [court.row(occurrence, threat) for occurrence in occurrences for threat in occurrence.threats]
    rows += _unread_rows(catalogue, subject)
    rows += _unseen_driver_rows(model, subject, view)
    unique = {row.id: row for row in reversed(rows)}
    return sorted(unique.values(), key=lambda row: (row.channel, row.instance, row.threat))


def _occurrences(
    catalogue: Catalogue,
    subject: Subject,
    model: ThreatModel,
    rooms: Rooms,
    view: DriverView,
    loading: Loading | None,
) -> Iterator[Occurrence]:
    for channel in catalogue.channels.values():
        if model.channels[channel.id].absent.holds:
            yield _whole(channel)
            continue
        found = list(instances.catalogued(catalogue, channel, rooms.facts, subject.machine))
        found += instances.legacy(catalogue, channel, rooms.facts)
        drivers_found = list(instances.drivers(channel, view, subject.machine))
        if loading is not None:
            drivers_found = [loading.placed(occurrence) for occurrence in drivers_found]
        yield from found
        yield from drivers_found
        if channel.id == CONTROLLERS:
            for pool in instances.behind_controllers(channel, view):
                yield loading.pooled(pool, view.homeless) if loading is not None and view.homeless else pool
        if channel.driver_buses:
            if not drivers_found and subject.kernel is not None and _drivers_known(subject.kernel, channel, view):
                yield _no_driver(channel, subject.kernel)
        elif not found:
            yield _whole(channel)
    if subject.machine is not None:
        yield from instances.host_inputs(catalogue, subject.machine.host_inputs)


def _whole(channel: Channel) -> Occurrence:
    """The channel as one instance: where it does not exist here, or has no finer instances."""
    return Occurrence(
        channel=channel,
        id="all",
        name=channel.name,
        threats=tuple(channel.threats),
        primitives=tuple(channel.primitives),
        presence=Presence.UNKNOWN,
        sources=tuple(channel.sources),
    )


def _no_driver(channel: Channel, kernel: KernelFacts) -> Occurrence:
    """A channel on which drivers bind, in a guest none of whose drivers does."""
    buses = ", ".join(channel.driver_buses)
    fact = Fact("kernel.drivers", f"none of {len(kernel.modules or ())} modules binds {buses}", Place(kernel.source))
    return replace(
        _whole(channel),
        id="drivers",
        name="drivers of this guest",
        presence=Presence.ABSENT,
        consumed=False,
        refusal=f"no driver of this kernel, loadable or built in, binds a device of {buses}",
        facts=(fact,),
    )


def _drivers_known(kernel: KernelFacts, channel: Channel, view: DriverView) -> bool:
    """Whether every driver that binds on the channel is known, built-in ones too."""
    if view.presentable is None or kernel.builtin is None:
        return False
    return builtin.unseen(kernel, channel.driver_buses, view.known_builtin) is None


def _unread_rows(catalogue: Catalogue, subject: Subject) -> Iterator[Row]:
    """An option that the reader did not understand is an unknown row with its place, never silence."""
    shape = catalogue.channels["C09"]
    for instance, item in instances.unread(subject.machine.unread if subject.machine else ()):
        yield Row(
            id=f"C09/unread-{instance}/T1",
            channel="C09",
            channel_name=shape.name,
            instance=f"unread-{instance}",
            instance_name=f"option {item.option}",
            threat=Threat.T1,
            objectives=list(shape.objectives),
            status=Status.UNKNOWN,
            presence=Presence.UNKNOWN,
            reason=f"the reader does not understand it: {item.why}",
            place=place_seen(item.place),
            missing=[MissingFact("definition", "a reader that knows this option")],
        )


def _unseen_driver_rows(model: ThreatModel, subject: Subject, view: DriverView) -> Iterator[Row]:
    """What is not known of drivers, per channel that drivers bind on: no kernel at all, or built-in code unseen."""
    for judgement in model.channels.values():
        channel = judgement.channel
        if not channel.driver_buses or not judgement.exists:
            continue
        if view.presentable is None:
            missing = Fact("kernel.modules", None, None, KERNEL_SUPPLY)
            yield _unseen(channel, "drivers", "drivers of this guest", missing, "no kernel with modules was given")
        elif subject.kernel is not None and subject.kernel.builtin is None:
            missing = Fact("kernel.builtin", None, None, "--kernel with its modules.builtin")
            yield _unseen(channel, "built-in", "drivers built into the image", missing, "no list of them was given")
        elif subject.kernel is not None and (
            reason := builtin.unseen(subject.kernel, channel.driver_buses, view.known_builtin)
        ):
            supply = "a kernel whose image or modules.builtin.modinfo shows them"
            missing = Fact("kernel.builtin_aliases", None, None, supply)
            yield _unseen(channel, "built-in", "drivers built into the image", missing, reason)


def _unseen(channel: Channel, instance: str, name: str, missing: Fact, reason: str) -> Row:
    threat = Threat.T3 if Threat.T3 in channel.threats else channel.threats[0]
    return Row(
        id=f"{channel.id}/{instance}/{threat}",
        channel=channel.id,
        channel_name=channel.name,
        instance=instance,
        instance_name=name,
        threat=threat,
        objectives=list(channel.objectives),
        status=Status.UNKNOWN,
        presence=Presence.UNKNOWN,
        reason=reason,
        missing=missing_facts([missing]),
        sources=list(channel.sources),
    )


def _headline(
    subject: Subject,
    unmet: Sequence[Rule],
    model: ThreatModel,
    facts: VmFacts,
    view: DriverView,
    loading: Loading | None,
    rows: Sequence[Row],
) -> Headline:
    confidential = subject.machine.confidential if subject.machine else None
    policy = launch_policy(subject.technology, confidential)
    statuses = {row.id: row.status for row in rows}
    declaration = headline.Declaration(
        machine=subject.machine,
        technology=subject.technology,
        asked=subject.asked,
        policy=policy,
        policy_pinned=statuses.get(POLICY_ROW),
        initrd_pinned=statuses.get(INITRD_ROW) if subject.initrd is not None else None,
        kernel_architecture=subject.kernel.architecture if subject.kernel else "",
    )
    counts = Headline(
        confidential=headline.confidential_line(declaration, model, facts),
        drivers="",
        configured=drivers.count(view.configured),
        presentable=drivers.count(view.presentable),
        behind_controller=drivers.count(view.behind_controller),
        total=drivers.total(view),
        warnings=list(headline.warnings(declaration, unmet, facts)),
    )
    split = loading.split(view.presentable) if loading is not None and view.presentable is not None else None
    return drivers.with_line(counts, subject.machine, split)
