"""CVE records: the kernel's are read with files and versions, others are named and passed over, hostile ones refused."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.artefacts.cve import Cve, VersionRange, read_cves, read_directory, together
from hostproof.errors import HostproofError, InputError

CORPUS = Path(__file__).resolve().parents[1] / "corpus/cve"
SAMPLE = (CORPUS / "CVE-2024-38556.json").read_bytes()


def changed(**cna: Any) -> bytes:
    record = json.loads(SAMPLE)
    record["containers"]["cna"].update(cna)
    return json.dumps(record).encode()


def one(data: bytes) -> Cve:
    (cve,) = read_cves(data, "c.json").cves
    return cve


def test_a_record_is_read_with_its_files_versions_and_commits() -> None:
    cve = one(SAMPLE)

    assert cve.id == "CVE-2024-38556"
    assert cve.files == ("drivers/net/ethernet/mellanox/mlx5/core/cmd.c", "include/linux/mlx5/driver.h")
    assert cve.ranges[0] == VersionRange("affected", "5.17")
    assert cve.ranges[1] == VersionRange("unaffected", "0", before="5.17", kind="semver")
    assert cve.ranges[2] == VersionRange("unaffected", "6.1.93", through="6.1.*", kind="semver")
    assert cve.ranges[-1] == VersionRange("unaffected", "6.10", through="*", kind="original_commit_for_fix")
    assert ("5.15.17", "") in cve.cpe_ranges
    assert cve.introduced == ("8e715cd613a1e872b9d918e912d90b399785761a",)


def test_an_array_lines_and_a_directory_give_the_same_records() -> None:
    records = [json.loads(path.read_text()) for path in sorted(CORPUS.glob("*.json"))]
    array = read_cves(json.dumps(records).encode(), "all.json")
    lines = read_cves("\n".join(json.dumps(record) for record in records).encode(), "all.jsonl")
    directory = read_directory(CORPUS)

    ids = [cve.id for cve in directory.cves]
    assert ids == [cve.id for cve in array.cves] == [cve.id for cve in lines.cves]
    assert ids == sorted(ids, key=lambda name: [int(part) for part in name.split("-")[1:]])


def test_a_place_says_which_record_of_several() -> None:
    array = read_cves(b"[" + SAMPLE + b"]", "all.json").cves[0]
    lines = read_cves(b"\n".join([json.dumps(json.loads(SAMPLE)).encode()] * 2), "all.jsonl").cves[0]

    assert str(array.place) == "all.json ([0])"
    assert str(lines.place) == "all.jsonl:1"


def test_what_is_rejected_or_of_another_product_is_passed_over_with_the_reason() -> None:
    other = json.loads(SAMPLE)
    other["cveMetadata"] = {"cveId": "CVE-2024-1", "state": "PUBLISHED", "assignerShortName": "else"}
    other["cveMetadata"]["cveId"] = "CVE-2024-0001"
    other["containers"]["cna"]["affected"] = [{"vendor": "Acme", "product": "Anvil"}]
    found = together(
        [read_cves(json.dumps(other).encode(), "o"), read_cves((CORPUS / "CVE-2025-39898.json").read_bytes(), "r")]
    )

    assert found.cves == ()
    assert found.passed_over == (
        ("CVE-2024-0001", "no record of the Linux kernel"),
        ("CVE-2025-39898", "rejected by its CNA"),
    )


def test_a_record_of_another_cna_about_the_kernel_counts_and_names_no_file() -> None:
    record = json.loads(changed(affected=[{"vendor": "Linux", "product": "Linux Kernel", "versions": []}]))
    record["cveMetadata"]["assignerShortName"] = "redhat"

    assert one(json.dumps(record).encode()).files == ()


def test_links_in_a_directory_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(SAMPLE)
    (tmp_path / "b.json").symlink_to("/dev/zero")
    (tmp_path / "more").mkdir()
    (tmp_path / "more/loop").symlink_to(tmp_path)

    assert [cve.id for cve in read_directory(tmp_path).cves] == ["CVE-2024-38556"]


def test_a_directory_without_a_record_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no \*.json"):
        read_directory(tmp_path)


def test_a_directory_that_cannot_be_listed_is_not_taken_for_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one.json").write_bytes(SAMPLE)
    (tmp_path / "closed").mkdir()
    listed = os.scandir

    def refused(path: str) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", refused)

    with pytest.raises(InputError, match="Permission denied"):
        read_directory(tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[1]",
        b"null",
        b"[" * 100_000,
        b'{"cveMetadata":' * 50_000,
        b"{}\n{}\n",
        SAMPLE[:-40],
        SAMPLE.replace(b"CVE-2024-38556", b"CVE-2024-1"),
        SAMPLE.replace(b"CVE-2024-38556", b"../../etc"),
        changed(affected="everything"),
        changed(affected=[{"vendor": "Linux", "product": "Linux", "programFiles": ["../../etc/passwd"]}]),
        changed(affected=[{"vendor": "Linux", "product": "Linux", "programFiles": ["/etc/passwd"]}]),
        changed(affected=[{"vendor": "Linux", "product": "Linux", "programFiles": ["a\nb.c"]}]),
        changed(affected=[{"vendor": "Linux", "product": "Linux", "programFiles": ["a" * 5000]}]),
        changed(affected=[{"vendor": "Linux", "product": "Linux", "versions": [{}] * 5001}]),
        changed(affected=[{}] * 1001),
        b"\xff\xfe{}",
    ],
)
def test_what_is_no_record_is_refused_with_its_name(data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        read_cves(data, "c.json")

    assert re.match(r"c\.json(:\d+)?( \(\S+\))?: \S", caught.value.diagnosis())


@given(st.binary(max_size=300))
def test_any_bytes_give_records_or_an_error_for_people(data: bytes) -> None:
    _holds(data)


@given(st.integers(0, len(SAMPLE) - 1), st.binary(max_size=8), st.integers(0, 40))
def test_any_damage_to_a_record_gives_records_or_an_error_for_people(at: int, put: bytes, gone: int) -> None:
    _holds(SAMPLE[:at] + put + SAMPLE[at + gone :])


def _holds(data: bytes) -> None:
    try:
        found = read_cves(data, "c")
    except HostproofError:
        return

    assert all(re.fullmatch(r"CVE-\d{4}-\d{4,19}", cve.id) for cve in found.cves)
