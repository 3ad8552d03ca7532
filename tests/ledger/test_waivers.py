"""A waiver has a reason, an owner and an expiry, or it is none."""

from __future__ import annotations

import datetime
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.errors import HostproofError, InputError
from hostproof.ledger.waivers import read

GOOD = b'[[waiver]]\nrows = "C40/*/*"\nreason = "no secret"\nowner = "team"\nexpires = 2027-01-31\n'


def test_a_waiver_is_read_whole() -> None:
    waiver = read(GOOD, "w.toml").items[0]

    assert (waiver.rows, waiver.reason, waiver.owner) == ("C40/*/*", "no secret", "team")
    assert waiver.expires == datetime.date(2027, 1, 31)


@pytest.mark.parametrize(
    "data",
    [
        GOOD.replace(b'reason = "no secret"\n', b""),
        GOOD.replace(b'owner = "team"\n', b""),
        GOOD.replace(b"expires = 2027-01-31\n", b""),
        GOOD.replace(b'"no secret"', b'""'),
        GOOD.replace(b"C40/*/*", b"C40"),
        GOOD.replace(b"C40/*/*", b"C40/a/b/c"),
        GOOD.replace(b"2027-01-31", b'"soon"'),
        GOOD.replace(b"2027-01-31", b"2027-02-30"),
        GOOD + b"colour = 1\n",
        b'waiver = "all"',
        b"\x00",
        b"#" * (4 * 1024 * 1024 + 1),
    ],
)
def test_what_is_no_waiver_file_is_refused_with_its_name(data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        read(data, "w.toml")

    assert re.match(r"w\.toml(:\d+:\d+)?: \S", caught.value.diagnosis())


@given(st.binary(max_size=200))
def test_any_bytes_give_waivers_or_an_error_for_people(data: bytes) -> None:
    try:
        waivers = read(data, "w")
    except HostproofError:
        return

    assert all(waiver.reason and waiver.owner for waiver in waivers.items)
