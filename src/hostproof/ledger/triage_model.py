"""The answer of `triage`: one decision per CVE, in the words of VEX, with the steps that led there."""

from __future__ import annotations

from enum import StrEnum

import msgspec
from msgspec import Struct

from hostproof.ledger.model import InputFile

__all__ = ["FORMAT", "Decision", "Justification", "PassedOver", "Triage", "VexStatus", "encode"]

FORMAT = "hostproof-triage/1"


class VexStatus(StrEnum):
    """The status labels of VEX, the urgent ones first."""

    AFFECTED = "affected"
    UNDER_INVESTIGATION = "under_investigation"
    FIXED = "fixed"
    NOT_AFFECTED = "not_affected"


class Justification(StrEnum):
    """The justifications of VEX that are used here. SOURCE: OpenVEX specification 0.2.0, Status Justifications."""

    NOT_PRESENT = "vulnerable_code_not_present"
    NOT_EXECUTED = "vulnerable_code_not_in_execute_path"
    NOT_CONTROLLED = "vulnerable_code_cannot_be_controlled_by_adversary"


class Decision(Struct, frozen=True, omit_defaults=True):
    """What is to be said of one CVE. `because` are the steps that led there, one sentence each; `rows` are ids of the
    ledger's rows that decide it, `drivers` those that the files belong to.
    """

    cve: str
    title: str
    status: VexStatus
    summary: str
    justification: Justification | None = None
    action: str = ""
    because: list[str] = msgspec.field(default_factory=list)
    files: list[str] = msgspec.field(default_factory=list)
    drivers: list[str] = msgspec.field(default_factory=list)
    rows: list[str] = msgspec.field(default_factory=list)


class PassedOver(Struct, frozen=True):
    """A record about which nothing is said, and why."""

    cve: str
    reason: str


class Triage(Struct, frozen=True):
    """The triage of a kernel in a VM. Decisions stand in the order of status, then id."""

    name: str
    technology: str
    kernel: str
    release: str
    version: str
    architecture: str
    image_sha256: str
    decisions: list[Decision]
    passed_over: list[PassedOver] = msgspec.field(default_factory=list)
    inputs: list[InputFile] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)
    format: str = FORMAT


def encode(value: Triage) -> bytes:
    """Canonical JSON with a trailing newline: the same inputs give the same bytes."""
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=1) + b"\n"
