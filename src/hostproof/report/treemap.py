"""Rectangles whose areas are proportional to weights: a squarified treemap

SOURCE: M. Bruls, K. Huizing, J. J. van Wijk, "Squarified Treemaps", 2000: rows are filled along the shorter side as long as
that brings the worst aspect ratio of the row nearer to one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Box", "squarified"]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle: left, top, width and height, in the units of the area that was divided."""

    x: float
    y: float
    width: float
    height: float


def squarified(weights: Sequence[float], area: Box) -> list[Box]:
    """One box per weight, in their order; together they fill `area`. Weights are positive and fall.

    Raises ValueError where they do not.
    """
    if not all(weight > 0 for weight in weights) or list(weights) != sorted(weights, reverse=True):
        raise ValueError("weights must be positive and fall")
    scale = area.width * area.height / sum(weights) if weights else 0.0
    sizes = [weight * scale for weight in weights]
    boxes: list[Box] = []
    rest, first = area, 0
    while first < len(sizes):
        side = min(rest.width, rest.height)
        last = first + 1
        total = smallest = largest = sizes[first]
        while last < len(sizes):
            longer = total + sizes[last]
            if _worst(largest, sizes[last], longer, side) > _worst(largest, smallest, total, side):
                break
            total, smallest = longer, sizes[last]
            last += 1
        row, rest = _row(sizes[first:last], total, rest)
        boxes += row
        first = last
    return boxes


def _worst(largest: float, smallest: float, total: float, side: float) -> float:
    """The worst aspect ratio of a row of this total along `side`."""
    square = side * side
    return max(square * largest / (total * total), total * total / (square * smallest)) if square else float("inf")


def _row(sizes: Sequence[float], total: float, area: Box) -> tuple[list[Box], Box]:
    """The row along the shorter side of `area`, and what is left."""
    boxes = []
    if area.width >= area.height:
        thick = total / area.height if area.height else 0.0
        y = area.y
        for size in sizes:
            height = size / thick if thick else 0.0
            boxes.append(Box(area.x, y, thick, height))
            y += height
        return boxes, Box(area.x + thick, area.y, max(area.width - thick, 0.0), area.height)
    thick = total / area.width if area.width else 0.0
    x = area.x
    for size in sizes:
        width = size / thick if thick else 0.0
        boxes.append(Box(x, area.y, width, thick))
        x += width
    return boxes, Box(area.x, area.y + thick, area.width, max(area.height - thick, 0.0))
