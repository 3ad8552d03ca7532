"""What the versions of a CVE record say of an upstream version: it never had the flaw, has the fix, or has neither

Read for one version and its stable series (the first two numbers), the most specific statement first:

1. upstream's own fix (`lessThanOrEqual` `*`): every later version has it;
2. a range that is `affected` and holds the version: a stable series that took the flaw with a backport;
3. the fix of this series (`6.1.84` to `6.1.*`): before it the flaw is there, unless it came into the series later;
4. a backport that brought the flaw into this series, and no fix for the series: it is there;
5. an earlier release than the one in which it came: it was never there. Where the record names several commits that brought
   it and no range tells which series took them, this cannot be told;
6. else the flaw is there.

A distribution that maintains a release of its own on an upstream version without stable updates (5.14.0 of RHEL, SLE's,
Ubuntu's x.y.0) takes features and fixes by itself: of its kernels only 1 holds, and that the flaw *may* be there.
SOURCE: `hostproof.artefacts.cve` for the format; Documentation/process/cve.rst of Linux: the CNA assigns by fix commit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from hostproof.artefacts.cve import Cve
from hostproof.artefacts.kernel.facts import KernelFacts
from hostproof.knowledge.predicate import version_key

__all__ = ["Had", "VersionVerdict", "by_version", "own_backports", "upstream_version"]

_OWN_RELEASE = re.compile(r"\.el[0-9]+|-1[0-9]{2}[0-9]00\.[0-9]+\.[0-9]+(?:\.[0-9]+)?-")
_PLAIN = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,3}(?:-rc[0-9]{1,9})?", re.ASCII)


class Had(StrEnum):
    """What the record says of a version."""

    NEVER = "never"
    FIXED = "fixed"
    VULNERABLE = "vulnerable"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class VersionVerdict:
    """What the record says of a version, and the sentence that says why."""

    had: Had
    because: str


def own_backports(kernel: KernelFacts) -> bool:
    """Whether the kernel's distribution maintains it on an upstream version that has no stable updates."""
    third = (kernel.version.split(".") + ["", "", ""])[2]
    return bool(_OWN_RELEASE.search(kernel.release)) or (third == "0" and "-" in kernel.release)


def upstream_version(kernel: KernelFacts) -> str:
    """The kernel's upstream version; empty where its release is of another series, so that one of the two was misread."""
    series = _series(kernel.version)
    named = re.match(r"[0-9]+\.[0-9]+", kernel.release)
    return "" if named is not None and named[0] != series else kernel.version


def by_version(cve: Cve, version: str, *, backports: bool = False) -> VersionVerdict:
    """What the record says of an upstream version; `backports` where the kernel is `own_backports`."""
    if not _PLAIN.fullmatch(version):
        return VersionVerdict(Had.UNKNOWN, "the kernel's upstream version is not known")
    if not cve.ranges and not cve.cpe_ranges:
        return VersionVerdict(Had.UNKNOWN, "the record names no versions")
    mainline = _newest(item.version for item in cve.ranges if item.status == "unaffected" and item.through == "*")
    if mainline and not _older(version, mainline):
        return VersionVerdict(Had.FIXED, f"upstream has the fix since {mainline}, and this is {version}")
    verdict = _in_series(cve, version) or _by_release(cve, version, mainline)
    if backports and verdict.had is not Had.VULNERABLE:
        why = f"{verdict.because}; but this distribution takes features and fixes by itself onto {version}"
        return VersionVerdict(Had.UNKNOWN, why)
    return verdict


def _in_series(cve: Cve, version: str) -> VersionVerdict | None:
    """What the record says of the version's stable series; None where it says nothing of that series."""
    series = _series(version)
    for item in cve.ranges:
        if item.status == "affected" and item.before and _within(version, item.version, item.before):
            why = f"versions from {item.version} on are affected, and {item.before} has the fix"
            return VersionVerdict(Had.VULNERABLE, why)
    fix = _newest(item.version for item in cve.ranges if item.status == "unaffected" and item.through == f"{series}.*")
    starts = {start for start, _ in cve.cpe_ranges if _in(start, series)}
    starts |= {item.version for item in cve.ranges if item.status == "affected" and _in(item.version, series)}
    came = min(starts, key=version_key, default="")
    if fix and not _older(version, fix):
        return VersionVerdict(Had.FIXED, f"the {series} series has the fix since {fix}, and this is {version}")
    if came and _older(version, came):
        return VersionVerdict(Had.NEVER, f"it came into the {series} series with {came}, and this is {version}")
    if fix:
        return VersionVerdict(Had.VULNERABLE, f"the {series} series has the fix in {fix} only, and this is {version}")
    if came:
        return VersionVerdict(Had.VULNERABLE, f"it came into the {series} series with {came}, which has no fix listed")
    return None


def _by_release(cve: Cve, version: str, mainline: str) -> VersionVerdict:
    """What the release says in which the flaw came."""
    before = [item.before for item in cve.ranges if item.status == "unaffected" and item.version == "0" and item.before]
    came = min((text for text in before if _PLAIN.fullmatch(text)), key=version_key, default="")
    if came and _older(version, came):
        if len(cve.introduced) > 1 and not cve.cpe_ranges:
            why = (
                f"it came with {came}, and with backports of {len(cve.introduced)} commits into series that the record "
                "does not name"
            )
            return VersionVerdict(Had.UNKNOWN, why)
        return VersionVerdict(Had.NEVER, f"it came with {came}, and this is {version}")
    since = f"from {came} on" if came else "in every version"
    fixed = f"fixed upstream in {mainline}" if mainline else "no fix is listed"
    return VersionVerdict(Had.VULNERABLE, f"it is there {since}, {fixed}, and no fix is listed for {_series(version)}")


def _newest(versions: Iterator[str]) -> str:
    return max((text for text in versions if _PLAIN.fullmatch(text)), key=version_key, default="")


def _series(version: str) -> str:
    return ".".join(version.partition("-")[0].split(".")[:2])


def _in(version: str, series: str) -> bool:
    """Whether a version is a stable update of a series (`6.1.93` of `6.1`, and not `6.1` itself)."""
    return bool(_PLAIN.fullmatch(version)) and version.startswith(f"{series}.")


def _older(one: str, other: str) -> bool:
    return version_key(one) < version_key(other)


def _within(version: str, start: str, before: str) -> bool:
    """Whether a version lies in a range of one series; a range over several says nothing of the series between."""
    if not _PLAIN.fullmatch(start) or not _PLAIN.fullmatch(before) or _series(version) != _series(start):
        return False
    return not _older(version, start) and _older(version, before)
