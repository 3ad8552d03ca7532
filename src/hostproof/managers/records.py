"""Verdicts as they are stored: one JSON file per model in `records/`, read without the models and without z3.

A file holds a card (what a person needs to read the verdicts: sentences of objectives, invariants, assumptions with the attacks
that break each, operations with their clause), the weakest duties of each objective, and one verdict per line: every
objective under every published policy and every dropped duty. `scripts/prove_all.py` writes them. Traces stay undecoded
until somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from hostproof.errors import InputError
from hostproof.managers.registry import TECHNOLOGIES
from hostproof.place import Place

__all__ = [
    "FORMAT",
    "AssumptionCard",
    "Card",
    "Library",
    "ObjectiveCard",
    "OperationCard",
    "Stored",
    "SwitchCard",
    "TraceRecord",
    "Verdict",
    "decode",
    "library",
]

FORMAT = "hostproof-verdicts/1"
MAX_BYTES = 32 * 1024 * 1024
MAX_VERDICTS = 20_000
MAX_STEPS = 1_000
Word = Annotated[str, Meta(max_length=400)]
Text = Annotated[str, Meta(max_length=4000)]


class SwitchCard(Struct, frozen=True, forbid_unknown_fields=True):
    """A duty of the guest or a policy bit, with its value unless a run says otherwise."""

    name: Word
    sentence: Text
    default: bool
    duty: bool
    source: Text = ""


class ObjectiveCard(Struct, frozen=True, forbid_unknown_fields=True):
    """An objective of a model: the assumptions it rests on, and the primitives of the catalogue that it answers."""

    id: Word
    sentence: Text
    assumptions: list[Word] = []
    primitives: list[Word] = []


class AssumptionCard(Struct, frozen=True, forbid_unknown_fields=True):
    """What proofs rest on, and the published attacks that break it."""

    sentence: Text
    broken_by: list[Word] = []


class OperationCard(Struct, frozen=True, forbid_unknown_fields=True):
    """An operation as the specification has it. `guards` are clauses by id."""

    caller: Word
    sentence: Text
    source: Text
    guards: dict[Word, Text] = {}


class Card(Struct, frozen=True, forbid_unknown_fields=True):
    """What a person needs of a model to read its verdicts."""

    name: Word
    """The key of the registry."""
    version: Word
    title: Text
    technologies: list[Word]
    variant: Word
    """Empty for the version that the ledger asks; else its name."""
    digest: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    engine: Word
    switches: list[SwitchCard]
    objectives: list[ObjectiveCard]
    invariants: dict[Word, Text]
    assumptions: dict[Word, AssumptionCard]
    operations: dict[Word, OperationCard]
    cells: dict[Word, Text] = {}
    """Meanings of state variables."""

    @property
    def duties(self) -> tuple[str, ...]:
        """Names of the guest's duties."""
        return tuple(switch.name for switch in self.switches if switch.duty)

    @property
    def policies(self) -> dict[str, bool]:
        """Policy bits with their defaults."""
        return {switch.name: switch.default for switch in self.switches if not switch.duty}

    def sentence(self, switch: str) -> str:
        """What a duty or policy says."""
        return next((one.sentence for one in self.switches if one.name == switch), switch)


class ChangeRecord(Struct, frozen=True):
    """One cell that a step changed."""

    cell: Word
    before: Word
    after: Word


class StepRecord(Struct, frozen=True):
    """An operation that somebody took."""

    operation: Word
    caller: Word
    arguments: dict[Word, Word]
    guards: list[Word]
    changes: list[ChangeRecord]


class TraceRecord(Struct, frozen=True):
    """The shortest way to what an objective forbids."""

    sizes: dict[Word, int]
    start: dict[Word, Word]
    steps: Annotated[list[StepRecord], Meta(max_length=MAX_STEPS)]


class Verdict(Struct, frozen=True, kw_only=True):
    """A stored verdict: the fields of `engine.verdict.VerdictRecord` that people and the ledger read."""

    id: Annotated[str, Meta(pattern="^[0-9a-f]{12}$")]
    technology: Word
    """The model's own name."""
    version: Word
    objective: Word
    sentence: Text
    policy: dict[Word, bool]
    duties: tuple[Word, ...]
    result: Annotated[str, Meta(pattern="^(proved|trace|unknown)$")]
    bound: Word
    invariants: tuple[Word, ...] = ()
    assumptions: tuple[Word, ...] = ()
    primitives: tuple[Word, ...] = ()
    digest: Word = ""
    states: int = 0
    queries: int = 0
    seconds: float = 0.0
    steps: int = 0
    """Length of the trace."""
    why_not: tuple[Text, ...] = ()
    """Where the induction stops, for a verdict that is neither."""
    trace: msgspec.Raw = msgspec.Raw(b"null")

    def story(self) -> TraceRecord | None:
        """The trace, decoded now. Raises InputError where it is none."""
        try:
            return msgspec.json.decode(self.trace, type=TraceRecord | None)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InputError(f"not a trace: {error}", place=Place(f"verdict {self.id}")) from None


class Stored(Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """One file of verdicts."""

    format: str
    model: Card
    weakest: dict[Word, list[list[Word]]]
    """Per objective that is proved: every minimal set of duties under which it is."""
    verdicts: Annotated[list[Verdict], Meta(max_length=MAX_VERDICTS)]

    def run(self, policy: Mapping[str, bool], duties: tuple[str, ...]) -> Mapping[str, Verdict]:
        """The verdicts under exactly this policy and these duties, by objective; empty where it is not published."""
        return self._runs.get((frozenset(policy.items()), duties), {})

    @cached_property
    def _runs(self) -> dict[tuple[frozenset[tuple[str, bool]], tuple[str, ...]], dict[str, Verdict]]:
        found: dict[tuple[frozenset[tuple[str, bool]], tuple[str, ...]], dict[str, Verdict]] = {}
        for one in self.verdicts:
            found.setdefault((frozenset(one.policy.items()), one.duties), {})[one.objective] = one
        return found

    @property
    def default(self) -> Mapping[str, Verdict]:
        """The verdicts under the default policy and all duties."""
        return self.run(self.model.policies, self.model.duties)

    def needed(self, objective: str) -> tuple[str, ...]:
        """The duties of the smallest set under which the objective is proved; all of them where that was not asked."""
        sets = self.weakest.get(objective)
        return tuple(sorted(sets, key=len)[0]) if sets else self.model.duties


def decode(data: bytes, name: str) -> Stored:
    """The verdicts in a file. Raises InputError with the place of what is wrong."""
    place = Place(name)
    if len(data) > MAX_BYTES:
        raise InputError(f"verdicts are larger than {MAX_BYTES >> 20} MiB", place=place)
    try:
        stored = msgspec.json.decode(data, type=Stored)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:  # ValidationError is a DecodeError
        message, _, path = str(error).partition(" - at ")
        raise InputError(
            f"not a file of verdicts: {message[:300]}",
            place=place.at(path=path.strip("`") or None),
            expected=FORMAT,
            hint="`make generate` writes them anew",
        ) from None
    if stored.format != FORMAT:
        raise InputError(f"verdicts in format {stored.format[:80]!r}", place=place.at(path="format"), expected=FORMAT)
    known = {objective.id for objective in stored.model.objectives}
    for number, verdict in enumerate(stored.verdicts):
        where = place.at(path=f"verdicts[{number}]")
        if verdict.objective not in known:
            raise InputError(f"the model has no objective {verdict.objective}", place=where)
        if (bytes(verdict.trace) != b"null") is not (verdict.result == "trace"):
            raise InputError("a verdict is a trace where it has one, and only there", place=where)
    return stored


@dataclass(frozen=True)
class Library:
    """All stored verdicts, each file read when it is asked for."""

    files: tuple[Traversable, ...]

    _read: dict[str, Stored] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def by_model(self) -> dict[str, Stored]:
        """Every model by name. Raises InputError where a file is broken."""
        return self._models("")

    def _models(self, prefix: str) -> dict[str, Stored]:
        """The models whose name begins so, in the order of the files."""
        for file in self.files:
            name = file.name.removesuffix(".json")
            if name.startswith(prefix) and name not in self._read:
                self._read[name] = decode(file.read_bytes(), file.name)
        names = [file.name.removesuffix(".json") for file in self.files]
        return {name: self._read[name] for name in names if name.startswith(prefix)}

    def of(self, technology: str, version: str = "") -> list[Stored]:
        """The models that speak about a technology (of another version), the memory core first.

        Their names begin with the technology's, so that no other file is read.
        """
        own = [one for one in self._models(technology).values() if technology in one.model.technologies]
        own = [one for one in own if one.model.variant == version]
        return sorted(own, key=lambda one: (one.model.name.partition("@")[0] != technology, one.model.name))

    def versions(self, technology: str) -> list[str]:
        """Versions of a technology beside the one that the ledger asks."""
        return sorted(
            {one.model.variant for one in self.by_model.values() if technology in one.model.technologies} - {""}
        )

    @property
    def technologies(self) -> list[str]:
        """Technologies about which a model speaks, in the order of the registry."""
        spoken = {name for one in self.by_model.values() for name in one.model.technologies}
        return [name for name in TECHNOLOGIES if name in spoken] + sorted(spoken - set(TECHNOLOGIES))

    def find(self, id: str) -> tuple[Stored, Verdict] | None:
        """The verdict of this id, with its model."""
        for stored, verdict in self:
            if verdict.id == id:
                return stored, verdict
        return None

    def __iter__(self) -> Iterator[tuple[Stored, Verdict]]:
        for stored in self.by_model.values():
            for verdict in stored.verdicts:
                yield stored, verdict


@cache
def library() -> Library:
    """The verdicts that come with hostproof."""
    folder = resources.files("hostproof.managers").joinpath("records")
    files = [file for file in folder.iterdir() if file.name.endswith(".json")] if folder.is_dir() else []
    return Library(tuple(sorted(files, key=lambda file: file.name)))
