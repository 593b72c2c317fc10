"""What a project has under a name, for the palette."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse, JsonResponse
from django.views.decorators.http import require_safe

from collaboration.finding import find
from collaboration.permissions import access_project
from collaboration.requests import AuthenticatedRequest


@require_safe
@login_required
def palette(request: AuthenticatedRequest, project: str) -> HttpResponse:
    """`?q=`: some letters of a name. {found: [{title, kind, url, picture}]}, at most ten."""
    film = access_project(request.user, project)
    rows = find(film, request.GET.get("q", "")[:120].strip())
    return JsonResponse({"found": [row.as_json() for row in rows]})
