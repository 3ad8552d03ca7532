"""Which fixes a package's changelog says it took."""

from __future__ import annotations

import gzip

import pytest

from hostproof.artefacts.kernel.changelog import read_changelog
from hostproof.artefacts.kernel.facts import Answer
from hostproof.errors import InputError

TEXT = b"""linux (6.1.115-1) bookworm; urgency=medium

  * New upstream stable update:
    - [x86] tdx: Fix "in-kernel MMIO" check (CVE-2024-47703)
    - virtio_net: Fix
      mismatched buf address when unmapping for small packets
    - net: take this
    - Revert "net: take this"
    - Revert "x86/old: went away"
    - net: take this other (CVE-2024-47703, CVE-2024-1)
"""


@pytest.mark.parametrize(
    ("title", "taken"),
    [
        ('x86/tdx: Fix "in-kernel MMIO" check', True),
        ('[x86] tdx: Fix "in-kernel MMIO" check', True),
        ("virtio_net: Fix mismatched buf address when unmapping for small packets", True),
        ("net: take this other", True),
        ("net: take this", False),
        ("x86/old: went away", False),
        ("net: never heard of", False),
    ],
)
def test_a_title_counts_where_a_bullet_takes_it_and_none_takes_it_back(title: str, taken: bool) -> None:
    answers = read_changelog(TEXT, "changelog").answers({"fix": (title,)})

    assert answers == {"changelog.fix": Answer(taken, symbol=title if taken else "")}


def test_cve_ids_are_listed_once_and_packed_files_are_read() -> None:
    assert read_changelog(gzip.compress(TEXT), "changelog.gz").cves == ("CVE-2024-47703",)


def test_a_damaged_file_is_an_error_with_its_name() -> None:
    with pytest.raises(InputError, match=r"changelog\.gz"):
        read_changelog(gzip.compress(TEXT)[:40], "changelog.gz")
