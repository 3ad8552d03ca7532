"""A verifier's policy names what somebody really checks; anything else is refused with its place."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.attestation.verifier import REGISTERS, read
from hostproof.errors import HostproofError, InputError


def test_a_policy_names_registers() -> None:
    policy = read(b'name = "broker"\nchecks = ["MRTD", "RTMR2"]\nsource = "policy.rego"\n', "p.toml")

    assert (policy.name, policy.checks, policy.source) == ("broker", frozenset({"MRTD", "RTMR2"}), "policy.rego")


def test_every_register_that_a_pin_of_the_catalogue_names_can_be_checked() -> None:
    from hostproof.knowledge.load import catalogue

    pinned = {pin.register for pin in catalogue().pins.values() if pin.coverage != "none"}

    assert pinned - set(REGISTERS) == set()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'name = "n"\nchecks = ["MRTDD"]', "'MRTDD' is no register"),
        (b'name = "n"', "checks"),
        (b'checks = ["MRTD"]', "name"),
        (b'name = "n"\nchecks = "MRTD"', "checks"),
        (b'name = "n"\nchecks = []\nextra = 1', "extra"),
        (b"\xff\xfe", "not a verifier's policy"),
        (b"name = ", "not a verifier's policy"),
        (b"a = " + b"[" * 3000, "not a verifier's policy"),
        (b"#" * (1024 * 1024 + 1), "larger than 1 MiB"),
    ],
)
def test_what_is_no_policy_is_refused_with_a_reason(data: bytes, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read(data, "p.toml")

    assert caught.value.diagnosis().startswith("p.toml")
    assert said in caught.value.diagnosis()


@given(st.binary(max_size=200))
def test_any_bytes_give_a_policy_or_an_error_for_people(data: bytes) -> None:
    try:
        policy = read(data, "p")
    except HostproofError:
        return

    assert policy.checks <= frozenset(REGISTERS)
