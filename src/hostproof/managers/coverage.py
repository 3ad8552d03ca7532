"""Published attacks against the models: replayed as traces, attached to assumptions, or neither.

`replays.toml` says for an architectural attack where it must be found and where it must be gone; both are looked up in the
stored verdicts, so that a replay that a model no longer finds is an error.
"""

from __future__ import annotations

from collections.abc import Iterator

from hostproof.errors import CatalogueError
from hostproof.managers.policies import Replay, Scene, replays
from hostproof.managers.records import Library, Stored, Verdict

__all__ = ["assumptions_broken", "replayed", "scene", "told"]


def scene(library: Library, asked: Scene) -> tuple[Stored, Verdict] | None:
    """The stored verdict of a scene; None where the model is not there."""
    stored = library.by_model.get(asked.model)
    if stored is None:
        return None
    for word in (*asked.policy, *asked.without):
        if word not in stored.model.policies and word not in stored.model.duties:
            raise CatalogueError(f"replays.toml: {asked.model} has no policy or duty {word}")
    policy = stored.model.policies | asked.policy
    duties = tuple(name for name in stored.model.duties if name not in asked.without)
    verdict = stored.run(policy, duties).get(asked.objective)
    if verdict is None:
        raise CatalogueError(f"replays.toml: no stored verdict on {asked.objective} of {asked.model} in this run")
    return stored, verdict


def told(library: Library, replay: Replay) -> Iterator[str]:
    """Sentences: where the attack is found, where it is gone. Raises CatalogueError where a verdict says otherwise."""
    for expected, scenes in (("trace", replay.found), ("proved", replay.gone)):
        for asked in scenes:
            known = scene(library, asked)
            if known is None:
                continue
            _, verdict = known
            if verdict.result != expected:
                message = f"replays.toml: {replay.attack}: {asked.model} {asked.objective} is {verdict.result}"
                raise CatalogueError(message, expected=expected)
            changed = [f"{name}={'on' if value else 'off'}" for name, value in asked.policy.items()]
            changed += [f"without {duty}" for duty in asked.without]
            run = f" ({', '.join(changed)})" if changed else ""
            how = f"{verdict.steps} steps" if expected == "trace" else "gone"
            yield f"{asked.model} {asked.objective}{run}: {how} [{verdict.id}]"


def assumptions_broken(library: Library) -> dict[str, list[str]]:
    """Attack -> `model: assumption` for every assumption that it breaks."""
    found: dict[str, list[str]] = {}
    for stored in library.by_model.values():
        if stored.model.variant:
            continue
        for name, assumption in stored.model.assumptions.items():
            for attack in assumption.broken_by:
                found.setdefault(attack, []).append(f"{stored.model.name}: {name}")
    return found


def replayed(library: Library) -> dict[str, list[str]]:
    """Attack -> sentences, for every replay whose affected model is there."""
    found = {name: list(told(library, replay)) for name, replay in replays().items()}
    return {name: sentences for name, sentences in found.items() if sentences}
