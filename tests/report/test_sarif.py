"""SARIF 2.1.0 as the specification's sections ask for it, and within GitHub's limits.

The official schema is in no package, so its requirements are checked here by hand, each beside its section.
"""

from __future__ import annotations

import json
import re
from typing import Any

import ledgers
import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from hostproof.knowledge.terms import Presence, Status, Threat
from hostproof.ledger.diff import diff
from hostproof.ledger.model import ChannelSummary, InputFile, Ledger, PlaceSeen
from hostproof.report import sarif
from hostproof.report.sarif import render

SAMPLE = ledgers.sample()


def run_of(ledger: Ledger, baseline: Ledger | None = None) -> dict[str, Any]:
    log = json.loads(render(ledger, diff(baseline, ledger) if baseline else None))
    check(log)
    run = log["runs"][0]
    assert isinstance(run, dict)
    return run


def results_of(ledger: Ledger, baseline: Ledger | None = None) -> dict[str, dict[str, Any]]:
    return {result["properties"]["row"]: result for result in run_of(ledger, baseline)["results"]}


def check(log: dict[str, Any]) -> None:
    """What SARIF 2.1.0 requires of the objects that we write."""
    assert set(log) == {"$schema", "version", "runs"}  # 3.13
    assert log["version"] == "2.1.0"  # 3.13.2
    (run,) = log["runs"]
    assert run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")  # 3.14.17
    driver = run["tool"]["driver"]  # 3.18.2
    assert driver["name"]  # 3.19.8
    rules = driver["rules"]
    assert len({rule["id"] for rule in rules}) <= len(rules) <= 25_000  # 3.19.23, GitHub
    for rule in rules:
        check_rule(rule)
    assert all(isinstance(one["executionSuccessful"], bool) for one in run["invocations"])  # 3.20.14
    for artifact in run["artifacts"]:
        check_location(artifact["location"])
    assert len(run["results"]) <= 25_000  # GitHub
    for result in run["results"]:
        check_result(result, rules)
    assert len({"baselineState" in result for result in run["results"]}) <= 1  # 3.27.24


def check_rule(rule: dict[str, Any]) -> None:
    assert rule["id"]  # 3.49.3
    for name in ("shortDescription", "fullDescription", "help"):  # 3.49.9, 3.49.10, 3.49.13; 3.12.3
        check_text(rule[name]["text"])
        assert "markdown" not in rule[name]
    tags = rule["properties"]["tags"]  # 3.8.2: an array of unique strings
    assert len(tags) == len(set(tags)) <= 20


def check_text(text: str) -> None:
    assert text
    assert "](" not in text  # 3.11.6: nothing that is an embedded link
    assert not re.search(r"(?<!\{)(?:\{\{)*\{\d+\}(?!\})", text)  # 3.11.5: nothing that is a placeholder
    assert text.isprintable()


def check_location(location: dict[str, str]) -> None:
    """3.4.3: a valid URI reference; 3.4.4: a base only for relative ones."""
    assert re.fullmatch(r"[A-Za-z0-9\-._~!/%:]+", location["uri"])
    assert location["uri"].startswith("file:///") or location["uriBaseId"] == "%SRCROOT%"
    assert not (location["uri"].startswith("file:") and "uriBaseId" in location)


def check_result(result: dict[str, Any], rules: list[dict[str, Any]]) -> None:
    assert rules[result["ruleIndex"]]["id"] == result["ruleId"]  # 3.27.6
    assert result["kind"] in ("pass", "open", "informational", "notApplicable", "review", "fail")  # 3.27.9
    assert result["level"] in ("none", "note", "warning", "error")  # 3.27.10
    assert (result["kind"] == "fail") == (result["level"] != "none")  # 3.27.10
    check_text(result["message"]["text"])  # 3.27.11
    (location,) = result["locations"]  # 3.27.12; GitHub needs one and allows 1,000
    check_location(location["physicalLocation"]["artifactLocation"])
    region = location["physicalLocation"].get("region", {"startLine": 1})
    assert region["startLine"] >= 1  # 3.30.5
    assert region.get("startColumn", 1) >= 1  # 3.30.6
    assert all(isinstance(value, str) for value in result["partialFingerprints"].values())  # 3.27.17
    for suppression in result["suppressions"]:
        assert suppression["kind"] in ("inSource", "external")  # 3.35.2
        assert suppression["status"] in ("accepted", "underReview", "rejected")  # 3.35.3


def test_open_unknown_and_accepted_rows_are_results_and_no_others() -> None:
    expected = {row.id for row in SAMPLE.rows if row.status in (Status.OPEN, Status.UNKNOWN, Status.ACCEPTED)}

    assert set(results_of(SAMPLE)) == expected


def test_every_channel_with_a_result_is_a_rule_with_help() -> None:
    rules = run_of(SAMPLE)["tool"]["driver"]["rules"]

    assert [rule["id"] for rule in rules] == ["C13", "C21"]
    assert rules[0]["shortDescription"]["text"] == "Input that the host controls: PCI drivers"
    assert "hostproof explain C13" in rules[0]["help"]["text"]


def test_an_unknown_row_is_for_review_and_names_the_missing_fact() -> None:
    result = results_of(SAMPLE)["C21/int80/T4"]

    assert (result["kind"], result["level"]) == ("review", "none")
    assert "Missing: config.IA32_EMULATION (supplied by --kernel)." in result["message"]["text"]


def test_a_waiver_is_a_suppression_with_its_reason() -> None:
    results = results_of(SAMPLE)

    assert [one["justification"] for one in results["C13/ivshmem/T3"]["suppressions"]] == [
        "needed for the test rig until 2027-01-01 (owner: rig team)"
    ]
    assert results["C13/e1000e/T3"]["suppressions"] == []


@pytest.mark.parametrize(
    ("presence", "threat", "kinds", "expected"),
    [
        (Presence.CONFIGURED, Threat.T3, ["S"], "error"),
        (Presence.PRESENTABLE, Threat.T3, ["S"], "warning"),
        (Presence.PRESENTABLE, Threat.T1, ["L"], "error"),
        (Presence.PRESENTABLE, Threat.T2, ["S"], "error"),
        (Presence.CONFIGURED, Threat.T4, ["O"], "note"),
        (Presence.CONFIGURED, Threat.T4, ["O", "A"], "error"),
    ],
)
def test_the_level_says_how_near_the_input_is(
    presence: Presence, threat: Threat, kinds: list[str], expected: str
) -> None:
    ledger = replace(
        SAMPLE,
        channels=[ChannelSummary("C13", "PCI drivers", kinds, True, True, "it exists")],
        rows=[ledgers.row(threat=threat, presence=presence)],
    )

    assert [result["level"] for result in results_of(ledger).values()] == [expected]


def test_the_location_is_the_line_of_the_definition() -> None:
    location = results_of(SAMPLE)["C13/e1000e/T3"]["locations"][0]

    assert location["physicalLocation"] == {
        "artifactLocation": {"uri": "vm.xml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 31, "startColumn": 5},
    }
    assert location["logicalLocations"][0]["fullyQualifiedName"] == "C13/e1000e"


def test_a_row_without_a_line_points_to_the_definition_as_a_whole() -> None:
    location = results_of(SAMPLE)["C13/nouveau/T3"]["locations"][0]

    assert location["physicalLocation"] == {"artifactLocation": {"uri": "vm.xml", "uriBaseId": "%SRCROOT%"}}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a b/vm.xml", {"uri": "a%20b/vm.xml", "uriBaseId": "%SRCROOT%"}),
        ("/etc/vm.xml", {"uri": "file:///etc/vm.xml"}),
        ("javascript:alert(1)", {"uri": "javascript%3Aalert%281%29", "uriBaseId": "%SRCROOT%"}),
        ("//evil.example/x", {"uri": "file:///evil.example/x"}),
        ("", {"uri": "-", "uriBaseId": "%SRCROOT%"}),
    ],
)
def test_names_become_addresses_that_lead_nowhere_else(name: str, expected: dict[str, str]) -> None:
    ledger = replace(SAMPLE, rows=[ledgers.row(place=PlaceSeen(name, line=0))])
    location = results_of(ledger)["C13/e1000e/T3"]["locations"][0]["physicalLocation"]

    assert location == {"artifactLocation": expected}


def test_the_fingerprint_is_that_of_the_row_id_alone() -> None:
    other = replace(SAMPLE, rows=[replace(row, reason="x", text_bytes=1) for row in SAMPLE.rows], hostproof="9")
    expected = {key: result["partialFingerprints"] for key, result in results_of(SAMPLE).items()}

    assert expected == {key: result["partialFingerprints"] for key, result in results_of(other).items()}
    assert len({fingerprint["primaryLocationLineHash"] for fingerprint in expected.values()}) == len(expected)


def test_a_baseline_gives_every_result_its_state() -> None:
    baseline = replace(
        SAMPLE,
        rows=[
            replace(SAMPLE.rows[2], presence=Presence.PRESENTABLE),
            replace(SAMPLE.rows[3], status=Status.REFUSED),
            replace(SAMPLE.rows[4], status=Status.UNKNOWN),
            *SAMPLE.rows[8:],
        ],
    )
    states = {key: result["baselineState"] for key, result in results_of(SAMPLE, baseline).items()}

    assert states == {
        "C13/e1000e/T3": "updated",
        "C13/nouveau/T3": "new",
        "C13/nouveau/T4": "updated",
        "C13/ivshmem/T3": "new",
        "C21/int80/T4": "unchanged",
        "C21/vector-29/T4": "unchanged",
    }


def test_objectives_warnings_and_what_was_left_out_are_notifications(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sarif, "MAX_RESULTS", 4)
    run = run_of(SAMPLE)
    texts = [note["message"]["text"] for note in run["invocations"][0]["toolExecutionNotifications"]]

    assert len(run["results"]) == 4
    assert [result["kind"] for result in run["results"]] == ["fail", "fail", "fail", "review"]
    assert texts == [
        "objective O1 is not met: the technology has no memory integrity",
        "objective O2 is undecided: a fact is missing",
        "the launch policy allows debugging (bit 0 is clear)",
        "2 results were left out: a run may hold 4",
    ]


def test_text_that_looks_like_a_link_or_a_placeholder_is_neither() -> None:
    ledger = replace(SAMPLE, rows=[ledgers.row(reason="[click](https://evil.example) {0}")])

    assert results_of(ledger)["C13/e1000e/T3"]["message"]["text"].endswith("[click] (https://evil.example) {{0}}")


def test_a_hostile_ledger_is_still_sarif() -> None:
    run_of(ledgers.hostile())


@settings(max_examples=60, deadline=None)
@given(ledgers.arbitrary, ledgers.arbitrary)
def test_any_ledger_is_sarif(ledger: Ledger, baseline: Ledger) -> None:
    run_of(ledger)
    run_of(ledger, baseline)


def test_an_input_without_a_digest_has_no_hash() -> None:
    ledger = replace(SAMPLE, inputs=[InputFile("kernel", "dir", "directory", ""), SAMPLE.inputs[0]])

    assert ["hashes" in artifact for artifact in run_of(ledger)["artifacts"]] == [False, True]
