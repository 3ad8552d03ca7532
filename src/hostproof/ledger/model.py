"""The ledger: one row for every input that the host controls, with the evidence that decides it.

It is what `report` renders and what `diff`, `--baseline` and `explain` read back; its JSON form is published as
`hostproof/report/ledger.schema.json`. It holds no time stamp: the same inputs give the same bytes.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from hostproof.knowledge.terms import Checked, Objective, Presence, Status, Threat

__all__ = [
    "FORMAT",
    "AttackFinding",
    "ChannelSummary",
    "Control",
    "DriverCount",
    "Evidence",
    "FactSeen",
    "Headline",
    "InputFile",
    "Ledger",
    "MissingFact",
    "ObjectiveFinding",
    "OptionUsed",
    "PlaceSeen",
    "Row",
    "ThreatFinding",
    "WaiverReport",
]

FORMAT = "hostproof-ledger/1"


class PlaceSeen(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A `hostproof.place.Place` as the ledger stores it."""

    artefact: str
    line: int | None = None
    column: int | None = None
    offset: int | None = None
    path: str | None = None


class FactSeen(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A fact that decided something: its name as predicates write it, its value as text, and where it was read."""

    name: str
    value: str
    place: PlaceSeen | None = None


class MissingFact(Struct, frozen=True, forbid_unknown_fields=True):
    """A fact that was not given, and the option that supplies it."""

    name: str
    supply: str


class Evidence(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One thing that closes a row, or that would if what it rests on held.

    `by` is the room it comes from: `threat-model`, `security-manager`, `attestation`, `guest`, `end-to-end`,
    `hardening`, `waiver`. `rule` is the id of the catalogue's record (`mitigation:ia32-emulation-off`, `pin:tdx-mrtd-firmware`,
    `primitive:inject-exception`, `channel:C43`, ...). `decides` is False for what is listed but does not close the row;
    `why_not` then says why (partial, unpinned command line, unchecked source, verifier does not check it).
    """

    status: Status
    by: str
    rule: str
    mechanism: str
    decides: bool = True
    why_not: str = ""
    facts: list[FactSeen] = []
    sources: list[str] = []
    checked: Checked = Checked.PRIMARY
    rests_on: list[str] = []
    """Ids of rows that must be closed for this evidence to mean anything (a kernel's mechanism rests on the kernel)."""


class DriverCount(Struct, frozen=True, forbid_unknown_fields=True):
    """A set of drivers, closed over their dependencies: how many modules, and bytes of executable text."""

    modules: int
    text_bytes: int


class Row(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One input: a channel's instance under one threat. `id` is `channel/instance/threat`, stable across kernels."""

    id: str
    channel: str
    channel_name: str
    instance: str
    instance_name: str
    threat: Threat
    objectives: list[Objective]
    status: Status
    presence: Presence
    reason: str
    """The sentence that says why the row has this status."""
    place: PlaceSeen | None = None
    """The line of the definition that presents it, where there is one."""
    text_bytes: int | None = None
    """Executable bytes of the driver and of what it needs, where it is a driver."""
    evidence: list[Evidence] = []
    missing: list[MissingFact] = []
    facts: list[FactSeen] = []
    """Facts that say that the row exists at all."""
    sources: list[str] = []
    advice: str = ""
    """What the guest's owner could do about an open row, from the catalogue."""


class ObjectiveFinding(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whether the technology, as switched, meets an objective at all. `met` is None where a fact is missing."""

    id: Objective
    name: str
    met: bool | None
    reason: str
    missing: list[MissingFact] = []
    sources: list[str] = []


class ThreatFinding(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whether a threat applies to this technology and use."""

    id: Threat
    name: str
    applies: bool
    reason: str
    sources: list[str] = []


class ChannelSummary(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One channel in this technology and use. `controlled` counts towards "how much the host controls"."""

    id: str
    name: str
    kinds: list[str]
    exists: bool
    controlled: bool
    reason: str
    what: str = ""
    """What the channel is on this technology."""


class Control(Struct, frozen=True, forbid_unknown_fields=True):
    """Channels under the host's control out of those that exist here."""

    controlled: int
    existing: int
    known: int
    """Channels in the catalogue."""


class OptionUsed(Struct, frozen=True, forbid_unknown_fields=True):
    """A question on which sources disagree, and the position that this ledger takes."""

    id: str
    question: str
    value: str
    default: bool
    position: str


class AttackFinding(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A published attack against this VM: `works`, `fixed`, `not-affected`, `out-of-scope` or `unknown`."""

    id: str
    name: str
    venue: str
    state: Annotated[str, Meta(pattern="^(works|fixed|not-affected|out-of-scope|unknown)$")]
    reason: str
    breaks: list[str]
    channels: list[str]
    references: list[str]
    missing: list[MissingFact] = []
    sources: list[str] = []
    checked: Checked = Checked.UNCHECKED


class InputFile(Struct, frozen=True, forbid_unknown_fields=True):
    """An input as named, its kind, and the SHA-256 of its bytes ("" for a directory)."""

    role: str
    name: str
    kind: str
    sha256: str


class Headline(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The first lines of every report.

    `confidential` answers *is it a confidential VM at all, and is it a debug one?*; `drivers` is
    `configured: 13 drivers, 0.28 MiB; presentable: 1,167 drivers, 35.9 MiB`, or says what is missing for it.
    """

    confidential: str
    drivers: str
    configured: DriverCount | None = None
    presentable: DriverCount | None = None
    behind_controller: DriverCount | None = None
    """Presentable once devices behind a presented controller (USB, HID, serio, ...) are counted too."""
    total: DriverCount | None = None
    warnings: list[str] = []
    """What must not be missed: debug allowed, declared confidential but defined plain, kernel cannot be such a guest."""


class WaiverReport(Struct, frozen=True, forbid_unknown_fields=True):
    """A waiver and what became of it: `used`, `expired` or `orphan` (it matches no row that would be open)."""

    pattern: str
    reason: str
    owner: str
    expires: str
    state: Annotated[str, Meta(pattern="^(used|expired|orphan)$")]
    rows: int


class Ledger(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The answer of `assess`. Rows are in the order of channel, instance and threat."""

    format: str
    hostproof: str
    """Version of hostproof that wrote it."""
    rule_set: str
    """Version of the catalogue's rules; a baseline records it, so that a new rule never silently worsens a VM."""
    name: str
    technology: str
    technology_name: str
    use: str
    use_name: str
    headline: Headline
    control: Control
    inputs: list[InputFile]
    objectives: list[ObjectiveFinding]
    threats: list[ThreatFinding]
    channels: list[ChannelSummary]
    options: list[OptionUsed]
    rows: list[Row]
    attacks: list[AttackFinding] = []
    waivers: list[WaiverReport] = []
    features: list[FactSeen] = []
    """Feature bits as resolved for this VM; value `unknown` where no fact decides."""
    notes: list[str] = []
