"""`what-if`: every change ranked, the smallest set that reaches a target, and what no change closes"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from itertools import pairwise

from msgspec import structs

from hostproof import __version__
from hostproof.knowledge.load import Catalogue
from hostproof.knowledge.terms import Status
from hostproof.ledger.assess import Subject, assess
from hostproof.ledger.evidence import COMMAND_LINE_ROW
from hostproof.ledger.model import Ledger
from hostproof.ledger.what_if.candidates import candidates
from hostproof.ledger.what_if.changes import Change, Kind, LeaveOut, with_dependents
from hostproof.ledger.what_if.measure import Assessor, Progress
from hostproof.ledger.what_if.model import FORMAT, ChangeSeen, Effect, SmallestSet, Suggestion, WhatIf
from hostproof.ledger.what_if.reasons import left
from hostproof.ledger.what_if.search import smallest
from hostproof.ledger.what_if.targets import Goal, every, goal, read_target
from hostproof.managers.verdicts import Verdicts

__all__ = ["what_if"]


def what_if(
    catalogue: Catalogue,
    subject: Subject,
    verdicts: Verdicts,
    *,
    targets: Sequence[str] = (),
    kinds: Collection[Kind] = tuple(Kind),
    jobs: int = 1,
    report: Progress | None = None,
) -> WhatIf:
    """Which changes of these kinds close what in this VM, and which set of them reaches `targets`. The same subject gives
    the same answer, whatever `jobs` is. Raises UsageError where a target is none.
    """
    ledger = assess(catalogue, subject, verdicts)
    aims = [read_target(text, ledger) for text in targets]
    changes, skipped = candidates(catalogue, subject, ledger, kinds, [aim.pattern for aim in aims if aim.pattern])
    with Assessor(catalogue, subject, verdicts, changes, jobs=jobs, report=report) as assessor:
        effects = assessor.effects([number] for number in range(len(changes)))
        pool = _pool(changes, effects)
        together = assessor.effect(pool)
        seen = [_seen(change, subject) for change in changes]
        suggestions = [
            Suggestion(change, found) for change, found in zip(seen, effects, strict=True) if not found.is_nothing
        ]
        suggestions += _once_pinned(assessor, pool, together, effects, seen)
        all_made = assessor.ledger(pool)
        reached = _reached(assessor, pool, goal(aims, ledger, together), seen, all_made) if aims else None
        used = {suggestion.change.id for suggestion in suggestions}
        return WhatIf(
            format=FORMAT,
            hostproof=__version__,
            rule_set=catalogue.rule_set,
            name=subject.name,
            technology=subject.technology.id,
            use=subject.use.id,
            open=sum(row.status is Status.OPEN for row in ledger.rows),
            unknown=sum(row.status is Status.UNKNOWN for row in ledger.rows),
            suggestions=sorted(suggestions, key=_rank),
            idle=dict(sorted(Counter(one.kind for one in seen if one.id not in used).items())),
            not_tried=skipped,
            together=together,
            left=left(all_made),
            smallest=reached,
            assessments=assessor.assessments,
        )


def _rank(suggestion: Suggestion) -> tuple[int, int, int, int, str]:
    """Open rows closed first, then bytes of presentable code, then unknown rows that are known to be closed."""
    effect = suggestion.effect
    return (-effect.net, len(suggestion.needs), -effect.text_bytes, -len(effect.settled), suggestion.change.id)


def _seen(change: Change, subject: Subject) -> ChangeSeen:
    modules: Collection[str] = ()
    if isinstance(change.edit, LeaveOut) and subject.kernel is not None:
        modules = with_dependents(subject.kernel, change.edit.modules)
    return ChangeSeen(change.id, change.kind, change.sentence, change.how, change.note, change.breaks, sorted(modules))


def _pool(changes: Sequence[Change], effects: Sequence[Effect]) -> tuple[int, ...]:
    """The changes that may be made together: none that does harm alone, and of those that exclude each other the best."""
    best: dict[str, int] = {}
    for number, (change, effect) in enumerate(zip(changes, effects, strict=True)):
        if _harms(effect) or change.breaks:
            continue
        slot = change.slot or f"{change.kind}:{change.id}"
        if slot not in best or _worth(effect) > _worth(effects[best[slot]]):
            best[slot] = number
    return tuple(sorted(best.values()))


def _harms(effect: Effect) -> bool:
    """Whether a change opens more than it closes, or only takes knowledge away."""
    if effect.net < 0:
        return True
    lost = effect.opened or effect.unsettled or effect.blurred or effect.attacks_enabled
    return bool(lost) and not (effect.closes or effect.settled)


def _worth(effect: Effect) -> tuple[int, int, int]:
    return (effect.net, len(effect.settled), effect.text_bytes)


def _once_pinned(
    assessor: Assessor, pool: tuple[int, ...], together: Effect, effects: Sequence[Effect], seen: Sequence[ChangeSeen]
) -> list[Suggestion]:
    """Options that close nothing while the host writes the command line, with what it takes to pin that."""
    if COMMAND_LINE_ROW not in (*together.closed, *together.settled):
        return []
    target = read_target(COMMAND_LINE_ROW, assessor.base)
    pins = smallest(assessor, pool, goal([target], assessor.base, together)).members
    idle = [
        number
        for number in pool
        if seen[number].kind == Kind.CMDLINE and not effects[number].closes and number not in pins
    ]
    pinned = assessor.effect(pins)
    needs = [seen[number].id for number in pins]
    found = assessor.effects([*pins, number] for number in idle)
    beyond = [(number, _beyond(effect, pinned)) for number, effect in zip(idle, found, strict=True)]
    return [Suggestion(seen[number], effect, needs) for number, effect in beyond if effect.closes or effect.settled]


def _beyond(effect: Effect, other: Effect) -> Effect:
    """What an effect has that the other has not."""
    lists = ("closed", "gone", "opened", "settled", "unsettled", "blurred", "attacks_stopped", "attacks_enabled")
    only = {name: [item for item in getattr(effect, name) if item not in set(getattr(other, name))] for name in lists}
    return structs.replace(
        effect, modules=effect.modules - other.modules, text_bytes=effect.text_bytes - other.text_bytes, **only
    )


def _reached(
    assessor: Assessor, pool: tuple[int, ...], aim: Goal, seen: Sequence[ChangeSeen], all_made: Ledger
) -> SmallestSet:
    """The smallest set found, with what each of its changes adds to those before it."""
    found = smallest(assessor, pool, aim)
    steps = assessor.effects(found.members[:count] for count in range(len(found.members) + 1))
    cleared = [aim.cleared(step) for step in steps]
    stays = every(target.after(rows, steps[-1]) for target, rows in zip(aim.targets, aim.before, strict=True))
    return SmallestSet(
        targets=[target.text for target in aim.targets],
        reached=aim.reached,
        before=len(every(aim.before)),
        changes=[seen[number] for number in found.members],
        effect=steps[-1],
        adds=[sorted(after - before) for before, after in pairwise(cleared)],
        remaining=[] if aim.reached else left(all_made, stays),
        at_least=found.at_least,
        proven=found.proven,
    )
