"""Verdicts of the catalogue: prevented by the first rule that holds, unknown while one might, else possible."""

from __future__ import annotations

import pytest
from msgspec import convert

from hostproof.knowledge.load import catalogue
from hostproof.knowledge.predicate import Fact, Value
from hostproof.knowledge.records import Primitive
from hostproof.knowledge.terms import Verdict
from hostproof.managers.verdicts import CatalogueVerdicts

SOURCED = {"sources": ["DOC"], "checked": "primary"}


class Known:
    def __init__(self, **values: Value) -> None:
        self.values = values

    def fact(self, name: str) -> Fact:
        return Fact(name, self.values.get(name.partition(".")[2]))


def primitive(*rules: tuple[str, str]) -> Primitive:
    table = {
        "id": "p", "name": "do it", "trace": "do this, then that", **SOURCED,
        "prevented": [{"when": when, "reason": reason, **SOURCED} for when, reason in rules],
    }  # fmt: skip
    return convert(table, Primitive)


def test_the_first_rule_that_holds_gives_the_reason() -> None:
    verdict = CatalogueVerdicts().verdict(
        primitive(("feature.a", "first"), ("feature.b", "second")), Known(a=False, b=True)
    )

    assert (verdict.verdict, verdict.reason) == (Verdict.PREVENTED, "second")
    assert [fact.name for fact in verdict.because] == ["feature.b"]


def test_where_no_rule_holds_the_trace_says_how() -> None:
    verdict = CatalogueVerdicts().verdict(primitive(("feature.a", "first")), Known(a=False))

    assert (verdict.verdict, verdict.reason) == (Verdict.POSSIBLE, "do this, then that")


def test_while_a_rule_might_hold_there_is_no_verdict_and_the_feature_is_named() -> None:
    verdict = CatalogueVerdicts().verdict(primitive(("feature.a", "first"), ("feature.b", "second")), Known(a=False))

    assert verdict.verdict is None
    assert [fact.name for fact in verdict.missing] == ["feature.b"]


def test_a_rule_that_nobody_checked_prevents_nothing() -> None:
    unchecked = convert(
        {
            "id": "p", "name": "do it", "prevented": [{"when": "true", "reason": "hearsay", "sources": ["DOC"],
            "checked": "unchecked"}], **SOURCED,
        },
        Primitive,
    )  # fmt: skip

    assert CatalogueVerdicts().verdict(unchecked, Known()).verdict is Verdict.POSSIBLE


@pytest.mark.parametrize("name", ["withhold-resources", "drop-page", "single-step", "observe-exits"])
def test_nothing_prevents_what_no_technology_claims_to_prevent(name: str) -> None:
    """Availability must come out broken everywhere, or the model is too strong."""
    assert catalogue().primitives[name].prevented == []
