"""When a driver can be loaded: it is in the image, in this initrd, only behind the root switch, or never

A module that a host may present a device for is no danger before something loads it. With an initrd at hand, three facts stay
apart: *in this initrd* (it can run before any disk is unlocked), *reachable only after the root switch* (the root file system
may hold it), *never* (the initrd is the root, and does not hold it or has nothing that loads it).

An initrd is a host input like any other: `never` closes a row only while C02/initrd/T1 is closed (docs/decisions, what a row
rests on). What modprobe's configuration keeps out is listed and closes nothing: a blacklist stops loading by alias alone
(modprobe.d(5)), `install` is for modprobe alone, and both end with the root switch.

Not seen: what user space brings later and loads itself, such as a container that holds a module and CAP_SYS_MODULE.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from hostproof.artefacts.initrd.model import Initrd, InitrdModule, ModprobeRule
from hostproof.artefacts.kernel.facts import KernelFacts
from hostproof.artefacts.kernel.match import DriverSet
from hostproof.knowledge.predicate import Fact
from hostproof.knowledge.terms import Status
from hostproof.ledger.evidence import INITRD_ROW, KERNEL_ROW, facts_seen
from hostproof.ledger.instances import Occurrence
from hostproof.ledger.model import DriverCount, Evidence
from hostproof.place import Place

__all__ = ["WORDS", "Loading", "Reach", "Reached"]


class Reach(StrEnum):
    """When the code of a driver can first run."""

    IMAGE = "image"
    INITRD = "initrd"
    AFTER_ROOT_SWITCH = "after-root-switch"
    NEVER = "never"
    UNKNOWN = "unknown"
    """The initrd does not hold it, and nothing tells whether another root follows or another initramfs came before."""


WORDS = {
    Reach.IMAGE: "built into the image",
    Reach.INITRD: "in this initrd",
    Reach.AFTER_ROOT_SWITCH: "only after the root switch",
    Reach.NEVER: "never",
    Reach.UNKNOWN: "not in this initrd, and not known to be elsewhere",
}


@dataclass(frozen=True, slots=True)
class Reached:
    """When a driver can be loaded, the sentence that says why, and where that was read."""

    reach: Reach
    because: str
    place: Place


@dataclass(frozen=True, slots=True)
class Loading:
    """What an initrd makes of a kernel's modules. `rdinit` is the first program that the command line names instead of
    `/init`, `sources` the keys of the catalogue's sources.
    """

    initrd: Initrd
    kernel: KernelFacts | None
    rdinit: str = ""
    sources: Collection[str] = ()
    _held: Mapping[str, InitrdModule] = field(init=False, repr=False)
    _lacking: Mapping[str, str] = field(init=False, repr=False)
    _builtin: frozenset[str] = field(init=False, repr=False)
    _loadable: Mapping[str, int] = field(init=False, repr=False)
    _rules: Mapping[str, list[ModprobeRule]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        builtin = frozenset(self.kernel.builtin or ()) if self.kernel is not None else frozenset[str]()
        held = {module.name: module for module in self.initrd.modules if self._fits(module.release)}
        modules = self.kernel.modules or () if self.kernel is not None else ()
        needs = {module.name: module.depends for module in modules}
        rules: dict[str, list[ModprobeRule]] = {}
        for rule in self.initrd.modprobe:
            if rule.verb in ("blacklist", "install"):
                rules.setdefault(rule.module, []).append(rule)
        object.__setattr__(self, "_held", held)
        object.__setattr__(self, "_lacking", _lacking(held, needs, builtin))
        object.__setattr__(self, "_builtin", builtin)
        object.__setattr__(self, "_loadable", {module.name: module.text_bytes for module in modules})
        object.__setattr__(self, "_rules", rules)

    def _fits(self, release: str) -> bool:
        return self.kernel is None or not self.kernel.release or release in ("", self.kernel.release)

    @property
    def switches_root(self) -> bool | None:
        """Whether another root follows; unknown where the command line starts another program than the one looked at."""
        return None if self.rdinit not in ("", "/init") else self.initrd.switches_root

    @property
    def _embedded(self) -> str:
        """CONFIG_INITRAMFS_SOURCE, where the image holds an initramfs of its own."""
        value = (self.kernel.config or {}).get("INITRAMFS_SOURCE") if self.kernel is not None else None
        return value.value if value is not None and value.value != "n" else ""

    def of(self, name: str) -> Reached:
        """When the driver of this name can be loaded. One that is no loadable module of the kernel is in its image."""
        initrd = self.initrd
        if self.kernel is not None and (name in self._builtin or name not in self._loadable):
            listed = name in self._builtin
            why = "modules.builtin lists it" if listed else "it is no loadable module of this kernel"
            return Reached(Reach.IMAGE, why, Place(self.kernel.source))
        module, lacks = self._held.get(name), self._lacking.get(name)
        if module is not None and lacks is None and initrd.loaders:
            with_what = ", ".join(dict.fromkeys(loader.kind for loader in initrd.loaders))
            return Reached(Reach.INITRD, f"the initrd holds {module.path} and {with_what}", module.place)
        if module is None:
            absent, place = f"the initrd does not hold {name}", initrd.place
        elif lacks is not None:
            absent, place = f"the initrd holds {name} without {lacks}, which it needs", module.place
        else:
            absent, place = f"the initrd holds {name} and nothing that loads a module", module.place
        return self._elsewhere(absent, place)

    def _elsewhere(self, absent: str, place: Place) -> Reached:
        """The reach of what cannot be loaded in the initrd."""
        switch, switches = self.initrd.switch, self.switches_root
        if self._embedded:
            why = f"{absent}; the kernel unpacks another one from its image first ({self._embedded}), which nobody read"
            return Reached(Reach.UNKNOWN, why, place)
        if switches is None:
            return Reached(Reach.UNKNOWN, f"{absent}; nothing tells whether it hands over to another root", place)
        where = switch.place if switch is not None else place
        told = f"{switch.path}{f' ({switch.text})' if switch.text else ''}" if switch is not None else "it has no /init"
        if switches:
            return Reached(Reach.AFTER_ROOT_SWITCH, f"{absent}; another root follows: {told}", where)
        return Reached(
            Reach.NEVER, f"{absent}, and it is the root: {told} is the first program and hands over to none", where
        )

    def placed(self, occurrence: Occurrence) -> Occurrence:
        """The occurrence of a driver with what the initrd says of it: a fact, and evidence where it is kept out."""
        if occurrence.driver is None:
            return occurrence
        reached = self.of(occurrence.driver)
        fact = Fact("initrd.reach", f"{WORDS[reached.reach]}: {reached.because}", reached.place)
        found = tuple(self._evidence(occurrence.driver, reached, fact))
        return replace(occurrence, facts=(*occurrence.facts, fact), found=found)

    def pooled(self, occurrence: Occurrence, drivers: DriverSet) -> Occurrence:
        """An occurrence that stands for several drivers, with how many of their modules can be loaded when."""
        split = self.split(drivers)
        counts = ", ".join(f"{WORDS[reach]}: {count.modules}" for reach, count in split.items())
        fact = Fact("initrd.reach", counts, self.initrd.place)
        found: tuple[Evidence, ...] = ()
        if set(split) == {Reach.NEVER}:
            found = (self._never("none of these drivers can ever be loaded: the initrd is the root", fact),)
        return replace(occurrence, facts=(*occurrence.facts, fact), found=found)

    def _never(self, mechanism: str, fact: Fact) -> Evidence:
        return Evidence(
            status=Status.REFUSED,
            by="guest",
            rule="initrd:never",
            mechanism=mechanism,
            facts=facts_seen([fact]),
            sources=self._cited("LINUX612: init/initramfs.c, populate_rootfs; kernel/module/main.c, load_module"),
            rests_on=[KERNEL_ROW, INITRD_ROW],
        )

    def _evidence(self, driver: str, reached: Reached, fact: Fact) -> Iterator[Evidence]:
        if reached.reach is Reach.NEVER:
            yield self._never(f"{driver} can never be loaded: {reached.because}", fact)
        if reached.reach is not Reach.INITRD:
            return
        for rule in self._rules.get(driver, ()):
            line = f"{rule.verb} {rule.module} {rule.text}".strip()
            yield Evidence(
                status=Status.REFUSED,
                by="guest",
                rule=f"initrd:{rule.verb}",
                mechanism=f"modprobe's configuration in the initrd says `{line}`",
                decides=False,
                why_not=_weak(rule.verb, self.switches_root),
                facts=facts_seen([Fact("initrd.modprobe", line, rule.place)]),
                rests_on=[KERNEL_ROW, INITRD_ROW],
            )

    def _cited(self, citation: str) -> list[str]:
        return [citation] if citation.partition(":")[0] in self.sources else []

    def split(self, drivers: DriverSet) -> dict[Reach, DriverCount]:
        """A set of drivers, closed over what they need, by when each module can be loaded; reaches that none has are left
        out.
        """
        counts: dict[Reach, tuple[int, int]] = {}
        for name in drivers.closure:
            reach = self.of(name).reach
            modules, size = counts.get(reach, (0, 0))
            counts[reach] = (modules + 1, size + self._loadable.get(name, 0))
        return {reach: DriverCount(*counts[reach]) for reach in Reach if reach in counts}

    def notes(self) -> Iterator[str]:
        """What a person should know of how initrd and kernel fit."""
        yield from self.initrd.notes
        release = self.kernel.release if self.kernel is not None else ""
        if release and self.initrd.releases and release not in self.initrd.releases:
            yield (
                f"the initrd's modules are those of {', '.join(self.initrd.releases)}, the kernel is {release}: "
                "it looks for none of them"
            )
        if self.rdinit not in ("", "/init"):
            yield f"rdinit={self.rdinit} starts another program than /init: whether another root follows is not told"


def _lacking(held: Collection[str], needs: Mapping[str, Iterable[str]], builtin: Collection[str]) -> dict[str, str]:
    """Modules that the initrd holds and that cannot be loaded there, each with a module that it needs and that is not."""
    users: dict[str, list[str]] = {}
    lacking: dict[str, str] = {}
    for name in sorted(held):
        for needed in needs.get(name, ()):
            if needed in builtin:
                continue
            users.setdefault(needed, []).append(name)
            if needed not in held:
                lacking.setdefault(name, needed)
    pending = list(lacking)
    while pending:
        gone = pending.pop()
        for user in users.get(gone, ()):
            if user not in lacking:
                lacking[user] = gone
                pending.append(user)
    return lacking


def _weak(verb: str, switches_root: bool | None) -> str:
    ends = "" if switches_root is False else ", and it ends with the root switch"
    if verb == "blacklist":
        return f"it stops loading by alias alone: by its name, or for a module that needs it, it is loaded all the same{ends}"
    return f"modprobe alone reads it: insmod and other programs go past it{ends}"
