"""Curves of what was measured, as points of an SVG; the words at their ends stand in HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 100.0, 30.0
MOST_POINTS = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Points in a box of 100 x 30, y downwards."""

    points: str
    """Smoothed: an exponential moving average without bias towards the start."""
    raw: str
    marks: tuple[float, ...]
    """x of what is marked below the curve."""
    ticks: tuple[tuple[str, float], ...]
    """(words, share of the height from the top, 0-1), from high to low."""
    first: float
    last: float
    lowest: float
    until: int
    """Step at the right edge."""


def curve(
    series: Sequence[Sequence[float]],
    *,
    until: int = 0,
    marks: Sequence[int] = (),
    low: float | None = None,
    high: float | None = None,
    smooth: bool = True,
) -> Curve | None:
    """Draw [[step, value], ...]; None for fewer than two points.

    `until`: the step at the right edge, 0 for the last one. `low`, `high`: the ends of the scale; None fits them to the
    values.
    """
    pairs = [(float(s), float(v)) for s, v in series]
    if len(pairs) < 2:
        return None
    until = max(until, int(pairs[-1][0]), 1)
    average = _averages([v for _, v in pairs]) if smooth else [v for _, v in pairs]
    ordered = sorted(v for _, v in pairs)
    spare = len(ordered) // 50  # single spikes must not flatten everything else
    bottom = min(ordered[spare], *average) if low is None else low
    top = max(ordered[-1 - spare], *average) if high is None else high
    if top - bottom < 1e-9:
        bottom, top = bottom - 0.5, top + 0.5

    def place(step: float, value: float) -> str:
        y = HEIGHT * (1 - (min(max(value, bottom), top) - bottom) / (top - bottom))
        return f"{WIDTH * step / until:.2f},{y:.2f}"

    kept = _thinned(len(pairs))
    return Curve(
        points=" ".join(place(pairs[k][0], average[k]) for k in kept),
        raw=" ".join(place(*pairs[k]) for k in kept) if smooth else "",
        marks=tuple(round(WIDTH * m / until, 2) for m in marks),
        ticks=tuple((_figure(top - share * (top - bottom)), share) for share in (0.0, 0.5, 1.0)),
        first=average[0],
        last=average[-1],
        lowest=min(average),
        until=until,
    )


def _averages(values: Sequence[float]) -> list[float]:
    """Exponential moving average over about a tenth of the values, divided by the weight seen so far (Kingma and Ba
    2015, section 3)."""
    keep = 1 - 2 / (max(len(values) / 10, 1) + 1)
    total = weight = 0.0
    averages = []
    for value in values:
        total = keep * total + (1 - keep) * value
        weight = keep * weight + (1 - keep)
        averages.append(total / weight)
    return averages


def _thinned(count: int) -> list[int]:
    if count <= MOST_POINTS:
        return list(range(count))
    return sorted({round(k * (count - 1) / (MOST_POINTS - 1)) for k in range(MOST_POINTS)})


def _figure(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 10 else f"{value:.3g}"
