"""A catalogue with a loose end does not load, and says which one."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from hostproof.errors import CatalogueError
from hostproof.knowledge import toml
from hostproof.knowledge.load import catalogue, read_files, use_from_toml

SOURCED = {"sources": ["DOC"], "checked": "primary"}
RULE = {"when": "feature.memory", "reason": "stopped", **SOURCED}


def small() -> dict[str, dict[str, Any]]:
    """The smallest catalogue in which every kind of reference occurs once."""
    return {
        "all.toml": {
            "rule_set": "1",
            "source": [{"key": "DOC", "title": "a document", "address": []}],
            "feature": [{"id": "memory", "name": "memory", "meaning": "is it", **SOURCED}],
            "technology": [
                {
                    "id": "t", "name": "technology", "security_manager": "manager", "architectures": ["x86_64"],
                    "trusted": [], "presentable_buses": ["pci"], "features": {"memory": {"value": "yes", **SOURCED}},
                    **SOURCED,
                }
            ],
            "primitive": [
                {"id": "read", "name": "read memory", "prevented": [RULE], **SOURCED}
            ],
            "channel": [
                {
                    "id": "C01", "name": "channel", "kinds": ["R"], "direction": "both", "meaning": "all",
                    "answers": "host",
                    "threats": ["T3"], "objectives": ["O1"], "primitives": ["read"], **SOURCED,
                }
            ],
            "instance": [{"channel": "C01", "id": "one", "name": "the one", "consumed": 'config.X == "y"', **SOURCED}],
            "mitigation": [
                {
                    "id": "m", "name": "mitigation", "stops": "it all", "closes": ["C01/*/*"], "status": "refused",
                    "tree": "mainline", "holds": 'cmdline.x == "off"', **SOURCED,
                }
            ],
            "attack": [
                {"id": "a", "number": 1, "name": "attack", "affected": 'technology == "t"', "primitives": ["read"],
                 "breaks": ["C"], "channels": ["C01"], **SOURCED}
            ],
        }
    }  # fmt: skip


def test_the_small_catalogue_loads() -> None:
    loaded = read_files(small())

    assert list(loaded.channels) == ["C01"]
    assert [instance.id for instance in loaded.instances_of("C01")] == ["one"]


@pytest.mark.parametrize(
    ("group", "change", "message"),
    [
        ("channel", {"sources": ["NOWHERE"]}, "'NOWHERE' is not in the catalogue"),
        ("channel", {"primitives": ["fly"]}, "'fly' is not in the catalogue"),
        ("channel", {"colour": "red"}, "colour"),
        ("channel", {"id": "X1"}, "id"),
        ("channel", {"sources": []}, "sources"),
        ("instance", {"channel": "C02"}, "'C02' is not in the catalogue"),
        ("instance", {"consumed": "config.X =="}, "not a predicate"),
        ("instance", {"consumed": "feature.speed"}, "'feature.speed', which no fact answers"),
        ("instance", {"consumed": "use.colour"}, "'use.colour', which no fact answers"),
        ("instance", {"consumed": 'technology == "t"'}, "'technology', which no fact answers"),
        ("instance", {"consumed": "weather"}, "'weather', which no fact answers"),
        ("mitigation", {"closes": ["C09/*/*"]}, "matches no row"),
        ("mitigation", {"closes": ["C01"]}, "matches no row"),
        ("mitigation", {"checked": "maybe"}, "maybe"),
        ("attack", {"channels": ["C77"]}, "'C77' is not in the catalogue"),
        ("technology", {"features": {}}, "claims nothing about memory"),
        ("technology", {"features": {"memory": {"value": "perhaps", **SOURCED}}}, "'perhaps'"),
    ],
)
def test_a_loose_end_is_refused_with_its_name(group: str, change: dict[str, Any], message: str) -> None:
    tables = copy.deepcopy(small())
    tables["all.toml"][group][0].update(change)

    with pytest.raises(CatalogueError) as caught:
        read_files(tables)

    assert message in caught.value.diagnosis()


@pytest.mark.parametrize("group", ["source", "feature", "channel", "instance", "mitigation", "attack"])
def test_an_id_that_stands_twice_is_refused(group: str) -> None:
    tables = small()
    tables["more.toml"] = {group: copy.deepcopy(tables["all.toml"][group])}

    with pytest.raises(CatalogueError, match="stands twice"):
        read_files(tables)


def test_a_rule_inside_a_record_is_resolved_too() -> None:
    tables = small()
    tables["all.toml"]["primitive"][0]["prevented"][0]["when"] = "feature.nothing"

    with pytest.raises(CatalogueError, match=r"feature\.nothing"):
        read_files(tables)


def test_a_use_that_a_person_wrote_names_the_axis_that_is_missing() -> None:
    with pytest.raises(CatalogueError, match="missing required field"):
        use_from_toml(b'id = "mine"\nname = "my use"\n', "mine.toml")


@pytest.mark.parametrize("data", [b"\xff", b"id = ", b"[[use]]\n" * 2, b"= 1"])
def test_a_use_file_that_is_none_is_refused(data: bytes) -> None:
    with pytest.raises(CatalogueError):
        use_from_toml(data, "mine.toml")


def test_toml_errors_name_the_file() -> None:
    with pytest.raises(CatalogueError) as caught:
        toml.table(b"a = ", "broken.toml", kind=CatalogueError)

    assert caught.value.diagnosis().startswith("broken.toml: not TOML")


def test_the_shipped_catalogue_loads_and_knows_every_channel() -> None:
    loaded = catalogue()

    assert list(loaded.channels) == [f"C{number:02}" for number in range(1, 54)]
