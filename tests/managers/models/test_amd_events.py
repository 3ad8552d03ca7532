"""Which events reach an AMD guest: Heckler and WeSee, the guest's own checks, and the injection policies that end both."""

from __future__ import annotations

import pytest

from hostproof.errors import HostproofError
from hostproof.managers.engine.concrete import Machine
from hostproof.managers.engine.search import Limits, explore
from hostproof.managers.engine.vacuity import mutants, silent
from hostproof.managers.engine.verdict import decide, decide_all, weakest_duties
from hostproof.managers.models import amd_events

MODELS = {technology: amd_events.model(technology) for technology in amd_events.TECHNOLOGIES}
LIMITS = Limits(30_000, 20)
POLICIES = ("RESTRICTED_INJECTION", "ALTERNATE_INJECTION", "SECURE_AVIC")
OPEN = {"X1": 1, "X1.int80": "proved", "X1.fault": 2, "X1.suppressed": 2, "X3": 1, "A1": 1}


def lengths(technology: str, policy: dict[str, bool] | None = None, without: tuple[str, ...] = ()) -> dict:
    found = decide_all(MODELS[technology], None, policy, without, limits=LIMITS)
    return {name: len(verdict.trace) if verdict.trace else verdict.result for name, verdict in found.items()}


@pytest.mark.parametrize("technology", amd_events.TECHNOLOGIES)
def test_without_an_injection_policy_every_event_reaches_the_guest(technology: str) -> None:
    expected = OPEN if technology == "sev" else {**OPEN, "X1.vc": "proved"}

    assert lengths(technology) == expected


@pytest.mark.parametrize("policy", POLICIES)
def test_each_injection_policy_lets_only_agreed_events_through(policy: str) -> None:
    proved = dict.fromkeys(["X1", "X1.int80", "X1.vc", "X1.fault"], "proved")

    assert lengths("sev-snp", {policy: True}) == {**proved, "X1.suppressed": 2, "X3": 1, "A1": 1}


@pytest.mark.parametrize("technology", amd_events.TECHNOLOGIES)
def test_heckler_is_closed_by_the_missing_entry_and_not_by_asking_an_apic_that_the_host_emulates(
    technology: str,
) -> None:
    table = weakest_duties(MODELS[technology], "X1.int80", limits=LIMITS)
    trace = table.dropped["ia32_disabled"].trace

    assert table.weakest == (("ia32_disabled",),)
    assert table.dropped["int80_origin"].result == "proved"
    assert trace is not None
    assert [step.operation for step in trace.steps] == ["EVENTINJ", "int80 entry"]
    assert trace.steps[-1].arguments == {"isr": "false"}


@pytest.mark.parametrize("technology", ["sev-es", "sev-snp"])
def test_wesee_needs_both_checks_of_the_vc_handler(technology: str) -> None:
    table = weakest_duties(MODELS[technology], "X1.vc", limits=LIMITS)
    codes = {duty: table.dropped[duty].trace.steps[-1].arguments["code"] for duty in table.weakest[0]}  # type: ignore[union-attr]

    assert table.weakest == (("vc_checks_opcode", "vc_mmio_shared_only"),)
    assert codes == {"vc_checks_opcode": "OPCODE", "vc_mmio_shared_only": "MMIO"}


@pytest.mark.parametrize(
    ("policy", "weakest"),
    [
        ("RESTRICTED_INJECTION", ("doorbell_agreed",)),
        pytest.param("ALTERNATE_INJECTION", ("vmpl0_injects_legal",), marks=pytest.mark.slow),
        ("SECURE_AVIC", ()),
    ],
)
def test_what_a_policy_asks_of_the_guest(policy: str, weakest: tuple[str, ...]) -> None:
    assert weakest_duties(MODELS["sev-snp"], "X1", {policy: True}, LIMITS).weakest == (weakest,)


@pytest.mark.parametrize("objective", ["X1.int80", "X1.vc", "X1.fault"])
@pytest.mark.parametrize(
    ("policy", "kept"),
    [
        ("RESTRICTED_INJECTION", "doorbell_agreed"),
        ("ALTERNATE_INJECTION", "vmpl0_injects_legal"),
        ("SECURE_AVIC", ""),
    ],
)
def test_under_a_policy_no_check_of_a_handler_is_needed(policy: str, kept: str, objective: str) -> None:
    model = MODELS["sev-snp"]
    without = [duty for duty in model.duties if duty != kept]

    assert decide(model, objective, {policy: True}, without, limits=LIMITS).result == "proved"


@pytest.mark.parametrize("technology", amd_events.TECHNOLOGIES)
def test_the_model_is_alive(technology: str) -> None:
    assert silent(MODELS[technology], limits=LIMITS) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "guards"),
    [
        ("RESTRICTED_INJECTION", {"EVENTINJ.restricted", "V_IRQ.restricted", "exception.handler"}),
        ("ALTERNATE_INJECTION", {"EVENTINJ.alternate", "V_IRQ.alternate", "exception.handler"}),
        ("SECURE_AVIC", {"EVENTINJ.secure-avic", "V_IRQ.allowed", "request.device", "exception.handler"}),
    ],
)
def test_each_guard_of_a_policy_breaks_an_objective_when_it_goes(policy: str, guards: set[str]) -> None:
    found = list(mutants(MODELS["sev-snp"], None, LIMITS, {policy: True}))

    assert {mutant.guard for mutant in found if mutant.broken} == guards
    assert [mutant for mutant in found if mutant.survives] == []
    assert [mutant for mutant in found if mutant.unknown and not mutant.broken] == []


@pytest.mark.parametrize("policy", POLICIES)
def test_three_vectors_searched_to_the_end_agree_with_the_proofs(policy: str) -> None:
    model = MODELS["sev-snp"]
    targets = {name: model.objective(name).never for name in ("X1", "X1.int80", "X1.vc", "X1.fault")}
    whole = explore(Machine(model, model.switches({policy: True}), {"Vector": 3}), targets, Limits(200_000, 30))

    assert whole.complete
    assert whole.found == {}


def test_an_unknown_technology_is_refused() -> None:
    with pytest.raises(HostproofError, match="no technology tdx"):
        amd_events.model("tdx")
