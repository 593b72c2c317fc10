"""Where an annotation is: shapes in shares of an image's width and height, 0-1 from its top left corner.

picture    {}                                    the image as a whole
pin        {x, y}
rectangle  {x, y, w, h}
ellipse    {x, y, w, h}                          the rectangle around it
arrow      {x1, y1, x2, y2}                      from its tail to its head
freehand   {points: [[x, y], ...]}               2-2,000 of them
text       {x, y}                                the left end of the words' base line
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError

PICTURE, PIN, RECTANGLE, ELLIPSE = "picture", "pin", "rectangle", "ellipse"
ARROW, FREEHAND, TEXT = "arrow", "freehand", "text"
FIELDS: dict[str, tuple[str, ...]] = {
    PICTURE: (),
    PIN: ("x", "y"),
    RECTANGLE: ("x", "y", "w", "h"),
    ELLIPSE: ("x", "y", "w", "h"),
    ARROW: ("x1", "y1", "x2", "y2"),
    FREEHAND: ("points",),
    TEXT: ("x", "y"),
}
SHAPES = tuple(FIELDS)
WORDS = {
    PICTURE: "The whole image",
    PIN: "Pin",
    RECTANGLE: "Rectangle",
    ELLIPSE: "Ellipse",
    ARROW: "Arrow",
    FREEHAND: "Freehand",
    TEXT: "Text",
}
MOST_POINTS = 2000
LEAST_SIDE = 0.002
"""Shares: what is smaller was a slip of the hand, and could never be hit again."""
DIGITS = 5
"""Decimals kept: a hundred-thousandth of an image is less than a pixel."""
_ROUNDING = 1e-6


class BadShape(ValidationError):
    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, code="shape")


def checked(shape: str, geometry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the geometry, rounded, if it is one of `shape` and lies on the image. Raises BadShape."""
    if shape not in FIELDS:
        raise BadShape(f"There is no shape {shape[:40]!r}. Choose from {', '.join(SHAPES)}.")
    if not isinstance(geometry, Mapping):
        raise BadShape("The geometry must be an object.")
    wanted = FIELDS[shape]
    if set(geometry) != set(wanted):
        raise BadShape(f"The geometry of a {shape} has {' and '.join(wanted) or 'no fields'}, and nothing else.")
    if shape == FREEHAND:
        return {"points": _points(geometry["points"])}
    values = {name: _share(geometry[name], name) for name in wanted}
    if "w" in values:
        return _box(values)
    if shape == ARROW and math.hypot(values["x2"] - values["x1"], values["y2"] - values["y1"]) < LEAST_SIDE:
        raise BadShape("The arrow has no length. Draw it from one place to another.")
    return values


def _share(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadShape(f"{name} must be a number from 0 to 1.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) or not -_ROUNDING <= number <= 1 + _ROUNDING:
        raise BadShape(f"{name} lies outside the image: it must be from 0 to 1.")
    return min(1.0, max(0.0, round(number, DIGITS)))


def _box(values: dict[str, float]) -> dict[str, float]:
    for side, start, words in (("w", "x", "wide"), ("h", "y", "high")):
        if values[side] < LEAST_SIDE:
            raise BadShape(f"The shape is hardly {words}. Draw it larger, or set a pin.")
        if values[start] + values[side] > 1 + 10**-DIGITS:
            raise BadShape("The shape reaches out of the image: its far corner must be at most 1.")
        values[side] = round(min(values[side], 1 - values[start]), DIGITS)
    return values


def _points(points: Any) -> list[list[float]]:
    if not isinstance(points, list | tuple) or not 2 <= len(points) <= MOST_POINTS:
        raise BadShape(f"A line has 2 to {MOST_POINTS:,} points, each as [x, y].")
    kept: list[list[float]] = []
    for point in points:
        if not isinstance(point, list | tuple) or len(point) != 2:
            raise BadShape("Each point of the line must be [x, y].")
        place = [_share(point[0], "x"), _share(point[1], "y")]
        if not kept or kept[-1] != place:
            kept.append(place)
    if len(kept) < 2:
        raise BadShape("The line has no length. Draw it from one place to another.")
    return kept


def anchor(shape: str, geometry: Mapping[str, Any]) -> tuple[float, float] | None:
    """Where the number of the annotation stands; None for the whole image."""
    match shape:
        case "picture":
            return None
        case "arrow":
            return geometry["x1"], geometry["y1"]
        case "freehand":
            x, y = geometry["points"][0]
            return x, y
        case _:
            return geometry["x"], geometry["y"]


def in_words(shape: str, geometry: Mapping[str, Any]) -> str:
    """`Rectangle, left of the middle`: for who does not see it."""
    if shape == PICTURE:
        return WORDS[PICTURE]
    if shape == FREEHAND:
        xs, ys = zip(*geometry["points"], strict=True)
        x, y = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
    elif shape == ARROW:
        x, y = geometry["x2"], geometry["y2"]
    else:
        x, y = geometry["x"] + geometry.get("w", 0) / 2, geometry["y"] + geometry.get("h", 0) / 2
    across = "left" if x < 1 / 3 else "right" if x > 2 / 3 else ""
    down = "top" if y < 1 / 3 else "bottom" if y > 2 / 3 else ""
    return f"{WORDS[shape]}, {' '.join(filter(None, (down, across))) or 'middle'}"
