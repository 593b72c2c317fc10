"""What happened in a project."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from collaboration import queries
from collaboration.events import topics
from collaboration.permissions import access_project
from collaboration.requests import AuthenticatedRequest


@require_safe
@login_required
def activity(request: AuthenticatedRequest, project: str) -> HttpResponse:
    """`?topic=` and `?person=` narrow it; `?before=` is the number of the event before which a page ends."""
    film = access_project(request.user, project)
    topic = request.GET.get("topic", "")
    person, before = _whole(request.GET.get("person")), _whole(request.GET.get("before"))
    kinds = topics().get(topic)
    page = queries.activity_of(film, before=before, actor=person, kinds=kinds)
    here = reverse("collaboration:activity", args=[film.slug])
    chosen = {"topic": topic if kinds else "", "person": person or ""}

    def url(**changed: Any) -> str:
        query = urlencode({k: v for k, v in (chosen | changed).items() if v})
        return f"{here}?{query}" if query else here

    context: dict[str, Any] = {
        "project": film,
        "days": page.days,
        "next_url": url(before=page.older) if page.older else "",
    }
    if request.htmx and before is not None:
        return render(request, "collaboration/_activity.html", context)
    context["topics"] = [{"label": "Everything", "url": url(topic=""), "current": not chosen["topic"]}] + [
        {"label": name, "url": url(topic=name), "current": name == topic} for name in topics()
    ]
    context["people"] = [{"label": "Everybody", "url": url(person=""), "current": not person}] + [
        {"label": u.display_name, "url": url(person=u.pk), "current": u.pk == person} for u in queries.actors_in(film)
    ]
    context["is_filtered"] = bool(chosen["topic"] or person or before)
    return render(request, "collaboration/activity.html", context)


def _whole(text: str | None) -> int | None:
    """A number of the address; what is not one is as if it were not there."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None
