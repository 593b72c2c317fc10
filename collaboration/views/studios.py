"""A studio's own pages: where its bands lie, and the places of the apps above."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from collaboration import actions
from collaboration.bands import Bands
from collaboration.forms import BandsForm, refused_into
from collaboration.models import Studio
from collaboration.permissions import access_studio, administers, require_administration
from collaboration.requests import AuthenticatedRequest
from collaboration.wired import entries


def frame(request: AuthenticatedRequest, studio: Studio, place: str) -> dict[str, Any]:
    """Context of collaboration/studio.html: the name of the studio and the tabs of its pages.

    The apps above add theirs through the slot `studio.places`: (label, name of the URL, only for administrators).
    """
    is_admin = administers(request.user, studio)
    places = [("Scores", "collaboration:studio", False), *entries("SLOTS", "studio.places")]
    return {
        "studio": studio,
        "is_admin": is_admin,
        "tabs": [
            {"label": label, "url": reverse(name, args=[studio.slug]), "current": name == place, "count": None}
            for label, name, only_admins in places
            if is_admin or not only_admins
        ],
    }


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def studio(request: AuthenticatedRequest, studio: str) -> HttpResponse:
    """From which scores on pictures are good and excellent."""
    found = access_studio(request.user, studio)
    if request.method != "POST":
        return _page(request, found, BandsForm.of(found.bands))
    require_administration(request.user, found)
    form = BandsForm(request.POST)
    if form.is_valid():
        with refused_into(form):
            actions.set_bands(studio=found, bands=Bands(**form.cleaned_data), actor=request.user)
            messages.success(request, "Saved. Every page shows scores by these bands from now on.")
            return redirect("collaboration:studio", found.slug)
        found.refresh_from_db()
    return _page(request, found, form, status=422)


def _page(request: AuthenticatedRequest, studio: Studio, form: BandsForm, *, status: int = 200) -> HttpResponse:
    context = frame(request, studio, "collaboration:studio") | {"form": form, "bands": studio.bands}
    return render(request, "collaboration/studio.html", context, status=status)
