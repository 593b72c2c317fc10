"""The warning that two of a cast look alike: both faces side by side, and how alike in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.urls import reverse

from characters.fragments.parts import Audience, picture
from characters.models import Character, LookAlike
from collaboration.verbs import Verb


def in_words(rate: float) -> str:
    """`One pair of strangers in 40 is this alike.`"""
    n = 1 / max(rate, 1e-9)
    step = 10 ** max(0, len(str(int(n))) - 2)
    return f"One pair of strangers in {max(2, round(n / step) * step):,.0f} is this alike."


def look_alikes(character: Character, rows: Sequence[LookAlike], audience: Audience) -> list[dict[str, Any]]:
    """Context of characters/_look_alikes.html. `rows` from `queries.look_alikes_of`."""
    return [_row(character, row, audience) for row in rows]


def _row(character: Character, row: LookAlike, audience: Audience) -> dict[str, Any]:
    other, slug = row.other(character), character.project.slug
    args = [slug, character.pk, row.pk]
    return {
        "id": row.pk,
        "name": other.name,
        "url": reverse("characters:detail", args=[slug, other.pk]),
        "mine": picture(character.picture, alt=character.name, size=160),
        "theirs": picture(other.picture, alt=other.name, size=160),
        "words": in_words(row.false_match_rate),
        "cosine": f"{row.cosine:.2f}",
        "dismissed": row.dismissed_at is not None,
        "dismissed_by": row.dismissed_by,
        "dismissed_reason": row.dismissed_reason,
        "dismiss_url": reverse("characters:look_alike_dismiss", args=args) if Verb.EDIT in audience else "",
        "restore_url": reverse("characters:look_alike_restore", args=args) if Verb.EDIT in audience else "",
    }
