"""Candidates sifted before anything is assessed: those that can only open, and those that break the VM

A change of one fact matters only through the predicates that name it, directly or through a mechanism or feature bit that
is derived from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hostproof.artefacts.machine.model import Machine
from hostproof.knowledge.load import Catalogue
from hostproof.knowledge.predicate import Facts, parse
from hostproof.knowledge.records import Technology, Use
from hostproof.ledger.assess import Subject, vm_facts
from hostproof.ledger.what_if.changes import Change, Kind, SetConfig, apply, with_dependents
from hostproof.ledger.what_if.literals import naming

__all__ = ["Sieve"]

OPENERS = frozenset({"consumed", "affected", "present"})
"""Fields of records by which an input is there once they hold."""
DERIVING = frozenset({"image", "package"})
"""Fields that tell of a mechanism: what they change shows in the predicates that ask for it."""


@dataclass(frozen=True, slots=True)
class Sieve:
    """What is needed to judge changes of one VM. `configured` are the modules that its definition's devices need."""

    catalogue: Catalogue
    subject: Subject
    facts: Facts
    predicates: Mapping[str, Sequence[tuple[str, str]]]
    configured: frozenset[str]

    @staticmethod
    def of(catalogue: Catalogue, subject: Subject, facts: Facts, configured: frozenset[str]) -> Sieve:
        """A sieve for this VM."""
        return Sieve(catalogue, subject, facts, naming(catalogue), configured)

    def only_opens(self, change: Change) -> bool:
        """Whether a Kconfig change can do no more than make inputs consumed that are not: no mechanism asks for its symbol,
        alone or with others, and nothing that asks for it is there.
        """
        edit = change.edit
        if not isinstance(edit, SetConfig) or edit.modules:
            return False
        return all(
            field in OPENERS and parse(text)(self.facts).value is False
            for field, text in self._reached(f"config.{edit.symbol}")
            if field not in DERIVING
        )

    def _reached(self, name: str) -> list[tuple[str, str]]:
        """The predicates that name this fact, or a mechanism or feature that depends on it."""
        found: list[tuple[str, str]] = []
        names, done = [name], {name}
        while names:
            pairs = self.predicates.get(names.pop(), ())
            found += pairs
            texts = {text for _, text in pairs}
            more = [
                f"mechanism.{fact}"
                for fact, mechanism in self.catalogue.mechanisms_by_fact.items()
                if {mechanism.image, mechanism.package} & texts
            ]
            more += [
                f"feature.{fact}"
                for fact, feature in self.catalogue.features.items()
                if any(rule.when in texts for rule in feature.off)
            ]
            names += [fact for fact in more if fact not in done]
            done |= set(more)
        return found

    def breaks(self, change: Change) -> str:
        """What of the VM as defined would no longer work with this change; empty where nothing is known to break."""
        changed = apply(self.subject, [change])
        if change.kind is Kind.KCONFIG:
            after = vm_facts(self.catalogue, changed)
            if lacks := _no_such_guest(self.subject.technology, self.facts, after):
                return f"this kernel could be no guest of {self.subject.technology.name}: {lacks}"
        edit = change.edit
        if isinstance(edit, SetConfig) and edit.modules and self.subject.kernel is not None:
            needed = sorted(with_dependents(self.subject.kernel, edit.modules) & self.configured)
            if needed:
                return f"a device of the definition needs {', '.join(needed)}"
        return _needed(change.id, self.subject.machine, self.subject.use)


def _no_such_guest(technology: Technology, before: Facts, after: Facts) -> str:
    for rule in technology.guest_support:
        if parse(rule.when)(after).value is False and parse(rule.when)(before).value is not False:
            return rule.reason
    return ""


def _needed(change: str, machine: Machine | None, use: Use) -> str:
    """What needs the whole subsystem that a change switches off."""
    if change in ("CONFIG_PCI=n", "pci=off"):
        on_pci = [device.model for device in (machine.devices if machine else ()) if device.bus == "pci"]
        return f"the definition's devices are on PCI ({', '.join(dict.fromkeys(on_pci))})" if on_pci else ""
    if change == "CONFIG_NET=n" and use.network != "none":
        return f"the use {use.id} has a network"
    if change == "CONFIG_BLOCK=n" and use.storage != "none":
        return f"the use {use.id} has storage"
    return ""
