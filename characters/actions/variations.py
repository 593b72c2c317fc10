"""Picking variations into the character, and the trash of variations. Ordering them: `characters.orders`."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from characters import events
from characters.actions.recording import lock, named, record, touch
from characters.actions.references import choose_picture
from characters.models import Character, Variation
from collaboration.models import User


def pick_variation(*, variation: Variation, actor: User) -> Variation:
    """Take a variation into the character: it becomes its picture. One in the trash comes out of it."""
    with transaction.atomic():
        character = lock(variation.character)
        variation.refresh_from_db()
        if variation.picked_at is None or variation.trashed_at is not None:
            variation.picked_at, variation.picked_by, variation.trashed_at = timezone.now(), actor, None
            variation.save(update_fields=["picked_at", "picked_by", "trashed_at"])
            _show(character)
            record(character, events.VariationPicked(**named(character), variation_id=variation.pk), actor=actor)
    return variation


def unpick_variation(*, variation: Variation, actor: User) -> Variation:
    with transaction.atomic():
        character = lock(variation.character)
        variation.refresh_from_db()
        if variation.picked_at is not None:
            variation.picked_at = variation.picked_by = None
            variation.save(update_fields=["picked_at", "picked_by"])
            _show(character)
            record(character, events.VariationUnpicked(**named(character), variation_id=variation.pk), actor=actor)
    return variation


def trash_variation(*, variation: Variation, actor: User) -> Variation:
    """Its place in the batch stays empty. A pick is remembered, should it come back."""
    with transaction.atomic():
        character = lock(variation.character)
        variation.refresh_from_db()
        if variation.trashed_at is None:
            variation.trashed_at = timezone.now()
            variation.save(update_fields=["trashed_at"])
            _show(character)
            record(character, events.VariationTrashed(**named(character), variation_id=variation.pk), actor=actor)
    return variation


def restore_variation(*, variation: Variation, actor: User) -> Variation:
    with transaction.atomic():
        character = lock(variation.character)
        variation.refresh_from_db()
        if variation.trashed_at is not None:
            variation.trashed_at = None
            variation.save(update_fields=["trashed_at"])
            _show(character)
            record(character, events.VariationRestored(**named(character), variation_id=variation.pk), actor=actor)
    return variation


def _show(character: Character) -> None:
    """Choose the character's picture anew."""
    choose_picture(character, list(character.references.usable()))
    touch(character, "picture")
