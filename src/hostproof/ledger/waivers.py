"""Waivers: rows that somebody accepts, with a reason, an owner and an expiry.

A waiver file is TOML::

    [[waiver]]
    rows = "C40/serial-console/*"
    reason = "the console carries no secret; reviewed in design note 7"
    owner = "platform team"
    expires = 2027-03-31

An expired waiver accepts nothing, and one that matches no row that would be open is an orphan; both are reported.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from hostproof.errors import InputError
from hostproof.knowledge import toml
from hostproof.knowledge.terms import Status
from hostproof.ledger.model import Evidence, Row, WaiverReport
from hostproof.ledger.patterns import meets
from hostproof.place import Place

__all__ = ["Waivers", "apply", "read"]

MAX_BYTES = 4 * 1024 * 1024
MAX_WAIVERS = 2000
Text = Annotated[str, Meta(min_length=1, max_length=2000)]


class Waiver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One accepted pattern of rows; `rows` is `CHANNEL/INSTANCE/THREAT` with `*`."""

    rows: Annotated[str, Meta(pattern="^[^/]+/[^/]+/[^/]+$", max_length=200)]
    reason: Text
    owner: Text
    expires: datetime.date


class _File(msgspec.Struct, forbid_unknown_fields=True):
    waiver: list[Waiver]


@dataclass(frozen=True, slots=True)
class Waivers:
    """The waivers of one file."""

    items: tuple[Waiver, ...]
    place: Place


def read(data: bytes, name: str) -> Waivers:
    """The waivers that TOML bytes hold. Raises InputError naming the field that is missing or wrong."""
    place = Place(name)
    if len(data) > MAX_BYTES:
        raise InputError("a waiver file is larger than 4 MiB", place=place)
    expected = '[[waiver]] with rows = "CHANNEL/INSTANCE/THREAT", reason, owner, expires = YYYY-MM-DD'
    file = toml.record(data, name, _File, refusal="not a waiver file", expected=expected)
    if len(file.waiver) > MAX_WAIVERS:
        raise InputError(f"{len(file.waiver)} waivers", place=place, expected=f"at most {MAX_WAIVERS}")
    return Waivers(tuple(file.waiver), place)


def apply(rows: Sequence[Row], waivers: Waivers, today: datetime.date) -> tuple[list[Row], list[WaiverReport]]:
    """The rows with open ones accepted where a waiver holds on `today`, and what became of each waiver."""
    accepted = dict.fromkeys(range(len(waivers.items)), 0)
    result = []
    for row in rows:
        index = _waiver_for(row, waivers, today)
        if index is None:
            result.append(row)
        else:
            accepted[index] += 1
            result.append(_accept(row, waivers.items[index]))
    return result, [
        _report(waiver, accepted[index], any(_matches(row, waiver) for row in rows), today)
        for index, waiver in enumerate(waivers.items)
    ]


def _matches(row: Row, waiver: Waiver) -> bool:
    return row.status is Status.OPEN and meets(row.id, waiver.rows)


def _waiver_for(row: Row, waivers: Waivers, today: datetime.date) -> int | None:
    for index, waiver in enumerate(waivers.items):
        if waiver.expires >= today and _matches(row, waiver):
            return index
    return None


def _accept(row: Row, waiver: Waiver) -> Row:
    evidence = Evidence(
        status=Status.ACCEPTED,
        by="waiver",
        rule=f"waiver:{waiver.rows}",
        mechanism=f"accepted by {waiver.owner} until {waiver.expires}: {waiver.reason}",
    )
    return msgspec.structs.replace(
        row, status=Status.ACCEPTED, reason=evidence.mechanism, evidence=[evidence, *row.evidence]
    )


def _report(waiver: Waiver, accepted: int, matched: bool, today: datetime.date) -> WaiverReport:
    current = "used" if accepted or matched else "orphan"
    state = "expired" if waiver.expires < today else current
    return WaiverReport(waiver.rows, waiver.reason, waiver.owner, waiver.expires.isoformat(), state, accepted)
