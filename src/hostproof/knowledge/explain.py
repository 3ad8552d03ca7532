"""Entries of the catalogue, explained on a terminal: every field that a person can argue with, and its sources."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct, structs

from hostproof.knowledge.load import Catalogue
from hostproof.knowledge.records import Rule, Source, Sourced

__all__ = ["entry", "names"]

TITLES = {
    "sources": "source", "features": "feature", "technologies": "technology", "options": "disputed question",
    "primitives": "host primitive", "objectives": "objective", "threats": "threat", "channels": "channel",
    "mitigations": "mitigation", "pins": "measurement", "attacks": "attack", "builtin_drivers": "built-in driver",
    "mechanisms": "mechanism", "interfaces": "interface", "legacy_code": "legacy code", "audits": "audit", "uses": "use",
}  # fmt: skip


def entry(catalogue: Catalogue, name: str, *, width: int) -> str | None:
    """The explanation of one entry, a list of entries, or None where the catalogue has no such name."""
    kind, _, wanted = name.partition(":")
    if name.startswith("mechanism.") and wanted == "":  # as a row's facts name it
        kind, wanted = "mechanism", name.removeprefix("mechanism.").replace("_", "-")
    groups = _groups(catalogue)
    if name in groups:
        return _listing(name, groups[name], width)
    if name == "instances":
        return _instances(catalogue, catalogue.instances, width)
    for group, records in groups.items():
        if wanted and kind not in (group, TITLES[group], TITLES[group].split()[-1]):
            continue
        record = _find(records, wanted or name)
        if record is not None:
            return _explained(catalogue, TITLES[group], record, width)
    return None


def names(catalogue: Catalogue) -> list[str]:
    """Every name that `entry` knows."""
    groups = _groups(catalogue)
    return [*groups, "instances", *(str(name) for records in groups.values() for name in records)]


def _groups(catalogue: Catalogue) -> dict[str, Mapping[Any, Struct]]:
    return {name: getattr(catalogue, name) for name in TITLES}


def _find(records: Mapping[Any, Struct], name: str) -> Struct | None:
    for key, record in records.items():
        if str(key).lower() == name.lower() or (name.isdigit() and getattr(record, "number", None) == int(name)):
            return record
    return None


def _listing(group: str, records: Mapping[Any, Struct], width: int) -> str:
    lines = [f"{group}: {len(records)}", ""]
    for key, record in records.items():
        text = getattr(record, "name", None) or getattr(record, "title", None) or getattr(record, "question", "")
        lines += textwrap.wrap(f"{key}  {text}", width, initial_indent="  ", subsequent_indent="      ") or [f"  {key}"]
    return "\n".join(lines) + "\n"


def _instances(catalogue: Catalogue, records: Iterable[Any], width: int) -> str:
    lines = ["instances, by channel", ""]
    for record in records:
        text = f"{record.channel}/{record.id}  {record.name}"
        lines += textwrap.wrap(text, width, initial_indent="  ", subsequent_indent="      ")
    return "\n".join(lines) + "\n"


def _explained(catalogue: Catalogue, title: str, record: Struct, width: int) -> str:
    key = getattr(record, "id", None) or getattr(record, "key", None) or getattr(record, "module", "")
    name = getattr(record, "name", None) or getattr(record, "title", "")
    lines = [f"{title} {key}: {name}" if name else f"{title} {key}", ""]
    for field in structs.fields(record):
        value = getattr(record, field.name)
        if field.name in ("id", "key", "name", "title", "sources", "checked") or value in ("", [], {}, None):
            continue
        lines += _field(field.name.replace("_", " "), value, width)
    lines += _related(catalogue, title, str(key), width)
    if isinstance(record, Sourced):
        lines += ["", f"  checked against: {record.checked}", *_sources(catalogue, record.sources, width)]
    elif isinstance(record, Source):
        lines += []
    return "\n".join(lines) + "\n"


def _field(name: str, value: Any, width: int) -> Iterator[str]:
    """One field: text on its line, lists and tables below it."""
    if isinstance(value, list) and value and isinstance(value[0], Rule):
        yield f"  {name}:"
        for rule in value:
            yield from _wrapped(f"- {rule.reason}", width, 4)
            yield from _wrapped(f"when {rule.when}  [{', '.join(rule.sources)}; {rule.checked}]", width, 6)
    elif isinstance(value, dict):
        yield f"  {name}:"
        for key, item in value.items():
            yield from _mapped(str(key), item, width)
    else:
        text = ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)
        yield from _wrapped(f"{name}: {text}", width, 2)


def _mapped(key: str, item: Any, width: int) -> Iterator[str]:
    if isinstance(item, list):
        yield from _field(key, item, width)
    elif isinstance(item, Sourced):
        claim = f"{getattr(item, 'value', '')} {getattr(item, 'note', '')}".strip()
        yield from _wrapped(f"{key}: {claim}  [{', '.join(item.sources)}; {item.checked}]", width, 4)
    else:
        yield from _wrapped(f"{key}: {item}", width, 4)


def _related(catalogue: Catalogue, title: str, key: str, width: int) -> Iterator[str]:
    """What else the catalogue says of a channel or a primitive."""
    if title == "channel":
        related: dict[str, Iterable[str]] = {
            "instances": (record.id for record in catalogue.instances_of(key)),
            "mitigations": _ids(catalogue.mitigations, lambda m: any(p.startswith(f"{key}/") for p in m.closes)),
            "measured by": _ids(catalogue.pins, lambda pin: any(p.startswith(f"{key}/") for p in pin.rows)),
            "attacks": _ids(catalogue.attacks, lambda attack: key in attack.channels),
        }
    elif title == "host primitive":
        related = {
            "channels": _ids(catalogue.channels, lambda channel: key in channel.primitives),
            "attacks": _ids(catalogue.attacks, lambda attack: key in attack.primitives),
        }
    else:
        return
    for name, ids in related.items():
        text = ", ".join(ids)
        if text:
            yield from _wrapped(f"{name}: {text}", width, 2)


def _ids(records: Mapping[str, Any], wanted: Callable[[Any], bool]) -> Iterator[str]:
    return (str(name) for name, record in records.items() if wanted(record))


def _sources(catalogue: Catalogue, citations: Iterable[str], width: int) -> Iterator[str]:
    for citation in citations:
        source = catalogue.sources[citation.split(":")[0].strip()]
        yield from _wrapped(f"[{citation}] {source.title}", width, 2)
        for address in source.address:
            yield f"      {address}"


def _wrapped(text: str, width: int, indent: int) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=" " * indent, subsequent_indent=" " * (indent + 4),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
