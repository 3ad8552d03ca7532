"""Counts, groups and orders that every format shows alike."""

from __future__ import annotations

import ledgers
import pytest
from msgspec.structs import replace

from hostproof.knowledge.terms import Status
from hostproof.report import summary


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([Status.REFUSED, Status.UNKNOWN, Status.OPEN], "open"),
        ([Status.REFUSED, Status.UNKNOWN], "unknown"),
        ([Status.REFUSED, Status.ACCEPTED], "closed"),
        ([], ""),
    ],
)
def test_the_worst_status_of_rows(statuses: list[Status], expected: str) -> None:
    assert summary.worst(ledgers.row(status=status) for status in statuses) == expected


@pytest.mark.parametrize(("kinds", "expected"), [(["O"], True), (["O", "R"], False), ([], False)])
def test_only_a_channel_of_observations_alone_feeds_the_guest_nothing(kinds: list[str], expected: bool) -> None:
    channel = replace(ledgers.sample().channels[0], kinds=kinds)

    assert summary.only_observed(channel) is expected


def test_a_channel_that_the_ledger_does_not_list_is_taken_to_feed_the_guest() -> None:
    assert not summary.only_observed(None)
