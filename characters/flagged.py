"""How many of a studio's variations each line between the bands would flag."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, F, Q, QuerySet

from characters.models import Variation
from collaboration.bands import Bands
from collaboration.models import Studio

MOST_ROWS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """Of the variations that are not in the trash."""

    excellent: int
    good: int
    review: int
    unmeasured: int
    below: dict[float, int]
    """Score -> variations under it."""

    @property
    def total(self) -> int:
        return self.excellent + self.good + self.review + self.unmeasured


def in_all(studio: Studio, bands: Bands, scores: Sequence[float] = ()) -> Flags:
    """`scores`: for which to count what lies below."""
    below = {f"below_{k}": Count("pk", filter=Q(score__lt=score)) for k, score in enumerate(scores)}
    found = _rows(studio).aggregate(**_by_band(bands), **below)
    counted = {name: found[name] for name in ("excellent", "good", "review", "unmeasured")}
    return Flags(**counted, below={score: found[f"below_{k}"] for k, score in enumerate(scores)})


def by_character(studio: Studio, bands: Bands) -> list[dict[str, Any]]:
    """Rows of {character_id, name, project, excellent, good, review, unmeasured}, those with most to review first; at
    most MOST_ROWS."""
    rows: Any = _rows(studio).values("character_id", name=F("character__name"), project=F("character__project__slug"))
    return list(rows.annotate(**_by_band(bands)).order_by("-review", "name", "character_id")[:MOST_ROWS])


def _rows(studio: Studio) -> QuerySet[Variation]:
    return Variation.objects.present().filter(character__project__studio=studio, character__trashed_at=None)


def _by_band(bands: Bands) -> dict[str, Count]:
    return {
        "excellent": Count("pk", filter=Q(score__gte=bands.excellent)),
        "good": Count("pk", filter=Q(score__gte=bands.good, score__lt=bands.excellent)),
        "review": Count("pk", filter=Q(score__lt=bands.good)),
        "unmeasured": Count("pk", filter=Q(score=None)),
    }
