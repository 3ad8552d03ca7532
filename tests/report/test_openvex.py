"""OpenVEX documents hold what the specification asks of them, and say the same twice."""

from __future__ import annotations

import datetime
import json
import re
from typing import Any

import jsonschema
import msgspec
import pytest

from hostproof.ledger.triage_model import Decision, Justification, PassedOver, Triage, VexStatus
from hostproof.report.openvex import CONTEXT, package_url, render
from hostproof.report.triage_terminal import to_text

DAY = datetime.date(2026, 11, 1)

# The rules of openvex_json_schema.json (OpenVEX 0.2.0), in our own words: required fields, no others, the labels, a
# justification or impact statement for what is not affected, an action for what is.
COMPONENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "@id": {"type": "string", "pattern": "^[a-z][a-z0-9+.-]*:[!-~]+$"},
        "identifiers": {"type": "object", "required": ["purl"], "additionalProperties": False,
                        "properties": {"purl": {"type": "string"}}},
        "hashes": {"type": "object", "additionalProperties": False, "properties": {"sha-256": {"type": "string"}}},
    },
    "required": ["@id"], "additionalProperties": False,
}  # fmt: skip
PRODUCT = {
    **COMPONENT,
    "properties": {**COMPONENT["properties"], "subcomponents": {"type": "array", "items": COMPONENT}},
}
TEXT = {"type": "string", "minLength": 1}
RULES: dict[str, Any] = {
    "type": "object",
    "required": ["@context", "@id", "author", "timestamp", "version", "statements"],
    "additionalProperties": False,
    "properties": {
        "@context": {"const": CONTEXT},
        "@id": {"type": "string", "pattern": "^https://"},
        "author": TEXT,
        "timestamp": {"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"},
        "version": {"type": "integer", "minimum": 1},
        "tooling": TEXT,
        "statements": {
            "type": "array", "minItems": 1, "uniqueItems": True,
            "items": {
                "type": "object",
                "required": ["vulnerability", "products", "status"],
                "additionalProperties": False,
                "properties": {
                    "vulnerability": {
                        "type": "object", "required": ["name"], "additionalProperties": False,
                        "properties": {"@id": TEXT, "name": {"pattern": "^CVE-"}, "description": TEXT},
                    },
                    "products": {"type": "array", "minItems": 1, "uniqueItems": True, "items": PRODUCT},
                    "status": {"enum": ["not_affected", "affected", "fixed", "under_investigation"]},
                    "status_notes": TEXT,
                    "justification": {
                        "enum": [
                            "component_not_present", "vulnerable_code_not_present",
                            "vulnerable_code_not_in_execute_path",
                            "vulnerable_code_cannot_be_controlled_by_adversary", "inline_mitigations_already_exist",
                        ]
                    },
                    "impact_statement": TEXT,
                    "action_statement": TEXT,
                },
                "allOf": [
                    {"if": {"properties": {"status": {"const": "not_affected"}}},
                     "then": {"required": ["justification", "impact_statement"]},
                     "else": {"not": {"required": ["justification"]}}},
                    {"if": {"properties": {"status": {"const": "affected"}}}, "then": {"required": ["action_statement"]}},
                ],
            },
        },
    },
}  # fmt: skip


def decision(number: int, status: VexStatus, **more: Any) -> Decision:
    base: dict[str, Any] = {
        "cve": f"CVE-2026-{number:04}",
        "title": "a flaw",
        "summary": "the reason",
        "because": ["a step"],
    }
    return Decision(status=status, **{**base, **more})


EVERY = [
    decision(1, VexStatus.AFFECTED, action="take the fix", rows=["C13/nic/T3"]),
    decision(2, VexStatus.UNDER_INVESTIGATION),
    decision(3, VexStatus.FIXED, title=""),
    *(decision(4 + index, VexStatus.NOT_AFFECTED, justification=item) for index, item in enumerate(Justification)),
]


def made(*decisions: Decision, **more: Any) -> Triage:
    base: dict[str, Any] = {
        "name": "vm", "technology": "tdx", "kernel": "linux-image-6.1.0-55-amd64-unsigned 6.1.192-1",
        "release": "6.1.0-55-amd64", "version": "6.1.192", "architecture": "x86_64", "image_sha256": "ab" * 32,
    }  # fmt: skip
    return Triage(decisions=list(decisions or EVERY), **{**base, **more})


def document(value: Triage, product: str = "") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(render(value, author="me@example.org", date=DAY, product=product))
    jsonschema.validate(found, RULES)
    return found


def test_every_status_is_a_valid_statement_with_its_evidence() -> None:
    found = document(made())

    assert [item["status"] for item in found["statements"]] == [item.status.value for item in EVERY]
    assert found["timestamp"] == "2026-11-01T00:00:00Z"
    assert found["statements"][3]["impact_statement"] == "the reason; a step"
    assert found["statements"][0]["action_statement"] == "take the fix"


def test_the_product_is_the_kernel_package_with_the_digest_of_its_image() -> None:
    (product,) = document(made())["statements"][0]["products"]

    assert product["@id"] == "pkg:deb/debian/linux-image-6.1.0-55-amd64-unsigned@6.1.192-1?arch=amd64"
    assert product["hashes"] == {"sha-256": "ab" * 32}


def test_the_kernel_may_be_a_part_of_the_vm_that_the_document_is_about() -> None:
    (product,) = document(made(), "pkg:oci/vm@sha256%3Aabcd")["statements"][0]["products"]

    assert product["@id"] == "pkg:oci/vm@sha256%3Aabcd"
    assert product["subcomponents"][0]["identifiers"]["purl"].startswith("pkg:deb/debian/")


@pytest.mark.parametrize(
    ("package", "url"),
    [
        ("linux-image-6.12.117+deb13-arm64 6.12.117-1",
         "pkg:deb/debian/linux-image-6.12.117%2Bdeb13-arm64@6.12.117-1?arch=amd64"),
        ("linux-image-6.12.117+deb12-amd64 6.12.117-1~deb12u1",
         "pkg:deb/debian/linux-image-6.12.117%2Bdeb12-amd64@6.12.117-1~deb12u1?arch=amd64"),
        ("linux-modules-5.15.0-141-generic 5.15.0-141.151",
         "pkg:deb/ubuntu/linux-modules-5.15.0-141-generic@5.15.0-141.151?arch=amd64"),
        ("kernel-core 5.14.0-427.el9", "pkg:generic/linux@6.1.0-55-amd64"),
        ("", "pkg:generic/linux@6.1.0-55-amd64"),
        ("linux-image-../../x 6.1-1", "pkg:generic/linux@6.1.0-55-amd64"),
    ],
)  # fmt: skip
def test_a_package_url_is_given_where_name_and_version_are_known_to_be_a_distributions(package: str, url: str) -> None:
    assert package_url(made(kernel=package)) == url


def test_the_same_triage_gives_the_same_bytes_and_another_another_identifier() -> None:
    one = [render(made(), author="me", date=DAY) for _ in range(2)]
    other = render(made(EVERY[0]), author="me", date=DAY)

    assert one[0] == one[1]
    assert json.loads(one[0])["@id"] != json.loads(other)["@id"]
    assert re.fullmatch(r"https://openvex\.dev/docs/public/vex-[0-9a-f]{64}", json.loads(other)["@id"])


def test_names_of_a_hostile_input_stay_text() -> None:
    bad = "x\x1b[31m\u202e\n"
    value = made(decision(1, VexStatus.AFFECTED, title=bad, summary=bad, action=bad), kernel=bad, name=bad)

    document(value)
    assert "\x1b" not in render(value, author=bad, date=DAY) + to_text(value)


def test_the_terminal_shows_what_is_affected_first_and_counts_what_is_settled() -> None:
    value = msgspec.structs.replace(made(), passed_over=[PassedOver("CVE-2026-9999", "rejected by its CNA")])
    text = to_text(value)

    assert "6 CVEs: 1 affected, 1 under investigation, 1 fixed, 3 not affected" in text
    assert text.index("AFFECTED: 1 CVE") < text.index("UNDER INVESTIGATION: 1 CVE") < text.index("FIXED: 1 CVE")
    assert "do: take the fix" in text
    assert "vulnerable code not present: 1 (CVE-2026-0004)" in text
    assert "rejected by its CNA: CVE-2026-9999" in text
    assert "- a step" not in text
    assert "- a step" in to_text(value, verbose=True)
