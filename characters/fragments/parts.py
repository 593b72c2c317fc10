"""What every partial about characters is made of: pictures and scores."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from assets.models import Asset
from characters.models import Character, Variation
from collaboration.bands import Bands
from collaboration.verbs import Verb

Audience = Collection[Verb]


def picture(asset: Asset | None, *, alt: str = "", size: int = 640, sizes: str = "") -> dict[str, Any] | None:
    """Context of components/picture.html; None for no picture and for an erased one."""
    if asset is None or asset.erased_at is not None:
        return None
    return {
        "url": asset.url(size),
        "width": asset.width,
        "height": asset.height,
        "placeholder": asset.placeholder,
        "srcset": asset.srcset if sizes else "",
        "sizes": sizes,
        "alt": alt,
    }


def one_in(rate: float) -> str:
    """A false-match rate in words: `about 1 in 1,000`."""
    if rate >= 0.4:
        return "about every second"
    n = 1 / max(rate, 1e-9)
    step = 10 ** max(0, math.floor(math.log10(n)))
    return f"about 1 in {round(n / step) * step:,.0f}"


def against_in_words(against: dict[str, Any]) -> str:
    count = against.get("references", 0)
    noun = "reference" if count == 1 else "references"
    return f"{count} held-out {noun}" if against.get("held_out") else f"all {count} {noun}, as none are held out yet"


def score(variation: Variation, bands: Bands) -> dict[str, Any]:
    """Context of components/score.html and score_large.html."""
    against = variation.measured_against
    if variation.score is None:
        return {"value": None, "reason": variation.no_score_reason, "facts": []}
    rate = against.get("false_match_rate")
    strangers = f"{one_in(rate)} strangers would match as well" if rate else ""
    facts = [
        {"name": "Cosine", "value": f"{variation.cosine:.3f}" if variation.cosine is not None else "–"},
        {"name": "Measured against", "value": against_in_words(against)},
        {"name": "False-match rate", "value": f"{rate:.2g}" if rate else "–"},
        {
            "name": "Encoder",
            "value": f"{against.get('encoder')} of {against.get('pack')} {against.get('pack_version')}",
        },
    ]
    return {
        "value": variation.score,
        "band": bands.of(variation.score),
        "detail": f"cosine {variation.cosine:.2f} against {against_in_words(against)}; {strangers}",
        "sentence": strangers[:1].upper() + strangers[1:],
        "facts": facts,
    }


def median_score(character: Character, bands: Bands) -> dict[str, Any] | None:
    if character.score is None:
        return None
    return {
        "value": character.score,
        "band": bands.of(character.score),
        "detail": "median of the latest batch",
    }
