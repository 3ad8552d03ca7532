"""Questions to the models: which technologies and objectives, under which policies, with which duties of the guest dropped.

Answers come from the stored verdicts; `fresh` proves now. Words that no model knows are refused with the nearest ones that are.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from hostproof.errors import UsageError
from hostproof.managers.objectives import OBJECTIVES, base, order
from hostproof.managers.records import Card, Library, Stored, Verdict

__all__ = ["Answer", "Question", "ask", "fresh", "nearest"]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. Empty `technologies` and `objectives` mean all; `only` None means that the guest keeps every duty."""

    technologies: tuple[str, ...] = ()
    objectives: tuple[str, ...] = ()
    policy: Mapping[str, bool] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None
    version: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdicts of one model of one technology under the policies and duties that were asked for."""

    technology: str
    stored: Stored
    verdicts: tuple[Verdict, ...]


def ask(library: Library, question: Question) -> list[Answer]:
    """The stored verdicts. Raises UsageError for words that nobody knows, and for a run that is not published."""
    chosen = _models(library, question)
    _check(question, [stored.model for _, stored in chosen])
    answers = []
    for technology, stored in chosen:
        policy, duties = _run(stored.model, question)
        wanted = _objectives(stored.model, question)
        found = stored.run(policy, duties)
        if wanted and not found:
            changed = ", ".join([*question.policy, *question.without, *(question.only or ())])
            raise UsageError(
                f"this combination of policies and duties of {stored.model.name} is not among the stored verdicts: {changed}",
                hint="--fresh proves it now",
            )
        verdicts = [found[name] for name in wanted if name in found]
        answers.append(Answer(technology, stored, tuple(sorted(verdicts, key=lambda one: order(one.objective)))))
    return [answer for answer in answers if answer.verdicts]


def fresh(library: Library, question: Question) -> list[Answer]:
    """The same, proved now. Imports the prover."""
    from hostproof.managers import publish, registry

    technologies = question.technologies or registry.TECHNOLOGIES
    unknown = [name for name in technologies if name not in registry.TECHNOLOGIES]
    if unknown:
        raise _unknown("technology", unknown[0], registry.TECHNOLOGIES)
    chosen = []
    for technology in technologies:
        factories = [one for one in registry.factories(technology) if one.version == question.version]
        if not factories and question.version:
            versions = sorted({one.version for one in registry.factories(technology)} - {""})
            raise _unknown(f"version of {technology}", question.version, versions)
        chosen += [(technology, factory, factory()) for factory in factories]
    cards = [publish.card(model, factory) for _, factory, model in chosen]
    _check(question, cards)
    answers = []
    for (technology, factory, model), card in zip(chosen, cards, strict=True):
        wanted = _objectives(card, question)
        if not wanted:
            continue
        policy, duties = _run(card, question)
        changed = {name: value for name, value in policy.items() if value != card.policies[name]}
        run = publish.Run(changed, tuple(name for name in card.duties if name not in duties))
        verdicts = publish.prove_run(model, factory, run, wanted)
        before = library.by_model.get(factory.key)
        weakest = before.weakest if before is not None and before.model.digest == card.digest else {}
        stored = Stored("", card, weakest, verdicts)
        answers.append(Answer(technology, stored, tuple(sorted(verdicts, key=lambda one: order(one.objective)))))
    return answers


def _models(library: Library, question: Question) -> list[tuple[str, Stored]]:
    known = library.technologies
    for name in question.technologies:
        if name not in known:
            raise _unknown("technology", name, known)
    chosen = [(name, one) for name in question.technologies or known for one in library.of(name, question.version)]
    if not chosen and question.version:
        versions = [version for name in question.technologies or known for version in library.versions(name)]
        raise _unknown("version", question.version, versions)
    return chosen


def _check(question: Question, cards: Sequence[Card]) -> None:
    """Every word is known to one of the models, and no two contradict each other."""
    both = set(question.without) & set(question.only or ())
    if both:
        raise UsageError(
            f"contradictory duties: {', '.join(sorted(both))} is to be kept and dropped",
            hint="name it once, with --only-duty or with --without-duty",
        )
    objectives = sorted({one.id for card in cards for one in card.objectives} | set(OBJECTIVES), key=order)
    policies = sorted({name for card in cards for name in card.policies})
    duties = sorted({name for card in cards for name in card.duties})
    for kind, words, known in (
        ("objective", question.objectives, objectives),
        ("policy", question.policy, policies),
        ("duty", (*question.without, *(question.only or ())), duties),
    ):
        for word in words:
            if word not in known:
                raise _unknown(kind, word, known)


def _objectives(card: Card, question: Question) -> list[str]:
    own = [one.id for one in card.objectives]
    if not question.objectives:
        return own
    return [name for name in own if name in question.objectives or base(name) in question.objectives]


def _run(card: Card, question: Question) -> tuple[dict[str, bool], tuple[str, ...]]:
    """The policy and the duties of a model as asked; what the model does not know is left out."""
    policy = card.policies | {name: value for name, value in question.policy.items() if name in card.policies}
    duties = tuple(
        name
        for name in card.duties
        if name not in question.without and (question.only is None or name in question.only)
    )
    return policy, duties


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint with the words that look most like this one, or all of them where none does."""
    words = list(known)
    folded = {one.casefold(): one for one in words}
    near = [folded[one] for one in difflib.get_close_matches(word.casefold(), list(folded), n=4, cutoff=0.5)]
    return f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(words) or 'none'}"


def _unknown(kind: str, word: str, known: Iterable[str]) -> UsageError:
    return UsageError(f"there is no {kind} {word!r}", hint=nearest(word, known))
