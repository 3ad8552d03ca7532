"""JSON with places agrees with the standard library, and bounds what it cannot trust."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostproof.artefacts.machine.located import json_places
from hostproof.artefacts.machine.located.node import Node
from hostproof.errors import HostproofError, InputError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


def plain(node: Node) -> Any:
    if isinstance(node.value, dict):
        return {key: plain(value) for key, value in node.value.items()}
    if isinstance(node.value, list):
        return [plain(value) for value in node.value]
    return node.value


@given(VALUES, st.sampled_from([None, 0, 3]))
@settings(max_examples=150, deadline=None)
def test_it_agrees_with_the_standard_library(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)

    assert json.loads(text) == plain(json_places.read(text.encode(), "a.json"))


def test_every_value_knows_its_line_column_and_path() -> None:
    root = json_places.read(b'{\n  "a": [1,\n    {"b": true}]\n}', "a.json")
    node = root.get("a", 1, "b")

    assert node is not None
    assert str(node.place) == "a.json:3:11 (a[1].b)"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "a.json:1:1"),
        ("{", "a.json:1:2"),
        ("[1 2]", "a.json:1:4"),
        ('{"a" 1}', "a.json:1:6"),
        ('{"a": 1, "a": 2}', "a.json:1:10"),
        ("[1]]", "a.json:1:4"),
        ('["\\ud800"]', "a.json:1:2"),
        ('["open', "a.json:1:2"),
        ("[nan]", "a.json:1:2"),
        ("[" + "9" * 100 + "]", "a.json:1:2"),
        ("[01]", "a.json:1:3"),
    ],
)
def test_malformed_texts_are_refused_with_their_place(text: str, where: str) -> None:
    with pytest.raises(InputError) as caught:
        json_places.read(text.encode(), "a.json")

    assert where == str(caught.value.place)


@pytest.mark.parametrize("data", [b"[" * 1000, b'{"a":' * 1000, b"[" + b"0," * 300_000 + b"0]", b"\xff"])
def test_depth_count_and_encoding_are_bounded(data: bytes) -> None:
    with pytest.raises(InputError):
        json_places.read(data, "a.json")


@given(st.text(alphabet='{}[]",:0eu\\ tn1-.', max_size=60))
@settings(max_examples=300, deadline=None)
def test_it_takes_no_more_than_the_standard_library(text: str) -> None:
    try:
        node = json_places.read(text.encode(), "a.json")
    except HostproofError:
        return

    assert json.loads(text) == plain(node)
