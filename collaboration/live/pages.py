"""What events change on the pages about people, scenes and what has happened."""

from __future__ import annotations

from django.template.loader import render_to_string

from collaboration.live.fragments import Swap, project_page, refetched
from collaboration.models import Event
from collaboration.subjects import links


def activity(event: Event, audience: frozenset[str]) -> list[Swap]:
    """A line more of the feed. days.js files it under the reader's own day."""

    def html() -> str:
        pair = (event.subject_kind, event.subject_id)
        return render_to_string("collaboration/_event_news.html", {"event": event, "link": links([pair]).get(pair)})

    feed = project_page(event, "activity")
    return [Swap("feed", html, how="afterbegin", page=feed), *refetched(f"{feed}:some", "activity")]


def people(event: Event, audience: frozenset[str]) -> list[Swap]:
    return refetched(project_page(event, "people"), "people")


def scenes(event: Event, audience: frozenset[str]) -> list[Swap]:
    return refetched(project_page(event, "settings"), "scenes")


def voting(event: Event, audience: frozenset[str]) -> list[Swap]:
    return refetched(project_page(event, "settings"), "voting")


def project(event: Event, audience: frozenset[str]) -> list[Swap]:
    """Its name stands in the frame of every page."""
    return [*refetched(project_page(event), "project-switcher"), *refetched(project_page(event, "settings"), "content")]
