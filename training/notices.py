"""What people are told of trainings: see `collaboration.notifications.kinds`."""

from __future__ import annotations

from collaboration.models import Event
from collaboration.notifications.kinds import Notice
from training.models import TrainingRun


def _people(event: Event) -> list[int]:
    rows = TrainingRun.objects.filter(pk=event.payload["run_id"]).exclude(created_by=None)
    return list(rows.values_list("created_by_id", flat=True))


def queued(event: Event) -> list[Notice]:
    return [Notice(kind="queued", people=_people(event), tells_actor=True)]


def finished(event: Event) -> list[Notice]:
    return [Notice(kind="finished", people=_people(event), tells_actor=True)]


def failed(event: Event) -> list[Notice]:
    words = f"Training {event.payload['name']} failed: {event.payload['sentence']}"
    return [Notice(kind="failed", people=_people(event), words=words, tells_actor=True)]
