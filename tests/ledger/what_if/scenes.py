"""VMs in small worlds for the tests of `what-if`, with changes whose effect is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hostproof.artefacts import cmdline
from hostproof.knowledge.load import Catalogue
from hostproof.ledger.assess import Subject, assess
from hostproof.ledger.model import Ledger
from hostproof.ledger.what_if.answer import what_if
from hostproof.ledger.what_if.changes import Change, apply
from hostproof.ledger.what_if.model import Suggestion, WhatIf
from hostproof.managers.verdicts import CatalogueVerdicts
from hostproof.place import Place
from tests.ledger import worlds

__all__ = ["answer", "assessed", "instance", "option", "subject", "suggested", "world"]


def instance(name: str, **more: Any) -> dict[str, Any]:
    """An instance of channel C11."""
    return {"channel": "C11", "id": name, "name": f"input {name}", **worlds.SOURCED, **more}


def option(written: str, effect: str = "closes") -> dict[str, Any]:
    return {"option": written, "effect": effect, "rows": ["C11/x/*"], "meaning": "what it does", **worlds.SOURCED}


def world(*instances: dict[str, Any], **groups: list[dict[str, Any]]) -> Catalogue:
    """A world with channel C11, these instances of it, and channel C33 on which PCI drivers bind."""
    channels = [worlds.channel("C11"), worlds.channel("C33", driver_buses=["pci"])]
    return worlds.catalogue(channel=[*channels, *groups.pop("channel", [])], instance=list(instances), **groups)


def subject(
    catalogue: Catalogue, *, command_line: str | None = None, axes: Mapping[str, Any] | None = None, **parts: Any
) -> Subject:
    line = None if command_line is None else cmdline.parse(command_line, Place("--cmdline"))
    return Subject(
        name="vm",
        technology=catalogue.technologies["t"],
        use=worlds.use(**(axes or {})),
        today=worlds.TODAY,
        command_line=line,
        **parts,
    )


def answer(catalogue: Catalogue, vm: Subject, *targets: str, **more: Any) -> WhatIf:
    return what_if(catalogue, vm, CatalogueVerdicts(), targets=targets, **more)


def assessed(catalogue: Catalogue, vm: Subject, changes: Sequence[Change] = ()) -> Ledger:
    return assess(catalogue, apply(vm, changes), CatalogueVerdicts())


def suggested(found: WhatIf, change: str) -> Suggestion:
    """The suggestion of this change; a test that asks for one that is not there fails with those that are."""
    named = {suggestion.change.id: suggestion for suggestion in found.suggestions}
    assert change in named, sorted(named)
    return named[change]
