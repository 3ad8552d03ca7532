"""The format of Proxmox configurations."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hostproof.artefacts.machine.proxmox.conf import parse, properties


def test_sections_descriptions_and_odd_lines_are_kept_apart() -> None:
    found = parse(b"#text\nname: a\r\n\nodd\nname: b\n[PENDING]\ncores: 2\n[snap-1]\nname: c\n", "f")

    assert {key: (one.value, one.place.line) for key, one in found.settings.items()} == {"name": ("b", 5)}
    assert [(one.key, one.value) for one in found.pending] == [("cores", "2")]
    assert [name for name, _ in found.sections] == ["PENDING", "snap-1"]
    assert [text for text, _ in found.odd] == ["odd"]


def test_numbered_settings_come_in_their_order() -> None:
    found = parse(b"net10: a\nnet2: b\nnet: c\nnet02: d\n", "f")

    assert [(number, one.value) for number, one in found.numbered("net")] == [(2, "b"), (10, "a")]


def test_property_strings_have_one_value_without_a_name() -> None:
    assert properties("local:disk,size=4G,ssd=1", "file") == {"file": "local:disk", "size": "4G", "ssd": "1"}
    assert properties("file=x", "file") == {"file": "x"}
    assert properties("", "file") == {}


@given(st.text(max_size=60))
def test_any_text_is_a_property_string(text: str) -> None:
    assert all(isinstance(value, str) for value in properties(text, "x").values())
