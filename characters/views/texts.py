"""Writing the description together."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpResponse, JsonResponse
from django.views.decorators.http import require_POST

from characters import actions
from characters.views.answers import find_character
from collaboration.pages import refused
from collaboration.permissions import Verb
from collaboration.requests import AuthenticatedRequest
from collaboration.texts import MOST_UPDATE_BYTES


@require_POST
@login_required
def description(request: AuthenticatedRequest, project: str, pk: UUID) -> HttpResponse:
    """JSON {update, vector (base64), pause} -> {update}: what the browser lacks of the text. Yjs, encoding version 1.

    Sending the same again changes nothing, so a browser repeats what was not answered.
    """
    character = find_character(request, project, pk, Verb.EDIT)
    if len(request.body) > 2 * MOST_UPDATE_BYTES:
        return refused("This is too much at once. Paste it in smaller parts.", status=413)
    try:
        wanted = json.loads(request.body)
        update, vector = _bytes(wanted["update"]), _bytes(wanted["vector"])
        pause = wanted.get("pause") is True
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return refused("Send the update and the state vector in base64.", status=400)
    try:
        merged = actions.write_description(
            character=character, actor=request.user, update=update, vector=vector, pause=pause
        )
    except ValidationError as error:
        return refused(" ".join(error.messages))
    return JsonResponse({"update": base64.b64encode(merged.update).decode()})


def _bytes(value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        raise ValueError(value) from None
