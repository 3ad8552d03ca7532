"""Nodes: what readers ask of the values of a definition, and where a wrong one is found."""

from __future__ import annotations

import pytest

from hostproof.artefacts.machine.located import json_places
from hostproof.artefacts.machine.located.boot import boot
from hostproof.errors import InputError

ROOT = json_places.read(b'{"disks": [1, 2, 3], "one": {}, "none": null, "kernel": "/vmlinuz", "size": 3}', "vm.json")


def test_a_list_gives_its_elements_and_a_missing_one_none() -> None:
    assert [node.value for node in ROOT.elements("disks", 3)] == [1, 2, 3]
    assert ROOT.elements("absent", 3) == ROOT.elements("none", 3) == []


@pytest.mark.parametrize(
    ("key", "at_most", "place"),
    [("disks", 2, "vm.json:1:11 (disks)"), ("one", 2, "vm.json:1:29 (one)"), ("kernel", 2, "vm.json:1:57 (kernel)")],
)
def test_a_longer_list_or_another_value_is_refused_with_its_place(key: str, at_most: int, place: str) -> None:
    with pytest.raises(InputError) as caught:
        ROOT.elements(key, at_most)

    assert str(caught.value.place) == place


def test_what_is_booted_comes_with_its_place_and_what_is_missing_with_none() -> None:
    found = boot(kernel=ROOT.get("kernel"), initrd=ROOT.get("initrd"), command_line=ROOT.get("size"))

    assert (found.kernel, str(found.kernel_place)) == ("/vmlinuz", "vm.json:1:57 (kernel)")
    assert (found.command_line, found.initrd, found.initrd_place) == ("3", None, None)


def test_a_boot_field_that_is_no_text_is_refused_with_its_place() -> None:
    with pytest.raises(InputError) as caught:
        boot(kernel=ROOT.get("disks"))

    assert str(caught.value.place) == "vm.json:1:11 (disks)"
