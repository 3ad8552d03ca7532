"""The diagram: one edge per channel, the colours, and labels that stay labels."""

from __future__ import annotations

import re

import ledgers
from hypothesis import given, settings
from msgspec.structs import replace

from hostproof.ledger.model import ChannelSummary, Ledger
from hostproof.report.mermaid import MAX_EDGES, render

SAMPLE = ledgers.sample()
LABEL = r'"(?:[A-Za-z0-9 ,.:/+_-]|#\d+;)*"'
LINES = [
    r"flowchart LR",
    rf"    (?:host|guest)\[{LABEL}\]",
    rf"    host -- {LABEL} --> guest",
    rf"    guest -\. {LABEL} \.-> host",
    r"    linkStyle \d+(?:,\d+)* stroke:#[0-9a-f]{6}(?:,stroke-[a-z]+:\w+)*",
    r"    %% \d+ channels are left out",
]


def check(text: str) -> None:
    """Every line is one of ours, and every style belongs to an edge."""
    for line in text.splitlines():
        assert any(re.fullmatch(pattern, line) for pattern in LINES), line
    edges = len(re.findall(r"^    (?:host --|guest -\.) ", text, re.MULTILINE))
    styled = [int(number) for line in re.findall(r"linkStyle ([\d,]+)", text) for number in line.split(",")]
    assert sorted(styled) == list(range(edges))


def test_every_channel_is_an_edge_with_its_worst_status_and_open_ones_come_first() -> None:
    lines = render(SAMPLE).splitlines()

    assert lines[1:4] == [
        '    host["host: controls 41 of 47 channels"]',
        '    guest["guest: web-1, sev-es"]',
        '    host -- "C13 PCI drivers: 3 open" --> guest',
    ]
    assert lines[4] == '    host -- "C21 Interrupt vectors: 2 unknown" --> guest'
    assert "    linkStyle 0 stroke:#c62828,stroke-width:3px" in lines
    check(render(SAMPLE))


def test_channels_that_do_not_exist_are_left_out_and_observation_runs_to_the_host() -> None:
    channels = [
        ChannelSummary("C40", "Ciphertext", ["O"], True, True, "it exists"),
        ChannelSummary("C41", "VMBus", ["S"], False, False, "no such bus"),
    ]
    text = render(replace(SAMPLE, channels=channels, rows=[]))

    assert '    guest -. "C40 Ciphertext: no row" .-> host' in text
    assert "C41" not in text


def test_labels_are_quoted() -> None:
    channel = ChannelSummary("C01", 'x"] --> guest; click host "javascript:alert(1)"', ["R"], True, True, "it exists")
    text = render(replace(SAMPLE, channels=[channel], rows=[]))

    assert (
        '    host -- "C01 x#34;#93; --#62; guest#59; click host #34;javascript:alert#40;1#41;#34;: no row" --> guest'
        in text
    )


def test_more_edges_than_mermaid_draws_are_left_out_and_counted() -> None:
    channels = [ChannelSummary(f"C{number}", "x", ["R"], True, True, "it exists") for number in range(MAX_EDGES + 7)]
    text = render(replace(SAMPLE, channels=channels))

    assert "    %% 7 channels are left out" in text
    check(text)


def test_a_hostile_ledger_is_still_a_diagram() -> None:
    check(render(ledgers.hostile()))


@settings(max_examples=60, deadline=None)
@given(ledgers.arbitrary)
def test_any_ledger_is_a_diagram(ledger: Ledger) -> None:
    check(render(ledger))
