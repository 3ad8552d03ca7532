"""The first half of the catalogue is complete: nothing is missing, dangling, unsourced or told by a technology's name."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib import resources
from typing import Any

import msgspec
import pytest

from hostproof.knowledge.predicate import parse
from hostproof.knowledge.records import CatalogueFile, Channel, Technology, Use
from hostproof.knowledge.terms import Checked, Kind, Threat

FOLDER = resources.files("hostproof.knowledge") / "catalogue"
HALF = (
    *("features", "technologies", "options", "objectives", "threats", "primitives"),
    *("channels-launch", "channels-platform", "channels-events", "channels-io", "channels-observation"),
)


def _table(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / name).read_text(encoding="utf-8"))


FILES = {name: msgspec.convert(_table(f"{name}.toml"), CatalogueFile) for name in HALF}
FEATURES = {feature.id: feature for feature in FILES["features"].feature}
TECHNOLOGIES: dict[str, Technology] = {item.id: item for item in FILES["technologies"].technology}
PRIMITIVES = {item.id: item for item in FILES["primitives"].primitive}
OPTIONS = {item.id: item for item in FILES["options"].option}
CHANNELS: dict[str, Channel] = {item.id: item for name in HALF for item in FILES[name].channel}
SOURCES = {
    source["key"]
    for path in FOLDER.iterdir()
    if path.name.endswith(".toml")
    for source in _table(path.name).get("source", [])
}


def test_there_are_53_channels_without_a_gap() -> None:
    assert sorted(CHANNELS) == [f"C{number:02}" for number in range(1, 54)]


@pytest.mark.parametrize("technology", TECHNOLOGIES)
def test_every_technology_claims_every_feature_and_no_other(technology: str) -> None:
    assert set(TECHNOLOGIES[technology].features) == set(FEATURES)


@pytest.mark.parametrize("technology", TECHNOLOGIES)
def test_an_unchecked_claim_says_unknown_so_that_it_cannot_decide(technology: str) -> None:
    claims = TECHNOLOGIES[technology].features

    assert {name for name, claim in claims.items() if claim.checked is Checked.UNCHECKED} == {
        name for name, claim in claims.items() if claim.value == "unknown"
    }


def test_every_optional_claim_says_what_switches_it() -> None:
    silent = [
        (technology.id, name)
        for technology in TECHNOLOGIES.values()
        for name, claim in technology.features.items()
        if claim.value == "optional" and not claim.note and not FEATURES[name].switch
    ]

    assert silent == []


def records(node: object) -> Iterator[dict[str, Any]]:
    """Every table that cites sources, rules and claims included."""
    if isinstance(node, dict):
        if "sources" in node:
            yield node
        for value in node.values():
            yield from records(value)
    elif isinstance(node, list):
        for item in node:
            yield from records(item)


@pytest.mark.parametrize("name", [*HALF, "uses"])
def test_every_cited_source_exists(name: str) -> None:
    cited = {citation.split(":")[0] for record in records(_table(f"{name}.toml")) for citation in record["sources"]}

    assert cited - SOURCES == set()


@pytest.mark.parametrize("name", HALF)
def test_every_predicate_asks_for_a_fact_that_exists(name: str) -> None:
    asked = {
        fact for record in records(_table(f"{name}.toml")) if "when" in record for fact in parse(record["when"]).names
    }
    of_the_kernel = {
        fact
        for fact in asked
        if name in ("features", "technologies") and fact.startswith(("kernel.", "config.", "mechanism."))
    }
    known = {
        "architecture",
        *of_the_kernel,  # what a guest must have to be such a guest, and what it could not run with
        *(f"feature.{feature}" for feature in FEATURES),
        *(f"option.{option}" for option in OPTIONS),
        *(f"use.{axis}" for axis in Use.__struct_fields__),
    }

    assert asked - known == set()


@pytest.mark.parametrize("name", HALF)
def test_no_rule_knows_a_technology_by_name(name: str) -> None:
    rules = [record["when"] for record in records(_table(f"{name}.toml")) if "when" in record]

    assert [rule for rule in rules if "technology" in rule] == []


def test_every_bus_that_a_host_may_present_has_one_home_channel() -> None:
    homes = [bus for channel in CHANNELS.values() for bus in channel.driver_buses if channel.id not in ("C32", "C33")]
    presentable = {bus for technology in TECHNOLOGIES.values() for bus in technology.presentable_buses}

    assert len(homes) == len(set(homes))
    assert presentable <= set(homes)


def test_channels_name_technologies_and_primitives_that_exist() -> None:
    assert {name for channel in CHANNELS.values() for name in channel.per_technology} <= set(TECHNOLOGIES)
    assert {name for channel in CHANNELS.values() for name in channel.primitives} <= set(PRIMITIVES)
    assert {name for name, channel in CHANNELS.items() if not channel.primitives} == set()


def test_what_is_fixed_at_launch_stands_under_the_first_threat_and_what_is_observed_under_the_fourth() -> None:
    launch = {name for name, channel in CHANNELS.items() if channel.kinds == [Kind.LAUNCH]}
    observed = {name for name, channel in CHANNELS.items() if channel.kinds == [Kind.OBSERVATION]}

    assert {tuple(CHANNELS[name].threats) for name in launch} == {(Threat.T1,)}
    assert {tuple(CHANNELS[name].threats) for name in observed} == {(Threat.T4,)}


def test_data_in_transit_stands_under_the_second_threat() -> None:
    transit = {name for name, channel in CHANNELS.items() if "tamper-transit" in channel.primitives}

    assert transit == {name for name, channel in CHANNELS.items() if Threat.T2 in channel.threats} - {"C38"}


def test_every_option_explains_its_default() -> None:
    assert [name for name, option in OPTIONS.items() if option.default not in option.positions] == []


def test_every_source_of_this_half_has_an_address_or_says_why_not() -> None:
    sources = _table("sources.toml")["source"]

    assert [source["key"] for source in sources if not source["address"] and not source.get("note")] == []
    assert [
        key for key in (source["key"] for source in sources) if not re.fullmatch(r"[A-Z0-9][A-Za-z0-9-]*", key)
    ] == []
