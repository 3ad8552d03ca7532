"""The answer of `what-if` as people read it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace
from rich.cells import cell_len

from hostproof.knowledge.terms import Status
from hostproof.ledger.what_if.model import ChangeSeen, Effect, Left, NotTried, SmallestSet, Suggestion, WhatIf
from hostproof.report.what_if_terminal import to_text

NOHPET = ChangeSeen("nohpet", "cmdline", "boot with nohpet", "-append '... nohpet'")
CHECK = ChangeSeen("check:RTMR2", "verifier", "have the verifier check RTMR2", 'checks = ["RTMR2"]')
NO_PCI = ChangeSeen(
    "CONFIG_PCI=n", "kconfig", "build without PCI", "# CONFIG_PCI is not set", breaks="the disk is on PCI"
)
SAMPLE = WhatIf(
    format="hostproof-what-if/1",
    hostproof="0",
    rule_set="2026.1",
    name="vm",
    technology="tdx",
    use="third-party-server",
    open=7,
    unknown=1,
    suggestions=[
        Suggestion(
            NO_PCI, Effect(3, 1, closed=["C13/a/T3", "C13/b/T3"], gone=["C13/c/T3", "C13/d/T3"], text_bytes=1 << 20)
        ),
        Suggestion(NOHPET, Effect(6, 1, closed=["C20/hpet/T4"], attacks_stopped=["late-timer"]), ["check:RTMR2"]),
        Suggestion(CHECK, Effect(8, 0, opened=["C01/x/T1"], unsettled=["C01/y/T1"])),
    ],
    idle={"board": 6},
    not_tried=[NotTried("module", "all", "no kernel modules were given (--kernel)")],
    together=Effect(2, 0),
    left=[Left("the host observes", Status.OPEN, ["C47/a/T4", "C47/b/T4", "C47/c/T4", "C47/d/T4"])],
    smallest=None,
    assessments=12,
)
SET = SmallestSet(
    targets=["C20/*/*"],
    reached=True,
    before=2,
    changes=[CHECK, NOHPET],
    effect=Effect(5, 1, closed=["C20/hpet/T4", "C20/rtc/T4"]),
    adds=[[], ["C20/hpet/T4", "C20/rtc/T4"]],
    remaining=[],
    at_least=2,
    proven=True,
)  # fmt: skip


def test_the_table_says_what_each_change_closes_opens_and_how() -> None:
    text = to_text(SAMPLE)

    assert "9 changes tried, 12 changed VMs assessed" in text
    assert "   1       4      0  1.00 MiB  build without PCI\n" in text
    assert "breaks: the disk is on PCI" in text
    assert "   2       1      0         -  boot with nohpet [stops late-timer]\n" in text
    assert "how: -append '... nohpet'" in text
    assert "only together with check:RTMR2" in text
    assert "closing nothing, and opening something or taking knowledge away: 1 change (-v)" in text
    assert "making no difference at all: 6 board" in text


def test_what_no_change_closes_is_told_with_its_reason() -> None:
    text = to_text(SAMPLE)

    assert "WHAT NO CHANGE CLOSES: 4 rows" in text
    assert "     4  the host observes: C47/a/T4, C47/b/T4, C47/c/T4 and 1 more" in text
    assert "C47/d/T4" in to_text(SAMPLE, verbose=True)
    assert "module: all: no kernel modules were given (--kernel)" in text


def test_the_set_comes_with_its_proof_and_what_each_change_adds() -> None:
    text = to_text(replace(SAMPLE, smallest=SET))

    assert "TARGET C20/*/*: 2 changes reach it" in text
    assert "proven minimal: yes" in text
    assert "   1  have the verifier check RTMR2 (clears none alone, and the others need it)" in text
    assert "   2  boot with nohpet (clears 2: C20/hpet/T4, C20/rtc/T4)" in text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"proven": False, "at_least": 1}, "proven minimal: no (at least 1 change)"),
        ({"reached": False}, "NOT reached by all changes together; 2 changes get as far"),
        ({"reached": False, "changes": [], "adds": []}, "NOT reached by any change"),
        ({"before": 0, "changes": [], "adds": []}, "TARGET C20/*/*: reached as it is"),
    ],
)
def test_a_set_is_not_called_more_than_it_is(change: dict[str, object], said: str) -> None:
    assert said in to_text(replace(SAMPLE, smallest=replace(SET, **change)))


@pytest.mark.parametrize("width", [40, 80, 120])
def test_lines_fit_and_nothing_escapes(width: int) -> None:
    hostile = replace(
        SAMPLE, name="vm\x1b[2J", suggestions=[Suggestion(replace(NOHPET, how="x\u202e" * 200), Effect(1, 1))]
    )

    for text in (to_text(replace(SAMPLE, smallest=SET), width=width), to_text(hostile, width=width, verbose=True)):
        assert max(cell_len(line) for line in text.splitlines()) <= width
        assert "\x1b" not in text
        assert "\u202e" not in text


def test_only_the_best_are_shown_and_the_rest_counted() -> None:
    text = to_text(SAMPLE, top=1)

    assert "boot with nohpet" not in text
    assert "and 1 change more that close or settle something (--top, -v)" in text
