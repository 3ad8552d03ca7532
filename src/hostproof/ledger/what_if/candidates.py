"""Which changes are worth trying for this VM, and which are not, with the reason

Candidates come from the catalogue's predicates and from the VM's own facts; nothing is invented. One that cannot change an
answer is left out before anything is assessed: a value that no predicate names, a register that covers nothing here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace

from hostproof.artefacts.kernel.facts import KernelFacts
from hostproof.knowledge.load import Catalogue
from hostproof.knowledge.terms import Status
from hostproof.ledger.assess import Subject, vm_facts
from hostproof.ledger.model import Ledger
from hostproof.ledger.patterns import meets
from hostproof.ledger.what_if import host
from hostproof.ledger.what_if.boot import blacklist, boot_changes, vain
from hostproof.ledger.what_if.changes import Change, Kind
from hostproof.ledger.what_if.drivers import SINGLES, Loadable, driver_changes, loadable, singles
from hostproof.ledger.what_if.kconfig import PROMPTLESS, kconfig_changes
from hostproof.ledger.what_if.literals import Literals, literals
from hostproof.ledger.what_if.model import NotTried
from hostproof.ledger.what_if.sieve import Sieve

__all__ = ["candidates"]


def candidates(
    catalogue: Catalogue, subject: Subject, ledger: Ledger, kinds: Collection[Kind], rows: Sequence[str] = ()
) -> tuple[list[Change], list[NotTried]]:
    """The changes to try, by kind and id, and what is not tried. `ledger` is that of the VM as it is; `rows` are patterns of
    rows whose drivers are tried in any case.
    """
    found: list[Change] = []
    skipped: list[NotTried] = []
    words = literals(catalogue)
    drivers = _drivers(catalogue, subject)
    configured = drivers.configured if drivers else frozenset[str]()
    sieve = Sieve.of(catalogue, subject, vm_facts(catalogue, subject), configured)
    for item in _all(catalogue, subject, ledger, words, drivers, rows, kinds, sieve):
        if isinstance(item, NotTried):
            skipped.append(item)
        else:
            found.append(replace(item, breaks=sieve.breaks(item)))
    unique = {change.id: change for change in found if change.kind in kinds}
    order = list(Kind)
    changes = sorted(unique.values(), key=lambda change: (order.index(change.kind), change.id))
    return changes, [item for item in skipped if item.kind in kinds]


def _all(
    catalogue: Catalogue,
    subject: Subject,
    ledger: Ledger,
    words: Literals,
    drivers: Loadable | None,
    rows: Sequence[str],
    kinds: Collection[Kind],
    sieve: Sieve,
) -> Iterator[Change | NotTried]:
    machine, facts = subject.machine, sieve.facts
    if Kind.KCONFIG in kinds:
        yield from _kconfig(catalogue, subject.kernel, words, sieve)
    if Kind.MODULE in kinds:
        yield from _modules(drivers, ledger, rows)
    if Kind.BOARD in kinds and machine is not None:
        yield from host.board_changes(machine)
    if Kind.CMDLINE in kinds:
        yield from _boot(catalogue, subject, words, drivers)
    if Kind.POLICY in kinds:
        yield from host.policy_changes(subject.technology, machine)
    if Kind.FEATURE in kinds:
        confidential = machine.confidential if machine else None
        yield from host.feature_changes(catalogue.features, subject.technology, confidential, facts)
    if Kind.VERIFIER in kinds:
        yield from host.verifier_changes(catalogue, subject, facts)


def _drivers(catalogue: Catalogue, subject: Subject) -> Loadable | None:
    if subject.kernel is None or subject.kernel.modules is None:
        return None
    machine = subject.machine
    aliases = [alias for device in (machine.devices if machine else ()) for alias in device.aliases]
    return loadable(subject.kernel, aliases, subject.technology.presentable_buses)


def _kconfig(
    catalogue: Catalogue, kernel: KernelFacts | None, words: Literals, sieve: Sieve
) -> Iterator[Change | NotTried]:
    if kernel is None or kernel.config is None:
        yield NotTried(Kind.KCONFIG, "all", "no kernel configuration was given (--kernel, --config)")
        return
    every = list(kconfig_changes(kernel, words, catalogue.mechanisms_by_fact))
    useful = [change for change in every if not sieve.only_opens(change)]
    yield from useful
    if len(every) > len(useful):
        yield NotTried(Kind.KCONFIG, f"{len(every) - len(useful)} values", "they can only open inputs")
    config = kernel.config
    named = {name.removeprefix("config.") for name in words.values if name.startswith("config.")}
    if follow := sorted(named & PROMPTLESS & set(config)):
        why = "Kconfig has no prompt for them: they follow from other symbols"
        yield NotTried(Kind.KCONFIG, f"{len(follow)} symbols ({', '.join(follow[:3])} ...)", why)
    unset = named - set(config)
    if unset:
        why = "the configuration does not write them: this kernel lacks them, or what they depend on is off"
        yield NotTried(Kind.KCONFIG, f"{len(unset)} symbols", why)


def _modules(drivers: Loadable | None, ledger: Ledger, rows: Sequence[str]) -> Iterator[Change | NotTried]:
    if drivers is None:
        yield NotTried(Kind.MODULE, "all", "no kernel modules were given (--kernel)")
        return
    open_rows = Counter(
        row.instance for row in ledger.rows if row.status is Status.OPEN and row.instance in drivers.text
    )
    wanted = {row.instance for row in ledger.rows if any(meets(row.id, pattern) for pattern in rows)}
    yield from driver_changes(drivers, open_rows, wanted)
    every = len(singles(drivers, open_rows, limit=len(drivers.text)))
    tried = len(singles(drivers, open_rows, wanted))
    if every > tried:
        what = f"{every - tried} single modules"
        yield NotTried(Kind.MODULE, what, f"only the {SINGLES} with most open rows are tried alone; groups hold all")


def _boot(
    catalogue: Catalogue, subject: Subject, words: Literals, drivers: Loadable | None
) -> Iterator[Change | NotTried]:
    line = subject.command_line
    if line is None:
        yield NotTried(Kind.CMDLINE, "all", "the command line is not known (--cmdline)")
        return
    options = catalogue.command_line_options
    yield from boot_changes(options, words, line, subject.machine.format if subject.machine else "")
    architecture = subject.kernel.architecture if subject.kernel else "x86_64"
    for bus, names in (drivers.by_bus if drivers and drivers.configured else {}).items():
        some = [name for name in names if drivers and name not in drivers.configured]
        if some:
            made = blacklist(bus, some, line, architecture)
            yield made or NotTried(
                Kind.CMDLINE, f"module_blacklist of {len(some)} {bus} drivers", "longer than the kernel's command line"
            )
    if unread := vain(options, words):
        yield NotTried(Kind.CMDLINE, f"{len(unread)} options", "no rule of the catalogue reads them")
