"""The answers of `prove` as a person reads them: golden text for a toy, and pictures that no name can break out of."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from tests.managers.toys import toy_stored

from hostproof.errors import UsageError
from hostproof.managers import records
from hostproof.report import prove_terminal, trace_mermaid, trace_story, trace_svg
from hostproof.report.prove_terminal import Told

GOLDEN = Path(__file__).with_name("golden")


def told() -> list[Told]:
    stored = toy_stored()
    return [Told("toy", stored, stored.verdicts[:1]), Told("bad", stored, stored.verdicts[1:])]


def golden(name: str, text: str) -> None:
    assert (GOLDEN / name).read_text() == text


def test_the_matrix_of_two_technologies() -> None:
    golden("prove_matrix.txt", prove_terminal.to_text(told(), width=80))


def test_one_technology_with_invariants() -> None:
    golden("prove_toy.txt", prove_terminal.to_text(told()[:1], width=80, verbose=True))


def test_the_trace_as_a_story() -> None:
    golden("prove_story.txt", prove_terminal.to_text(told()[1:], width=80, trace=True))


def test_the_trace_as_a_sequence_diagram() -> None:
    golden("prove_trace.mermaid", trace_mermaid.render(toy_stored(), toy_stored().verdicts[1]))


def test_one_verdict_with_everything_behind_it() -> None:
    text = prove_terminal.verdict_text(toy_stored(), toy_stored().verdicts[1], width=80)

    assert "broken in 4 steps" in text
    assert "4  guest: accept(s=s1, g=g0)" in text


def test_the_picture_has_a_panel_per_state_and_no_script() -> None:
    picture = trace_svg.render(toy_stored(), toy_stored().verdicts[1])
    texts = [element.text or "" for element in ET.fromstring(picture).iter() if element.tag.endswith("}text")]

    assert [text for text in texts if text[:2] in ("0.", "1.", "2.", "3.", "4.")] == [
        "0. at the start",
        "1. host: give(s=s0, g=g0)",
        "2. host: give(s=s1, g=g0)",
        "3. guest: accept(s=s0, g=g0)",
        "4. guest: accept(s=s1, g=g0)",
    ]
    assert "script" not in picture


@pytest.mark.parametrize("render", [trace_svg.render, trace_mermaid.render])
def test_a_proof_has_no_picture(render: object) -> None:
    with pytest.raises(UsageError, match="has no trace"):
        render(toy_stored(), toy_stored().verdicts[0])  # type: ignore[operator]


def hostile() -> tuple[records.Stored, records.Verdict]:
    """A trace whose names are markup, escapes and statements."""
    bad = '"><script>alert(1)</script>;end\x1b[2J\u202e'
    step = {"operation": bad, "caller": "host", "arguments": {bad: bad}, "guards": [], "changes": [
        {"cell": f"{bad}[s0]", "before": bad, "after": bad}]}  # fmt: skip
    trace = {"sizes": {bad: 1}, "start": {f"{bad}[s0]": bad}, "steps": [step]}
    stored = toy_stored()
    verdict = replace(stored.verdicts[1], trace=msgspec.Raw(msgspec.json.encode(trace)), sentence=bad)
    return replace(stored, model=replace(stored.model, title=bad)), verdict


def test_names_of_a_hostile_trace_stay_text() -> None:
    stored, verdict = hostile()
    picture, diagram = trace_svg.render(stored, verdict), trace_mermaid.render(stored, verdict)
    story = trace_story.to_text(stored, verdict)

    assert {element.tag.rpartition("}")[2] for element in ET.fromstring(picture).iter()} <= {
        "svg", "title", "rect", "text", "path", "circle"
    }  # fmt: skip
    assert "<script" not in diagram
    assert ";" not in re.sub(r"#\d+;", "", diagram)
    for text in (picture, diagram, story):
        assert "\x1b" not in text
        assert "\u202e" not in text


def test_every_stored_trace_has_a_story_and_both_pictures() -> None:
    for stored in records.library().by_model.values():
        for verdict in stored.default.values():
            if verdict.result == "trace":
                assert f"{verdict.steps + 1}  so it" in trace_story.to_text(stored, verdict)
                assert trace_mermaid.render(stored, verdict).count("->>") == verdict.steps
                ET.fromstring(trace_svg.render(stored, verdict))
