"""What changed between two ledgers, told as the changes that people make to a VM."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))

import ledgers

from hostproof.knowledge.terms import Presence, Status, Threat
from hostproof.ledger.diff import diff, differs, encode
from hostproof.ledger.model import ChannelSummary, DriverCount, InputFile, Ledger, Row

SAMPLE = ledgers.sample()
OTHER_KERNEL = [SAMPLE.inputs[0], InputFile("kernel", "kernel2.deb", "deb", "ef" * 32)]


def with_status(ledger: Ledger, row_id: str, status: Status, **fields: object) -> Ledger:
    return replace(
        ledger, rows=[replace(row, status=status, **fields) if row.id == row_id else row for row in ledger.rows]
    )


def ids(rows: list[Row]) -> list[str]:
    return [row.id for row in rows]


def newer_rules(ledger: Ledger) -> Ledger:
    return replace(ledger, rule_set="2026.2")


def test_a_ledger_does_not_differ_from_itself() -> None:
    difference = diff(SAMPLE, SAMPLE)

    assert difference.is_empty
    assert not difference.is_worse
    assert not differs(SAMPLE, SAMPLE)


@settings(max_examples=40, deadline=None)
@given(ledgers.arbitrary, ledgers.arbitrary)
def test_any_two_ledgers_can_be_compared_and_no_row_is_lost(old: Ledger, new: Ledger) -> None:
    difference = diff(old, new)
    before = {row.id: (row.status, row.presence) for row in old.rows}
    after = {row.id: (row.status, row.presence) for row in new.rows}
    lists = (difference.opened, difference.closed, difference.moved, difference.presence, difference.appeared)
    listed = [row.id for rows in (*lists, difference.vanished, difference.new_rules) for row in rows]

    assert len(listed) == len(set(listed))
    assert set(listed) == {key for key in {*before, *after} if before.get(key) != after.get(key)}
    assert json.loads(encode(difference))["is_worse"] is difference.is_worse
    assert differs(old, new) is not difference.is_empty


@settings(max_examples=30, deadline=None)
@given(ledgers.arbitrary)
def test_any_ledger_equals_itself(ledger: Ledger) -> None:
    assert not differs(ledger, ledger)


def test_a_mechanism_that_was_lost_opens_a_row_and_is_worse() -> None:
    new = with_status(SAMPLE, "C22/dsdt/T3", Status.OPEN, reason="the override is off")
    difference = diff(SAMPLE, new)

    assert ids(difference.opened) == ["C22/dsdt/T3"]
    assert difference.opened[0].reason == "the override is off"
    assert (difference.open_before, difference.open_after) == (3, 4)
    assert difference.is_worse
    assert differs(SAMPLE, new)


def test_an_expired_waiver_opens_its_row() -> None:
    difference = diff(SAMPLE, with_status(SAMPLE, "C13/ivshmem/T3", Status.OPEN))

    assert (difference.opened[0].before, difference.opened[0].after) == (Status.ACCEPTED, Status.OPEN)


def test_a_closed_row_is_better_and_still_differs_from_the_baseline() -> None:
    new = with_status(SAMPLE, "C13/e1000e/T3", Status.REFUSED)
    difference = diff(SAMPLE, new)

    assert ids(difference.closed) == ["C13/e1000e/T3"]
    assert not difference.is_worse
    assert differs(SAMPLE, new)


def test_a_row_that_is_no_longer_known_to_be_closed_is_worse() -> None:
    difference = diff(SAMPLE, with_status(SAMPLE, "C22/dsdt/T3", Status.UNKNOWN))

    assert ids(difference.moved) == ["C22/dsdt/T3"]
    assert difference.is_worse


@pytest.mark.parametrize(
    ("row", "status"),
    [
        ("C13/e1000e/T3", Status.UNKNOWN),
        ("C21/int80/T4", Status.REFUSED),
        ("C22/dsdt/T3", Status.ATTESTED),
    ],
)
def test_other_moves_are_not_worse(row: str, status: Status) -> None:
    difference = diff(SAMPLE, with_status(SAMPLE, row, status))

    assert ids(difference.moved) == [row]
    assert not difference.is_worse
    assert not difference.is_empty


def test_a_driver_that_a_new_kernel_brings_appears_open() -> None:
    driver = ledgers.row("C13", "newnic", text_bytes=1 << 20)
    new = replace(SAMPLE, rows=[*SAMPLE.rows, driver], inputs=OTHER_KERNEL)
    difference = diff(SAMPLE, new)

    assert ids(difference.appeared) == ["C13/newnic/T3"]
    assert difference.open_text_bytes_after - difference.open_text_bytes_before == 1 << 20
    assert difference.is_worse


def test_a_driver_that_is_gone_vanishes() -> None:
    new = replace(SAMPLE, rows=[row for row in SAMPLE.rows if row.instance != "nouveau"])
    difference = diff(SAMPLE, new)

    assert ids(difference.vanished) == ["C13/nouveau/T3", "C13/nouveau/T4"]
    assert difference.open_text_bytes_before - difference.open_text_bytes_after == 2_400_000
    assert not difference.is_worse


def test_a_presentable_device_that_is_now_configured_is_listed_apart() -> None:
    new = with_status(SAMPLE, "C13/nouveau/T3", Status.OPEN, presence=Presence.CONFIGURED)
    difference = diff(SAMPLE, new)

    assert ids(difference.presence) == ["C13/nouveau/T3"]
    assert not difference.is_worse
    assert differs(SAMPLE, new)


def test_reasons_bytes_and_digests_make_no_difference_to_a_baseline() -> None:
    new = with_status(SAMPLE, "C13/nouveau/T3", Status.OPEN, reason="in other words", text_bytes=1)

    assert not differs(SAMPLE, replace(new, inputs=OTHER_KERNEL))


def test_newer_rules_never_worsen_an_unchanged_machine() -> None:
    new = with_status(SAMPLE, "C22/dsdt/T3", Status.OPEN)
    fresh = ledgers.row("C13", "unheard-of", place=SAMPLE.rows[2].place)
    objective = replace(SAMPLE.objectives[1], met=False)
    attack = replace(SAMPLE.attacks[1], state="works")
    new = newer_rules(
        replace(
            new,
            rows=[*new.rows[1:], fresh],
            objectives=[SAMPLE.objectives[0], objective],
            attacks=[SAMPLE.attacks[0], attack],
        )
    )
    difference = diff(SAMPLE, new)

    assert ids(difference.new_rules) == ["C22/dsdt/T3", "C13/unheard-of/T3", "C01/ports/T3"]
    assert not difference.opened
    assert not difference.appeared
    assert not difference.is_worse
    assert not differs(SAMPLE, new)


def test_newer_rules_do_not_hide_what_a_changed_machine_opens() -> None:
    channel = ledgers.row("C52", "new-thing", channel_name="A new channel")
    threat = ledgers.row("C13", "e1000e", Threat.T4, text_bytes=300_000)
    table = ledgers.row("C22", "new-table")
    driver = ledgers.row("C13", "newnic", text_bytes=1000)
    device = ledgers.row("C13", "vga", place=SAMPLE.rows[2].place)
    new = with_status(SAMPLE, "C20/vda/T2", Status.OPEN)
    new = newer_rules(replace(new, rows=[*new.rows, channel, threat, table, driver, device], inputs=OTHER_KERNEL))
    difference = diff(SAMPLE, new)

    assert ids(difference.new_rules) == ["C52/new-thing/T3", "C13/e1000e/T4", "C22/new-table/T3"]
    assert ids(difference.appeared) == ["C13/newnic/T3", "C13/vga/T3"]
    assert ids(difference.opened) == ["C20/vda/T2"]
    assert difference.is_worse


def test_a_channel_that_the_old_ledger_listed_without_rows_is_not_new() -> None:
    old = replace(SAMPLE, channels=[*SAMPLE.channels, ChannelSummary("C30", "GPIO", ["R"], True, True, "it exists")])
    driver = ledgers.row("C30", "gpio", text_bytes=1)
    new = newer_rules(replace(old, rows=[*old.rows, driver], inputs=OTHER_KERNEL))

    assert ids(diff(old, new).appeared) == ["C30/gpio/T3"]


def test_inputs_without_a_digest_are_never_taken_for_the_same() -> None:
    directory = replace(SAMPLE, inputs=[InputFile("kernel", "/lib/modules", "directory", "")])
    new = with_status(newer_rules(directory), "C22/dsdt/T3", Status.OPEN)

    assert not diff(directory, new).same_inputs
    assert diff(directory, new).is_worse


def test_another_technology_is_another_threat_model_and_not_another_rule_set() -> None:
    table = ledgers.row("C22", "new-table")
    new = newer_rules(replace(SAMPLE, technology="tdx", rows=[*SAMPLE.rows, table]))
    difference = diff(SAMPLE, new)

    assert ids(difference.appeared) == ["C22/new-table/T3"]
    assert differs(SAMPLE, replace(SAMPLE, technology="tdx"))


def test_an_objective_that_is_no_longer_met_is_worse() -> None:
    old = replace(SAMPLE, objectives=[replace(SAMPLE.objectives[0], met=True)])
    difference = diff(old, replace(old, objectives=[SAMPLE.objectives[0]]))

    assert [(change.id, change.before, change.after) for change in difference.objectives] == [("O1", True, False)]
    assert difference.is_worse


def test_an_attack_that_works_now_is_worse_unless_only_the_rules_know_it() -> None:
    new = replace(SAMPLE, attacks=[SAMPLE.attacks[0], replace(SAMPLE.attacks[1], state="works")])
    old = replace(SAMPLE, attacks=SAMPLE.attacks[1:])

    assert diff(SAMPLE, new).is_worse
    assert diff(old, SAMPLE).is_worse
    assert not diff(old, newer_rules(replace(SAMPLE, inputs=OTHER_KERNEL))).is_worse


def test_drivers_and_bytes_gained_are_counted_only_where_both_are_known() -> None:
    more = replace(SAMPLE.headline, presentable=DriverCount(1170, 37_643_878 + 4096), configured=None)
    difference = diff(SAMPLE, replace(SAMPLE, headline=more))

    assert (difference.presentable.modules, difference.presentable.text_bytes) == (3, 4096)
    assert difference.configured.modules is None
    assert difference.configured.text_bytes is None


def test_the_json_form_is_canonical() -> None:
    new = with_status(SAMPLE, "C22/dsdt/T3", Status.OPEN)
    data = encode(diff(SAMPLE, new))

    assert data == encode(diff(SAMPLE, new))
    assert data.endswith(b"}\n")
    assert json.loads(data)["opened"][0]["before"] == "refused"
