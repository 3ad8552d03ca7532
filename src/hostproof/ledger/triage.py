"""CVE triage: which flaws of the kernel lie in code that this host can reach in this VM, and the evidence for each answer

For every record the first of these that holds, in the words of VEX:

===================== ========================================== =====================================================
status                justification                              when
===================== ========================================== =====================================================
not affected          vulnerable code not present                versions: the flaw came later; or none of its files is
                                                                 built for this kernel
fixed                                                            versions: this kernel has the fix; or the package's
                                                                 changelog names the CVE
not affected          vulnerable code not in execute path        every driver that its files belong to can never be
                                                                 loaded (this initrd, `module_blacklist=`)
not affected          vulnerable code cannot be controlled by    the code's drivers bind devices alone of buses that a
                      adversary                                  platform enumerates and this host does not present; or the
                                                                 ledger closes every row of these drivers
affected                                                         the host presents, or may present, a device whose driver
                                                                 runs the code, and the row is open
under investigation                                              anything else, with what is missing
===================== ========================================== =====================================================

The host is the adversary of these statements: *cannot be controlled* says nothing of the guest's own users. Three rules keep
`not affected` honest. Rows that are `hardened`, `accepted` or `sealed` do not count as closed: an audit that found nothing
and a waiver do not answer a flaw that somebody did find. A missing key is no proof: file systems, protocols, ciphers and block
targets consume data that the guest takes from a disk or a network of the host, without a device that binds them; a driver that
the host reaches may load others by name (iwlwifi its iwldvm), or make devices of a bus of its own for them (auxiliary, bcma,
platform). All these stay under investigation. And code that is or may be in the image is closed only by rows of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from hostproof.artefacts.cve import Cve, CveRecords
from hostproof.artefacts.kernel import match
from hostproof.artefacts.kernel.facts import KernelFacts, Module
from hostproof.artefacts.machine.model import Machine
from hostproof.errors import InputError
from hostproof.knowledge.load import Catalogue
from hostproof.knowledge.records import Technology
from hostproof.knowledge.terms import Presence, Status
from hostproof.ledger.model import Ledger, Row
from hostproof.ledger.surface import Reach, surface
from hostproof.ledger.triage_files import Located, Sources, Where, shared_headers
from hostproof.ledger.triage_model import Decision, Justification, PassedOver, Triage, VexStatus
from hostproof.ledger.triage_versions import Had, by_version, own_backports, upstream_version
from hostproof.place import Place

__all__ = ["triage"]

POOL_ROW = "C13/behind-controllers/T3"
_SHOWN = 6
_CONSUMERS = (
    ("fs/", "net/", "block/", "crypto/", "lib/", "security/", "kernel/", "mm/", "io_uring/", "ipc/", "init/")
    + ("drivers/md/", "drivers/target/", "drivers/block/", "drivers/net/", "drivers/nvme/", "drivers/mtd/")
    + (
        "drivers/scsi/",
        "drivers/infiniband/",
        "drivers/crypto/",
        "drivers/firmware/",
        "drivers/nvdimm/",
        "drivers/dax/",
    )
)
"""Trees in which code without a match key consumes data of disks and networks."""
_NO_BUS = ("", "devname", "crypto")
"""What stands before the colon of aliases that no device has (`devname:net/tun`)."""
_ENUMERATED = frozenset(("pci", "virtio", "acpi", "pnp", "of", "ccw", "ccwgroup", "css", "ap"))
"""Buses whose devices a platform enumerates. Drivers make those of others (auxiliary, bcma, platform, i2c ...)."""
_WITH_ROWS = _ENUMERATED.union(match.BEHIND_CONTROLLER, match.BY_IDENTITY)
"""Buses whose drivers have rows wherever this host may present their devices."""
_CLOSED = frozenset((Status.PREVENTED, Status.ATTESTED, Status.REFUSED, Status.ABSENT, Status.OUT_OF_SCOPE))
"""Statuses under which a known flaw cannot be reached. `hardened`, `accepted` and `sealed` are not among them."""
_NEVER_RUNS = ("initrd:never", "command-line:module_blacklist")


def triage(
    catalogue: Catalogue,
    kernel: KernelFacts | None,
    technology: Technology,
    machine: Machine | None,
    ledger: Ledger,
    records: CveRecords,
) -> Triage:
    """What is to be said of each record for this kernel, in the VM of `ledger`.

    Raises InputError where no kernel was given.
    """
    if kernel is None:
        raise InputError(
            "no kernel was given, and a CVE of the kernel is one of its code",
            place=Place(ledger.name),
            hint="--kernel PACKAGE, DIRECTORY or FACTS",
        )
    bench = _Bench.of(catalogue, kernel, technology, machine, ledger)
    order = list(VexStatus)
    decisions = sorted((bench.decide(cve) for cve in records.cves), key=lambda decision: order.index(decision.status))
    return Triage(
        name=ledger.name,
        technology=technology.id,
        kernel=kernel.package,
        release=kernel.release,
        version=kernel.version,
        architecture=kernel.architecture,
        image_sha256=kernel.image_sha256,
        decisions=decisions,
        passed_over=[PassedOver(*item) for item in records.passed_over],
        inputs=list(ledger.inputs),
        notes=_notes(kernel),
    )


def _notes(kernel: KernelFacts) -> list[str]:
    notes = []
    if kernel.changelog_cves is None:
        notes.append("no changelog was read: what the distribution fixed by itself is not known")
    if kernel.version and not upstream_version(kernel):
        notes.append(f"release {kernel.release} and version {kernel.version} are of two series: versions tell nothing")
    elif own_backports(kernel):
        notes.append(
            f"{kernel.release} is a distribution's own release on {kernel.version}: upstream versions tell little of it"
        )
    if not any(module.sources for module in kernel.modules or ()):
        notes.append("these kernel facts name no source files of modules: files are told by name and place alone")
    return notes


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What is to be said of the code of one file."""

    status: VexStatus
    because: str
    justification: Justification | None = None
    rows: tuple[Row, ...] = ()
    drivers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Bench:
    """A kernel in a VM: who reaches what, and what the ledger says of it."""

    kernel: KernelFacts
    technology: Technology
    sources: Sources
    reach: Mapping[str, Reach]
    rows: Mapping[str, list[Row]]
    """Rows of each driver, by its name."""
    pool: Row | None
    legacy: frozenset[str]
    modules: Mapping[str, Module]
    users: Mapping[str, list[str]]
    """Modules that need a module, directly."""

    @classmethod
    def of(
        cls, catalogue: Catalogue, kernel: KernelFacts, technology: Technology, machine: Machine | None, ledger: Ledger
    ) -> _Bench:
        rows: dict[str, list[Row]] = {}
        for row in ledger.rows:
            if row.instance_name == f"driver {row.instance}":
                rows.setdefault(row.instance, []).append(row)
        users: dict[str, list[str]] = {}
        for module in kernel.modules or ():
            for needed in module.depends:
                users.setdefault(needed, []).append(module.name)
        drivers = surface(catalogue, kernel, technology, machine).drivers
        return cls(
            kernel=kernel,
            technology=technology,
            sources=Sources(kernel),
            reach={driver.name: driver.reach for driver in drivers},
            rows=rows,
            pool=next((row for row in ledger.rows if row.id == POOL_ROW), None),
            legacy=frozenset(record.module for record in catalogue.legacy_code.values()),
            modules={module.name: module for module in kernel.modules or ()},
            users=users,
        )

    def decide(self, cve: Cve) -> Decision:
        """The decision on one CVE."""
        versions = by_version(cve, upstream_version(self.kernel), backports=own_backports(self.kernel))
        if versions.had is Had.NEVER:
            return self._said(cve, VexStatus.NOT_AFFECTED, [versions.because], Justification.NOT_PRESENT)
        located = [self.sources.locate(file) for file in cve.files]
        code = [item for item in located if item.where not in (Where.NOT_CODE, Where.HEADER)]
        built = [item for item in located if item.where not in (Where.NOT_CODE, Where.ABSENT)]
        if located and not [item for item in built if item.where is not Where.HEADER or not code]:
            because = [item.because for item in located if item.where is not Where.HEADER]
            if not shared_headers(located):
                return self._said(cve, VexStatus.NOT_AFFECTED, because, Justification.NOT_PRESENT)
        if versions.had is Had.FIXED:
            return self._said(cve, VexStatus.FIXED, [versions.because])
        if cve.id in (self.kernel.changelog_cves or ()):
            named = f"the changelog of {self.kernel.package or self.kernel.source} names {cve.id}"
            return self._said(cve, VexStatus.FIXED, [named])
        return self._reached(cve, versions.because, built)

    def _said(
        self, cve: Cve, status: VexStatus, because: Sequence[str], justification: Justification | None = None
    ) -> Decision:
        return Decision(
            cve.id,
            cve.title,
            status,
            because[0],
            justification,
            because=list(dict.fromkeys(because)),
            files=list(cve.files),
        )

    def _reached(self, cve: Cve, version: str, built: Sequence[Located]) -> Decision:
        """The decision by what the host reaches of the files that are, or may be, in this kernel."""
        code = [item for item in built if item.where is not Where.HEADER]
        verdicts = [self._of(item) for item in code]
        if not cve.files:
            verdicts.append(_Verdict(VexStatus.UNDER_INVESTIGATION, "the record names no file"))
        headers = [item for item in built if item.where is Where.HEADER]
        if not code or (shared_headers(headers) and all(item.status is VexStatus.NOT_AFFECTED for item in verdicts)):
            verdicts += [_Verdict(VexStatus.UNDER_INVESTIGATION, item.because) for item in headers]
        order = list(VexStatus)
        verdicts.sort(key=lambda verdict: order.index(verdict.status))
        worst = verdicts[0]
        rows = {row.id: row for verdict in verdicts for row in verdict.rows}
        return Decision(
            cve=cve.id,
            title=cve.title,
            status=worst.status,
            summary=worst.because,
            justification=_weakest(verdicts) if worst.status is VexStatus.NOT_AFFECTED else None,
            action=_action(cve, rows.values()) if worst.status is VexStatus.AFFECTED else "",
            because=list(
                dict.fromkeys([version, *(item.because for item in code), *(one.because for one in verdicts)])
            ),
            files=list(cve.files),
            drivers=sorted({name for verdict in verdicts for name in verdict.drivers}),
            rows=[row_id for row_id, row in rows.items() if worst.status is not VexStatus.AFFECTED or _reaches(row)],
        )

    def _of(self, located: Located) -> _Verdict:
        """What is to be said of the code of a file that is, or may be, in this kernel."""
        if located.where is Where.UNKNOWN:
            return _Verdict(VexStatus.UNDER_INVESTIGATION, located.because)
        verdicts = [self._driver(name, located.file, located.where is Where.BUILT_IN) for name in located.drivers]
        statuses = {verdict.status for verdict in verdicts}
        if located.where is Where.CANDIDATES and len(statuses) > 1:
            because = f"{located.because}: the host reaches some of them, and nothing tells which of them {located.file} is in"
            return _Verdict(VexStatus.UNDER_INVESTIGATION, because, drivers=located.drivers)
        order = list(VexStatus)
        worst = min(verdicts, key=lambda verdict: order.index(verdict.status))
        return _Verdict(
            worst.status,
            worst.because,
            _weakest(verdicts) if worst.status is VexStatus.NOT_AFFECTED else None,
            tuple(row for verdict in verdicts for row in verdict.rows),
            located.drivers,
        )

    def _driver(self, name: str, file: str, built_in: bool) -> _Verdict:
        """What is to be said of the code of one driver, by the rows of all drivers that need it."""
        names = (name,) if built_in else tuple(self._needing(name))
        rows: tuple[Row, ...] = tuple(row for other in names for row in self.rows.get(other, ()))
        if self.pool is not None and self._pooled(names):
            rows += (self.pool,)
        if reached := [row for row in rows if _reaches(row)]:
            return _Verdict(VexStatus.AFFECTED, self._how(name, reached), rows=rows, drivers=(name,))
        if unknown := [row for row in rows if row.status is Status.UNKNOWN]:
            missing = sorted({f"{fact.name} ({fact.supply})" for row in unknown for fact in row.missing})
            because = f"{unknown[0].id} is unknown: {'; '.join(missing[:_SHOWN]) or unknown[0].reason}"
            return _Verdict(VexStatus.UNDER_INVESTIGATION, because, rows=tuple(unknown), drivers=(name,))
        if rows and not self._reachable(names):
            return self._closed(name, names, rows)
        return self._rowless(name, file, names, built_in)

    def _closed(self, name: str, names: Sequence[str], rows: Sequence[Row]) -> _Verdict:
        """Code of which every row is closed. What is never loaded never runs; else a way around the rows counts."""
        closed = "; ".join(dict.fromkeys(f"{row.id} is {row.status}: {row.reason}" for row in rows[:_SHOWN]))
        if name in self.rows and all(row.evidence and row.evidence[0].rule in _NEVER_RUNS for row in rows):
            return _Verdict(VexStatus.NOT_AFFECTED, closed, Justification.NOT_EXECUTED, tuple(rows), (name,))
        others = {bus for other in names if other in self.modules for bus in self._bound_on(other)} - _WITH_ROWS
        if others:
            because = (
                f"{closed}; but drivers that the host reaches may make devices of {', '.join(sorted(others))} for it"
            )
            return _Verdict(VexStatus.UNDER_INVESTIGATION, because, rows=tuple(rows), drivers=(name,))
        return _Verdict(VexStatus.NOT_AFFECTED, closed, Justification.NOT_CONTROLLED, tuple(rows), (name,))

    def _rowless(self, name: str, file: str, names: Sequence[str], built_in: bool) -> _Verdict:
        """Code that no row of the ledger is about."""
        undecided = VexStatus.UNDER_INVESTIGATION
        if built_in:
            because = f"{name} is built in, and no row tells which inputs of the host reach its code"
            return _Verdict(undecided, because, drivers=(name,))
        if name not in self.modules:
            return _Verdict(undecided, f"nothing tells what reaches {name}", drivers=(name,))
        if odd := sorted(self.legacy.intersection(names)):
            return _Verdict(
                undecided, f"{odd[0]} binds without a match table: no key tells who reaches it", drivers=(name,)
            )
        if reached := self._reachable(names):
            because = f"the host reaches {reached[0]} ({self.reach[reached[0]]}), and no row of the ledger is about it"
            return _Verdict(undecided, because, drivers=(name,))
        presentable = ", ".join(self.technology.presentable_buses)
        if all(self._enumerated_elsewhere(other) for other in names):
            because = (
                f"not reachable by the host through devices: {_some(names)} binds devices of {self._buses(names)} alone, and "
                f"a host of {self.technology.id} presents {presentable}; the guest itself may load it for other reasons"
            )
            return _Verdict(VexStatus.NOT_AFFECTED, because, Justification.NOT_CONTROLLED, drivers=(name,))
        keyless = not self._bound_on(name)
        if keyless and file.startswith(_CONSUMERS):
            but = "the guest itself may load it, and what it then takes from a disk or a network may be the host's"
        elif keyless:
            but = "the guest itself, or a driver that the host reaches, may load it by its name"
        else:
            but = f"drivers that the host reaches may make devices of {self._buses(names)}"
        because = f"not reachable by the host through devices of {presentable} that bind {name} by a key; but {but}"
        return _Verdict(undecided, because, drivers=(name,))

    def _bound_on(self, name: str) -> set[str]:
        """The buses of the devices that a module binds."""
        return {match.bus(alias) for alias in self.modules[name].aliases}.difference(_NO_BUS)

    def _buses(self, names: Iterable[str]) -> str:
        return ", ".join(sorted({bus for name in names for bus in self._bound_on(name)}))

    def _enumerated_elsewhere(self, name: str) -> bool:
        """Whether a module binds devices alone that a platform enumerates, and that this host presents none of. An ACPI table
        may name a device-tree compatible (PRP0001), so a host that presents ACPI devices presents those too.
        """
        presentable = set(self.technology.presentable_buses)
        if "acpi" in presentable:
            presentable.add("of")
        buses = self._bound_on(name)
        return bool(buses) and buses <= _ENUMERATED - presentable

    def _needing(self, name: str) -> Iterator[str]:
        """A module and all modules that need it."""
        seen, stack = {name}, [name]
        while stack:
            found = stack.pop()
            yield found
            for user in self.users.get(found, ()):
                if user not in seen:
                    seen.add(user)
                    stack.append(user)

    def _reachable(self, names: Iterable[str]) -> list[str]:
        """Those of these modules that a device of the host binds, and that no row is about."""
        ways = (
            (Reach.MADE_BY_DRIVERS, Reach.NOT_REACHED, Reach.NEEDED)
            if self.pool is None
            else (Reach.MADE_BY_DRIVERS, Reach.NOT_REACHED, Reach.NEEDED, Reach.BEHIND_CONTROLLER)
        )
        return [name for name in names if name not in self.rows and self.reach.get(name, Reach.NEEDED) not in ways]

    def _pooled(self, names: Iterable[str]) -> bool:
        return any(name not in self.rows and self.reach.get(name) is Reach.BEHIND_CONTROLLER for name in names)

    def _how(self, name: str, rows: Sequence[Row]) -> str:
        """How the host reaches a driver's code: by its own device, or by one whose driver needs it."""
        configured = [row for row in rows if row.presence is Presence.CONFIGURED]
        drivers = sorted({row.instance for row in configured or rows})
        verb = "presents" if configured else "may present"
        if name in drivers:
            return f"the host {verb} a device that this guest binds to {name}: {_ids(configured or rows)}"
        if drivers == ["behind-controllers"]:
            return f"the host may present a controller, and behind it a device that needs {name}: {_ids(rows)}"
        return f"the host {verb} devices whose drivers need {name} ({_some(drivers)}): {_ids(configured or rows)}"


def _reaches(row: Row) -> bool:
    """Whether the host reaches the code of a row, for a flaw that somebody found: an audit or a waiver is no answer."""
    return row.status not in _CLOSED and row.status is not Status.UNKNOWN


def _weakest(verdicts: Iterable[_Verdict]) -> Justification | None:
    """The justification that holds for all of them: that code cannot be controlled says less than that it never runs."""
    found = {verdict.justification for verdict in verdicts}
    return next((item for item in reversed(Justification) if item in found), None)


def _action(cve: Cve, rows: Iterable[Row]) -> str:
    """What to do: take the fix, or close the rows."""
    advice = dict.fromkeys(row.advice for row in rows if _reaches(row) and row.advice)
    fix = "take a kernel with the fix"
    return f"{fix}, or close the rows: {'; '.join(list(advice)[:_SHOWN])}" if advice else fix


def _ids(rows: Sequence[Row]) -> str:
    ids = [row.id for row in rows]
    return ", ".join(ids[:_SHOWN]) + (f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else "")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
