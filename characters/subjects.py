"""Characters as subjects of revisions, events and (later) annotations and votes."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from characters.models import Character
from collaboration.subjects import Subject


def snapshot(character: Character) -> dict[str, Any]:
    """The whole state a revision keeps: every field a person can change, and which pictures belong to it."""
    profile = getattr(character, "profile", None)
    return {
        "name": character.name,
        "description": character.description,
        "noun": character.noun,
        "age": character.age,
        "traits": character.traits,
        "has_human_face": character.has_human_face,
        "tags": sorted(character.tags.values_list("name", flat=True)),
        "importance": character.importance,
        "tier": character.tier,
        "picture": str(character.picture_id or ""),
        "base_prompt": profile.base_prompt if profile else "",
        "references": [str(pk) for pk in character.references.present().values_list("pk", flat=True)],
        "picked": [
            str(pk) for pk in character.variations.exclude(picked_at=None).present().values_list("pk", flat=True)
        ],
        "adapter_version": character.adapter_version,
        "trashed": character.trashed_at is not None,
    }


def _rows() -> QuerySet[Character]:
    return Character.objects.select_related("project")


CHARACTER = Subject(
    find=lambda id: _rows().filter(pk=id).first(),
    find_many=lambda ids: {str(row.pk): row for row in _rows().filter(pk__in=ids)},
    url=lambda character: character.get_absolute_url(),
    title=lambda character: character.name,
    snapshot=snapshot,
)
