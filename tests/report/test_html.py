"""The page: complete, small, self-contained, and nothing in a ledger becomes markup."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from urllib.parse import unquote

import ledgers
import pytest
from hypothesis import given, settings
from msgspec.structs import replace
from pages import Page

from hostproof.knowledge.terms import Status
from hostproof.ledger.model import Ledger
from hostproof.report.html import anchor, render
from hostproof.report.words import visible

SAMPLE = ledgers.sample()


def words(text: str) -> str:
    return " ".join(visible(text).split())


def check(ledger: Ledger) -> Page:
    """What holds for every page."""
    page = Page(render(ledger))
    tags = [tag for tag, _ in page.elements]
    ids = page.attributes("id")
    assert tags.count("script") == 1
    assert tags.count("style") == 1
    assert not {"img", "iframe", "link", "object", "embed", "form", "base", "font", "b"} & set(tags)
    for _, attributes in page.elements:
        assert not [
            name for name in attributes if name.startswith("on") or name in ("src", "style", "srcset", "action")
        ]
    assert all(href.startswith("#") for href in page.attributes("href"))
    assert all(id_ and not re.search(r"[^A-Za-z0-9/_.~%-]", id_) for id_ in ids if id_)
    assert all(character == "\n" or character.isprintable() for text in page.texts for character in text)
    for row in ledger.rows:
        assert words(row.reason) in page.text
    return page


def test_the_head_of_the_page_says_what_the_terminal_says() -> None:
    text = check(SAMPLE).text

    assert words(SAMPLE.headline.confidential) in text
    assert SAMPLE.headline.drivers in text
    assert "the host controls 41 of 47 channels that exist here (53 known)" in text
    assert "objective O1 is not met (private memory and registers): the technology has no memory integrity" in text
    assert "warning: the launch policy allows debugging (bit 0 is clear)" in text


def test_every_row_has_an_anchor_made_of_its_id_and_every_anchor_is_one() -> None:
    page = check(SAMPLE)
    ids = page.attributes("id")

    assert {row.id for row in SAMPLE.rows} <= set(ids)
    assert len(ids) == len(set(ids))
    assert {href[1:] for href in page.attributes("href")} <= set(ids)


def test_the_policy_allows_our_style_and_script_and_nothing_else() -> None:
    page = check(SAMPLE)
    (policy,) = [str(one["content"]) for _, one in page.elements if one.get("http-equiv") == "Content-Security-Policy"]
    digests = {tag: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for tag, text in page.raw.items()}

    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digests['style']}'; script-src 'sha256-{digests['script']}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_nothing_is_loaded_from_anywhere() -> None:
    text = render(SAMPLE)

    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text
    assert "@import" not in text


def test_facts_evidence_places_attacks_options_waivers_and_inputs_are_all_there() -> None:
    text = check(SAMPLE).text

    for expected in (
        "presented at vm.xml:31:5 (domain/devices/interface[1])",
        "config.IA32_EMULATION = n kernel.deb!boot/config-6.1:412",
        "does not decide: the kernel does not handle int 0x80 (it stops only a part)",
        "rests on C03/cmdline/T1",
        "rests on C99/none/T1, which is no row of this ledger",
        "missing: config.IA32_EMULATION; what would tell",
        "2 rows --kernel config.IA32_EMULATION",
        "advice: build the guest's kernel without E1000E",
        "CacheWarp USENIX Security 2024; CVE-2023-20592",
        "side_channels=out (chosen) Do side channels count?",
        "C13/gone/* (0 rows) nobody 2025-01-01 old",
        "cd" * 32,
        "feature.memory_integrity = false",
        "note: the machine type was taken from the default",
    ):
        assert expected in text


def test_channels_with_open_rows_are_unfolded_and_a_very_long_one_is_not() -> None:
    def unfolded(ledger: Ledger) -> list[str]:
        return [
            str(one["id"]) for tag, one in check(ledger).elements if tag == "details" and "open" in one and "id" in one
        ]

    assert unfolded(SAMPLE) == ["C13"]
    assert unfolded(ledgers.large(300)) == []


def test_the_filter_is_hidden_until_the_script_runs() -> None:
    (bar,) = [one for _, one in check(SAMPLE).elements if "data-filter" in one]

    assert "hidden" in bar


def test_evidence_of_several_rows_stands_once() -> None:
    text = render(ledgers.large(100))

    assert text.count("authorised devices only") == 1
    assert text.count('href="#evidence-1"') == 100


def test_three_thousand_rows_stay_below_three_megabytes_and_take_no_time() -> None:
    ledger = ledgers.large(3000)
    start = time.perf_counter()
    page = render(ledger)
    seconds = time.perf_counter() - start

    assert len(page.encode()) < 3_000_000
    assert seconds < 5


@pytest.mark.parametrize("text", ledgers.HOSTILE)
def test_an_anchor_is_safe_and_stands_for_one_name(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9/_.~%-]+", anchor(text))
    assert unquote(anchor(text)) == visible(text)


def test_a_plain_row_id_is_its_own_anchor() -> None:
    assert anchor("C13/virtio-net_1.0/T3") == "C13/virtio-net_1.0/T3"


def test_a_hostile_ledger_becomes_text() -> None:
    page = check(ledgers.hostile())

    assert words(ledgers.SCRIPT) in page.text
    assert "alert(1)" not in page.raw["script"]


@settings(max_examples=60, deadline=None)
@given(ledgers.arbitrary)
def test_any_ledger_is_a_page(ledger: Ledger) -> None:
    check(ledger)


def test_lone_surrogates_are_shown_and_do_not_stop_the_page() -> None:
    row = ledgers.row("C13", "\ud800", status=Status.OPEN, evidence=[ledgers.evidence(mechanism="\udfff")])

    assert r"\ud800" in check(replace(SAMPLE, rows=[row])).text


def test_the_same_ledger_gives_the_same_page() -> None:
    assert render(ledgers.sample()) == render(ledgers.sample())
