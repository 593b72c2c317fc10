"""The bell, which is everybody's own: open pages ask for it when their person has news."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from collaboration.live.fragments import Swap
from collaboration.models import Event, User
from collaboration.notifications import queries


def bell(person: User) -> dict[str, Any]:
    """Context of notifications/_bell.html."""
    count = queries.unread_count(person)
    return {
        "url": reverse("notifications:notifications"),
        "refresh_url": reverse("notifications:bell"),
        "count": count,
        "shown": "99+" if count > 99 else str(count),
    }


def on_told(event: Event, audience: frozenset[str]) -> list[Swap]:
    page = f"person:{event.stream.key}"
    return [Swap("mine-bell", how="refresh", page=page), Swap("mine-notifications", how="refresh", page=page)]
