"""Characters and their images as subjects of revisions, events, annotations, votes and approvals."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.urls import reverse

from assets.models import Asset
from characters import suggestions
from characters.models import Character, Reference, Variation
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


ASPECTS = {
    "Everything": (
        "name",
        "description",
        "noun",
        "age",
        "traits",
        "has_human_face",
        "tags",
        "importance",
        "tier",
        "picture",
        "base_prompt",
        "references",
        "picked",
        "adapter_version",
    ),
    "The look": ("picture", "references", "picked"),
    "The description": ("name", "description", "noun", "age", "traits"),
    "The model": ("base_prompt", "adapter_version", "tier"),
}
"""What of a character can be approved -> keys of its snapshot."""


def _picture(asset: Asset | None, pixels: int, alt: str) -> dict[str, Any] | None:
    if asset is None or asset.erased_at is not None:
        return None
    return {
        "url": asset.url(pixels),
        "width": asset.width,
        "height": asset.height,
        "placeholder": asset.placeholder,
        "alt": alt,
    }


def _rows() -> QuerySet[Character]:
    return Character.objects.select_related("project", "picture")


def _variations() -> QuerySet[Variation]:
    return Variation.objects.select_related("character__project", "asset", "batch")


def _references() -> QuerySet[Reference]:
    return Reference.objects.select_related("character__project", "asset")


def _version(row: Variation | Reference) -> UUID | None:
    return row.asset_id if row.asset.erased_at is None else None


def _is_open(row: Variation | Reference) -> bool:
    return row.trashed_at is None and row.character.trashed_at is None


def _title_of_reference(reference: Reference) -> str:
    return f"Reference of {reference.character.name}"


CHARACTER = Subject(
    find=lambda id: _rows().filter(pk=id).first(),
    find_many=lambda ids: {str(row.pk): row for row in _rows().filter(pk__in=ids)},
    url=lambda character: character.get_absolute_url(),
    title=lambda character: character.name,
    snapshot=snapshot,
    project=lambda character: character.project,
    pages=lambda character: [f"character:{character.pk}", f"project:{character.project_id}:gallery"],
    aspects=ASPECTS,
    is_open=lambda character: character.trashed_at is None,
)

VARIATION = Subject(
    find=lambda id: _variations().filter(pk=id).first(),
    find_many=lambda ids: {str(row.pk): row for row in _variations().filter(pk__in=ids)},
    url=lambda row: reverse("characters:variation", args=[row.character.project.slug, row.pk]),
    title=lambda row: f"{row.character.name} {row.index + 1}",
    project=lambda row: row.character.project,
    picture=lambda row, pixels: _picture(row.asset, pixels, f"{row.character.name} {row.index + 1}"),
    pages=lambda row: [f"variation:{row.pk}", f"character:{row.character_id}"],
    version=_version,
    is_open=_is_open,
    improve=suggestions.improve_variation,
)

REFERENCE = Subject(
    find=lambda id: _references().filter(pk=id).first(),
    find_many=lambda ids: {str(row.pk): row for row in _references().filter(pk__in=ids)},
    url=lambda row: reverse("characters:reference", args=[row.character.project.slug, row.character_id, row.pk]),
    title=_title_of_reference,
    project=lambda row: row.character.project,
    picture=lambda row, pixels: _picture(row.asset, pixels, _title_of_reference(row)),
    pages=lambda row: [f"reference:{row.pk}", f"character:{row.character_id}"],
    version=_version,
    is_open=_is_open,
    improve=suggestions.improve_reference,
)
