"""What people are told of jobs: see `collaboration.notifications.kinds`."""

from __future__ import annotations

from collaboration.models import Event
from collaboration.notifications.kinds import Notice


def started(event: Event) -> list[Notice]:
    ordered_by = event.payload["ordered_by"]
    return [Notice(kind="started", people=[ordered_by] if ordered_by else [], tells_actor=True)]
