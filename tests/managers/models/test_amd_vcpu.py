"""Registers, translations and ASIDs over three generations."""

from __future__ import annotations

import pytest

from hostproof.errors import HostproofError
from hostproof.managers.engine.concrete import Machine
from hostproof.managers.engine.search import Limits, explore
from hostproof.managers.engine.vacuity import mutants, silent
from hostproof.managers.engine.verdict import decide_all, weakest_duties
from hostproof.managers.models import amd_vcpu

MODELS = {technology: amd_vcpu.model(technology) for technology in amd_vcpu.TECHNOLOGIES}
LIMITS = Limits(30_000, 20)


def lengths(technology: str, policy: dict[str, bool] | None = None, without: tuple[str, ...] = ()) -> dict:
    found = decide_all(MODELS[technology], None, policy, without, limits=LIMITS)
    return {name: len(verdict.trace) if verdict.trace else verdict.result for name, verdict in found.items()}


@pytest.mark.parametrize(
    ("technology", "expected"),
    [
        ("sev", {"R1": 1, "R2": 2, "M1.crossline": 1, "M5.tlb": 3}),
        (
            "sev-es",
            {"R1": "proved", "R2": "proved", "M1.crossline": 1, "M5.tlb": 3, "R1.ghcb": "proved", "R2.ghcb": "proved"},
        ),
        ("sev-snp", dict.fromkeys(["R1", "R2", "M1.crossline", "M5.tlb", "R1.ghcb", "R2.ghcb"], "proved")),
    ],
)
def test_each_generation_closes_what_the_one_before_left_open(technology: str, expected: dict) -> None:
    assert lengths(technology) == expected


def test_a_debug_policy_opens_registers_and_the_checksum_of_sev_es_still_refuses_a_change() -> None:
    assert lengths("sev-es", {"NODBG": False})["R1"] == 1
    assert lengths("sev-es", {"NODBG": False})["R2"] == "proved"
    assert lengths("sev-snp", {"NODBG": False})["R1"] == 1
    assert lengths("sev-snp", {"NODBG": False})["R2"] == 3


@pytest.mark.parametrize(
    ("technology", "objective", "duty", "steps"),
    [
        ("sev-es", "R1.ghcb", "expose_needed", 2),
        ("sev-es", "R2.ghcb", "take_asked", 3),
        ("sev-snp", "R2", "destroy_old_vmsa", 3),
    ],
)
def test_the_weakest_duties(technology: str, objective: str, duty: str, steps: int) -> None:
    table = weakest_duties(MODELS[technology], objective, limits=LIMITS)

    assert table.weakest == ((duty,),)
    assert len(table.dropped[duty].trace or ()) == steps


def test_a_vcpu_runs_on_translations_that_another_left_in_the_core() -> None:
    trace = decide_all(MODELS["sev-es"], ["M5.tlb"], limits=LIMITS)["M5.tlb"].trace

    assert trace is not None
    assert [step.operation for step in trace.steps] == ["VMRUN", "#VMEXIT", "VMRUN"]
    assert trace.steps[-1].arguments["flush"] == "false"


@pytest.mark.parametrize("technology", amd_vcpu.TECHNOLOGIES)
def test_the_model_is_alive(technology: str) -> None:
    assert silent(MODELS[technology], limits=LIMITS) == []


@pytest.mark.slow
@pytest.mark.parametrize("technology", amd_vcpu.TECHNOLOGIES)
def test_every_guard_breaks_an_objective_or_has_a_reason(technology: str) -> None:
    assert [mutant for mutant in mutants(MODELS[technology], limits=LIMITS) if mutant.survives] == []


def test_two_vcpus_searched_to_the_end_agree_with_the_proofs() -> None:
    model = MODELS["sev-snp"]
    targets = {clause.id: clause.never for clause in model.objectives}
    whole = explore(Machine(model, model.switches(), {"SaveArea": 2}), targets, Limits(200_000, 30))

    assert whole.complete
    assert whole.found == {}


def test_an_unknown_technology_is_refused() -> None:
    with pytest.raises(HostproofError, match="no technology sev-xyz"):
        amd_vcpu.model("sev-xyz")
