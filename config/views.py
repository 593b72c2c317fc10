"""The front door: where a person lands, and what they read when something is refused."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_safe

from collaboration.models import Project
from collaboration.permissions import access_project
from collaboration.requests import AuthenticatedRequest
from config import context


@require_safe
@login_required
def home(request: AuthenticatedRequest) -> HttpResponse:
    """The person's only project, or the list of them."""
    projects = Project.objects.visible_to(request.user)
    if (only := list(projects[:2])) and len(only) == 1:
        return redirect(only[0])
    return redirect("collaboration:projects")


@require_safe
@login_required
def pulse(request: AuthenticatedRequest, project: str) -> HttpResponse:
    """The queue's pulse in the top bar, for its own refresh."""
    found = access_project(request.user, project)
    return render(request, "components/pulse.html", {"queue_pulse": context.pulse(found)})


@require_safe
def health(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"ok": True})


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return render(request, "errors/403_csrf.html", {"reason": reason}, status=403)
