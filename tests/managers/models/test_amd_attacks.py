"""Published attacks on AMD: the model of the affected technology finds each architectural one, the fixed one proves it gone.

Every attack of the catalogue's lists for SEV, SEV-ES and SEV-SNP stands in one of three places: found and proved gone, found
with no fix, or attached to an assumption of a model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import pytest

from hostproof.knowledge.load import catalogue
from hostproof.managers.engine import Model
from hostproof.managers.engine.search import Limits
from hostproof.managers.engine.verdict import VerdictRecord, decide_all
from hostproof.managers.models import (
    amd_answers,
    amd_events,
    amd_guest_requests,
    amd_launch,
    amd_vcpu,
    sev,
    sev_es,
    sev_snp,
)

EXTRA = {"double-accept", "host-controlled-time", "vc-user-race", "report-relay"}
"""Attacks of other lists that these models know."""


@dataclass(frozen=True)
class Question:
    """An objective of a model under a policy, without some duties."""

    model: str
    objective: str
    policy: dict[str, bool] = field(default_factory=dict)
    without: tuple[str, ...] = ()


@cache
def models() -> dict[str, Model]:
    made = [sev.model(), sev_es.model(), sev_es.exchange(), sev_snp.model(), amd_guest_requests.model()]
    for module in (amd_vcpu, amd_events, amd_launch, amd_answers):
        made += [module.model(technology) for technology in module.TECHNOLOGIES]
    return {model.name: model for model in made}


VERDICTS: dict[str, dict[str, VerdictRecord]] = {}
"""By model, policy and duties: several attacks ask one question, and several questions are one proof."""


def ask(question: Question) -> VerdictRecord:
    key = repr((question.model, question.policy, question.without))
    if key not in VERDICTS:
        asked = [one for row in (*GONE, *NO_FIX) for one in row if isinstance(one, Question)]
        same = {one.objective for one in asked if repr((one.model, one.policy, one.without)) == key}
        VERDICTS[key] = decided(question, sorted(same))
    return VERDICTS[key][question.objective]


def decided(question: Question, objectives: list[str]) -> dict[str, VerdictRecord]:
    model = models()[question.model]
    sizes = {sort.name: 1 if sort.name == "MetadataEntry" else 2 for sort in model.sorts if sort.uninterpreted}
    return decide_all(model, objectives, question.policy, question.without, sizes, Limits(60_000, 30))


RESTRICTED = {"RESTRICTED_INJECTION": True}
HIDING = {"CIPHERTEXT_HIDING_DRAM": True}
HANDLERS = ("ia32_disabled", "int80_origin", "vc_checks_opcode", "vc_mmio_shared_only")

GONE = [
    ("encrypted-vms-analysis", Question("sev-vcpu", "R2"), 2, Question("sev-es-vcpu", "R2")),
    ("encrypted-vms-analysis", Question("sev", "M4"), 2, Question("sev-snp", "M4")),
    ("sev-is-unsecure", Question("sev", "M5.tweak", {"PREDICTABLE_TWEAK": True}), 3, Question("sev", "M5.tweak")),
    ("severed", Question("sev-es", "M1"), 2, Question("sev-snp", "M1")),
    ("extracting-secrets", Question("sev", "M1"), 2, Question("sev-snp", "M1")),
    ("severest", Question("sev-vcpu", "R1"), 1, Question("sev-es-vcpu", "R1")),
    ("unprotected-io", Question("sev", "M1"), 2, Question("sev-snp", "M1")),
    ("sevurity", Question("sev-es", "M3"), 2, Question("sev-snp", "M3")),
    ("exploiting-interfaces", Question("sev-es", "T1", {}, ("verify_cbit",)), 1, Question("sev-es", "T1")),
    ("undeserved-trust", Question("sev-launch", "L1"), 4, Question("sev-snp-launch", "L1")),
    ("undeserved-trust", Question("sev-es-launch", "L1"), 4, Question("sev-snp-launch", "L1")),
    ("severity", Question("sev-es", "M7"), 1, Question("sev-snp", "M7")),
    ("crossline", Question("sev-es-vcpu", "M1.crossline"), 1, Question("sev-snp-vcpu", "M1.crossline")),
    ("tlb-poisoning", Question("sev-es-vcpu", "M5.tlb"), 3, Question("sev-snp-vcpu", "M5.tlb")),
    ("cipherleaks", Question("sev-snp", "M2"), 3, Question("sev-snp", "M2", HIDING)),
    ("ciphertext-side-channels", Question("sev-snp", "M2"), 3, Question("sev-snp", "M2", HIDING)),
    ("heracles", Question("sev-snp", "M2"), 3, Question("sev-snp", "M2", HIDING)),
    ("heckler", Question("sev-snp-events", "X1.int80", {}, HANDLERS), 2,
     Question("sev-snp-events", "X1.int80", RESTRICTED, HANDLERS)),
    ("heckler", Question("sev-snp-events", "X1.fault"), 2, Question("sev-snp-events", "X1.fault", RESTRICTED)),
    ("wesee", Question("sev-snp-events", "X1.vc", {}, HANDLERS), 2,
     Question("sev-snp-events", "X1.vc", RESTRICTED, HANDLERS)),
    ("wesee", Question("sev-es-events", "X1.vc", {}, HANDLERS), 2, Question("sev-es-events", "X1.vc")),
    ("double-accept", Question("sev-snp", "M4", {}, ("validate_once",)), 6, Question("sev-snp", "M4")),
    ("host-controlled-time", Question("sev-snp-answers", "X2.tsc"), 1,
     Question("sev-snp-answers", "X2.tsc", {"SECURE_TSC": True})),
]  # fmt: skip

NO_FIX = [
    ("sev-step", Question("sev-snp-events", "X3"), 1),
    ("db-suppression", Question("sev-snp-events", "X1.suppressed", RESTRICTED), 2),
]

ASSUMED = {
    "insecure-until-proven-updated", "sev-invalid-curve", "one-glitch", "asp-review-2022", "severest", "pwrleak",
    "cachewarp", "cpuid-response-leak", "snp-input-validation", "guest-context-use-after-free", "asp-address-validation",
    "iommu-write-buffer", "entrysign", "counterseveillance", "badram", "cohere-reload", "rmpocalypse", "stackwarp",
    "fabricked", "staleus", "nbio-lock-bits", "milanlaunchy", "snpeek", "sinkclose", "zen2-op-cache", "sev-step",
    "cipherleaks", "ciphertext-side-channels", "vc-user-race", "report-relay",
}  # fmt: skip


def listed() -> set[str]:
    """Rows 1 to 43: the lists for SEV, SEV-ES and SEV-SNP."""
    return {attack.id for attack in catalogue().attacks.values() if attack.number <= 43}


@pytest.mark.parametrize(
    ("attack", "affected", "steps", "fixed"), GONE, ids=[f"{row[0]} {row[1].model}" for row in GONE]
)
def test_the_affected_model_finds_the_attack_and_the_fixed_one_proves_it_gone(
    attack: str, affected: Question, steps: int, fixed: Question
) -> None:
    assert len(ask(affected).trace or ()) == steps
    assert ask(fixed).result == "proved"


@pytest.mark.parametrize(("attack", "affected", "steps"), NO_FIX, ids=[row[0] for row in NO_FIX])
def test_an_attack_without_a_fix_is_found(attack: str, affected: Question, steps: int) -> None:
    assert len(ask(affected).trace or ()) == steps


def test_every_other_attack_breaks_an_assumption_that_an_objective_names() -> None:
    broken = {
        attack
        for model in models().values()
        for assumption in model.assumptions
        if any(assumption.id in objective.assumptions for objective in model.objectives)
        for attack in assumption.broken_by
    }

    assert ASSUMED - broken == set()


def test_all_43_attacks_of_the_two_lists_are_covered() -> None:
    found = {row[0] for row in GONE} | {row[0] for row in NO_FIX}

    assert listed() - found - ASSUMED == set()
    assert (found | ASSUMED) - listed() == EXTRA
    assert len(listed()) == 43
    assert len({row[0] for row in GONE} & listed()) == 17


def test_every_attack_that_a_model_names_stands_in_the_catalogue() -> None:
    known = set(catalogue().attacks)
    named = {
        name
        for model in models().values()
        if model.name != "sev-snp"
        for one in model.assumptions
        for name in one.broken_by
    }

    assert named - known == set()
