"""TOML with lines agrees with the standard library; templates are read with their placeholders."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from hostproof.artefacts.machine.located import toml_places
from hostproof.errors import InputError

CORPUS = Path(__file__).resolve().parents[3] / "corpus"
TEXT = b"""top = 1
# [not.a.table]
[a.b]
x = '''
[fake]
y = 2
'''
list = [
  "z = 1", # ] in a comment
  "]",
]
"quoted key" = { inline = true }
d.e = 4

[[many]]
n = 1
[[many]]
n = 2
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("top",), 1),
        (("a", "b"), 3),
        (("a", "b", "x"), 4),
        (("a", "b", "list"), 8),
        (("a", "b", "list", 1), 8),
        (("a", "b", "quoted key", "inline"), 12),
        (("a", "b", "d", "e"), 13),
        (("many", 0, "n"), 16),
        (("many", 1, "n"), 18),
    ],
)
def test_a_key_knows_its_line(path: tuple[str | int, ...], line: int) -> None:
    node = toml_places.read(TEXT, "a.toml").get(*path)

    assert node is not None
    assert line == node.place.line


def test_only_the_root_has_no_line_in_every_sample() -> None:
    for path in [*(CORPUS / "kata").iterdir(), *(CORPUS / "dstack").iterdir()]:
        root = toml_places.read(path.read_bytes(), path.name)

        assert [root] == [node for node in root.walk() if node.place.line is None]


def test_values_are_those_of_the_standard_library() -> None:
    expected = tomllib.loads(TEXT.decode())
    root = toml_places.read(TEXT, "a.toml")
    text = root.get("a", "b", "x")

    assert text is not None
    assert expected["a"]["b"]["x"] == text.text()
    assert list(expected) == list(root.mapping())


def test_placeholders_without_quotes_are_texts() -> None:
    root = toml_places.read(b"[agent.@TYPE@]\na = @X@ # why\nb = ${Y}\nc = '@Z@'\nd = {{ q }}\n", "a.toml")
    values = root.get("agent", "@TYPE@")

    assert values is not None
    assert [node.text() for node in values.mapping().values()] == ["@X@", "${Y}", "@Z@", "{{ q }}"]
    assert [node.place.line for node in values.mapping().values()] == [2, 3, 4, 5]


@pytest.mark.parametrize(
    "data",
    [
        b"a = ",
        b"a = 1\na = 2\n",
        b"[a\n",
        b"a = [" + b"[" * 5000,
        b"a" + b".a" * 400 + b" = 1\n",
        b"a" + b".a" * 60 + b" = 1\n",
        b"\xff\xfe",
        b"#" * (toml_places.MAX_BYTES + 1),
    ],
)
def test_malformed_and_oversized_documents_are_refused(data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        toml_places.read(data, "a.toml")

    assert caught.value.place is not None
