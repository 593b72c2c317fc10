"""Fetch and authorise in one verb."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404

from characters.models import Character, CharacterSheet, LookAlike, Reference, Variation, VariationBatch
from collaboration.models import User
from collaboration.permissions import Verb, require


def access_character(user: User, character_id: UUID, *, verb: Verb = Verb.SEE) -> Character:
    """Return the character, trashed or not, if `user` may `verb` it.

    Raises Http404 to strangers, who must not learn that it exists, and PermissionDenied to members without the verb.
    """
    character = Character.objects.select_related("project__studio", "picture").filter(pk=character_id).first()
    if character is None:
        raise Http404
    require(user, verb, character.project)
    return character


def access_reference(user: User, reference_id: UUID, *, verb: Verb = Verb.SEE) -> Reference:
    """Raises as `access_character`."""
    rows = Reference.objects.select_related("character__project__studio", "asset")
    reference = rows.filter(pk=reference_id).first()
    if reference is None:
        raise Http404
    require(user, verb, reference.character.project)
    return reference


def access_batch(user: User, batch_id: UUID, *, verb: Verb = Verb.SEE) -> VariationBatch:
    """Raises as `access_character`."""
    rows = VariationBatch.objects.select_related("character__project__studio", "job", "adapter")
    batch = rows.filter(pk=batch_id).first()
    if batch is None:
        raise Http404
    require(user, verb, batch.character.project)
    return batch


def access_variation(user: User, variation_id: UUID, *, verb: Verb = Verb.SEE) -> Variation:
    """Raises as `access_character`."""
    rows = Variation.objects.select_related("character__project__studio", "asset", "batch")
    variation = rows.filter(pk=variation_id).first()
    if variation is None:
        raise Http404
    require(user, verb, variation.character.project)
    return variation


def access_look_alike(user: User, look_alike_id: int, *, verb: Verb = Verb.SEE) -> LookAlike:
    """Raises as `access_character`."""
    rows = LookAlike.objects.present().select_related("first__project__studio", "second")
    look_alike = rows.filter(pk=look_alike_id).first()
    if look_alike is None:
        raise Http404
    require(user, verb, look_alike.first.project)
    return look_alike


def access_sheet(user: User, sheet_id: UUID, *, verb: Verb = Verb.SEE) -> CharacterSheet:
    """Raises as `access_character`."""
    rows = CharacterSheet.objects.select_related("character__project__studio", "created_by")
    sheet = rows.filter(pk=sheet_id).first()
    if sheet is None:
        raise Http404
    require(user, verb, sheet.character.project)
    return sheet
