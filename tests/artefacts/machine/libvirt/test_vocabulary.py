"""The vocabulary: everything is read, of the host, or unread."""

from __future__ import annotations

from hostproof.artefacts.machine.libvirt.vocabulary import SECTIONS, unread_of
from hostproof.artefacts.machine.libvirt.xml import parse


def unread(text: str) -> list[str]:
    return [f"{finding.option} @{finding.place.line}" for finding in unread_of(parse(text.encode(), "n"))]


def test_known_elements_are_passed_over() -> None:
    assert (
        unread(
            "<domain type='kvm'><cputune><shares>5</shares></cputune><devices><disk><iotune/></disk></devices></domain>"
        )
        == []
    )


def test_an_unknown_element_or_attribute_is_named_with_its_line() -> None:
    text = "<domain type='kvm' hue='red'>\n<novelty><inner/></novelty>\n<devices>\n<disk colour='blue'/></devices></domain>"

    assert unread(text) == ["@hue @1", "novelty @2", "devices/disk/@colour @4"]


def test_an_element_of_another_driver_is_named() -> None:
    text = "<domain type='bhyve' xmlns:b='http://libvirt.org/schemas/domain/bhyve/1.0'><b:commandline/></domain>"

    assert unread(text) == ["commandline @1"]


def test_a_row_stands_in_one_section_only() -> None:
    rows: dict[str, str] = {}
    for reason, text in SECTIONS.items():
        for row in filter(None, map(str.strip, text.splitlines())):
            path = row.split()[0]
            assert rows.setdefault(path, reason) == reason, path
