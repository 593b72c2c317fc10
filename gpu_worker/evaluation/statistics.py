"""Rates with intervals, where pictures of one person are not independent of each other.

Intervals are 95 % percentile intervals of the bootstrap (Efron and Tibshirani 1993) over *people*: a person is drawn
with all their pictures, because two pictures of one person say less than one picture of each of two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]

RESAMPLES: Final = 2000
CONFIDENCE: Final = (2.5, 97.5)
"""Percentiles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean with its interval; None where nothing was measured."""

    value: float | None
    low: float | None = None
    high: float | None = None
    of: int = 0
    """How many observations it is the mean of."""
    people: int = 0

    def as_json(self) -> dict[str, Any]:
        return {k: round(v, 5) if isinstance(v, float) else v for k, v in asdict(self).items()}


NOTHING: Final = Estimate(value=None)


def mean(groups: Sequence[Sequence[float]], *, seed: int = 0) -> Estimate:
    """The mean of all observations; `groups`: those of each person. People without any do not count."""
    kept = [group for group in groups if len(group)]
    if not kept:
        return NOTHING
    sums = np.array([math.fsum(group) for group in kept])
    counts = np.array([len(group) for group in kept], float)
    weights = _weights(len(kept), seed)
    value = float(sums.sum() / counts.sum())
    low, high = np.percentile((weights @ sums) / (weights @ counts), CONFIDENCE)
    # Where all say the same, every resample does too, as if three people proved what three hundred do: the exact bound
    # (Clopper and Pearson 1934) with one observation a person.
    unseen = 1 - (CONFIDENCE[0] / 100) ** (1 / len(kept))
    if value == 1:
        low = 1 - unseen
    if value == 0:
        high = unseen
    return Estimate(
        value=value,
        low=float(low),
        high=float(high),
        of=int(counts.sum()),
        people=len(kept),
    )


def pair_rate(hits: Reals, pairs: Reals, *, same_people: bool, seed: int = 0) -> Estimate:
    """The share of pairs that are hits. `hits`, `pairs` [A, B]: how many there are between person a and person b.

    Rows and columns are drawn apart, or together where both are the same people (`same_people`): a pair belongs to two
    people, and both were drawn by chance (Bolle, Ratha and Pankanti 2004, "Error analysis of pattern recognition
    systems - the subsets bootstrap").
    """
    if not pairs.sum():
        return NOTHING
    rows = _weights(hits.shape[0], seed)
    columns = rows if same_people else _weights(hits.shape[1], seed + 1)
    found, drawn = ((rows @ hits) * columns).sum(1), ((rows @ pairs) * columns).sum(1)
    low, high = np.percentile(found[drawn > 0] / drawn[drawn > 0], CONFIDENCE)
    return Estimate(
        value=float(hits.sum() / pairs.sum()),
        low=float(low),
        high=float(high),
        of=int(pairs.sum() / (2 if same_people else 1)),
        people=hits.shape[0],
    )


def _weights(people: int, seed: int) -> Reals:
    """[RESAMPLES, people]: how often each person is drawn."""
    rng = np.random.default_rng((people, seed))
    return rng.multinomial(people, np.full(people, 1 / people), RESAMPLES).astype(float)


# ------------------------------------------------------------------------------------------------- verification
def threshold_at(rate: float, impostors: Reals) -> float:
    """The lowest cosine that at most a share `rate` of the impostor pairs reaches."""
    allowed = math.floor(rate * len(impostors))
    ordered = np.sort(impostors)[::-1]
    return float(np.nextafter(ordered[min(allowed, len(ordered) - 1)], np.inf))


def roc(genuine: Reals, impostors: Reals, points: int = 120) -> list[tuple[float, float]]:
    """(false-match rate, true-match rate) at false-match rates spread evenly in their logarithm, from the rarest that
    the impostor pairs can show to 1."""
    ordered, true = np.sort(impostors)[::-1], np.sort(genuine)
    ranks = np.unique(np.geomspace(1, len(ordered), points).round().astype(int))
    return [(float(k / len(ordered)), float((true >= ordered[k - 1]).mean())) for k in ranks]


def equal_error_rate(genuine: Reals, impostors: Reals) -> float:
    """Where as many pairs of one person are refused as pairs of two are accepted."""
    thresholds = np.unique(np.concatenate([genuine, impostors]))
    refused = np.searchsorted(np.sort(genuine), thresholds, side="left") / len(genuine)
    accepted = 1 - np.searchsorted(np.sort(impostors), thresholds, side="left") / len(impostors)
    k = int(np.abs(refused - accepted).argmin())
    return float((refused[k] + accepted[k]) / 2)


EXPECTED: Final = 10
"""So many false matches must be expected before a stated rate can be told true from false."""


def within_a_factor(estimate: Estimate, stated: float, factor: float = 2.0) -> bool | None:
    """Whether the measured rate is within a factor of the stated one. None where that cannot be told: too few pairs, or
    a rate outside whose interval reaches inside."""
    if estimate.value is None or estimate.low is None or estimate.high is None or estimate.of * stated < EXPECTED:
        return None
    least, most = stated / factor, stated * factor
    if least <= estimate.value <= most:
        return True
    return None if estimate.low <= most and estimate.high >= least else False
