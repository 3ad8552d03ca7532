"""Verdicts of models on primitives: proofs prevent, traces say how, and what no model answers is left to the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from msgspec import convert, structs

from hostproof.knowledge.load import catalogue
from hostproof.knowledge.predicate import Fact, Value
from hostproof.knowledge.records import Primitive
from hostproof.knowledge.terms import Verdict
from hostproof.ledger.environment import VmFacts
from hostproof.ledger.features import resolve
from hostproof.managers import policies, publish, records
from hostproof.managers.disagreements import Disagreement, disagreements
from hostproof.managers.policies import Mapping
from hostproof.managers.proofs import ProvedVerdicts, proved
from tests.managers.toys import File, toy_stored

SOURCED = {"sources": ["DOC"], "checked": "primary"}


class Known:
    """Facts of a toy."""

    def __init__(self, **values: Value) -> None:
        self.values = {"technology": "toy", **values}

    def fact(self, name: str) -> Fact:
        return Fact(name, self.values.get(name.rpartition(".")[2]))


def primitive(id: str) -> Primitive:
    return convert({"id": id, "name": "Do it", "trace": "as published", **SOURCED}, Primitive)


def library(*stored: records.Stored) -> records.Library:
    files = [File(f"toy{number}.json", publish.encode(one)) for number, one in enumerate(stored)]
    return records.Library(tuple(files))  # type: ignore[arg-type]


def without_duty() -> records.Stored:
    """The toy in whose default run the guest keeps no duty: everything is broken."""
    stored = toy_stored()
    broken = [structs.replace(one, duties=("accept_once",)) for one in stored.verdicts if one.result == "trace"]
    return structs.replace(stored, verdicts=broken, weakest={})


def test_a_proof_prevents_and_names_itself_its_duties_and_assumptions() -> None:
    answer = ProvedVerdicts(library(toy_stored())).verdict(primitive("remap-page"), Known())
    id = toy_stored().verdicts[0].id

    assert (answer.verdict, answer.kind) == (Verdict.PREVENTED, "proof")
    assert answer.reason == (
        f"two pages never answer at one address (proof {id}, any number of pages; guest duties: accept_once)"
    )
    assert answer.sources == (f"proof:{id}", "DOC")


def test_a_trace_makes_it_possible_and_tells_its_length() -> None:
    answer = ProvedVerdicts(library(without_duty())).verdict(primitive("remap-page"), Known())

    assert (answer.verdict, answer.kind) == (Verdict.POSSIBLE, "trace")
    assert "of 4 steps" in answer.reason
    assert answer.sources[0] == f"trace:{toy_stored().verdicts[1].id}"


def test_what_one_model_proves_and_another_breaks_is_possible() -> None:
    answer = ProvedVerdicts(library(toy_stored(), without_duty())).verdict(primitive("remap-page"), Known())

    assert answer.verdict is Verdict.POSSIBLE


@pytest.mark.parametrize("id", ["drop-page", "read-registers"])
def test_where_no_model_speaks_the_catalogue_does(id: str) -> None:
    answer = ProvedVerdicts(library(toy_stored())).verdict(primitive(id), Known())

    assert (answer.verdict, answer.kind, answer.reason) == (Verdict.POSSIBLE, "catalogue", "as published")


@pytest.mark.parametrize("technology", ["sev-snp", "none", ""])
def test_a_model_of_another_technology_does_not_speak(technology: str) -> None:
    answer = ProvedVerdicts(library(toy_stored())).verdict(primitive("remap-page"), Known(technology=technology))

    assert answer.kind == "catalogue"


def test_a_proof_about_a_part_of_a_primitive_prevents_nothing() -> None:
    stored = toy_stored()
    other = structs.replace(stored.model.objectives[0], primitives=["firmware-command"])
    stored = structs.replace(stored, model=structs.replace(stored.model, objectives=[other]))

    assert ProvedVerdicts(library(stored)).verdict(primitive("firmware-command"), Known()).kind == "catalogue"


def test_what_the_prover_does_not_know_is_left_to_the_catalogue() -> None:
    stored = toy_stored()
    unknown = [structs.replace(one, result="unknown") for one in stored.verdicts if one.result == "proved"]
    stored = structs.replace(stored, verdicts=unknown)

    assert ProvedVerdicts(library(stored)).verdict(primitive("remap-page"), Known()).kind == "catalogue"


@pytest.fixture
def switched(monkeypatch: pytest.MonkeyPatch) -> Iterator[records.Stored]:
    """The toy with a policy `check` that a fact decides: with it M5 is proved, without it broken."""
    stored = toy_stored()
    card = structs.replace(
        stored.model, name="toy0", switches=[records.SwitchCard("check", "the host checks", True, False)]
    )
    verdicts = [structs.replace(one, duties=(), policy={"check": one.result == "proved"}) for one in stored.verdicts]
    found = Mapping(policies={"check": "feature.check"}, applies={"remap-page": "not use.paravisor"})
    monkeypatch.setattr("hostproof.managers.proofs.mapping", lambda name: found)
    yield structs.replace(stored, model=card, verdicts=verdicts, weakest={})


@pytest.mark.parametrize(("check", "expected"), [(True, Verdict.PREVENTED), (False, Verdict.POSSIBLE), (None, None)])
def test_facts_choose_the_record(switched: records.Stored, check: bool | None, expected: Verdict | None) -> None:
    facts = Known(paravisor=False) if check is None else Known(check=check, paravisor=False)
    answer = ProvedVerdicts(library(switched)).verdict(primitive("remap-page"), facts)

    assert answer.verdict is expected
    assert [fact.name for fact in answer.missing] == (["feature.check"] if check is None else [])
    assert [fact.name for fact in answer.because] == ([] if check is None else ["feature.check"])


@pytest.mark.parametrize("paravisor", [True, None])
def test_a_model_does_not_speak_of_what_it_may_not_describe(switched: records.Stored, paravisor: bool | None) -> None:
    facts = Known(check=True) if paravisor is None else Known(check=True, paravisor=paravisor)

    assert ProvedVerdicts(library(switched)).verdict(primitive("remap-page"), facts).kind == "catalogue"


def test_every_mapping_is_of_a_model_a_policy_and_facts_that_there_are() -> None:
    known = catalogue()
    models = records.library().by_model
    assert set(policies.mappings()) - set(models) == set()
    for name, found in policies.mappings().items():
        assert set(found.policies) - set(models[name].model.policies) == set()
        assert set(found.passes_over) - {one.id for one in models[name].model.objectives} == set()
        for condition in (*found.policies.values(), *found.applies.values()):
            features = [word for word in policies.parse(condition).names if word.startswith("feature.")]
            assert {word.partition(".")[2] for word in features} - set(known.features) == set()
    assert policies.answered() - set(known.primitives) == set()


def test_every_primitive_that_a_model_names_is_in_the_catalogue() -> None:
    named = {name for one in records.library().by_model.values() for o in one.model.objectives for name in o.primitives}

    assert named - set(catalogue().primitives) == set()


DEBUG = "a debuggable guest's memory is written by DBG_ENCRYPT or TDH.MEM.WR; the catalogue's rule does not ask for debugging"
CORE = "the catalogue does not know whether the proposal lets a guest be debugged; the model of its code does"
ACCEPTED = {
    ("sev-es", "write-registers"): "registers of a saved VMSA have a checksum, whether debugging is allowed or not",
    ("sev-snp", "corrupt-private-memory"): DEBUG,
    ("sev-snp", "choose-unused-page-content"): DEBUG,
    ("tdx", "corrupt-private-memory"): DEBUG,
    ("tdx", "choose-unused-page-content"): DEBUG,
    (
        "pkvm-arm64",
        "read-private-memory",
    ): "what the guest loads into registers is the host's, where EL2 does not keep them",
    ("pkvm-arm64", "lie-cpuid"): "CTR_EL0 of a protected guest is answered by the host",
    ("pkvm-arm64", "lie-counter"): "the offset of the virtual counter is the host's",
    ("pkvm-x86", "read-private-memory"): CORE,
    ("pkvm-x86", "choose-unused-page-content"): "a page is donated as the host left it",
    ("pkvm-x86", "read-registers"): CORE,
    ("pkvm-x86", "write-registers"): CORE,
}
"""Where models and the catalogue disagree, and why the models are right."""


def facts_of(technology: str) -> VmFacts:
    known = catalogue()
    record = known.technologies[technology]
    use = known.uses["third-party-server"]
    bare = VmFacts(record, use, known.options, {}, mechanisms=known.mechanisms_by_fact)
    return replace(bare, features=resolve(known.features, record, None, bare))


def found() -> list[Disagreement]:
    known = catalogue()
    technologies = [name for name in records.library().technologies if name in known.technologies]
    return list(disagreements(proved(), list(known.primitives.values()), technologies, facts_of))


def test_models_and_catalogue_disagree_only_where_somebody_said_why() -> None:
    assert {(one.technology, one.primitive) for one in found()} == set(ACCEPTED)


def test_the_baseline_has_no_proof() -> None:
    answers = [proved().verdict(one, facts_of("kvm")) for one in catalogue().primitives.values()]

    assert [one.primitive for one in answers if one.kind == "proof"] == []
