"""CPUID and time: what stays the host's even with a page that firmware checked."""

from __future__ import annotations

import pytest

from hostproof.errors import HostproofError
from hostproof.managers.engine.vacuity import mutants, silent
from hostproof.managers.engine.verdict import decide_all, weakest_duties
from hostproof.managers.models import amd_answers

MODELS = {technology: amd_answers.model(technology) for technology in amd_answers.TECHNOLOGIES}


def lengths(technology: str, policy: dict[str, bool] | None = None) -> dict[str, int | str]:
    found = decide_all(MODELS[technology], None, policy)
    return {name: len(verdict.trace) if verdict.trace else verdict.result for name, verdict in found.items()}


@pytest.mark.parametrize(
    ("technology", "policy", "expected"),
    [
        ("sev", {}, {"X2": 1, "X2.identity": 1, "X2.tsc": 1, "X2.clock": 1}),
        ("sev-es", {}, {"X2": 1, "X2.identity": 1, "X2.tsc": 1, "X2.clock": 1}),
        ("sev-snp", {}, {"X2": "proved", "X2.identity": 1, "X2.tsc": 1, "X2.clock": 1}),
        ("sev-snp", {"SECURE_TSC": True}, {"X2": "proved", "X2.identity": 1, "X2.tsc": "proved", "X2.clock": 1}),
    ],
)
def test_the_page_makes_features_true_and_secure_tsc_the_counter(technology: str, policy: dict, expected: dict) -> None:
    assert lengths(technology, policy) == expected


def test_the_page_helps_a_guest_that_reads_it() -> None:
    table = weakest_duties(MODELS["sev-snp"], "X2")

    assert table.weakest == (("use_cpuid_page",),)
    assert len(table.dropped["use_cpuid_page"].trace or ()) == 1


@pytest.mark.parametrize("technology", amd_answers.TECHNOLOGIES)
def test_the_model_is_alive(technology: str) -> None:
    assert silent(MODELS[technology]) == []


def test_every_guard_breaks_an_objective_or_has_a_reason() -> None:
    default = list(mutants(MODELS["sev-snp"]))
    secure = list(mutants(MODELS["sev-snp"], policy={"SECURE_TSC": True}))

    assert [mutant for mutant in [*default, *secure] if mutant.survives or mutant.unknown] == []
    assert {mutant.guard: mutant.broken for mutant in secure if mutant.broken} == {
        "CPUID.checked": {"X2": 2},
        "RDTSC.secure": {"X2.tsc": 1},
    }


def test_an_unknown_technology_is_refused() -> None:
    with pytest.raises(HostproofError, match="no technology snp"):
        amd_answers.model("snp")
