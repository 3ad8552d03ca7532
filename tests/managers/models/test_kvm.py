"""Without a security manager everything is broken, quickly."""

from __future__ import annotations

from hostproof.managers.engine.vacuity import silent
from hostproof.managers.engine.verdict import decide_all
from hostproof.managers.models import kvm


def test_every_objective_is_broken_in_at_most_four_steps() -> None:
    verdicts = decide_all(kvm.model())

    assert {verdict.result for verdict in verdicts.values()} == {"trace"}
    assert max(len(verdict.trace.steps) for verdict in verdicts.values() if verdict.trace) == 4


def test_the_model_is_alive() -> None:
    assert silent(kvm.model()) == []
