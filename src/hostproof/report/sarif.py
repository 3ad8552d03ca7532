"""SARIF 2.1.0, for code scanning: one rule per channel, one result per row that needs attention

| row | result |
|---|---|
| `open` | kind `fail` with a level |
| `unknown` | kind `review`, level `none`; the message names the missing fact |
| `accepted` | as `open`, with a suppression that carries the waiver |
| all others | no result |

The level is `note` where the host only observes, `error` where the definition itself presents the input and under T1 and T2,
else `warning`. The location is the line of the definition that presents the input, else the definition as a whole; the logical
location is the instance. The fingerprint is made of the row id, which is stable across kernel versions.

SOURCE: OASIS SARIF 2.1.0 plus errata 01: 3.11.5 (braces are doubled), 3.11.6 (embedded links), 3.27.9 and 3.27.10 (kind and
level), 3.27.17 (partial fingerprints), 3.27.23 and 3.27.24 (suppressions and baseline state stand on all results or none),
3.30.5 (lines count from 1), 3.35 (suppression), 3.49 (rules). GitHub, "SARIF support for code scanning" and "SARIF results
exceed one or more limits": 25,000 results a run, 20 tags a rule, 1,000 locations a result; alerts are matched by
`primaryLocationLineHash`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from hostproof.knowledge.terms import Presence, Status, Threat
from hostproof.ledger.diff import LedgerDiff
from hostproof.ledger.model import ChannelSummary, Ledger, PlaceSeen, Row
from hostproof.report import summary
from hostproof.report.words import missing, visible

__all__ = ["MAX_RESULTS", "render"]

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
MAX_RESULTS = 25_000
_MAX_TAGS = 20
_SHOWN = (Status.OPEN, Status.UNKNOWN, Status.ACCEPTED)

Object = dict[str, Any]


def render(ledger: Ledger, diff: LedgerDiff | None = None) -> str:
    """The ledger as a SARIF log. With the `diff` from a baseline, every result carries its `baselineState`.

    Open rows come first; beyond 25,000 results the rest is left out, and a notification of the run says how many.
    """
    shown = sorted((row for row in ledger.rows if row.status in _SHOWN), key=lambda row: _SHOWN.index(row.status))
    channels = {channel.id: channel for channel in ledger.channels}
    groups = summary.by_channel(ledger, shown)
    index = {channel.id: number for number, channel in enumerate(groups)}
    states = _baseline_states(diff) if diff else None
    results = []
    for row in shown[:MAX_RESULTS]:
        result = _result(ledger, row, channels.get(row.channel), index[row.channel])
        if states is not None:
            result["baselineState"] = states.get(row.id, "unchanged")
        results.append(result)
    run: Object = {
        "tool": {
            "driver": {
                "name": "hostproof",
                "version": visible(ledger.hostproof),
                "rules": [_rule(group, channels.get(group.id)) for group in groups],
            }
        },
        "automationDetails": {"id": f"hostproof/{quote(visible(ledger.name), safe='')}/"},
        "columnKind": "unicodeCodePoints",
        "artifacts": _artifacts(ledger),
        "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": _notes(ledger, len(shown))}],
        "results": results,
        "properties": {
            "confidential": visible(ledger.headline.confidential),
            "control": summary.control(ledger),
            "drivers": visible(ledger.headline.drivers),
            "ruleSet": visible(ledger.rule_set),
            "technology": visible(ledger.technology),
            "use": visible(ledger.use),
        },
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def _message(text: str) -> Object:
    """A `message` or `multiformatMessageString` of plain text that no viewer takes for a template or a link.

    3.11.6 of version 2.1.0 gives no escape for text that looks like a link, so a space breaks it.
    """
    shown = visible(text) or "-"
    return {"text": shown.replace("{", "{{").replace("}", "}}").replace("](", "] (")}


def _rule(group: summary.ChannelRows, channel: ChannelSummary | None) -> Object:
    """A channel as `reportingDescriptor`."""
    threats = sorted({row.threat.value for row in group.rows})
    kinds = channel.kinds if channel else []
    what = f" {channel.what}" if channel and channel.what else ""
    reason = f" {channel.reason}" if channel and channel.reason else ""
    tags = ["security", "confidential-computing", *threats, *(f"kind-{visible(kind)}" for kind in kinds)]
    return {
        "id": visible(group.id) or "-",
        "shortDescription": _message(f"Input that the host controls: {group.name}"),
        "fullDescription": _message(f"{group.name}.{what}{reason}"),
        "help": _message(
            f"Channel {group.id}, {group.name}: the host controls this input of the guest.{what} "
            f"`hostproof explain {group.id}` shows the channel with its sources, `hostproof explain ROW` one row "
            "with the evidence for and against it."
        ),
        "defaultConfiguration": {"level": "warning"},
        "properties": {"tags": list(dict.fromkeys(tags))[:_MAX_TAGS]},
    }


def _result(ledger: Ledger, row: Row, channel: ChannelSummary | None, rule: int) -> Object:
    review = row.status is Status.UNKNOWN
    digest = hashlib.sha256(row.id.encode("utf-8", "surrogatepass")).hexdigest()
    return {
        "ruleId": visible(row.channel) or "-",
        "ruleIndex": rule,
        "kind": "review" if review else "fail",
        "level": "none" if review else _level(row, channel),
        "message": _message(_sentence(row)),
        "locations": [_location(ledger, row)],
        "partialFingerprints": {"hostproofRow/v1": digest, "primaryLocationLineHash": f"{digest[:16]}:1"},
        "suppressions": _suppressions(row),
        "properties": {
            "row": visible(row.id),
            "status": row.status.value,
            "threat": row.threat.value,
            "objectives": [objective.value for objective in row.objectives],
            "presence": row.presence.value,
            **({"textBytes": row.text_bytes} if row.text_bytes is not None else {}),
            **({"advice": visible(row.advice)} if row.advice else {}),
        },
    }


def _level(row: Row, channel: ChannelSummary | None) -> str:
    """`note` where the host only observes; `error` where the definition already feeds it, or an image or data is at stake."""
    if summary.only_observed(channel):
        return "note"
    return "error" if row.presence is Presence.CONFIGURED or row.threat in (Threat.T1, Threat.T2) else "warning"


def _sentence(row: Row) -> str:
    text = f"{row.instance_name or row.instance} ({row.threat.value}, {row.presence.value}): {row.reason}"
    if row.missing:
        text += f" Missing: {missing(row.missing)}."
    return text


def _location(ledger: Ledger, row: Row) -> Object:
    physical: Object = {"artifactLocation": _artifact(row.place.artefact if row.place else _definition(ledger))}
    if row.place and (region := _region(row.place)):
        physical["region"] = region
    return {
        "physicalLocation": physical,
        "logicalLocations": [
            {
                "name": visible(row.instance),
                "fullyQualifiedName": visible(f"{row.channel}/{row.instance}"),
                "kind": "module" if row.text_bytes is not None else "resource",
            }
        ],
    }


def _region(place: PlaceSeen) -> Object:
    """Line and column where they are numbers that SARIF allows (3.30.5: from 1), nothing for an offset in an archive."""
    if place.line is None or place.line < 1:
        return {}
    column = {"startColumn": place.column} if place.column is not None and place.column >= 1 else {}
    return {"startLine": place.line, **column}


def _artifact(name: str) -> Object:
    """An `artifactLocation`: relative to the root of the repository, or a `file:` address where the path is absolute."""
    path = quote(visible(name) or "-", safe="/!~")
    if name.startswith("/"):
        return {"uri": f"file:///{path.lstrip('/')}"}
    return {"uri": path, "uriBaseId": "%SRCROOT%"}


def _definition(ledger: Ledger) -> str:
    """The input that a result without a line points to."""
    names = [given.name for given in ledger.inputs if given.role == "definition"]
    names += [given.name for given in ledger.inputs]
    return next((name for name in names if name), ledger.name)


def _artifacts(ledger: Ledger) -> list[Object]:
    return [
        {
            "location": _artifact(given.name),
            "description": _message(f"{given.role} ({given.kind})"),
            **({"hashes": {"sha-256": given.sha256}} if given.sha256 else {}),
        }
        for given in ledger.inputs
    ]


def _suppressions(row: Row) -> list[Object]:
    if row.status is not Status.ACCEPTED:
        return []
    waivers = [one.mechanism for one in row.evidence if one.status is Status.ACCEPTED]
    return [
        {"kind": "external", "status": "accepted", "justification": visible("; ".join(waivers) or row.reason) or "-"}
    ]


def _notes(ledger: Ledger, shown: int) -> list[Object]:
    """What a reader of the results must know besides: objectives, warnings, results left out."""
    texts: Iterable[tuple[str, str]] = [
        *(
            ("error" if objective.met is False else "warning",
             f"objective {objective.id.value} {'is not met' if objective.met is False else 'is undecided'}: "
             f"{objective.reason}")
            for objective in summary.not_met(ledger)
        ),
        *(("warning", warning) for warning in ledger.headline.warnings),
    ]  # fmt: skip
    notes = [{"level": level, "message": _message(text)} for level, text in texts]
    if shown > MAX_RESULTS:
        text = f"{shown - MAX_RESULTS} results were left out: a run may hold {MAX_RESULTS}"
        notes.append({"level": "warning", "message": _message(text)})
    return notes


def _baseline_states(difference: LedgerDiff) -> dict[str, str]:
    """`new` for rows that were not there or needed no attention, `updated` for another status or presence."""
    rows = [*difference.opened, *difference.moved, *difference.presence, *difference.appeared, *difference.new_rules]
    return {row.id: "updated" if row.before in _SHOWN else "new" for row in rows}
