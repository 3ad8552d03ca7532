"""The catalogue: loaded, typed, and every reference in it resolved.

The facts stand in `catalogue/*.toml`. Loading refuses a field that no record has, an id that stands twice, a citation
of a source that does not exist, a predicate that does not parse or that asks for a fact nobody can answer, and a
reference to a channel, feature, primitive or option that is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, TypeVar

import msgspec

from hostproof.errors import CatalogueError
from hostproof.knowledge import toml
from hostproof.knowledge.predicate import Asked, parse
from hostproof.knowledge.records import (
    Attack,
    Audit,
    BuiltinDriver,
    CatalogueFile,
    Channel,
    CommandLineOption,
    Feature,
    Instance,
    Interface,
    LegacyCode,
    Mechanism,
    Mitigation,
    ObjectiveRecord,
    Option,
    Pin,
    Primitive,
    Rule,
    Source,
    Sourced,
    Technology,
    ThreatRecord,
    Use,
    UseFile,
)
from hostproof.knowledge.terms import Objective, Threat
from hostproof.place import Place

__all__ = ["Catalogue", "catalogue", "read_files", "use_from_toml"]

USES = "uses.toml"
FREE_NAMESPACES = ("platform", "config", "module", "cmdline", "verifier", "kernel", "definition")
"""Name spaces whose names are not listed in the catalogue: they are what VMs, kernels and people say."""
IMAGE_NAMESPACES = frozenset({"symbol", "calls", "instruction", "parameter", "initcall", "section", "architecture"})
"""What a mechanism's `image` may ask for: facts that the image answers, whoever configured it."""
PACKAGE_NAMESPACES = frozenset({"config", "module", "kernel", "changelog", "architecture"})
"""What a mechanism's `package` may ask for."""
INITRD_FACTS = frozenset({"given", "kind", "loader", "switches_root", "acpi_override", "bootconfig"})
KERNEL_FACTS = frozenset({"given", "version", "release", "package"})
DEFINITION_FACTS = frozenset(
    {"given", "format", "vmm", "board", "technology", "confidential", "opaque", "direct_boot", "firmware_given"}
    | {"igvm", "kernel_hashes", "devices"}
)
PREDICATES = frozenset({"when", "consumed", "holds", "applies", "affected", "fixed", "image", "package", "present"})
"""The fields of records that hold a predicate."""
USE_AXES = frozenset(field for field in Use.__struct_fields__ if field not in ("sources", "checked", "name", "summary"))

T = TypeVar("T", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Every fact of the catalogue by id, in the order of the files."""

    rule_set: str
    sources: Mapping[str, Source]
    features: Mapping[str, Feature]
    technologies: Mapping[str, Technology]
    options: Mapping[str, Option]
    primitives: Mapping[str, Primitive]
    objectives: Mapping[Objective, ObjectiveRecord]
    threats: Mapping[Threat, ThreatRecord]
    unmet: tuple[Rule, ...]
    channels: Mapping[str, Channel]
    instances: tuple[Instance, ...]
    mitigations: Mapping[str, Mitigation]
    pins: Mapping[str, Pin]
    attacks: Mapping[str, Attack]
    command_line_options: tuple[CommandLineOption, ...]
    builtin_drivers: Mapping[str, BuiltinDriver]
    mechanisms: Mapping[str, Mechanism]
    interfaces: Mapping[str, Interface]
    legacy_code: Mapping[str, LegacyCode]
    audits: Mapping[str, Audit]
    uses: Mapping[str, Use]

    @property
    def mechanisms_by_fact(self) -> dict[str, Mechanism]:
        """Mechanisms by the name that follows `mechanism.` in predicates."""
        return {name.replace("-", "_"): mechanism for name, mechanism in self.mechanisms.items()}

    def asked(self) -> dict[str, Asked]:
        """Every fact that some predicate of the catalogue names, with the kind of value that it needs."""
        kinds: dict[str, Asked] = {}
        for text in _Resolver(self).predicates():
            for name, kind in parse(text).asked():
                if kinds.setdefault(name, kind) is not Asked.VERSION:
                    kinds[name] = kind
        return kinds

    def instances_of(self, channel: str) -> Iterator[Instance]:
        """The catalogued instances of a channel, in order."""
        return (instance for instance in self.instances if instance.channel == channel)


@cache
def catalogue() -> Catalogue:
    """The catalogue that hostproof ships. Raises CatalogueError where it is not consistent."""
    folder = resources.files("hostproof.knowledge") / "catalogue"
    files = sorted((item for item in folder.iterdir() if item.name.endswith(".toml")), key=lambda item: item.name)
    return read_files({item.name: toml.table(item.read_bytes(), item.name, kind=CatalogueError) for item in files})


def read_files(tables: Mapping[str, Mapping[str, Any]]) -> Catalogue:
    """The catalogue that these tables (file name -> its TOML table) hold, checked as a whole."""
    parts = [_convert(table, CatalogueFile, name) for name, table in tables.items() if name != USES]
    uses = _convert(tables[USES], UseFile, USES).use if USES in tables else []
    whole = Catalogue(
        rule_set=" ".join(part.rule_set for part in parts if part.rule_set),
        sources=_by(("key", part.source) for part in parts),
        features=_by(("id", part.feature) for part in parts),
        technologies=_by(("id", part.technology) for part in parts),
        options=_by(("id", part.option) for part in parts),
        primitives=_by(("id", part.primitive) for part in parts),
        objectives=_by(("id", part.objective) for part in parts),
        threats=_by(("id", part.threat) for part in parts),
        unmet=tuple(rule for part in parts for rule in part.unmet),
        channels=dict(sorted(_by(("id", part.channel) for part in parts).items())),
        instances=_unique_instances(instance for part in parts for instance in part.instance),
        mitigations=_by(("id", part.mitigation) for part in parts),
        pins=_by(("id", part.pin) for part in parts),
        attacks=_by(("id", part.attack) for part in parts),
        command_line_options=tuple(option for part in parts for option in part.command_line_option),
        builtin_drivers=_by(("module", part.builtin_driver) for part in parts),
        mechanisms=_by(("id", part.mechanism) for part in parts),
        interfaces=_by(("id", part.interface) for part in parts),
        legacy_code=_by(("module", part.legacy_code) for part in parts),
        audits=_by(("id", part.audit) for part in parts),
        uses=_by([("id", uses)]),
    )
    _Resolver(whole).resolve()
    return whole


def use_from_toml(data: bytes, name: str) -> Use:
    """The use that a person's TOML file describes: the axes of `Use`, at the top level or as one `[[use]]`.

    Raises CatalogueError naming the axis that is missing or wrong.
    """
    table = toml.table(data, name, kind=CatalogueError)
    if "use" not in table:
        return _convert(table, Use, name)
    uses = _convert(table, UseFile, name).use
    if len(uses) != 1:
        raise CatalogueError(f"{len(uses)} uses in one file", place=Place(name), expected="exactly one")
    return uses[0]


def _convert(table: Mapping[str, Any], kind: type[T], name: str) -> T:
    try:
        return msgspec.convert(table, kind)
    except msgspec.ValidationError as error:
        raise CatalogueError(str(error), place=Place(name), hint="see docs/reference for the fields") from None


def _by(groups: Iterable[tuple[str, list[Any]]]) -> dict[Any, Any]:
    """Records by their key field; a key that stands twice is refused."""
    result: dict[Any, Any] = {}
    for key, records in groups:
        for record in records:
            identifier = getattr(record, key)
            if identifier in result:
                raise CatalogueError(f"{type(record).__name__} {identifier!r} stands twice in the catalogue")
            result[identifier] = record
    return result


def _unique_instances(instances: Iterable[Instance]) -> tuple[Instance, ...]:
    seen: dict[tuple[str, str], Instance] = {}
    for instance in instances:
        if seen.setdefault((instance.channel, instance.id), instance) is not instance:
            raise CatalogueError(f"instance {instance.channel}/{instance.id} stands twice in the catalogue")
    return tuple(seen[key] for key in seen)


class _Resolver:
    """Checks that every reference of a catalogue leads somewhere."""

    def __init__(self, whole: Catalogue) -> None:
        self.whole = whole
        self.mechanisms = frozenset(name.replace("-", "_") for name in whole.mechanisms)

    def resolve(self) -> None:
        whole = self.whole
        for technology in whole.technologies.values():
            self._technology(technology)
        for option in whole.options.values():
            self._expect(option.default, option.positions, f"default of option {option.id}")
        for instance in whole.instances:
            where = f"instance {instance.channel}/{instance.id}"
            self._expect(instance.channel, whole.channels, where)
            self._all(instance.primitives, whole.primitives, where)
        for channel in whole.channels.values():
            self._all([*channel.primitives, *channel.driver_primitives], whole.primitives, f"channel {channel.id}")
            self._all(channel.per_technology, whole.technologies, f"channel {channel.id}")
        for attack in whole.attacks.values():
            self._all(attack.primitives, whole.primitives, f"attack {attack.id}")
            self._all(attack.channels, whole.channels, f"attack {attack.id}")
        for mitigation in whole.mitigations.values():
            self._patterns(mitigation.closes, f"mitigation {mitigation.id}")
        for pin in whole.pins.values():
            self._patterns(pin.rows, f"pin {pin.id}")
        for interface in whole.interfaces.values():
            self._all(interface.channels, whole.channels, f"interface {interface.id}")
        for code in whole.legacy_code.values():
            self._all([row.partition("/")[0] for row in code.rows], whole.channels, f"legacy code {code.module}")
        for mechanism in whole.mechanisms.values():
            self._mechanism(mechanism)
        for record in self._records():
            self._sourced(record)

    def predicates(self) -> Iterator[str]:
        """The text of every predicate."""
        return (text for record in self._records() for text in _predicates(record))

    def _records(self) -> Iterator[Sourced]:
        whole = self.whole
        for group in (
            whole.features, whole.technologies, whole.options, whole.primitives, whole.objectives, whole.threats,
            whole.channels, whole.mitigations, whole.pins, whole.attacks, whole.builtin_drivers, whole.audits,
            whole.mechanisms, whole.interfaces, whole.legacy_code,
        ):  # fmt: skip
            yield from group.values()
        yield from whole.unmet
        yield from whole.instances
        yield from whole.command_line_options

    def _sourced(self, record: Sourced) -> None:
        where = f"{type(record).__name__} {getattr(record, 'id', getattr(record, 'option', ''))}"
        for citation in record.sources:
            self._expect(citation.split(":")[0].strip(), self.whole.sources, f"a source of {where}")
        for name in record.__struct_fields__:
            value = getattr(record, name)
            if value and _holds_predicate(record, name):
                self._predicate(value, where, attack=isinstance(record, Attack))
            for inner in _rules(value):
                self._sourced(inner)

    def _technology(self, technology: Technology) -> None:
        where = f"technology {technology.id}"
        self._all(technology.features, self.whole.features, where)
        missing = sorted(set(self.whole.features) - set(technology.features))
        if missing:
            raise CatalogueError(f"{where} claims nothing about {', '.join(missing)}")
        for name, claim in technology.features.items():
            if self.whole.features[name].kind == "bool" and claim.value not in ("yes", "no", "optional", "unknown"):
                raise CatalogueError(f"{where}: {name} is {claim.value!r}", expected="yes, no, optional or unknown")

    def _predicate(self, text: str, where: str, *, attack: bool) -> None:
        for name in parse(text).names:
            if not self._answerable(name, attack=attack):
                raise CatalogueError(f"{where} asks for {name!r}, which no fact answers", expected="a known fact name")

    def _answerable(self, name: str, *, attack: bool) -> bool:
        space, _, rest = name.partition(".")
        known: Mapping[str, Any] | frozenset[str]
        match space:
            case "architecture":
                return not rest
            case "technology":
                return attack and not rest
            case "feature":
                known = self.whole.features
            case "use":
                known = USE_AXES
            case "option":
                known = self.whole.options
            case "kernel":
                known = KERNEL_FACTS
            case "definition":
                known = DEFINITION_FACTS
            case "initrd":
                known = INITRD_FACTS
            case "mechanism" | "changelog":
                known = self.mechanisms
            case _:
                return (space in FREE_NAMESPACES or space in IMAGE_NAMESPACES) and bool(rest)
        return rest in known

    def _mechanism(self, mechanism: Mechanism) -> None:
        """A mechanism is told by what it may be told by, and by something."""
        where = f"mechanism {mechanism.id}"
        spaces = {"image": IMAGE_NAMESPACES, "package": PACKAGE_NAMESPACES}
        if not mechanism.image and not mechanism.package:
            raise CatalogueError(f"{where}: neither image nor package tells it")
        for field, allowed in spaces.items():
            text = getattr(mechanism, field)
            for name in parse(text).names if text else ():
                if name.partition(".")[0] not in allowed:
                    raise CatalogueError(f"{where}: `{field}` asks for {name}", expected=" or ".join(sorted(allowed)))
                if name.startswith("changelog.") and name != f"changelog.{mechanism.id.replace('-', '_')}":
                    raise CatalogueError(f"{where}: {name} is another mechanism's changelog")

    def _patterns(self, patterns: Iterable[str], where: str) -> None:
        for pattern in patterns:
            channel = pattern.split("/")[0]
            if pattern.count("/") != 2 or (channel != "*" and channel not in self.whole.channels):
                raise CatalogueError(f"{where}: {pattern!r} matches no row", expected="CHANNEL/INSTANCE/THREAT")

    def _all(self, names: Iterable[str], known: Mapping[str, Any], where: str) -> None:
        for name in names:
            self._expect(name, known, where)

    @staticmethod
    def _expect(name: str, known: Mapping[str, Any], where: str) -> None:
        if name not in known:
            raise CatalogueError(f"{where}: {name!r} is not in the catalogue")


def _holds_predicate(record: Sourced, name: str) -> bool:
    """Whether a field is a condition. `when` of legacy code is a sentence for people: `present` is its condition."""
    return name in PREDICATES and not (name == "when" and isinstance(record, LegacyCode))


def _predicates(record: Sourced) -> Iterator[str]:
    """The predicates of a record and of the rules inside it."""
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if value and _holds_predicate(record, name):
            yield value
        for inner in _rules(value):
            yield from _predicates(inner)


def _rules(value: object) -> Iterator[Sourced]:
    """Sourced records inside a field: lists of rules, rules by threat, claims by feature."""
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, Rule))
    elif isinstance(value, dict):
        for item in value.values():
            if isinstance(item, Sourced):
                yield item
            else:
                yield from _rules(item)
