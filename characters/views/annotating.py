"""What is drawn on and said about the image of a page."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from collaboration.annotations import fragments
from collaboration.permissions import access_target
from collaboration.requests import AuthenticatedRequest


def surface_of(request: AuthenticatedRequest, kind: str, id: UUID) -> dict[str, Any]:
    """Context of annotations/_surface.html and annotations/_panel.html. `?reply=` and `?edit=` name an annotation that
    the form is about."""
    on = access_target(request.user, kind, id)
    query = request.GET
    return fragments.surface(on, request.user, reply=query.get("reply", ""), edit=query.get("edit", ""))
