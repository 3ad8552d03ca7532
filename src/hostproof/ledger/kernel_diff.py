"""What changed between two kernels, for somebody who updates a guest: what the host reaches more or less of.

Drivers are compared by name, their code by the digest that leaves relocations and addresses out (so that a rebuild is no
change), their sites by interface, mechanisms by what each image answers. Both kernels are seen under one technology.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import msgspec
from msgspec import Struct, field

from hostproof.artefacts.kernel.facts import KernelFacts
from hostproof.errors import InputError
from hostproof.knowledge.load import Catalogue
from hostproof.knowledge.predicate import Fact
from hostproof.knowledge.records import Technology, Use
from hostproof.ledger.environment import VmFacts
from hostproof.ledger.evidence import facts_seen
from hostproof.ledger.mechanism_roles import roles_of_mechanisms
from hostproof.ledger.model import FactSeen
from hostproof.ledger.surface import Driver, InterfaceTotal, Reach, Surface, surface
from hostproof.place import Place

__all__ = ["FORMAT", "Change", "DriverChange", "KernelDiff", "MechanismChange", "SitesChange", "encode", "kernel_diff"]

FORMAT = "hostproof-kernel-diff/1"


class SitesChange(Struct, frozen=True):
    """Sites of one interface before and after."""

    interface: str
    before: int
    after: int


class DriverChange(Struct, frozen=True):
    """A driver that changed. A reach of None means that the kernel does not have it.

    `code` says whether its code is another one: None where one of the kernels gives no digest.
    """

    name: str
    before: Reach | None
    after: Reach | None
    code: bool | None
    text_before: int | None = None
    text_after: int | None = None
    sites: list[SitesChange] = field(default_factory=list)
    keys_before: int = 0
    keys_after: int = 0


class MechanismChange(Struct, frozen=True):
    """A mechanism that one kernel has and the other has not, or of which it is not known; with where each was seen.

    `refuses` and `consumes` say what it does with host input (`hostproof.ledger.mechanism_roles`); it may do both.
    """

    id: str
    name: str
    before: bool | None
    after: bool | None
    refuses: bool = False
    consumes: bool = False
    seen_before: list[FactSeen] = field(default_factory=list)
    seen_after: list[FactSeen] = field(default_factory=list)


class Change(Struct, frozen=True):
    """A number before and after."""

    before: int
    after: int


class KernelDiff(Struct, frozen=True):
    """Two kernels compared. `gained` and `lost` are drivers that the host reaches in one of them alone; `changed` are
    drivers that it reaches in both, whose code, sites or nearest way in differ.
    """

    old: str
    new: str
    technology: str
    gained: list[DriverChange]
    lost: list[DriverChange]
    changed: list[DriverChange]
    unchanged: int
    """Drivers that the host reaches in both, with the same code."""
    mechanisms: list[MechanismChange]
    drivers: Change
    text_bytes: Change
    """Text of loadable drivers that the host reaches."""
    modules: Change | None
    """None where the modules of neither kernel are known."""
    interfaces: list[SitesChange]
    """Sites in loadable drivers that the host reaches."""
    image_interfaces: list[SitesChange]
    notes: list[str] = field(default_factory=list)
    format: str = FORMAT

    @property
    def is_worse(self) -> bool:
        """Whether the host reaches a driver that it did not reach, or the kernel lost a mechanism that refuses host input,
        or has code anew that does nothing but consume it.
        """
        return bool(self.gained or self.refusing(False) or self.consuming(True))

    @property
    def is_empty(self) -> bool:
        """Whether the two kernels do not differ in anything that is compared."""
        return not (
            self.gained
            or self.lost
            or self.changed
            or self.mechanisms
            or self.interfaces
            or self.image_interfaces
            or any(one.before != one.after for one in (self.drivers, self.text_bytes, self.modules) if one is not None)
        )

    def refusing(self, gained: bool) -> list[MechanismChange]:
        """Mechanisms that refuse host input and that the new kernel gained, or else lost."""
        return [change for change in self._moved(gained) if change.refuses]

    def consuming(self, gained: bool) -> list[MechanismChange]:
        """The same for those that do nothing but consume it."""
        return [change for change in self._moved(gained) if change.consumes and not change.refuses]

    def _moved(self, gained: bool) -> list[MechanismChange]:
        return [change for change in self.mechanisms if change.before is not gained and change.after is gained
                and change.before is not None]  # fmt: skip


def kernel_diff(
    catalogue: Catalogue, old: KernelFacts, new: KernelFacts, technology: Technology, use: Use
) -> KernelDiff:
    """What changed from `old` to `new` under a host of `technology`. `use` fills in for what mechanisms do not ask.

    Raises InputError where the modules of one of them alone are known: every driver of the other would be a change.
    """
    _refuse_half(old, new)
    before, after = (surface(catalogue, kernel, technology, None) for kernel in (old, new))
    ones, others = _by_name(before), _by_name(after)
    changes = [
        _driver(name, ones.get(name), others.get(name), old, new) for name in sorted(ones.keys() | others.keys())
    ]
    reached = [change for change in changes if _reached(change.before) or _reached(change.after)]
    both = [change for change in reached if _reached(change.before) and _reached(change.after)]
    return KernelDiff(
        old=before.kernel,
        new=after.kernel,
        technology=technology.id,
        gained=_heaviest(change for change in reached if not _reached(change.before)),
        lost=_heaviest(change for change in reached if not _reached(change.after)),
        changed=sorted((change for change in both if _differs(change)), key=_rank),
        unchanged=sum(not _differs(change) for change in both),
        mechanisms=_mechanisms(catalogue, old, new, technology, use),
        drivers=Change(_count(before), _count(after)),
        text_bytes=Change(_text(before), _text(after)),
        modules=_modules(before, after),
        interfaces=_interfaces(*_counted_in_both(before, after, lambda total: total.reached_sites)),
        image_interfaces=_interfaces(*_counted_in_both(before, after, lambda total: total.image_sites)),
        notes=_notes(before, after),
    )


def encode(value: KernelDiff) -> bytes:
    """Canonical JSON with a trailing newline: the same kernels give the same bytes. `is_worse` and `is_empty` are written
    out.
    """
    fields = msgspec.to_builtins(value) | {"is_worse": value.is_worse, "is_empty": value.is_empty}
    return msgspec.json.format(msgspec.json.encode(fields, order="sorted"), indent=1) + b"\n"


def _refuse_half(old: KernelFacts, new: KernelFacts) -> None:
    for one, other, option in ((old, new, "old"), (new, old, "new")):
        if one.modules is None and other.modules is not None:
            raise InputError(
                "the modules of this kernel are unknown, and those of the other are known",
                place=Place(one.source),
                expected="two kernels of which the same is known",
                hint=f"give its modules too: --with-{option} FILE",
            )


def _by_name(view: Surface) -> dict[str, Driver]:
    return {driver.name: driver for driver in reversed(view.drivers)}  # the nearest way in, where a name is there twice


def _reached(reach: Reach | None) -> bool:
    return reach is not None and reach.by_host


def _count(view: Surface) -> int:
    return sum(_reached(driver.reach) for driver in view.drivers)


def _text(view: Surface) -> int:
    return sum(driver.text_bytes or 0 for driver in view.drivers if _reached(driver.reach))


def _modules(before: Surface, after: Surface) -> Change | None:
    if before.modules is None or after.modules is None:
        return None
    return Change(before.modules, after.modules)


def _driver(name: str, before: Driver | None, after: Driver | None, old: KernelFacts, new: KernelFacts) -> DriverChange:
    digests = [driver.code_sha256 if driver else "" for driver in (before, after)]
    counts = [{sites.interface: sites.count for sites in driver.sites} if driver else {} for driver in (before, after)]
    both = set(old.sites_counted) & set(new.sites_counted)
    if (before and before.built_in) or (after and after.built_in):
        both = set()  # sites of built-in code are not told apart
    return DriverChange(
        name=name,
        before=before.reach if before else None,
        after=after.reach if after else None,
        code=digests[0] != digests[1] if all(digests) else None,
        text_before=before.text_bytes if before else None,
        text_after=after.text_bytes if after else None,
        sites=[change for change in _interfaces(*counts) if change.interface in both],
        keys_before=before.keys if before else 0,
        keys_after=after.keys if after else 0,
    )


def _differs(change: DriverChange) -> bool:
    """Whether code or reach differ; where no digest tells, whether size or sites do."""
    if change.before is not change.after or change.keys_before != change.keys_after:
        return True
    if change.code is not None:
        return change.code
    return change.text_before != change.text_after or bool(change.sites)


def _heaviest(changes: Iterable[DriverChange]) -> list[DriverChange]:
    return sorted(changes, key=lambda change: (-max(change.text_before or 0, change.text_after or 0), change.name))


def _rank(change: DriverChange) -> tuple[bool, int, int, int, str]:
    """The order of drivers that changed: another way in, then sites, then bytes, then size."""
    before, after = change.text_before or 0, change.text_after or 0
    sites = sum(abs(found.after - found.before) for found in change.sites)
    return (change.before is change.after, -sites, -abs(after - before), -max(before, after), change.name)


def _interfaces(before: Mapping[str, int], after: Mapping[str, int]) -> list[SitesChange]:
    """Interfaces whose number of sites differs, the largest difference first."""
    names = sorted(before.keys() | after.keys())
    changes = [SitesChange(name, before.get(name, 0), after.get(name, 0)) for name in names]
    differing = [change for change in changes if change.before != change.after]
    return sorted(differing, key=lambda change: (-abs(change.after - change.before), change.interface))


def _counted_in_both(
    before: Surface, after: Surface, number: Callable[[InterfaceTotal], int | None]
) -> tuple[dict[str, int], dict[str, int]]:
    """A number per interface, of the interfaces that were counted in both kernels."""
    one, other = ({total.id: number(total) for total in view.by_interface} for view in (before, after))
    first: dict[str, int] = {}
    second: dict[str, int] = {}
    for name in one.keys() & other.keys():
        if (old := one[name]) is not None and (new := other[name]) is not None:
            first[name], second[name] = old, new
    return first, second


def _mechanisms(
    catalogue: Catalogue, old: KernelFacts, new: KernelFacts, technology: Technology, use: Use
) -> list[MechanismChange]:
    """Mechanisms of which the two kernels answer differently."""
    roles = roles_of_mechanisms(catalogue)
    bare = VmFacts(technology, use, catalogue.options, mechanisms=catalogue.mechanisms_by_fact)
    one, other = replace(bare, kernel=old), replace(bare, kernel=new)
    changes = []
    for name, mechanism in catalogue.mechanisms_by_fact.items():
        before, after = one.fact(f"mechanism.{name}"), other.fact(f"mechanism.{name}")
        if before.value is not after.value:
            changes.append(
                MechanismChange(
                    id=mechanism.id,
                    name=mechanism.name,
                    before=_truth(before),
                    after=_truth(after),
                    refuses=name in roles.refusing,
                    consumes=name in roles.consuming,
                    seen_before=facts_seen(before.rests),
                    seen_after=facts_seen(after.rests),
                )
            )
    return changes


def _truth(fact: Fact) -> bool | None:
    return fact.value if isinstance(fact.value, bool) else None


def _notes(*views: Surface) -> list[str]:
    architectures = dict.fromkeys(view.architecture or "unknown" for view in views)
    notes = (
        [f"the kernels are of different architectures: {', '.join(architectures)}"] if len(architectures) > 1 else []
    )
    notes += [f"{view.kernel}: {note}" for view in views for note in view.notes]
    return list(dict.fromkeys(notes))
