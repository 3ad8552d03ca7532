"""Ledgers as bytes: canonical, read back whole, and refused with a place where they are wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))

import ledgers

from hostproof.errors import HostproofError, InputError
from hostproof.ledger import codec
from hostproof.ledger.model import Ledger

SAMPLE = codec.encode(ledgers.sample())
CORPUS = Path(__file__).parents[1] / "corpus" / "ledgers"


def test_the_sample_in_the_corpus_is_the_one_that_the_tests_build() -> None:
    """`python tests/report/ledgers.py` writes it; a diff of this file shows a change of the format."""
    assert (CORPUS / "sev-es-web-1.json").read_bytes() == SAMPLE


@settings(max_examples=60, deadline=None)
@given(ledgers.arbitrary)
def test_any_ledger_comes_back_as_it_was_written(ledger: Ledger) -> None:
    data = codec.encode(ledger)

    assert codec.decode(data, "x.json") == ledger
    assert codec.encode(codec.decode(data, "x.json")) == data


def test_the_form_is_readable_sorted_and_ends_with_a_newline() -> None:
    lines = SAMPLE.decode().splitlines()

    assert lines[0] == "{"
    assert lines[1].startswith('  "attacks": [')
    fields = [line.split('"')[1] for line in lines if line.startswith('  "')]
    assert fields == sorted(fields)
    assert SAMPLE.endswith(b"}\n")


def test_a_change_of_one_row_changes_few_lines() -> None:
    ledger = ledgers.sample()
    changed = replace(ledger, rows=[replace(ledger.rows[0], reason="another"), *ledger.rows[1:]])
    old, new = SAMPLE.splitlines(), codec.encode(changed).splitlines()

    assert len([1 for before, after in zip(old, new, strict=True) if before != after]) == 1


MALFORMED = {
    "empty": (b"  \n", "the file is empty"),
    "not JSON": (b'{\n "format": hostproof}', "x.json:2:12+0xd: not a ledger: JSON is malformed"),
    "ends in the middle": (SAMPLE[: len(SAMPLE) // 2], "the file ends in the middle"),
    "not an object": (b"[1]", "Expected `object`"),
    "no format": (b"{}", "missing required field `format`"),
    "another format": (b'{"format": "hostproof-ledger/2", "new": 1}', "a ledger of format 'hostproof-ledger/2'"),
    "a diff": (b'{"format": "hostproof-ledger-diff/1"}', "a ledger of format 'hostproof-ledger-diff/1'"),
    "an escape in the format": (b'{"format": "\\u001b[2J"}', "a ledger of format '\\x1b[2J'"),
    "not UTF-8": (SAMPLE.replace(b"web-1", b"web-\xff", 1), "not UTF-8"),
    "byte order mark": (b"\xef\xbb\xbf" + SAMPLE, "x.json:1:1+0x0"),
    "deep": (b'{"a":' * 200_000, "nested too deeply"),
    "unknown field": (SAMPLE.replace(b'"rule_set"', b'"rules_set"'), "unknown field `rules_set`"),
    "wrong type": (SAMPLE.replace(b'"text_bytes": 300000', b'"text_bytes": "big"'), "$.rows[2].text_bytes"),
    "a terminal escape as field": (b'{"format": "hostproof-ledger/1", "\\u001b[2J": 1}', "unknown field `\\x1b[2J`"),
    "unknown status": (SAMPLE.replace(b'"status": "open"', b'"status": "ajar"', 1), "$.rows[2].status"),
    "huge number": (SAMPLE.replace(b"300000", b"3" * 5000), "out of range"),
    "two rows with one id": (SAMPLE.replace(b'"C13/nouveau/T4"', b'"C13/nouveau/T3"', 1), "$.rows[4].id"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_a_malformed_ledger_is_refused_with_its_place(case: str) -> None:
    data, expected = MALFORMED[case]

    with pytest.raises(InputError) as caught:
        codec.decode(data, "x.json")

    assert expected in str(caught.value)
    assert str(caught.value).startswith("x.json")


def test_a_ledger_beyond_the_limit_is_not_even_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "MAX_BYTES", 1 << 20)

    with pytest.raises(InputError, match="larger than 1 MiB"):
        codec.decode(b" " * ((1 << 20) + 1), "x.json")


def test_text_that_is_not_unicode_is_refused_when_writing() -> None:
    with pytest.raises(InputError, match="not Unicode"):
        codec.encode(replace(ledgers.sample(), name="lone \ud800"))


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(SAMPLE) - 1), st.binary(max_size=6), st.integers(0, 8))
def test_a_mutated_ledger_gives_a_ledger_or_an_error_of_ours(position: int, insert: bytes, drop: int) -> None:
    data = SAMPLE[:position] + insert + SAMPLE[position + drop :]

    try:
        ledger = codec.decode(data, "x.json")
    except HostproofError as error:
        assert error.diagnosis().startswith("x.json")
    else:
        assert isinstance(ledger, Ledger)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        codec.decode(data, "x.json")
