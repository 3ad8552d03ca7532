"""Audits: who looked at which driver's code for what the host feeds it, and whether this kernel has that very code

An audit file is TOML; `hostproof surface KERNEL --driver NAME --format audit` writes one to fill in::

    [[audit]]
    driver = "virtio_console"
    interface = "virtqueue"             # an id of the catalogue's interfaces, or "*" for all that the driver reads
    code_sha256 = "7f6c..."             # Module.code_sha256, see hostproof.artefacts.kernel.code_digest
    kernel = "linux-image-6.1.0-54-cloud-amd64-unsigned 6.1.190-1"      # for people
    by = "Jo Doe, example.org"
    date = 2026-11-20
    method = "read by two people, fuzzed for 72 hours"
    verdict = "nothing found"           # "nothing found", "findings fixed", "findings open"
    rows = ["C32/virtio_console/*"]     # optional; else every T3 and T4 row of that driver
    sources = ["https://example.org/report"]                            # optional
    note = ""                                                           # optional

A row of a driver is `hardened` when every interface that the row needs is covered by an audit of the code that this kernel
has, with nothing found or all findings fixed. It needs those of which the driver has sites and whose weight is 2 or more (a
value that the host chooses, or memory that it fills), and that either feed the row's channel or feed no channel in which
this driver has a row: MMIO and DMA of a PCI driver count for its row in the channel of PCI configuration space, because they
have none of their own. Where sites were not counted, or counting sees none, only an audit of `*` covers a row.

An audit of other code is stale: a digest tells code, and nobody knows what a change did. A driver that is built in has no
digest, so an audit of it is always stale. An audit whose findings are open closes nothing, and while it holds for this code,
no other audit of that interface does. An audit says nothing of what the driver calls: the row names the modules that it
needs and that no audit covers.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from hostproof.artefacts.kernel import match
from hostproof.artefacts.kernel.facts import KernelFacts, Module
from hostproof.errors import InputError
from hostproof.knowledge import toml
from hostproof.knowledge.load import Catalogue
from hostproof.knowledge.records import Audit as PublishedAudit
from hostproof.knowledge.terms import Status
from hostproof.ledger.model import Evidence, FactSeen, PlaceSeen
from hostproof.ledger.patterns import meets
from hostproof.place import Place

__all__ = ["EVERY", "Audit", "AuditedCode", "Audits", "read", "required", "together"]

MAX_BYTES = 4 * 1024 * 1024
MAX_AUDITS = 2000
EVERY = "*"
LEAST_WEIGHT = 2
SHORT = 12
_SHOWN = 4
_KERNEL_ROW = "C02/kernel/T1"
"""The code is this kernel's: as every mechanism found in it, an audit rests on the kernel (`evidence.KERNEL_ROW`)."""
_DEFAULT_THREATS = ("T3", "T4")
Text = Annotated[str, Meta(min_length=1, max_length=2000)]
Pattern = Annotated[str, Meta(pattern="^[^/]+/[^/]+/[^/]+$", max_length=200)]


class Audit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One recorded audit of one interface of one driver; see the head of this page for its fields."""

    driver: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,100}$")]
    interface: Annotated[str, Meta(min_length=1, max_length=100)]
    code_sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    kernel: Text
    by: Text
    date: datetime.date
    method: Text
    verdict: Literal["nothing found", "findings fixed", "findings open"]
    rows: Annotated[list[Pattern], Meta(max_length=100)] = []
    sources: Annotated[list[Text], Meta(max_length=100)] = []
    note: Annotated[str, Meta(max_length=2000)] = ""

    @property
    def name(self) -> str:
        """The driver's canonical name (underscores)."""
        return self.driver.replace("-", "_")

    def meets(self, row_id: str) -> bool:
        """Whether the audit is about this row of its driver."""
        if self.rows:
            return any(meets(row_id, pattern) for pattern in self.rows)
        return row_id.rsplit("/", 1)[-1] in _DEFAULT_THREATS


class _File(msgspec.Struct, forbid_unknown_fields=True):
    audit: list[Audit]


@dataclass(frozen=True, slots=True)
class Audits:
    """Audits with the file that each was read from."""

    items: tuple[tuple[Audit, Place], ...] = ()


def read(data: bytes, name: str, interfaces: Collection[str]) -> Audits:
    """The audits that TOML bytes hold; `interfaces` are the ids that may stand in them.

    Raises InputError naming the field that is missing or wrong.
    """
    place = Place(name)
    if len(data) > MAX_BYTES:
        raise InputError("an audit file is larger than 4 MiB", place=place)
    expected = "[[audit]] with driver, interface, code_sha256, kernel, by, date = YYYY-MM-DD, method, verdict"
    file = toml.record(data, name, _File, refusal="not an audit file", expected=expected)
    if len(file.audit) > MAX_AUDITS:
        raise InputError(f"{len(file.audit)} audits", place=place, expected=f"at most {MAX_AUDITS}")
    for index, audit in enumerate(file.audit):
        if audit.interface != EVERY and audit.interface not in interfaces:
            raise InputError(
                f"no interface {audit.interface!r}",
                place=place.at(path=f"audit[{index}].interface"),
                expected=f'"{EVERY}" or one of {", ".join(sorted(interfaces))}',
            )
    return Audits(tuple((audit, place.at(path=f"audit[{index}]")) for index, audit in enumerate(file.audit)))


def together(parts: Iterable[Audits]) -> Audits:
    """The audits of several files as one."""
    return Audits(tuple(item for part in parts for item in part.items))


def required(catalogue: Catalogue, module: Module, channel: str, counted: Collection[str]) -> tuple[str, ...]:
    """The interfaces that audits must cover for the module's row in `channel`; empty where counting sites tells none."""
    if not counted:
        return ()
    buses = {match.bus(alias) for alias in module.aliases}
    own = {record.id for record in catalogue.channels.values() if not buses.isdisjoint(record.driver_buses)}
    needed = []
    for name, sites in module.sites.items():
        interface = catalogue.interfaces.get(name)
        if interface is None or interface.weight < LEAST_WEIGHT or not sites.count:
            continue
        if channel in interface.channels or own.isdisjoint(interface.channels):
            needed.append(name)
    return tuple(sorted(needed))


@dataclass(frozen=True, slots=True)
class AuditedCode:
    """A kernel's drivers as audits see them: digests of their code, and which audits are about that code."""

    catalogue: Catalogue
    kernel: KernelFacts | None = None
    audits: Audits = field(default_factory=Audits)
    _modules: Mapping[str, Module] = field(init=False, repr=False)
    _by_driver: Mapping[str, list[tuple[Audit, Place]]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        modules = {module.name: module for module in (self.kernel.modules if self.kernel else None) or ()}
        by_driver: dict[str, list[tuple[Audit, Place]]] = {}
        for audit, place in self.audits.items:
            by_driver.setdefault(audit.name, []).append((audit, place))
        object.__setattr__(self, "_modules", modules)
        object.__setattr__(self, "_by_driver", by_driver)

    def published(self, audit: PublishedAudit) -> str:
        """Why an audit of the catalogue does not hold for this kernel's code; empty where it does. It may name the digest
        that survives a rebuild, or that of the executable sections as they are.
        """
        if not audit.code_sha256:
            return "stale: it published no digest of the code that it tested"
        module = self._modules.get(audit.driver)
        if module is None or audit.code_sha256 not in (module.code_sha256, module.text_sha256):
            return "stale: this kernel's code is not the code that it tested"
        return ""

    def evidence(self, driver: str, channel: str, row_id: str) -> Iterator[Evidence]:
        """What the recorded audits say of a driver's row. Audits of several interfaces by the same people, on the same day
        and with the same outcome are one piece of evidence.
        """
        mine = [item for item in self._by_driver.get(driver, ()) if item[0].meets(row_id)]
        if not mine:
            return
        needed = self._needed(driver, channel)
        valid = [audit for audit, _ in mine if not self._stale(audit)]
        disputed = {audit.interface for audit in valid if audit.verdict == "findings open"}
        covered = {audit.interface for audit in valid if audit.verdict != "findings open"}
        gap = _gap(needed, covered, disputed)
        relevant = [item for item in mine if item[0].interface in (EVERY, *needed)]
        alike: dict[tuple[object, ...], list[tuple[Audit, Place]]] = {}
        for audit, place in relevant or mine:
            key = (audit.by, audit.date, audit.method, audit.verdict, audit.code_sha256, audit.kernel)
            alike.setdefault(key, []).append((audit, place))
        for group in alike.values():
            why_not = self._stale(group[0][0])
            if not why_not and group[0][0].verdict == "findings open":
                why_not = "its findings are open"
            yield self._one(group, why_not or gap)

    def _needed(self, driver: str, channel: str) -> tuple[str, ...]:
        module = self._modules.get(driver)
        if module is None or self.kernel is None:
            return ()
        return required(self.catalogue, module, channel, self.kernel.sites_counted)

    def _stale(self, audit: Audit) -> str:
        """Why the audit is not about this kernel's code; empty where it is."""
        module = self._modules.get(audit.name)
        if module is None:
            return "stale: the driver is built in, and the image does not tell its code apart"
        if not module.code_sha256:
            return "these kernel facts carry no digest of its code: write them again with `hostproof kernel-facts`"
        if module.code_sha256 != audit.code_sha256:
            return (
                f"stale: it tested code {audit.code_sha256[:SHORT]} of {audit.kernel}, "
                f"this kernel's is {module.code_sha256[:SHORT]}"
            )
        return ""

    def _one(self, group: Sequence[tuple[Audit, Place]], why_not: str) -> Evidence:
        """The evidence of audits that differ in their interfaces alone."""
        audit, interfaces = group[0][0], list(dict.fromkeys(one.interface for one, _ in group))
        what = "everything that it reads of the host" if EVERY in interfaces else ", ".join(interfaces)
        mechanism = f"{audit.by} looked at {what} in {audit.name} on {audit.date} ({audit.method}): {audit.verdict}"
        unseen = self._uncovered(audit.name)
        if unseen:
            names = ", ".join(unseen[:_SHOWN]) + (f" and {len(unseen) - _SHOWN} more" if len(unseen) > _SHOWN else "")
            mechanism += f"; what it calls is other code, and no audit covers {names}"
        return Evidence(
            status=Status.HARDENED,
            by="hardening",
            rule=f"audit:{audit.name}/{'+'.join(interfaces)}",
            mechanism=mechanism,
            decides=not why_not,
            why_not=why_not,
            facts=[
                FactSeen(
                    f"module.{audit.name}.code_sha256", audit.code_sha256, PlaceSeen(place.artefact, path=place.path)
                )
                for _, place in group
            ],
            sources=list(dict.fromkeys(source for one, _ in group for source in one.sources)),
            rests_on=[_KERNEL_ROW],
        )

    def _uncovered(self, driver: str) -> list[str]:
        """Modules that the driver needs and that no valid audit is about, whatever it found."""
        seen: dict[str, None] = {}
        stack = list(self._modules[driver].depends) if driver in self._modules else []
        while stack:
            name = stack.pop()
            if name in self._modules and name not in seen:
                seen[name] = None
                stack.extend(self._modules[name].depends)
        return sorted(
            name for name in seen if not any(not self._stale(audit) for audit, _ in self._by_driver.get(name, ()))
        )

    def notes(self, row_ids: Iterable[str]) -> Iterator[str]:
        """Audits that are about no row: of a driver that this guest does not have, or that no device binds."""
        instances: dict[str, list[str]] = {}
        for row_id in row_ids:
            instances.setdefault(row_id.split("/")[1], []).append(row_id)
        for audit, place in self.audits.items:
            if not any(audit.meets(row_id) for row_id in instances.get(audit.name, ())):
                yield f"{place}: the audit of {audit.name} is about no row of this VM"


def _gap(needed: Collection[str], covered: Collection[str], disputed: Collection[str]) -> str:
    """What keeps audits of the right code from closing a row that needs these interfaces; empty where nothing does."""
    if EVERY in disputed:
        return "another audit of this code has open findings"
    if still := sorted(set(disputed) & set(needed) if needed else disputed):
        return f"another audit of this code has open findings in {', '.join(still)}"
    if EVERY in covered:
        return ""
    if not needed:
        return f'counting sites does not tell what this row needs: only an audit of "{EVERY}" covers it'
    left = [name for name in needed if name not in covered]
    return f"not covered by an audit of this code: {', '.join(left)}" if left else ""
