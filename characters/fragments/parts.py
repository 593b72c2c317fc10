"""What every partial about characters is made of: pictures and scores."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Any

from assets.models import Asset
from characters import profiles
from characters.models import Character, Measurement, Variation
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
    if against.get("generated"):
        return f"{count} generated {'picture' if count == 1 else 'pictures'}, as there are no uploaded references"
    noun = "reference" if count == 1 else "references"
    if against.get("held_out"):
        return f"{count} held-out {noun}"
    match against.get("method"):
        case "leave_one_out":
            return f"{count} {noun}; the nearest of {count + 1} left out, as none are held out yet"
        case "only_one":
            return "the only reference there is"
        case _:
            return f"all {count} {noun}, as none are held out yet"


def verified(score: float | None, bands: Bands) -> bool | None:
    """Whether identity is verified: anything but *needs review*. None where it could not be measured."""
    return None if score is None else bands.of(score) != "review"


def score(variation: Variation | Measurement, bands: Bands) -> dict[str, Any]:
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
        "verified": verified(variation.score, bands),
        "detail": f"cosine {variation.cosine:.2f} against {against_in_words(against)}; {strangers}",
        "sentence": strangers[:1].upper() + strangers[1:],
        "facts": facts,
    }


def colour_bar(colours: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    """(`#rrggbb`, share) pairs as places in a bar 100 wide: {colour, word, share, x, width}."""
    total = sum(share for _, share in colours) or 1.0
    rows, x = [], 0.0
    for colour, share in colours:
        width = 100 * share / total
        word = profiles.colour_word(colour)
        rows.append({"colour": colour, "word": word, "share": f"{share:.0%}", "x": f"{x:.2f}", "width": f"{width:.2f}"})
        x += width
    return rows


def median_score(character: Character, bands: Bands) -> dict[str, Any] | None:
    if character.score is None:
        return None
    return {
        "value": character.score,
        "band": bands.of(character.score),
        "detail": "median of the latest batch",
    }


def marks(variation: Variation) -> list[dict[str, str]]:
    """What a card says beside the score: {icon, words, detail}."""
    found = []
    if (variation.findings.get("copy") or {}).get("is_copy"):
        detail = "Very like one reference in face, pose and expression. Open the picture to see both."
        found.append({"icon": "copy", "words": "Like a reference", "detail": detail})
    if others := variation.findings.get("others"):
        found.append({"icon": "users", "words": _more_faces(len(others)), "detail": unknown_faces(len(others))})
    return found


def _more_faces(count: int) -> str:
    return "1 more face" if count == 1 else f"{count} more faces"


def unknown_faces(count: int) -> str:
    return "1 face nobody was asked for" if count == 1 else f"{count} faces nobody was asked for"
