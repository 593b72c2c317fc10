"""Fetch and authorise in one verb."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import Http404

from characters.history import LABELS
from characters.models import Character, CharacterSheet, LookAlike, Reference, Variation, VariationBatch
from collaboration import revisions
from collaboration.models import Revision, User
from collaboration.permissions import Verb, require, verbs_of


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


def require_roll_back(user: User, character: Character, keys: Sequence[str], *, since: int) -> None:
    """Raise PermissionDenied, with whose work it is, where `user` may go back only in their own, and the present values
    of these keys of the snapshot came from somebody else after the revision `since`."""
    require(user, Verb.ROLL_BACK_OWN, character.project)
    if Verb.ROLL_BACK in verbs_of(user, character.project):
        return
    for key, latest in revisions.last_changes("character", character.pk, keys).items():
        if latest.number > since and latest.author_id != user.pk:
            whose = latest.author.display_name if latest.author else "somebody"
            raise PermissionDenied(
                f"{LABELS[key]} was changed by {whose} since. A lead can bring back the earlier one."
            )


def require_undo(user: User, character: Character, revision: Revision) -> None:
    """Raise PermissionDenied where `user` may take back only their own changes, and this is none of them."""
    require(user, Verb.ROLL_BACK_OWN, character.project)
    if revision.author_id != user.pk and Verb.ROLL_BACK not in verbs_of(user, character.project):
        raise PermissionDenied("You can take back your own changes. A lead can take back everybody's.")
