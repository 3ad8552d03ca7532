"""What changed between two ledgers: rows opened, closed, moved, appeared, vanished; bytes gained and lost

Rows are found by id. A row that is open in the new ledger and was not in the old one has *opened*; one that was open and is
closed now has *closed*; any other change of status has *moved*; a change of presence alone is listed apart.

A newer rule set knows more inputs. What is there only because the rule set is another is listed under `new_rules` and
counts neither as worse nor as a difference, so that an update of hostproof cannot fail the build of an unchanged VM:

- every change, where both ledgers were made from the same inputs, for the same technology and use, with the same options;
- otherwise, for the same technology and use, a row that appeared in a channel that the old ledger did not know, under a
  threat that it did not know for the same instance, or that is neither a driver nor a line of the definition.

What is left is the doing of the VM. Where it cannot be told (a row that both ledgers have, and other inputs), it counts.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from hostproof.knowledge.terms import Presence, Status, Threat
from hostproof.ledger.model import Control, DriverCount, Ledger, Row

__all__ = [
    "FORMAT",
    "AttackChange",
    "CountChange",
    "LedgerDiff",
    "LedgerName",
    "ObjectiveChange",
    "RowChange",
    "diff",
    "differs",
    "encode",
]

FORMAT = "hostproof-ledger-diff/1"


class LedgerName(Struct, frozen=True, forbid_unknown_fields=True):
    """Which ledger: the VM, how it was assessed, and by which rules."""

    name: str
    technology: str
    use: str
    rule_set: str
    hostproof: str


class RowChange(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One row, before and after; None where that ledger does not have it. `reason` is that of the newer row."""

    id: str
    channel: str
    channel_name: str
    instance_name: str
    threat: Threat
    reason: str
    before: Status | None = None
    after: Status | None = None
    presence_before: Presence | None = None
    presence_after: Presence | None = None
    text_bytes: int | None = None


class CountChange(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Drivers before and after; None where the facts were not given."""

    before: DriverCount | None = None
    after: DriverCount | None = None

    @property
    def modules(self) -> int | None:
        """Drivers gained, negative where lost."""
        return self.after.modules - self.before.modules if self.before and self.after else None

    @property
    def text_bytes(self) -> int | None:
        """Bytes of executable text gained, negative where lost."""
        return self.after.text_bytes - self.before.text_bytes if self.before and self.after else None


class ObjectiveChange(Struct, frozen=True, forbid_unknown_fields=True):
    """Whether an objective is met, before and after. None: undecided, or not an objective of that ledger."""

    id: str
    before: bool | None
    after: bool | None
    reason: str


class AttackChange(Struct, frozen=True, forbid_unknown_fields=True):
    """The state of a published attack before and after, "" where that ledger does not know it."""

    id: str
    name: str
    before: str
    after: str
    reason: str


class LedgerDiff(Struct, frozen=True, forbid_unknown_fields=True):
    """The difference between two ledgers. Lists are in the order of the newer ledger, then of the older."""

    format: str
    old: LedgerName
    new: LedgerName
    same_inputs: bool
    """Both were made from inputs with the same digests, for the same technology and use, with the same options."""
    opened: list[RowChange]
    closed: list[RowChange]
    moved: list[RowChange]
    presence: list[RowChange]
    """Same status, another presence: a device that was presentable is configured now."""
    appeared: list[RowChange]
    vanished: list[RowChange]
    new_rules: list[RowChange]
    """There, gone, or of another status, only because of another rule set."""
    objectives: list[ObjectiveChange]
    attacks: list[AttackChange]
    configured: CountChange
    presentable: CountChange
    total: CountChange
    open_before: int
    open_after: int
    open_text_bytes_before: int
    """Executable bytes of the drivers with an open row. What two of them share counts twice."""
    open_text_bytes_after: int
    control_before: Control
    control_after: Control

    @property
    def is_worse(self) -> bool:
        """Whether the host can do more than before: a row opened, or appeared open, or is no longer known to be closed;
        an objective is no longer met; an attack that was known before works now. New rules do not count.
        """
        return bool(
            self.opened
            or any(row.after is Status.OPEN for row in self.appeared)
            or any(row.before is not None and row.before.closed and row.after is Status.UNKNOWN for row in self.moved)
            or (not self.rules_only and any(change.before is True for change in self.objectives))
            or any(change.after == "works" for change in self._own_attacks())
        )

    @property
    def is_empty(self) -> bool:
        """Whether nothing of the VM's threat model changed; bytes and new rules do not count."""
        rows = (self.opened, self.closed, self.moved, self.presence, self.appeared, self.vanished)
        return not (
            any(rows)
            or self._own_attacks()
            or (self.objectives and not self.rules_only)
            or (self.old.technology, self.old.use) != (self.new.technology, self.new.use)
        )

    @property
    def rules_only(self) -> bool:
        """Whether nothing but the rule set changed, so that it is the cause of every difference."""
        return self.same_inputs and self.old.rule_set != self.new.rule_set

    def _own_attacks(self) -> list[AttackChange]:
        """The changes that are not the doing of another rule set, which may know an attack that the old one did not."""
        other_rules = self.old.rule_set != self.new.rule_set
        return [] if self.rules_only else [change for change in self.attacks if change.before or not other_rules]


def diff(old: Ledger, new: Ledger) -> LedgerDiff:
    """What changed from `old` to `new`."""
    before = {row.id: row for row in old.rows}
    after = {row.id for row in new.rows}
    shared = [(before[row.id], row) for row in new.rows if row.id in before]
    changed = [_change(one, two) for one, two in shared if one.status is not two.status]
    fresh = [row for row in new.rows if row.id not in before]
    vanished = [_change(row, None) for row in old.rows if row.id not in after]
    same_inputs = _subject(old) == _subject(new)
    moved_presence = [
        _change(one, two) for one, two in shared if one.status is two.status and one.presence is not two.presence
    ]
    if same_inputs and old.rule_set != new.rule_set:
        new_rules = [*changed, *moved_presence, *(_change(None, row) for row in fresh), *vanished]
        changed, moved_presence, fresh, vanished = [], [], [], []
    else:
        ours = _by_rules(old, new, fresh)
        new_rules = [_change(None, row) for row in fresh if row.id in ours]
        fresh = [row for row in fresh if row.id not in ours]
    return LedgerDiff(
        format=FORMAT,
        old=_name(old),
        new=_name(new),
        same_inputs=same_inputs,
        opened=[one for one in changed if one.after is Status.OPEN],
        closed=[one for one in changed if _closed(one)],
        moved=[one for one in changed if one.after is not Status.OPEN and not _closed(one)],
        presence=moved_presence,
        appeared=[_change(None, row) for row in fresh],
        vanished=vanished,
        new_rules=new_rules,
        objectives=_objectives(old, new),
        attacks=_attacks(old, new),
        configured=CountChange(old.headline.configured, new.headline.configured),
        presentable=CountChange(old.headline.presentable, new.headline.presentable),
        total=CountChange(old.headline.total, new.headline.total),
        open_before=sum(row.status is Status.OPEN for row in old.rows),
        open_after=sum(row.status is Status.OPEN for row in new.rows),
        open_text_bytes_before=_open_text_bytes(old.rows),
        open_text_bytes_after=_open_text_bytes(new.rows),
        control_before=old.control,
        control_after=new.control,
    )


def differs(baseline: Ledger, ledger: Ledger) -> bool:
    """Whether `ledger` is no longer what `baseline` recorded, for better or worse: another set of rows, another status or
    presence of a row, another objective, attack, technology or use. Reasons, bytes, digests of inputs and what only a
    newer rule set adds make no difference.
    """
    return not diff(baseline, ledger).is_empty


def encode(difference: LedgerDiff) -> bytes:
    """Canonical JSON of a difference, with a trailing newline; `is_worse` and `is_empty` are written out."""
    fields = msgspec.to_builtins(difference)
    fields["is_worse"] = difference.is_worse
    fields["is_empty"] = difference.is_empty
    return msgspec.json.format(msgspec.json.encode(fields, order="sorted"), indent=2) + b"\n"


def _by_rules(old: Ledger, new: Ledger, fresh: list[Row]) -> set[str]:
    """The ids of those `fresh` rows that are there because of other rules and not of other facts."""
    if old.rule_set == new.rule_set or (old.technology, old.use) != (new.technology, new.use):
        return set()
    channels = {channel.id for channel in old.channels} | {row.channel for row in old.rows}
    instances = {(row.channel, row.instance) for row in old.rows}
    return {
        row.id
        for row in fresh
        if row.channel not in channels
        or (row.channel, row.instance) in instances
        or (row.text_bytes is None and row.place is None and row.presence is not Presence.CONFIGURED)
    }


def _subject(ledger: Ledger) -> object:
    """What was assessed, and how. None of the inputs may lack a digest: a directory may have changed."""
    if any(not given.sha256 for given in ledger.inputs) or not ledger.inputs:
        return object()
    return (
        ledger.technology,
        ledger.use,
        sorted((given.role, given.sha256) for given in ledger.inputs),
        sorted((option.id, option.value) for option in ledger.options if not option.default),
    )


def _name(ledger: Ledger) -> LedgerName:
    return LedgerName(ledger.name, ledger.technology, ledger.use, ledger.rule_set, ledger.hostproof)


def _change(before: Row | None, after: Row | None) -> RowChange:
    row = after or before
    if row is None:
        raise ValueError("a change needs a row")
    return RowChange(
        id=row.id,
        channel=row.channel,
        channel_name=row.channel_name,
        instance_name=row.instance_name,
        threat=row.threat,
        reason=row.reason,
        before=before.status if before else None,
        after=after.status if after else None,
        presence_before=before.presence if before else None,
        presence_after=after.presence if after else None,
        text_bytes=row.text_bytes,
    )


def _closed(change: RowChange) -> bool:
    return change.before is Status.OPEN and change.after is not None and change.after.closed


def _objectives(old: Ledger, new: Ledger) -> list[ObjectiveChange]:
    before = {objective.id: objective.met for objective in old.objectives}
    after = {objective.id: objective for objective in new.objectives}
    return [
        ObjectiveChange(key.value, before.get(key), objective.met, objective.reason)
        for key, objective in after.items()
        if before.get(key) is not objective.met
    ]


def _attacks(old: Ledger, new: Ledger) -> list[AttackChange]:
    before = {attack.id: attack for attack in old.attacks}
    after = {attack.id: attack for attack in new.attacks}
    changes = []
    for key in [*after, *(key for key in before if key not in after)]:
        one, two = before.get(key), after.get(key)
        latest = two or one
        states = (one.state if one else "", two.state if two else "")
        if latest is not None and states[0] != states[1]:
            changes.append(AttackChange(key, latest.name, *states, latest.reason))
    return changes


def _open_text_bytes(rows: Iterable[Row]) -> int:
    return sum(
        {
            row.instance: row.text_bytes for row in rows if row.status is Status.OPEN and row.text_bytes is not None
        }.values()
    )
