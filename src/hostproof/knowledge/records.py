"""The records of the catalogue: one class per kind of fact, as it stands in `catalogue/*.toml`.

Every record cites its sources and says how far each was checked. Conditions are predicates over named facts
(`hostproof.knowledge.predicate`). Unknown fields are refused, so that a misspelt one cannot be ignored.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from hostproof.knowledge.code_records import Audit, BuiltinDriver, Interface, LegacyCode, Mechanism
from hostproof.knowledge.sourced import Citation, Condition, Identifier, Rule, Sentence, Source, Sourced
from hostproof.knowledge.terms import (
    Checked,
    Coverage,
    Direction,
    Kind,
    Objective,
    Status,
    Threat,
    Tree,
)


class FeatureClaim(Sourced, frozen=True, kw_only=True):
    """What a technology says of a feature: `yes`, `no`, `optional` (a switch decides) or `unknown`; other words for
    features that are not yes-or-no.
    """

    value: str
    note: str = ""


class Feature(Sourced, frozen=True, kw_only=True):
    """A property of a security manager. Rules read features, never the name of a technology.

    `kind` is `bool` (facts `feature.ID` are true or false) or `word`. `switch` says what turns an optional one on.
    """

    id: Identifier
    name: Sentence
    meaning: Sentence
    kind: str = "bool"
    switch: str = ""
    pinned_by: list[str] = field(default_factory=list)
    """Measurement registers or report fields through which a verifier sees the feature."""
    off: list[Rule] = field(default_factory=list)
    """When an optional feature cannot be on, whoever switches it: a guest kernel that would stop, a use without it."""


class Technology(Sourced, frozen=True, kw_only=True):
    """A security manager with its feature bits. Every feature of the registry has a claim here."""

    id: Identifier
    name: Sentence
    security_manager: Sentence
    architectures: list[str]
    trusted: list[str]
    """What the guest must trust beyond the CPU."""
    presentable_buses: list[str]
    """Prefixes of module aliases that the host may present without help of another device: `pci`, `virtio`, `acpi`..."""
    versions: list[str] = field(default_factory=list)
    """Names of `platform.*` facts that are versions of this security manager."""
    features: dict[str, FeatureClaim] = field(default_factory=dict)
    guest_support: list[Rule] = field(default_factory=list)
    """What a guest kernel must have to be such a guest at all; `reason` says what it lacks where `when` does not hold."""


class Option(Sourced, frozen=True, kw_only=True):
    """A question on which sources disagree. `default` is used unless the user chooses; the report says which."""

    id: Identifier
    question: Sentence
    default: str
    positions: dict[str, str]
    """Value -> who holds it and why."""


class Primitive(Sourced, frozen=True, kw_only=True):
    """One thing that a host can do to a guest, and what a security manager does about it.

    The first rule of `prevented` whose condition holds gives the verdict; where none holds the host can do it, and
    `trace` is the shortest way that is published.
    """

    id: Identifier
    name: Sentence
    trace: str = ""
    prevented: list[Rule] = field(default_factory=list)


class ObjectiveRecord(Sourced, frozen=True, kw_only=True):
    """An objective, and the conditions under which a technology meets it at all."""

    id: Objective
    name: Sentence
    requires: list[Rule]
    """Each must hold; `reason` is the sentence that says what is missing where it does not."""


class ThreatRecord(Sourced, frozen=True, kw_only=True):
    """A threat, and the rules by which it drops out of a threat model."""

    id: Threat
    name: Sentence
    not_applicable: list[Rule] = field(default_factory=list)


class Channel(Sourced, frozen=True, kw_only=True):
    """A kind of input that the host controls."""

    id: Annotated[str, Meta(pattern=r"^C[0-9]{2}$")]
    name: Sentence
    kinds: Annotated[list[Kind], Meta(min_length=1)]
    direction: Direction
    meaning: Sentence
    answers: str
    """Who answers: the part of the host (or of the guest's TCB) at the other end."""
    per_technology: dict[str, str] = field(default_factory=dict)
    threats: Annotated[list[Threat], Meta(min_length=1)]
    objectives: Annotated[list[Objective], Meta(min_length=1)]
    primitives: list[str] = field(default_factory=list)
    """Ids of the host primitives that feed it. All prevented: the rows are `prevented`."""
    absent: list[Rule] = field(default_factory=list)
    out_of_scope: list[Rule] = field(default_factory=list)
    threat_absent: dict[Threat, list[Rule]] = field(default_factory=dict)
    """Rules by which one threat (not the channel) drops out here."""
    driver_buses: list[str] = field(default_factory=list)
    """Module-alias prefixes: every driver bound by them is an instance of this channel."""
    driver_primitives: list[str] = field(default_factory=list)
    """Primitives that make the guest bind these drivers. Empty: those of the channel."""


class Instance(Sourced, frozen=True, kw_only=True):
    """One occurrence of a channel that is not a driver: a table, a class of registers, a clock, a vector.

    `devices` are the device models (as QEMU names them, globs allowed) whose presence makes it *configured*; an empty
    list means that the platform always has it. `consumed` says when guest code reads it; where it is false the row is
    `refused`, with `refusal` as the mechanism.
    """

    channel: str
    id: Identifier
    name: Sentence
    devices: list[str] = field(default_factory=list)
    consumed: Condition = "true"
    refusal: str = ""
    absent: list[Rule] = field(default_factory=list)
    out_of_scope: list[Rule] = field(default_factory=list)
    threats: list[Threat] = field(default_factory=list)
    """Empty: the threats of the channel."""
    primitives: list[str] = field(default_factory=list)
    """Empty: those of the channel."""


class Mitigation(Sourced, frozen=True, kw_only=True):
    """A mechanism that closes rows, and the probe (`holds`) that finds it.

    `closes` are patterns over row ids, `channel/instance/threat` with `*`. `applies` limits it to guests where it
    means anything. `partial` ones are listed beside a row and never close it. One that lives in a tree other than
    mainline, or that cannot be enabled, says so in `tree` and `impossible`.
    """

    id: Identifier
    name: Sentence
    stops: Sentence
    closes: list[str]
    status: Status
    tree: Tree
    holds: Condition
    where: str = ""
    """Kernel file, function, Kconfig symbol or commit."""
    applies: Condition = "true"
    partial: bool = False
    impossible: str = ""
    advice: str = ""
    """What the owner of the guest can do to have it."""


class Pin(Sourced, frozen=True, kw_only=True):
    """Which measurement or report field covers which input. `attested` needs this and a verifier that checks it."""

    id: Identifier
    rows: list[str]
    """Patterns over row ids."""
    when: Condition
    coverage: Coverage
    register: str
    """The digest or signed field: `LAUNCH_DIGEST`, `MRTD`, `RTMR2`, `POLICY`..., one of the verifier's `checks`."""
    note: str = ""


class Attack(Sourced, frozen=True, kw_only=True):
    """A published attack or flaw. `affected` without `fixed` means that it works here."""

    id: Identifier
    number: int
    """Row of the research catalogue."""
    name: Sentence
    venue: str = ""
    affected: Condition
    fixed: Condition = "false"
    fixed_by: str = ""
    primitives: list[str]
    breaks: Annotated[list[Annotated[str, Meta(pattern="^(C|I|PE|ATT|AV)$")]], Meta(min_length=1)]
    channels: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)
    """CVE and bulletin ids."""
    physical: bool = False


class CommandLineOption(Sourced, frozen=True, kw_only=True):
    """A kernel command-line option that opens or closes a channel."""

    option: str
    """As typed: `mce=off`, `pci=noearly`, `module_blacklist=`."""
    effect: Annotated[str, Meta(pattern="^(opens|closes|changes)$")]
    rows: list[str]
    meaning: Sentence
    since: str = ""
    until: str = ""


class CatalogueFile(Struct, frozen=True, forbid_unknown_fields=True):
    """What one file of the catalogue may hold."""

    rule_set: str = ""
    source: list[Source] = field(default_factory=list)
    feature: list[Feature] = field(default_factory=list)
    technology: list[Technology] = field(default_factory=list)
    option: list[Option] = field(default_factory=list)
    primitive: list[Primitive] = field(default_factory=list)
    objective: list[ObjectiveRecord] = field(default_factory=list)
    threat: list[ThreatRecord] = field(default_factory=list)
    unmet: list[Rule] = field(default_factory=list)
    """What a use demands and this technology does not give: where `when` holds, `reason` is a warning."""
    channel: list[Channel] = field(default_factory=list)
    instance: list[Instance] = field(default_factory=list)
    mitigation: list[Mitigation] = field(default_factory=list)
    pin: list[Pin] = field(default_factory=list)
    attack: list[Attack] = field(default_factory=list)
    command_line_option: list[CommandLineOption] = field(default_factory=list)
    builtin_driver: list[BuiltinDriver] = field(default_factory=list)
    mechanism: list[Mechanism] = field(default_factory=list)
    interface: list[Interface] = field(default_factory=list)
    legacy_code: list[LegacyCode] = field(default_factory=list)
    audit: list[Audit] = field(default_factory=list)


class Use(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a VM is for. The same technology in another use has another threat model.

    Every axis is a fact `use.NAME`. A user writes one in TOML with these fields; `sources` may then be empty.
    """

    id: Identifier
    name: Sentence
    summary: Sentence
    place: Annotated[str, Meta(pattern="^(server|client)$")]
    holder: Annotated[str, Meta(pattern="^(third-party|owner)$")]
    """Who holds the machine."""
    physical_access: bool
    """Whether an adversary with the machine in his hands is part of this use."""
    memory_encryption: Annotated[str, Meta(pattern="^(required|not-required)$")]
    network: Annotated[str, Meta(pattern="^(host|none)$")]
    """`host`: packets pass through the host. `none`: the guest has no network."""
    io_role: Annotated[str, Meta(pattern="^(intermediary|endpoint|none)$")]
    """The host's role in the guest's I/O: it carries data to somebody else, it is the peer, or there is no I/O."""
    device_mode: Annotated[str, Meta(pattern="^(emulated|exclusive|both|none)$")]
    pci_config_owner: Annotated[str, Meta(pattern="^(host|security-manager|none)$")] = "host"
    """Who answers accesses to PCI configuration space and programs MSI-X of an exclusive device."""
    vsock: bool = False
    """Whether the host talks to the guest over vsock (request and reply)."""
    image_check: Annotated[str, Meta(pattern="^(remote-verifier|signed-boot|none)$")]
    """Who checks the guest's image."""
    host_secure_boot: bool = False
    paravisor: bool = False
    """Whether a paravisor inside the guest's TCB answers for interrupts, #VC or #VE, and the TPM."""
    storage: Annotated[str, Meta(pattern="^(none|remote|local)$")]
    storage_protection: Annotated[str, Meta(pattern="^(none|encrypted|encrypted-integrity|unstated)$")] = "unstated"
    network_protection: Annotated[str, Meta(pattern="^(none|end-to-end|unstated)$")] = "unstated"
    secret_origin: Annotated[str, Meta(pattern="^(provisioned|sensor|none)$")]
    crash_policy: Annotated[str, Meta(pattern="^(acceptable|finding)$")]
    sources: list[Citation] = field(default_factory=list)
    checked: Checked = Checked.UNCHECKED


class UseFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A TOML file with uses: `catalogue/uses.toml`, or one that a user wrote."""

    use: list[Use]


__all__ = [
    "Attack",
    "Audit",
    "BuiltinDriver",
    "CatalogueFile",
    "Channel",
    "CommandLineOption",
    "Condition",
    "Feature",
    "FeatureClaim",
    "Instance",
    "Interface",
    "LegacyCode",
    "Mechanism",
    "Mitigation",
    "ObjectiveRecord",
    "Option",
    "Pin",
    "Primitive",
    "Rule",
    "Source",
    "Sourced",
    "Technology",
    "ThreatRecord",
    "Use",
    "UseFile",
]
