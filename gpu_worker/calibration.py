"""From the cosine of two face embeddings to figures a person can read.

An encoder's cosines mean nothing by themselves: what counts is how often two *different* people reach one. That is
measured once per pack on impostor pairs and kept as `impostor_quantiles`, pairs (false-match rate, cosine): a share
`rate` of the pairs of different people has a cosine of at least `cosine`. Rates fall and cosines rise strictly along
the list.

This module imports nothing but the standard library: both halves of `gpu_worker` use it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

Quantiles = Sequence[tuple[float, float]]

EXCELLENT: Final = 85.0
"""The score of a cosine that one pair of different people in a thousand reaches."""
GOOD: Final = 70.0
"""One in a hundred. Where a studio draws its own lines on this scale: `collaboration.bands`."""


class CalibrationError(ValueError):
    """The quantiles cannot be used. The text says why."""


def check(quantiles: Quantiles) -> None:
    """Raise CalibrationError unless rates are in (0, 1] and fall strictly, cosines in [-1, 1) and rise strictly, and
    the list reaches from the impostor median (0.5 or above) to a rate of 1e-3 or below."""
    rates, cosines = [float(r) for r, _ in quantiles], [float(c) for _, c in quantiles]
    if len(rates) < 2:
        raise CalibrationError("A calibration needs at least two quantiles.")
    if not all(math.isfinite(x) for x in rates + cosines):
        raise CalibrationError("A calibration holds a number that is not finite.")
    if any(b >= a for a, b in pairwise(rates)) or not (rates[-1] > 0 and rates[0] <= 1):
        raise CalibrationError("The false-match rates of a calibration must fall strictly and lie in (0, 1].")
    if any(b <= a for a, b in pairwise(cosines)) or not (cosines[0] >= -1 and cosines[-1] < 1):
        raise CalibrationError("The cosines of a calibration must rise strictly and lie in [-1, 1).")
    if rates[0] < 0.5 or rates[-1] > 1e-3:
        raise CalibrationError("A calibration must reach from the impostor median (rate 0.5) to a rate of 0.001.")


def false_match_rate(cosine: float, quantiles: Quantiles) -> float:
    """Share of pairs of different people that reach `cosine`: linear in log10(rate) between the measured quantiles,
    held at the first and last of them outside (a rarer match than was measured is not claimed). Raises
    CalibrationError."""
    check(quantiles)
    cosines = [float(c) for _, c in quantiles]
    logs = [math.log10(r) for r, _ in quantiles]
    if cosine <= cosines[0]:
        return float(quantiles[0][0])
    if cosine >= cosines[-1]:
        return float(quantiles[-1][0])
    return float(10 ** _between(cosine, cosines, logs))


def threshold(rate: float, quantiles: Quantiles) -> float:
    """The cosine that a share `rate` of the pairs of different people reaches; the inverse of `false_match_rate`."""
    check(quantiles)
    logs = [-math.log10(r) for r, _ in quantiles]
    wanted = -math.log10(rate)
    if not logs[0] <= wanted <= logs[-1]:
        raise CalibrationError(f"The calibration does not reach a false-match rate of {rate:g}.")
    return _between(wanted, logs, [float(c) for _, c in quantiles])


def score(cosine: float, quantiles: Quantiles) -> float:
    """Identity score, 0-100, never falling as `cosine` rises.

    Piecewise linear through four points: 0 at the impostor median (and below it), 70 where one pair of strangers in a
    hundred would match, 85 where one in a thousand would, 100 at cosine 1. Raises CalibrationError.
    """
    if math.isnan(cosine):
        raise CalibrationError("The cosine is not a number.")
    points = _scale(quantiles)
    if cosine <= points[0][0]:
        return 0.0
    if cosine >= 1.0:
        return 100.0
    return _between(cosine, [x for x, _ in points], [y for _, y in points])


def _scale(quantiles: Quantiles) -> list[tuple[float, float]]:
    """(cosine, score), both rising."""
    return [
        (threshold(0.5, quantiles), 0.0),
        (threshold(1e-2, quantiles), GOOD),
        (threshold(1e-3, quantiles), EXCELLENT),
        (1.0, 100.0),
    ]


def cosine_of(value: float, quantiles: Quantiles) -> float:
    """The cosine from which on a score reaches `value` (0-100); the inverse of `score`. Raises CalibrationError."""
    if not 0 <= value <= 100:
        raise CalibrationError("A score lies between 0 and 100.")
    points = _scale(quantiles)
    return _between(value, [y for _, y in points], [x for x, _ in points])


def _between(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """Linear interpolation; `xs` rise strictly and hold `x` between the first and the last."""
    k = min(max(bisect_right(xs, x), 1), len(xs) - 1)
    share = (x - xs[k - 1]) / (xs[k] - xs[k - 1])
    return ys[k - 1] + (ys[k] - ys[k - 1]) * share
