"""Located XML: lines, paths and the root's name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.artefacts.machine.libvirt.xml import parse, root_tag
from hostproof.errors import InputError


def test_every_element_knows_its_line_column_and_path() -> None:
    root = parse(b"<a>\n  <b/>\n  <b><c x='1'/></b>\n</a>", "f.xml")

    assert [(one.path, one.line, one.column) for one in root.walk()] == [
        ("a", 1, 1),
        ("a/b", 2, 3),
        ("a/b[2]", 3, 3),
        ("a/b[2]/c", 3, 6),
    ]
    assert str(root.children[1].children[0].place_of("x")) == "f.xml:3:6 (a/b[2]/c/@x)"


def test_going_down_gives_values_or_nothing() -> None:
    root = parse(b"<a><b k=' v '><c> text </c></b></a>", "f")

    assert root.value("b", "c") == "text"
    assert root.attribute("b", "k") == "v"
    assert root.value("x", "y") == ""
    assert root.first("b", "x") is None


def test_an_error_names_the_line_where_the_document_breaks() -> None:
    with pytest.raises(InputError) as caught:
        parse(b"<a>\n<b>\n</a>", "f")

    assert caught.value.place is not None
    assert caught.value.place.line == 3


@pytest.mark.parametrize(
    ("data", "tag"),
    [
        (b"<domain type='kvm'>", "domain"),
        (b"<?xml version='1.0'?>\n<!-- <not> -->\n<domain/>", "domain"),
        (b"\xef\xbb\xbf<domain>", "domain"),
        ("<domain>".encode("utf-16"), "domain"),
        (b"<x:domain>", "domain"),
        (b"", ""),
        (b"text <domain>", ""),
        (b"<!-- never closed", ""),
        (b"<!DOCTYPE a><domain/>", "!DOCTYPE"),
    ],
)
def test_the_root_is_found_without_parsing(data: bytes, tag: str) -> None:
    assert root_tag(data) == tag


@given(st.binary(max_size=300))
def test_looking_for_the_root_never_fails(data: bytes) -> None:
    assert isinstance(root_tag(data), str)
