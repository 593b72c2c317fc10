"""What the views share: finding what an address names, and answering with or without htmx."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse
from django.shortcuts import redirect

from characters.models import Character, CharacterSheet, Reference, Variation, VariationBatch
from characters.permissions import access_batch, access_character, access_reference, access_sheet, access_variation
from collaboration.permissions import Verb, verbs_of
from collaboration.requests import AuthenticatedRequest
from collaboration.subjects import target
from collaboration.votes import fragments as votes


def find_character(request: AuthenticatedRequest, slug: str, pk: UUID, verb: Verb = Verb.SEE) -> Character:
    """Raises Http404 also where the address names another project; PermissionDenied for changes of what is trashed."""
    character = access_character(request.user, pk, verb=verb)
    return _checked(character, slug, verb)


def find_reference(request: AuthenticatedRequest, slug: str, pk: UUID, id: UUID, verb: Verb) -> Reference:
    reference = access_reference(request.user, id, verb=verb)
    if reference.character_id != pk:
        raise Http404
    _checked(reference.character, slug, verb)
    return reference


def find_batch(request: AuthenticatedRequest, slug: str, id: UUID, verb: Verb = Verb.SEE) -> VariationBatch:
    batch = access_batch(request.user, id, verb=verb)
    _checked(batch.character, slug, verb)
    return batch


def find_sheet(request: AuthenticatedRequest, slug: str, id: UUID, verb: Verb = Verb.SEE) -> CharacterSheet:
    sheet = access_sheet(request.user, id, verb=verb)
    _checked(sheet.character, slug, verb)
    return sheet


def find_variation(request: AuthenticatedRequest, slug: str, id: UUID, verb: Verb = Verb.SEE) -> Variation:
    variation = access_variation(request.user, id, verb=verb)
    _checked(variation.character, slug, verb)
    return variation


def _checked(character: Character, slug: str, verb: Verb) -> Character:
    if character.project.slug != slug:
        raise Http404
    if character.trashed_at is not None and verb != Verb.SEE:
        raise PermissionDenied(f"{character.name} is in the trash. Take it back first.")
    return character


def votes_on(request: AuthenticatedRequest, kind: str, id: UUID) -> dict[str, Any] | None:
    """Context of votes/_panel.html; None for what is in the trash, on which nobody votes."""
    found = target(kind, id)
    if found is None or not found.is_open:
        return None
    may_vote = Verb.VOTE in verbs_of(request.user, found.project)
    return votes.panel(found, request.user, may_vote=may_vote, back=request.path)


def with_toast(response: HttpResponse, text: str, *, kind: str = "good", undo_url: str = "") -> HttpResponse:
    """Have htmx show a message, with an undo where there is one."""
    response["HX-Trigger"] = json.dumps({"toast": {"text": text, "kind": kind, "undo_url": undo_url}})
    return response


def done(request: AuthenticatedRequest, to: Any, text: str, *, undo_url: str = "") -> HttpResponse:
    """Say what was done on the page that follows, and go there."""
    messages.success(request, text, extra_tags=f"undo:{undo_url}" if undo_url else "")
    return go(request, to)


def go(request: AuthenticatedRequest, to: Any) -> HttpResponse:
    """Redirect; htmx is told to load the page as a whole."""
    response = redirect(to)
    if request.htmx:
        return HttpResponse(headers={"HX-Redirect": response["Location"]})
    return response
