"""Dismissing the warning that two of a cast look alike, and taking that back."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse
from django.urls import reverse
from django.views.decorators.http import require_POST

from characters import actions
from characters.models import Character, LookAlike
from characters.permissions import access_look_alike
from characters.views.answers import done, find_character, go
from collaboration.permissions import Verb
from collaboration.requests import AuthenticatedRequest


@require_POST
@login_required
def dismiss(request: AuthenticatedRequest, project: str, pk: UUID, look_alike_id: int) -> HttpResponse:
    """With a `reason`."""
    character, row = _find(request, project, pk, look_alike_id)
    try:
        reason = request.POST.get("reason", "")
        actions.dismiss_look_alike(look_alike=row, character=character, reason=reason, actor=request.user)
    except ValidationError as error:
        messages.error(request, error.messages[0])
        return go(request, character.get_absolute_url())
    undo = reverse("characters:look_alike_restore", args=[project, pk, row.pk])
    return done(request, character.get_absolute_url(), "The warning is dismissed.", undo_url=undo)


@require_POST
@login_required
def restore(request: AuthenticatedRequest, project: str, pk: UUID, look_alike_id: int) -> HttpResponse:
    character, row = _find(request, project, pk, look_alike_id)
    actions.restore_look_alike(look_alike=row, character=character, actor=request.user)
    return done(request, character.get_absolute_url(), "The warning is back.")


def _find(request: AuthenticatedRequest, project: str, pk: UUID, id: int) -> tuple[Character, LookAlike]:
    character = find_character(request, project, pk, Verb.EDIT)
    row = access_look_alike(request.user, id, verb=Verb.EDIT)
    if character.pk not in (row.first_id, row.second_id):
        raise Http404
    return character, row
