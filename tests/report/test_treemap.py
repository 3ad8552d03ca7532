"""Boxes of a treemap: proportional, inside, apart; also where there is nothing to divide."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostproof.report.treemap import Box, squarified

AREA = Box(10, 20, 600, 400)
falling = st.lists(st.floats(1, 1e6), min_size=1, max_size=40).map(lambda weights: sorted(weights, reverse=True))


def area(box: Box) -> float:
    return box.width * box.height


def test_the_example_of_the_paper() -> None:
    boxes = squarified([6, 6, 4, 3, 2, 2, 1], Box(0, 0, 6, 4))

    assert [(round(box.width, 2), round(box.height, 2)) for box in boxes[:4]] == [
        (3, 2),
        (3, 2),
        (1.71, 2.33),
        (1.29, 2.33),
    ]


@given(falling)
def test_areas_are_proportional_to_weights(weights: list[float]) -> None:
    boxes = squarified(weights, AREA)

    for weight, box in zip(weights, boxes, strict=True):
        assert math.isclose(area(box), area(AREA) * weight / sum(weights), rel_tol=1e-6, abs_tol=1e-6)


@given(falling)
def test_boxes_are_inside_and_do_not_overlap(weights: list[float]) -> None:
    boxes = squarified(weights, AREA)

    for box in boxes:
        assert box.x >= AREA.x - 1e-6
        assert box.y >= AREA.y - 1e-6
        assert box.x + box.width <= AREA.x + AREA.width + 1e-6
        assert box.y + box.height <= AREA.y + AREA.height + 1e-6
    for one, other in combinations(boxes, 2):
        wide = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
        high = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
        assert wide <= 1e-6 or high <= 1e-6


def test_boxes_of_equal_weights_are_nearly_square() -> None:
    assert all(0.5 <= box.width / box.height <= 2 for box in squarified([1.0] * 24, AREA))


def test_one_weight_fills_everything() -> None:
    (box,) = squarified([7], AREA)

    assert (box.x, box.y) == (AREA.x, AREA.y)
    assert (round(box.width, 6), round(box.height, 6)) == (AREA.width, AREA.height)


def test_no_weight_gives_no_box() -> None:
    assert squarified([], AREA) == []


@pytest.mark.parametrize("flat", [Box(0, 0, 0, 400), Box(0, 0, 600, 0), Box(0, 0, 0, 0)])
def test_an_area_of_nothing_gives_boxes_of_nothing(flat: Box) -> None:
    assert [area(box) for box in squarified([3, 2, 1], flat)] == [0, 0, 0]


@pytest.mark.parametrize("weights", [[1, 2], [1, 0], [-1], [float("nan")]])
def test_weights_that_do_not_fall_or_are_none_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="must be positive and fall"):
        squarified(weights, AREA)


def test_very_unequal_weights_are_divided() -> None:
    boxes = squarified([1e9, *([1.0] * 2000)], AREA)

    assert len(boxes) == 2001
    assert all(math.isfinite(number) for box in boxes for number in (box.x, box.y, box.width, box.height))
