"""JUnit XML: what fails, what is skipped, and that any name can stand in it."""

from __future__ import annotations

from xml.etree.ElementTree import Element

import ledgers
from defusedxml.ElementTree import fromstring
from hypothesis import given, settings
from msgspec.structs import replace

from hostproof.knowledge.terms import Status
from hostproof.ledger.model import Ledger
from hostproof.report.junit import render

SAMPLE = ledgers.sample()


def cases(ledger: Ledger) -> dict[str, Element]:
    root = fromstring(render(ledger))
    return {f"{case.get('classname')}:{case.get('name')}": case for case in root.iter("testcase")}


def outcome(case: Element) -> str:
    tags = {child.tag for child in case}
    return "failure" if "failure" in tags else "skipped" if "skipped" in tags else "passed"


def test_there_is_a_suite_per_channel_and_one_for_the_objectives() -> None:
    root = fromstring(render(SAMPLE))

    assert [suite.get("name") for suite in root] == [
        "objectives",
        "C01 Port I/O",
        "C03 Kernel command line",
        "C13 PCI drivers",
        "C20 Block data",
        "C21 Interrupt vectors",
        "C22 ACPI tables",
        "C23 Scheduling",
        "C24 VMBus",
    ]


def test_open_fails_unknown_is_skipped_and_every_closed_status_passes() -> None:
    found = cases(SAMPLE)
    expected = {Status.OPEN: "failure", Status.UNKNOWN: "skipped"}

    for row in SAMPLE.rows:
        case = found[f"hostproof.{row.channel}:{row.instance}/{row.threat.value}"]
        assert outcome(case) == expected.get(row.status, "passed")


def test_an_objective_that_is_not_met_fails_and_an_undecided_one_is_skipped() -> None:
    found = cases(SAMPLE)

    assert outcome(found["hostproof.objectives:O1 private memory and registers"]) == "failure"
    assert outcome(found["hostproof.objectives:O2 no privilege escalation"]) == "skipped"


def test_a_skipped_case_names_the_missing_fact_first() -> None:
    skipped = cases(SAMPLE)["hostproof.C21:int80/T4"].find("skipped")

    assert skipped is not None
    assert str(skipped.get("message")).startswith("missing: config.IA32_EMULATION (supplied by --kernel); ")


def test_a_failure_says_where_what_did_not_help_and_what_to_do() -> None:
    failure = cases(SAMPLE)["hostproof.C13:e1000e/T3"].find("failure")

    assert failure is not None
    assert failure.get("message") == SAMPLE.rows[2].reason
    assert str(failure.text).splitlines() == [
        "row: C13/e1000e/T3",
        "presence: configured",
        "presented at: vm.xml:31:5 (domain/devices/interface[1])",
        "code: 0.29 MiB",
        "does not close it: guest, mitigation:ia32-emulation-off: the kernel does not handle int 0x80; "
        "it stops only a part",
        "advice: build the guest's kernel without E1000E",
    ]


def test_a_waiver_is_named_in_the_output() -> None:
    output = cases(SAMPLE)["hostproof.C13:ivshmem/T3"].find("system-out")

    assert output is not None
    assert "until 2027-01-01" in str(output.text)


def test_totals_add_up() -> None:
    root = fromstring(render(SAMPLE))

    assert (root.get("tests"), root.get("failures"), root.get("skipped"), root.get("errors")) == ("15", "4", "3", "0")
    for key in ("tests", "failures", "skipped"):
        assert int(str(root.get(key))) == sum(int(str(suite.get(key))) for suite in root)


def test_the_same_ledger_gives_the_same_bytes() -> None:
    assert render(ledgers.sample()) == render(ledgers.sample())


def test_characters_that_xml_forbids_are_shown_as_escapes() -> None:
    text = render(replace(SAMPLE, rows=[ledgers.row(reason="\x00\x1b\ufffe\ud800<]]>&\u202e")])).decode()

    assert r"\x00\x1b\ufffe\ud800&lt;]]&gt;&amp;\u202e" in text


def test_a_hostile_ledger_is_still_xml() -> None:
    assert len(cases(ledgers.hostile())) == len(ledgers.hostile().rows) + 1


@settings(max_examples=60, deadline=None)
@given(ledgers.arbitrary)
def test_any_ledger_is_xml_with_a_case_per_row(ledger: Ledger) -> None:
    root = fromstring(render(ledger))

    assert len(list(root.iter("testcase"))) == len(ledger.rows) + len(ledger.objectives)
