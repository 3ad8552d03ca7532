"""The published schema is the one of the types, and it accepts what hostproof writes and nothing else."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import ledgers
import pytest
from hypothesis import given, settings
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from hostproof.ledger.codec import encode
from hostproof.ledger.model import Ledger, Row
from hostproof.report.schema import schema, to_text

VALIDATOR = Draft202012Validator(json.loads(to_text()))


def test_the_committed_schema_is_the_generated_one() -> None:
    """`python -m hostproof.report.schema > src/hostproof/report/ledger.schema.json` writes it."""
    committed = resources.files("hostproof.report").joinpath("ledger.schema.json").read_text(encoding="utf-8")

    assert committed == to_text()


def test_the_schema_is_one_of_its_dialect() -> None:
    Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize(
    "ledger", [ledgers.sample(), ledgers.hostile(), ledgers.large(50)], ids=lambda one: one.name[:5]
)
def test_it_accepts_what_is_written(ledger: Ledger) -> None:
    VALIDATOR.validate(json.loads(encode(ledger)))


@settings(max_examples=30, deadline=None)
@given(ledgers.arbitrary)
def test_it_accepts_any_ledger(ledger: Ledger) -> None:
    VALIDATOR.validate(json.loads(encode(ledger)))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", "hostproof-ledger/2"),
        ("rows", {}),
        ("control", {"controlled": 1}),
        ("surprise", 1),
        ("objectives", [1]),
    ],
)
def test_it_refuses_what_the_decoder_refuses(field: str, value: Any) -> None:
    data = json.loads(encode(ledgers.sample()))
    data[field] = value

    with pytest.raises(ValidationError):
        VALIDATOR.validate(data)


def test_the_reference_names_every_field_of_ledger_and_row() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "ledger-format.md").read_text(encoding="utf-8")
    fields = [*Ledger.__struct_fields__, *Row.__struct_fields__]

    assert [name for name in fields if f"`{name.removesuffix('_name')}`" not in page] == []
