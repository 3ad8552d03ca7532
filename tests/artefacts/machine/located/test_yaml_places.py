"""YAML with places, aliases bounded."""

from __future__ import annotations

import pytest

from hostproof.artefacts.machine.located import yaml_places
from hostproof.errors import InputError


def test_values_know_line_column_and_path() -> None:
    first, second = yaml_places.documents(b"a: [1, {b: x}]\n---\nc: on\n", "a.yaml")
    node, switch = first.get("a", 1, "b"), second.get("c")

    assert node is not None
    assert switch is not None
    assert (str(node.place), node.text()) == ("a.yaml:1:12 (a[1].b)", "x")
    assert (switch.place.line, switch.value) == (3, True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1),
        ("0x1f", 31),
        ("0o17", "0o17"),
        ("017", 15),
        ("true", True),
        ("off", False),
        ("~", None),
        ("1.5", "1.5"),
    ],
)
def test_scalars_are_those_of_yaml(text: str, expected: object) -> None:
    (root,) = yaml_places.documents(f"a: {text}\n".encode(), "a.yaml")

    assert expected == root.mapping()["a"].value


def test_aliases_and_merges_are_followed() -> None:
    (root,) = yaml_places.documents(b"a: &x {k: 1, l: 2}\nb: {<<: *x, l: 3}\n", "a.yaml")
    merged = root.get("b")

    assert merged is not None
    assert {key: node.value for key, node in merged.mapping().items()} == {"k": 1, "l": 3}


def test_template_values_stay_texts_and_directives_are_left_out() -> None:
    text = b"{{- if .x }}\na: {{ .Values.a }}\nb: ${B}\n{{- end }}\n"
    (root,) = yaml_places.documents(text, "a.yaml")

    assert [(n.text(), n.place.line) for n in root.mapping().values()] == [("{{ .Values.a }}", 2), ("${B}", 3)]


LAUGHS = "\n".join(
    [
        "a: &a [x, x, x, x, x, x, x, x, x]",
        *(f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)),
    ]
)


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        "a: &a [*a]",
        "a: " + "[" * 5000,
        "a:\n" + "- " * 5000,
        "a: 1\na: 2",
        "? [x]\n: 1",
        "a: [",
        "a: *nobody",
        "a: \x01",
        "#" * (yaml_places.MAX_BYTES + 1),
        "---\na: 1\n" * 100,
    ],
)
def test_malformed_and_oversized_streams_are_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        yaml_places.documents(text.encode(), "a.yaml")

    assert caught.value.place is not None
