"""What changes do, measured: the changed VM is assessed and its ledger compared with that of the VM as it is

Many changed VMs are assessed on several processors. Workers are started afresh (`spawn`), hold the catalogue and the VM, and
are told sets of changes by number; the answers come back in the order in which they were asked, so the number of processors
makes no difference to them.
"""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Self

from hostproof.knowledge.load import Catalogue
from hostproof.knowledge.terms import Status
from hostproof.ledger.assess import Subject, assess
from hostproof.ledger.diff import diff
from hostproof.ledger.model import Headline, Ledger
from hostproof.ledger.what_if.changes import Change, apply
from hostproof.ledger.what_if.model import Effect
from hostproof.managers.verdicts import Verdicts

__all__ = ["Assessor", "Progress", "effect"]

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much is done and how much there is (0: not known)."""
WORTH_A_POOL = 24
"""Fewer assessments than this are done before workers have started."""
CHUNK = 4
GC_SELDOM = (100_000, 20, 20)
"""As in `hostproof.cli.main`: one assessment makes many objects and few cycles."""
ASSESSING = "assessing changed VMs"


def effect(before: Ledger, after: Ledger) -> Effect:
    """What the second ledger says against the first."""
    change = diff(before, after)
    had, has = _presentable(before.headline), _presentable(after.headline)
    moved = [(row.id, row.before, row.after) for row in change.moved]
    attacks = change.attacks
    return Effect(
        open=change.open_after,
        unknown=sum(row.status is Status.UNKNOWN for row in after.rows),
        closed=[row.id for row in change.closed],
        gone=[row.id for row in change.vanished if row.before is Status.OPEN],
        opened=[row.id for row in change.opened] + [row.id for row in change.appeared if row.after is Status.OPEN],
        settled=[name for name, was, now in moved if was is Status.UNKNOWN and now is not Status.OPEN]
        + [row.id for row in change.vanished if row.before is Status.UNKNOWN],
        unsettled=[name for name, was, now in moved if now is Status.UNKNOWN and was is not Status.OPEN]
        + [row.id for row in change.appeared if row.after is Status.UNKNOWN],
        blurred=[name for name, was, now in moved if was is Status.OPEN and now is Status.UNKNOWN],
        modules=had[0] - has[0],
        text_bytes=had[1] - has[1],
        attacks_stopped=[attack.id for attack in attacks if attack.before == "works" and attack.after != "works"],
        attacks_enabled=[attack.id for attack in attacks if attack.before != "works" and attack.after == "works"],
    )


def _presentable(headline: Headline) -> tuple[int, int]:
    """Modules and bytes that a host can make the guest load, behind presented controllers too."""
    drivers = headline.behind_controller
    return (drivers.modules, drivers.text_bytes) if drivers else (0, 0)


class Bench:
    """One VM with the changes that may be made to it: assesses any set of them, named by their numbers."""

    def __init__(self, catalogue: Catalogue, subject: Subject, verdicts: Verdicts, changes: Sequence[Change]) -> None:
        self.catalogue, self.subject, self.verdicts, self.changes = catalogue, subject, verdicts, changes
        self.base = assess(catalogue, subject, verdicts)

    def ledger(self, numbers: Iterable[int]) -> Ledger:
        """The ledger of the VM with these changes."""
        changed = apply(self.subject, [self.changes[number] for number in numbers])
        return assess(self.catalogue, changed, self.verdicts)

    def effect(self, numbers: Iterable[int]) -> Effect:
        """What these changes do to the ledger."""
        return effect(self.base, self.ledger(numbers))


_BENCHES: list[Bench] = []
"""In a worker: the one bench that it was started with."""


def _start(catalogue: Catalogue, subject: Subject, verdicts: Verdicts, changes: Sequence[Change]) -> None:
    gc.freeze()
    gc.set_threshold(*GC_SELDOM)
    _BENCHES[:] = [Bench(catalogue, subject, verdicts, changes)]


def _work(numbers: tuple[int, ...]) -> Effect:
    return _BENCHES[0].effect(numbers)


class Assessor:
    """Effects of sets of changes, each assessed once, on `jobs` processors. A context manager: leaving it ends the workers.

    `assessments` counts the changed VMs that were assessed.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        subject: Subject,
        verdicts: Verdicts,
        changes: Sequence[Change],
        *,
        jobs: int = 1,
        report: Progress | None = None,
    ) -> None:
        self.changes = changes
        self.assessments = 0
        self._bench = Bench(catalogue, subject, verdicts, changes)
        self._jobs = max(1, jobs)
        self._report = report
        self._pool: ProcessPoolExecutor | None = None
        self._known: dict[frozenset[int], Effect] = {}

    @property
    def base(self) -> Ledger:
        """The ledger of the VM as it is."""
        return self._bench.base

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def ledger(self, numbers: Iterable[int]) -> Ledger:
        """The whole ledger of the VM with these changes."""
        return self._bench.ledger(sorted(set(numbers)))

    def effect(self, numbers: Iterable[int]) -> Effect:
        """What these changes do together."""
        return self.effects([numbers])[0]

    def effects(self, sets: Iterable[Iterable[int]]) -> list[Effect]:
        """What each set of changes does, in the order asked."""
        asked = [frozenset(numbers) for numbers in sets]
        fresh = [numbers for numbers in dict.fromkeys(asked) if numbers not in self._known]
        for done, (numbers, found) in enumerate(zip(fresh, self._measured(fresh), strict=True), start=1):
            self._known[numbers] = found
            self.assessments += 1
            if self._report is not None:
                self._report(ASSESSING, self.assessments, self.assessments + len(fresh) - done)
        return [self._known[numbers] for numbers in asked]

    def _measured(self, sets: Sequence[frozenset[int]]) -> Iterable[Effect]:
        ordered = [tuple(sorted(numbers)) for numbers in sets]
        if self._jobs == 1 or (self._pool is None and len(ordered) < WORTH_A_POOL) or len(ordered) == 1:
            return map(self._bench.effect, ordered)
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                self._jobs,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start,
                initargs=(self._bench.catalogue, self._bench.subject, self._bench.verdicts, self._bench.changes),
            )
        return self._pool.map(_work, ordered, chunksize=max(1, min(CHUNK, len(ordered) // (2 * self._jobs))))
