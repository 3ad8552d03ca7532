"""Predicates read like sentences and answer in Kleene's logic."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.errors import CatalogueError, HostproofError
from hostproof.knowledge.predicate import Fact, Value, parse, version_key


class Known:
    """Facts from a table; what is not in it is unknown."""

    def __init__(self, values: Mapping[str, Value]) -> None:
        self.values = values

    def fact(self, name: str) -> Fact:
        return Fact(name, self.values.get(name), None, None if name in self.values else f"--fact {name}=")


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("true", {}, True),
        ("not true", {}, False),
        ("feature.a", {"feature.a": True}, True),
        ("feature.a", {}, None),
        ('config.VIRTIO_MMIO == "n"', {"config.VIRTIO_MMIO": "n"}, True),
        ('config.VIRTIO_MMIO != "n"', {"config.VIRTIO_MMIO": "m"}, True),
        ('"noearly" in cmdline.pci', {"cmdline.pci": "nommconf,noearly"}, True),
        ('"noearly" in cmdline.pci', {"cmdline.pci": "unset"}, False),
        ('"virtio-rng-pci" in definition.devices', {"definition.devices": ("virtio-rng-pci",)}, True),
        ('use.place in ["server", "client"]', {"use.place": "client"}, True),
        ('use.place not in ["server"]', {"use.place": "client"}, True),
        ('kernel.version >= "6.12"', {"kernel.version": "6.6.54"}, False),
        ('kernel.version >= "6.6.54"', {"kernel.version": "6.6.54"}, True),
        ('platform.tdx_module < "1.5.24"', {"platform.tdx_module": "1.5.6"}, True),
    ],
)
def test_a_predicate_answers_as_it_reads(text: str, values: Mapping[str, Value], expected: bool | None) -> None:
    truth = parse(text)(Known(values))

    assert truth.value is expected


@pytest.mark.parametrize(("left", "right"), list(itertools.product((True, False, None), repeat=2)))
def test_and_or_follow_kleene(left: bool | None, right: bool | None) -> None:
    facts = Known({name: value for name, value in (("p.a", left), ("p.b", right)) if value is not None})

    both, either = parse("p.a and p.b")(facts).value, parse("p.a or p.b")(facts).value

    assert both is (False if False in (left, right) else None if None in (left, right) else True)
    assert either is (True if True in (left, right) else None if None in (left, right) else False)


def test_an_unknown_answer_names_what_is_missing_and_only_that() -> None:
    truth = parse("feature.a and feature.b and feature.c")(Known({"feature.b": True}))

    assert truth.value is None
    assert [fact.name for fact in truth.missing] == ["feature.a", "feature.c"]
    assert [fact.name for fact in truth.because] == ["feature.b"]


def test_a_decided_answer_does_not_ask_for_more() -> None:
    truth = parse("feature.a or feature.b")(Known({"feature.b": True}))

    assert (truth.value, truth.missing) == (True, ())
    assert [fact.name for fact in truth.because] == ["feature.b"]


def test_an_unknown_fact_says_which_option_supplies_it() -> None:
    truth = parse("platform.smt")(Known({}))

    assert truth.missing[0].supply == "--fact platform.smt="


@pytest.mark.parametrize(
    "text",
    [
        "",
        "(",
        "a b",
        "f()",
        "a.b[0]",
        "1 + 1",
        "lambda: 1",
        "a if b else c",
        "a < b < c",
        "{1}",
        "[a]",
        "x := 1",
        "a.b == 1.5",
    ],
)
def test_what_is_not_in_the_grammar_is_refused(text: str) -> None:
    with pytest.raises(CatalogueError, match="not a predicate"):
        parse(text)


def test_deep_nesting_is_refused_and_does_not_end_the_process() -> None:
    with pytest.raises(CatalogueError):
        parse("(" * 900 + "a" + ")" * 900 + " or " + "not " * 100 + "b.c d")


def test_a_predicate_longer_than_the_limit_is_refused() -> None:
    with pytest.raises(CatalogueError, match="longer than"):
        parse("p.a or " * 400 + "p.b")


def test_comparing_values_of_different_kinds_is_an_error_of_the_catalogue() -> None:
    with pytest.raises(CatalogueError, match="cannot compare"):
        parse('feature.a == "yes"')(Known({"feature.a": True}))


@given(st.text(max_size=60))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        predicate = parse(text)
        predicate(Known({}))
    except HostproofError:
        return

    assert predicate.text == text


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1.5.6", "1.5.24"),
        ("6.12-rc1", "6.12"),
        ("6.12", "6.12.1"),
        ("2.0.9", "2.0.14"),
        ("5.15", "6.1.0"),
        ("1.58", "1.60"),
    ],
)
def test_versions_order_as_people_order_them(older: str, newer: str) -> None:
    assert version_key(older) < version_key(newer)


def test_trailing_zeroes_do_not_make_a_version_newer() -> None:
    assert version_key("6.12") == version_key("6.12.0")


@given(st.lists(st.integers(0, 400), min_size=1, max_size=4), st.lists(st.integers(0, 400), min_size=1, max_size=4))
def test_numeric_versions_order_like_their_numbers(left: list[int], right: list[int]) -> None:
    size = max(len(left), len(right))
    padded = [numbers + [0] * (size - len(numbers)) for numbers in (left, right)]

    keys = [version_key(".".join(map(str, numbers))) for numbers in (left, right)]

    assert (keys[0] < keys[1]) == (padded[0] < padded[1])
    assert (keys[0] == keys[1]) == (padded[0] == padded[1])
