"""`hostproof triage` as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hostproof.cli.main import main

ROOT = Path(__file__).resolve().parents[2]
FACTS = str(ROOT / "examples/facts/debian-12-cloud-6.1.192.json")
SNP = str(ROOT / "examples/snp/vm.args")
RECORDS = str(ROOT / "tests/corpus/cve")
REJECTED = f"{RECORDS}/CVE-2025-39898.json"
UNFIXED = {
    "cveMetadata": {"cveId": "CVE-2026-0001", "state": "PUBLISHED", "assignerShortName": "Linux"},
    "containers": {
        "cna": {
            "title": "a flaw that nobody fixed",
            "affected": [
                {"vendor": "Linux", "product": "Linux", "defaultStatus": "affected",
                 "programFiles": ["drivers/net/virtio_net.c"], "versions": [{"version": "5.0", "status": "affected"}]}
            ],
        }
    },
}  # fmt: skip


def test_nothing_affected_gives_status_0_and_the_counts(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["triage", SNP, "--kernel", FACTS, "--cve", RECORDS])

    assert status == 0
    assert " 0 affected," in capsys.readouterr().out


def test_an_affected_vm_gives_status_1_and_its_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.json").write_text(json.dumps(UNFIXED))
    status = main(["triage", SNP, "--kernel", FACTS, "--cve", str(tmp_path / "c.json"), "--format", "json"])

    (decision,) = json.loads(capsys.readouterr().out)["decisions"]
    assert status == 1
    assert decision["status"] == "affected"
    assert "C34/virtio_net/T3" in decision["rows"]


def test_openvex_of_one_day_is_the_same_twice(tmp_path: Path) -> None:
    words = [
        "triage",
        "--technology",
        "tdx",
        "--kernel",
        FACTS,
        "--cve",
        RECORDS,
        "--format",
        "openvex",
        "--at",
        "2026-11-01",
    ]
    for name in ("a", "b"):
        main([*words, "--author", "me@example.org", "--output", str(tmp_path / name)])

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert json.loads((tmp_path / "a").read_text())["author"] == "me@example.org"


@pytest.mark.parametrize(
    ("words", "status", "hint"),
    [
        (["triage", SNP, "--kernel", FACTS], 2, "--cve FILE_OR_DIR"),
        (["triage", SNP, "--cve", RECORDS], 3, "--kernel"),
        (["triage", SNP, "--kernel", FACTS, "--cve", "/nowhere.json"], 3, "cannot be read"),
        (["triage", SNP, "--kernel", FACTS, "--cve", SNP], 3, "not a CVE record"),
        (["triage", SNP, "--kernel", FACTS, "--cve", RECORDS, "--product", "my vm"], 2, "no IRI"),
        (["triage", "--kernel", FACTS, "--cve", RECORDS], 2, "--technology"),
        (["triage", SNP, "--kernel", FACTS, "--format", "openvex", "--cve", REJECTED], 2, "about the kernel"),
        (["surface", FACTS, "--format", "audit"], 2, "--driver NAME"),
        (["surface", FACTS, "--driver", "nothing"], 2, "no loadable module"),
        (["assess", SNP, "--audits", SNP], 3, "not an audit file"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_what_to_do(
    words: list[str], status: int, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == status
    assert hint in capsys.readouterr().err


def test_one_driver_of_a_surface_is_shown_alone(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["surface", FACTS, "--driver", "virtio-net", "--format", "json"])

    drivers = json.loads(capsys.readouterr().out)["drivers"]
    assert status == 0
    assert [driver["name"] for driver in drivers] == ["virtio_net"]
