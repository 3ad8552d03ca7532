"""One row with everything that is known about it."""

from __future__ import annotations

import ledgers
from msgspec.structs import replace

from hostproof.knowledge.terms import Checked, Status
from hostproof.ledger.model import FactSeen, MissingFact, PlaceSeen
from hostproof.report.explain import explain_text

SAMPLE = ledgers.sample()
ROWS = {row.id: row for row in SAMPLE.rows}


def words(row_id: str) -> str:
    return " ".join(explain_text(SAMPLE, ROWS[row_id], width=80).split())


def test_it_says_status_reason_and_where_the_device_is_presented() -> None:
    text = words("C13/e1000e/T3")

    assert text.startswith("C13/e1000e/T3: open the host may present it")
    assert "presented at vm.xml:31:5 (domain/devices/interface[1])" in text
    assert "0.29 MiB of executable text" in text
    assert "build the guest's kernel without E1000E" in text


def test_evidence_comes_with_rule_facts_places_sources_and_what_it_rests_on() -> None:
    text = words("C13/e1000e/T3")

    assert "1. guest, does not decide: the kernel does not handle int 0x80" in text
    assert "why not: it stops only a part" in text
    assert "rule: mitigation:ia32-emulation-off (guest)" in text
    assert "config.IA32_EMULATION = n [kernel.deb!boot/config-6.1:412]" in text
    assert "source: LWN-956852" in text
    assert "rests on: C03/cmdline/T1 (attested)" in text
    assert "rests on: C99/none/T1 (not a row of this ledger)" in text


def test_evidence_that_decides_comes_first() -> None:
    weak = ledgers.evidence(decides=False, mechanism="the weak one")
    strong = ledgers.evidence(mechanism="the strong one", checked=Checked.SECONDARY)
    text = explain_text(SAMPLE, ledgers.row(status=Status.REFUSED, evidence=[weak, strong]))

    assert text.index("the strong one") < text.index("the weak one")
    assert "read as: secondary" in text


def test_a_missing_fact_names_the_option_that_supplies_it() -> None:
    assert "config.IA32_EMULATION supplied by --kernel" in words("C21/int80/T4")


def test_facts_that_make_the_row_exist_are_shown_with_their_places() -> None:
    row = ledgers.row(facts=[FactSeen("module.e1000e", "m", PlaceSeen("k.deb", offset=16))], sources=["TM: 4"])
    text = explain_text(SAMPLE, replace(row, missing=[MissingFact("platform.cpu", "")]))

    assert "module.e1000e = m  [k.deb+0x10]" in text
    assert "no option supplies it" in text
    assert "Sources of the row\n  TM: 4" in text
