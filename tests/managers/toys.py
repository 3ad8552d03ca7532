"""The toy model as a technology of its own: verdicts that tests know by heart."""

from __future__ import annotations

from functools import cache

from msgspec.structs import replace

from hostproof.managers import publish, records
from hostproof.managers.engine import toy
from hostproof.managers.registry import Factory

TOY = Factory("toy", "toy")


class Plain(Factory):
    """The factory of the toy, which stands among the engine's parts: it has no sizes of its own."""

    def __init__(self) -> None:
        super().__init__("toy", "toy")

    def sizes(self, model: object) -> None:
        return None


@cache
def toy_stored() -> records.Stored:
    """Everything published of the toy, with times that do not change."""
    model, factory = toy.model(), Plain()
    verdicts = [one for run in publish.runs(model, factory) for one in publish.prove_run(model, factory, run)]
    stored = publish.stored(model, factory, [replace(one, seconds=0.25) for one in verdicts])
    return replace(stored, model=replace(stored.model, technologies=["toy"]))


class File:
    """A file that is not on a disk."""

    def __init__(self, name: str, data: bytes) -> None:
        self.name, self.data = name, data

    def read_bytes(self) -> bytes:
        return self.data


def toy_library() -> records.Library:
    """A library that holds the toy and nothing else."""
    return records.Library((File("toy.json", publish.encode(toy_stored())),))  # type: ignore[arg-type]
