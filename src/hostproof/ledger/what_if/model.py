"""The answer of `what-if`: every change that was tried with what it does to the ledger, and the smallest set that reaches
a target

Its JSON form (`--format json`) is this structure with sorted keys; `format` names its version. Rows are given by id, in the
order of the ledger. It holds no time stamp: the same inputs give the same bytes.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from hostproof.knowledge.terms import Status

__all__ = ["FORMAT", "ChangeSeen", "Effect", "Left", "NotTried", "SmallestSet", "Suggestion", "WhatIf", "encode"]

FORMAT = "hostproof-what-if/1"


class ChangeSeen(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A change: what it is in words, the text to type, what is not modelled, what of the VM as defined it would break (it is
    then in no set), and the modules that go where some go.
    """

    id: str
    kind: str
    sentence: str
    how: str
    note: str = ""
    breaks: str = ""
    modules: list[str] = []


class Effect(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What the ledger of the changed VM says, against that of the VM as it is.

    `closed` were open and are closed, `gone` were open and are no inputs of the changed VM. `opened` are open and were
    not, or were not there. `settled` were unknown and are closed or gone; `unsettled` were closed, or not there, and are
    unknown; `blurred` were open and are unknown, which closes nothing. `modules` and `text_bytes` count the presentable
    drivers that are lost, those behind a presented controller included, closed over what they need; negative where gained.
    """

    open: int
    unknown: int
    closed: list[str] = []
    gone: list[str] = []
    opened: list[str] = []
    settled: list[str] = []
    unsettled: list[str] = []
    blurred: list[str] = []
    modules: int = 0
    text_bytes: int = 0
    attacks_stopped: list[str] = []
    attacks_enabled: list[str] = []

    @property
    def closes(self) -> int:
        """Open rows that it closes."""
        return len(self.closed) + len(self.gone)

    @property
    def net(self) -> int:
        """Open rows that it closes, less those that it opens."""
        return self.closes - len(self.opened)

    @property
    def is_nothing(self) -> bool:
        """Whether no row, no byte and no attack is different."""
        rows = (self.closed, self.gone, self.opened, self.settled, self.unsettled, self.blurred)
        return not (any(rows) or self.text_bytes or self.modules or self.attacks_stopped or self.attacks_enabled)


class Suggestion(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A change with its effect. `needs` are ids of changes without which it does nothing: the effect is then what it adds
    to theirs, and `effect.open` the open rows with all of them.
    """

    change: ChangeSeen
    effect: Effect
    needs: list[str] = []


class Left(Struct, frozen=True, forbid_unknown_fields=True):
    """Rows that no change closes, for one reason."""

    reason: str
    status: Status
    rows: list[str]


class NotTried(Struct, frozen=True, forbid_unknown_fields=True):
    """Changes of a kind that were not tried, and why."""

    kind: str
    what: str
    why: str


class SmallestSet(Struct, frozen=True, forbid_unknown_fields=True):
    """The smallest set of changes found that reaches the targets, or as much of them as all changes together do.

    `reached` is False where not even all changes together reach them; `remaining` are then the rows in the way.
    `at_least` is how many changes any such set has. `proven` says whether this one is of that size: of the changes tried,
    no smaller set does it, as long as no change undoes what another one closes.
    """

    targets: list[str]
    reached: bool
    before: int
    """Rows in the way of the targets in the VM as it is."""
    changes: list[ChangeSeen]
    effect: Effect
    adds: list[list[str]]
    """For each of `changes`, the rows in the way of the targets that it clears once those before it are made."""
    remaining: list[Left]
    at_least: int
    proven: bool


class WhatIf(Struct, frozen=True, forbid_unknown_fields=True):
    """The answer. `suggestions` are all changes that do something, best first; `idle` counts those that do nothing."""

    format: str
    hostproof: str
    rule_set: str
    name: str
    technology: str
    use: str
    open: int
    unknown: int
    suggestions: list[Suggestion]
    idle: dict[str, int]
    """Changes that were tried and change no row, byte or attack, by kind."""
    not_tried: list[NotTried]
    together: Effect
    """All changes that close something and do not exclude each other, made together."""
    left: list[Left]
    """Open rows that stay open even then."""
    smallest: SmallestSet | None
    assessments: int
    """How many changed VMs were assessed."""


def encode(answer: WhatIf) -> bytes:
    """Canonical JSON with a trailing newline."""
    return msgspec.json.format(msgspec.json.encode(answer, order="sorted"), indent=2) + b"\n"
