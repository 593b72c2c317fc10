"""The calibration page: distributions as pictures, and what each threshold means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from characters.distributions import Distribution, Measured, Share
from characters.flagged import Flags
from characters.fragments.parts import one_in
from collaboration.bands import Bands
from gpu_worker.routing import ENCODER_WORDS

WIDTH, HEIGHT = 480.0, 120.0
SCORES = (50.0, 60.0, 65.0, 70.0, 75.0, 80.0, 85.0, 90.0, 95.0)
FEW = 5
"""False matches, expected or seen, from which on a measured rate says something."""


def distribution(found: Distribution, bands: Bands, flags: Flags) -> dict[str, Any]:
    """Context of characters/_distribution.html."""
    edges, same, impostor = found.histogram()
    top = float(max(same.max(), impostor.max(), 1e-9))

    def x(cosine: float) -> str:
        return f"{WIDTH * float(np.clip((cosine - edges[0]) / (edges[-1] - edges[0]), 0, 1)):.1f}"

    return {
        "title": f"{found.pack.title} {found.pack.version}, {ENCODER_WORDS[found.encoder]}",
        "characters": found.characters,
        "same_count": len(found.same),
        "impostor_count": len(found.impostor),
        "same": _outline(same / top),
        "impostor": _outline(impostor / top),
        "lines": [{"band": name, "x": x(found.cosine_of(getattr(bands, name)))} for name in ("good", "excellent")],
        "lowest": f"{edges[0]:.1f}",
        "middle": f"{(edges[0] + edges[-1]) / 2:.1f}",
        "label": f"Cosines of {len(found.same)} pairs of one character and {len(found.impostor)} pairs of two. "
        f"Good begins at {found.cosine_of(bands.good):.2f}, excellent at {found.cosine_of(bands.excellent):.2f}.",
        "sentence": verdict(found, bands.good),
        "rows": [threshold(found, score, bands, flags) for score in scores(bands)],
    }


def scores(bands: Bands) -> Sequence[float]:
    """The thresholds of the table: round ones, and the two that are looked at."""
    return sorted({*SCORES, bands.good, bands.excellent})


def _outline(shares: NDArray[np.float64]) -> str:
    """Path of a histogram; shares 0-1 of the height."""
    step = WIDTH / len(shares)
    tops = [(k, HEIGHT * (1 - float(share))) for k, share in enumerate(shares)]
    points = " ".join(f"{k * step:.1f},{y:.1f} {(k + 1) * step:.1f},{y:.1f}" for k, y in tops)
    return f"M0,{HEIGHT:g} L{points} L{WIDTH:g},{HEIGHT:g} Z"


def threshold(found: Distribution, score: float, bands: Bands, flags: Flags) -> dict[str, Any]:
    """One row: what a line at `score` lets through and what it flags."""
    strangers, same = found.strangers_at(score), found.same_at(score)
    return {
        "score": f"{score:g}",
        "band": "excellent" if score == bands.excellent else "good" if score == bands.good else "",
        "cosine": f"{found.cosine_of(score):.3f}",
        "stated": _rate(found.stated(score), found.lowest_rate),
        "strangers": percent(strangers),
        "interval": " to ".join(f"{share:.2%}" for share in strangers.interval) if strangers.of else "",
        "same": percent(same),
        "below": flags.below.get(score, 0),
    }


def percent(share: Share) -> str:
    return "–" if share.value is None else _percent(share.value)


def _percent(value: float) -> str:
    return f"{value:.2%}" if 0 < value < 0.1 else f"{value:.0%}"


def _rate(value: float, lowest: float) -> str:
    """A rarer match than the pack has measured is not claimed."""
    return f"at most {_percent(value)}" if value <= lowest else _percent(value)


def verdict(found: Distribution, score: float) -> str:
    """Whether the pack's rate holds in this studio, as far as the pairs tell: within a factor of two."""
    stated, strangers = found.stated(score), found.strangers_at(score)
    low, high = strangers.interval
    measured = f"{percent(strangers)} of {strangers.of:,} pairs"
    said = f"At {score:g} the pack states {one_in(stated)} strangers; here {measured}"
    if strangers.count >= FEW and low > 2 * stated:
        return f"{said} reach it, more than twice as many. Your characters are more alike than most: raise the line."
    if stated * strangers.of < FEW:
        return (
            f"Too few pairs of different characters to check the pack's rate at {score:g}: "
            f"there are {strangers.of:,}, and about {FEW / stated:,.0f} would tell."
        )
    if high < stated / 2:
        return f"{said} reach it, less than half as many. The line may be lower here."
    return f"{said} reach it. The rate holds within a factor of two, as far as they tell."


def sample(measured: Measured) -> str:
    """Says so where not all characters are compared."""
    if measured.sampled < measured.characters:
        return f"A sample: {measured.sampled} of {measured.characters:,} characters, at most six references of each."
    return "All characters, at most six references of each."
