"""What a record's versions say of a kernel's: never there, fixed, there, or not to be told."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from hostproof.artefacts.cve import Cve, VersionRange, read_directory
from hostproof.ledger.triage_versions import Had, by_version, own_backports, upstream_version
from hostproof.place import Place
from tests.ledger.worlds import kernel

CORPUS = Path(__file__).resolve().parents[1] / "corpus/cve"
RECORDS = {cve.id: cve for cve in read_directory(CORPUS).cves}


@pytest.mark.parametrize(
    ("record", "version", "had"),
    [
        ("CVE-2024-57843", "6.1.192", Had.NEVER),  # it came with 6.6
        ("CVE-2024-57843", "6.6.65", Had.VULNERABLE),
        ("CVE-2024-57843", "6.6.66", Had.FIXED),
        ("CVE-2024-57843", "6.12.4", Had.VULNERABLE),
        ("CVE-2024-57843", "6.11.9", Had.VULNERABLE),  # a series that got no fix
        ("CVE-2024-57843", "6.13", Had.FIXED),
        ("CVE-2024-57843", "6.13-rc1", Had.VULNERABLE),
        ("CVE-2024-57843", "7.2.13", Had.FIXED),
        ("CVE-2024-38556", "5.15.16", Had.NEVER),  # brought into the series with 5.15.17, and never fixed there
        ("CVE-2024-38556", "5.15.17", Had.VULNERABLE),
        ("CVE-2024-38556", "5.15.200", Had.VULNERABLE),
        ("CVE-2024-38556", "5.14.9", Had.NEVER),  # no backport into this series
        ("CVE-2024-38556", "6.1.92", Had.VULNERABLE),
        ("CVE-2024-38556", "6.1.93", Had.FIXED),
        ("CVE-2024-26719", "6.1.192", Had.VULNERABLE),  # no release that it came with: in all of them
        ("CVE-2024-26719", "4.4", Had.VULNERABLE),
        ("CVE-2024-41013", "6.11-rc1", Had.FIXED),
        ("CVE-2024-41013", "6.10.14", Had.VULNERABLE),
        ("CVE-2025-40292", "6.1.158", Had.VULNERABLE),  # came with 6.1 itself
        ("CVE-2025-40292", "6.0.19", Had.NEVER),
        ("CVE-2025-40292", "", Had.UNKNOWN),
    ],
)
def test_what_real_records_say(record: str, version: str, had: Had) -> None:
    assert by_version(RECORDS[record], version).had is had


def made(*ranges: VersionRange, cpe: tuple[tuple[str, str], ...] = (), commits: tuple[str, ...] = ("a",)) -> Cve:
    return Cve("CVE-2026-0001", "", (), ranges, cpe, commits, (), Place("c.json"))


CAME = VersionRange("unaffected", "0", before="6.6", kind="semver")
UPSTREAM = VersionRange("unaffected", "6.9", through="*")


def test_several_commits_that_brought_it_and_no_range_for_them_leave_older_series_unknown() -> None:
    assert by_version(made(CAME, UPSTREAM), "6.1.50").had is Had.NEVER
    assert by_version(made(CAME, UPSTREAM, commits=("a", "b")), "6.1.50").had is Had.UNKNOWN


def test_an_affected_range_of_a_series_is_taken_before_the_release_it_came_with() -> None:
    backport = VersionRange("affected", "6.1.40", before="6.1.60", kind="semver")

    assert by_version(made(CAME, UPSTREAM, backport), "6.1.50").had is Had.VULNERABLE
    assert by_version(made(CAME, UPSTREAM, backport), "6.1.30").had is Had.NEVER


def test_a_series_that_has_a_fix_had_the_flaw_whatever_it_came_with() -> None:
    fix = VersionRange("unaffected", "6.1.60", through="6.1.*", kind="semver")

    assert by_version(made(CAME, UPSTREAM, fix), "6.1.50").had is Had.VULNERABLE
    assert by_version(made(CAME, UPSTREAM, fix), "6.1.60").had is Had.FIXED


def test_a_record_without_versions_says_nothing() -> None:
    assert by_version(made(), "6.1.192").had is Had.UNKNOWN


def test_versions_that_are_none_are_passed_over() -> None:
    odd = (VersionRange("unaffected", "soon", through="*"), VersionRange("unaffected", "0", before="next"))

    assert by_version(made(*odd), "6.1.192").had is Had.VULNERABLE


def test_a_distributions_own_release_proves_neither_absence_nor_a_fix_of_its_series() -> None:
    assert by_version(made(CAME, UPSTREAM), "5.14.0", backports=True).had is Had.UNKNOWN
    assert by_version(made(CAME, UPSTREAM), "6.12.0", backports=True).had is Had.FIXED
    assert by_version(made(CAME, UPSTREAM), "6.6.0", backports=True).had is Had.VULNERABLE


@pytest.mark.parametrize(
    ("release", "version", "own"),
    [
        ("6.1.0-55-amd64", "6.1.192", False),
        ("6.12.117+deb13-cloud-amd64", "6.12.117", False),
        ("7.2.13+deb14-amd64", "7.2.13", False),
        ("5.14.0-427.13.1.el9_4.x86_64", "5.14.0", True),
        ("4.18.0-553.el8.x86_64", "4.18.0", True),
        ("5.14.21-150500.55.7-default", "5.14.21", True),
        ("5.15.0-141-generic", "5.15.0", True),
    ],
)
def test_who_maintains_a_release_of_its_own(release: str, version: str, own: bool) -> None:
    assert own_backports(dataclasses.replace(kernel(), release=release, version=version)) is own


def test_a_version_that_does_not_fit_the_release_is_none() -> None:
    """What a compiler says of itself has been taken for the version of a kernel."""
    assert upstream_version(dataclasses.replace(kernel(), release="6.1.0-55-amd64", version="6.1.192")) == "6.1.192"
    assert upstream_version(dataclasses.replace(kernel(), release="7.2.13+deb14-arm64", version="16.2.0")) == ""
    assert upstream_version(dataclasses.replace(kernel(), release="", version="6.1.192")) == "6.1.192"
