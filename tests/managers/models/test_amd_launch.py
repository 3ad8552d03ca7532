"""Measured launch: permutation, policies, ID blocks, kernel hashes, migration agents."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hostproof.errors import HostproofError
from hostproof.managers.engine.concrete import Machine
from hostproof.managers.engine.search import Limits, explore
from hostproof.managers.engine.vacuity import mutants, silent
from hostproof.managers.engine.verdict import decide, decide_all, weakest_duties
from hostproof.managers.models import amd_launch

MODELS = {technology: amd_launch.model(technology) for technology in amd_launch.TECHNOLOGIES}
LIMITS = Limits(30_000, 20)


def lengths(technology: str, policy: dict[str, bool] | None = None, without: tuple[str, ...] = ()) -> dict:
    found = decide_all(MODELS[technology], None, policy, without, limits=LIMITS)
    return {name: len(verdict.trace) if verdict.trace else verdict.result for name, verdict in found.items()}


@pytest.mark.parametrize("technology", ["sev", "sev-es"])
def test_blocks_of_the_right_digest_stand_at_addresses_of_the_hosts_choice(technology: str) -> None:
    trace = decide(MODELS[technology], "L1", limits=LIMITS).trace

    assert trace is not None
    assert [step.operation for step in trace.steps] == ["LAUNCH_START", "LAUNCH_UPDATE", "LAUNCH_FINISH", "accept"]
    assert trace.steps[1].arguments["genuine"] == "true"
    assert trace.steps[1].arguments["g"] != trace.start["reference_address[b0]"]


@pytest.mark.parametrize("technology", ["sev", "sev-es"])
def test_before_snp_contents_and_policy_are_bound_and_addresses_and_siblings_are_not(technology: str) -> None:
    expected = {"L1": 4, "L1.content": "proved", "L1.kernel": 4, "G1": "proved", "G1.smt": 3}

    assert lengths(technology) == expected


def test_with_snp_the_launched_image_is_the_accepted_one_for_any_number_of_pages() -> None:
    found = lengths("sev-snp")

    assert found.pop("L1.kernel") == 4
    assert found == dict.fromkeys(["L1", "L1.content", "G1", "G1.smt", "S1.agent"], "proved")


@pytest.mark.parametrize("technology", amd_launch.TECHNOLOGIES)
def test_the_kernel_is_bound_where_its_hashes_are_measured_and_the_verifier_is_linked(technology: str) -> None:
    model = MODELS[technology]
    hashes = {"KERNEL_HASHES": True}

    assert decide(model, "L1.kernel", limits=LIMITS).result == "trace"
    assert decide(model, "L1.kernel", hashes, limits=LIMITS).result == "proved"
    assert decide(model, "L1.kernel", hashes, ["blob_verifier_linked"], limits=LIMITS).result == "trace"


@pytest.mark.parametrize("technology", ["sev", "sev-es"])
def test_before_snp_the_verifier_compares_digest_and_policy_itself(technology: str) -> None:
    assert weakest_duties(MODELS[technology], "L1.content", limits=LIMITS).weakest == (("verify_digest",),)
    assert weakest_duties(MODELS[technology], "G1", limits=LIMITS).weakest == (("verify_policy",),)


@pytest.mark.parametrize(
    ("objective", "weakest"),
    [
        ("L1", {("verify_digest",), ("verify_id_key",)}),
        ("G1", {("verify_policy",), ("verify_id_key",)}),
        pytest.param("G1.smt", {("verify_policy",), ("verify_id_key",)}, marks=pytest.mark.slow),
        pytest.param("S1.agent", {("verify_policy",), ("verify_id_key",)}, marks=pytest.mark.slow),
    ],
)
def test_with_snp_a_verifier_compares_or_asks_for_an_id_block(objective: str, weakest: set[tuple[str, ...]]) -> None:
    assert set(weakest_duties(MODELS["sev-snp"], objective, limits=LIMITS).weakest) == weakest


@pytest.mark.parametrize(("objective", "steps"), [("L1", 4), ("G1", 4), ("G1.smt", 3), ("S1.agent", 4)])
def test_a_verifier_that_looks_at_nothing_accepts_anything(objective: str, steps: int) -> None:
    verdict = decide(
        MODELS["sev-snp"], objective, None, ["verify_digest", "verify_policy", "verify_id_key"], limits=LIMITS
    )

    assert len(verdict.trace or ()) == steps


@pytest.mark.parametrize(
    ("guard", "objective", "duty"),
    [("FINISH.digest", "L1", "verify_digest"), ("FINISH.policy", "G1", "verify_policy")],
)
def test_an_id_block_is_worth_what_firmware_checks_of_it(guard: str, objective: str, duty: str) -> None:
    model = MODELS["sev-snp"]
    operations = tuple(
        replace(one, guards=tuple(kept for kept in one.guards if kept.id != guard)) for one in model.operations
    )
    changed = replace(model, operations=operations)

    assert decide(model, objective, None, [duty], limits=LIMITS).result == "proved"
    assert decide(changed, objective, None, [duty], limits=LIMITS).result == "trace"


@pytest.mark.parametrize("technology", amd_launch.TECHNOLOGIES)
def test_the_model_is_alive(technology: str) -> None:
    assert silent(MODELS[technology], limits=Limits(60_000, 20)) == []


@pytest.mark.slow
@pytest.mark.parametrize("technology", amd_launch.TECHNOLOGIES)
def test_every_guard_breaks_an_objective_or_has_a_reason(technology: str) -> None:
    found = list(mutants(MODELS[technology], limits=LIMITS))

    assert [mutant for mutant in found if mutant.survives] == []
    if technology == "sev-snp":
        broken = {mutant.guard for mutant in found if mutant.broken}
        assert {"UPDATE.state", "START.smt", "START.agent", "DBG.policy"} <= broken


@pytest.mark.slow
def test_a_search_to_the_end_agrees_with_the_proofs() -> None:
    model = MODELS["sev-snp"]
    targets = {name: model.objective(name).never for name in ("L1", "L1.content", "G1", "G1.smt", "S1.agent")}
    whole = explore(Machine(model, model.switches(), {"Block": 2, "GuestPage": 2}), targets, Limits(400_000, 120))

    assert whole.complete
    assert whole.found == {}


def test_an_unknown_technology_is_refused() -> None:
    with pytest.raises(HostproofError, match="no technology cca"):
        amd_launch.model("cca")
