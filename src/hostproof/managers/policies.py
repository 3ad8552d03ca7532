"""From facts of a VM to policies of a model: `policies.toml`.

A policy is named with the predicate that decides it, in the catalogue's language. A model may say by `applies` which VMs it
describes at all: for the others the catalogue speaks.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import msgspec
from msgspec import Struct, field

from hostproof.errors import CatalogueError
from hostproof.knowledge import toml
from hostproof.knowledge.predicate import parse
from hostproof.place import Place

__all__ = ["Mapping", "Replay", "Scene", "answered", "mapping", "mappings", "replays"]


class Mapping(Struct, frozen=True, forbid_unknown_fields=True):
    """How the facts of a VM decide the policies of one model."""

    policies: dict[str, str] = field(default_factory=dict)
    applies: dict[str, str] = field(default_factory=dict)
    """Primitive (or `*`) -> the condition under which this model speaks about it."""
    passes_over: dict[str, list[str]] = field(default_factory=dict)
    """Objective -> primitives that the model attaches to it and the catalogue means otherwise."""


class Scene(Struct, frozen=True, forbid_unknown_fields=True):
    """One run of one model: what happens to one objective under these policies, without these duties."""

    model: str
    objective: str
    policy: dict[str, bool] = field(default_factory=dict)
    without: list[str] = field(default_factory=list)


class Replay(Struct, frozen=True, forbid_unknown_fields=True):
    """A published attack as a question to the models: where it is found, and where it is gone (empty: nowhere yet)."""

    attack: str
    story: str
    """What the trace is in the words of the publication, and what of it the model leaves out."""
    found: list[Scene]
    gone: list[Scene] = field(default_factory=list)


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    answered: list[str] = field(default_factory=list)
    model: dict[str, Mapping] = field(default_factory=dict)
    replay: list[Replay] = field(default_factory=list)


@cache
def mappings() -> dict[str, Mapping]:
    """Every mapping, by model."""
    return _read("policies.toml").model


def mapping(model: str) -> Mapping:
    """The mapping of a model; an empty one where no fact decides a policy of it."""
    return mappings().get(model, Mapping())


@cache
def answered() -> frozenset[str]:
    """Primitives that the objectives of the models answer in full."""
    return frozenset(_read("policies.toml").answered)


@cache
def replays() -> dict[str, Replay]:
    """Every attack that models replay, by its id in the catalogue."""
    return {replay.attack: replay for replay in _read("replays.toml").replay}


def _read(name: str) -> _File:
    data = resources.files("hostproof.managers").joinpath(name).read_bytes()
    table = toml.table(data, name, kind=CatalogueError)
    try:
        file = msgspec.convert(table, _File)
    except msgspec.ValidationError as error:
        raise CatalogueError(f"not a file of policies: {error}", place=Place(name)) from None
    for one in file.model.values():
        for condition in (*one.policies.values(), *one.applies.values()):
            parse(condition)
    return file
