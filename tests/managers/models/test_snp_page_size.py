"""Pages of 4 KiB and 2 MiB of an SEV-SNP guest: splitting and joining entries opens nothing to a careful guest."""

from __future__ import annotations

import pytest

from hostproof.managers.engine.search import Limits
from hostproof.managers.engine.vacuity import mutants, silent
from hostproof.managers.engine.verdict import decide_all
from hostproof.managers.models import snp_page_size
from tests.managers.engine.agreement import Agreement

MODEL = snp_page_size.model()
SIZES = snp_page_size.SIZES
LIMITS = Limits(30_000, 20)
OBJECTIVES = ["M3.size", "M4.size", "M5.size", "M6.size"]


def lengths(without: tuple[str, ...] = (), pages: int = 2, objectives: list[str] = OBJECTIVES) -> dict:
    model = MODEL if pages == 2 else snp_page_size.model(pages)
    found = decide_all(model, objectives, None, without, SIZES, LIMITS)
    return {name: len(verdict.trace) if verdict.trace else verdict.result for name, verdict in found.items()}


@pytest.mark.parametrize("pages", [2, 3])
def test_a_careful_guest_keeps_its_memory_whatever_the_sizes(pages: int) -> None:
    assert lengths(pages=pages) == dict.fromkeys(OBJECTIVES, "proved")


@pytest.mark.parametrize(
    ("duty", "replay", "alias", "garble"),
    [
        ("validate_once", 7, 7, 6),
        ("not_validated_is_fatal", 7, 7, 6),
        ("carry_is_attack", 8, 9, 7),
    ],
)
def test_each_dropped_duty_opens_what_was_measured(duty: str, replay: int, alias: int, garble: int) -> None:
    expected = {"M3.size": "proved", "M4.size": replay, "M5.size": alias, "M6.size": garble}

    assert lengths((duty,)) == expected


@pytest.mark.slow
@pytest.mark.parametrize(("duty", "garble"), [("validate_once", 6), ("not_validated_is_fatal", 6)])
def test_a_third_page_of_a_region_changes_no_trace(duty: str, garble: int) -> None:
    assert lengths((duty,), 3, ["M6.size"]) == {"M6.size": garble}


def test_the_model_means_the_same_in_both_meanings() -> None:
    agreement = Agreement(MODEL, {"Region": 2, "GuestRegion": 2})

    assert [agreement.disagreement(seed) for seed in range(6)] == [""] * 6


def test_every_assumption_is_named_by_an_objective() -> None:
    named = {name for clause in MODEL.objectives for name in clause.assumptions}

    assert named == {assumption.id for assumption in MODEL.assumptions}


def test_the_model_is_alive() -> None:
    assert silent(MODEL, SIZES, LIMITS) == []


@pytest.mark.slow
def test_no_guard_survives_without_a_reason() -> None:
    found = {mutant.guard: mutant for mutant in mutants(MODEL, SIZES, Limits(20_000, 8))}

    assert [guard for guard, mutant in found.items() if mutant.survives] == []
    for guard in ("RMPUPDATE 4K.overlap", "PSMASH.large", "PVALIDATE 4K.size", "PVALIDATE 2M.size", "guest read.size"):
        assert "M6.size" in found[guard].broken
