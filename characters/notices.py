"""What people are told of work on characters: see `collaboration.notifications.kinds`."""

from __future__ import annotations

from characters.models import VariationBatch
from collaboration.models import Event
from collaboration.notifications.kinds import Notice
from gpu_worker.models import Job
from gpu_worker.selection import AUTO


def _batch(event: Event) -> VariationBatch | None:
    return VariationBatch.objects.filter(pk=event.payload.get("batch_id")).first()


def _of(person: int | None) -> list[int]:
    return [] if person is None else [person]


def queued(event: Event) -> list[Notice]:
    """Who ordered is told, and which model was chosen for them."""
    notices = [Notice(kind="queued", people=_of(event.actor_id), tells_actor=True)]
    batch = _batch(event)
    if batch is not None and batch.tier_reason:
        wanted = batch.settings.get("tier", AUTO)
        fell = wanted not in (AUTO, batch.tier)
        words = f"{'Fell back to' if fell else 'Chose'} {batch.get_tier_display().lower()}: {batch.tier_reason}"
        notices.append(Notice(kind="model", people=_of(event.actor_id), words=words, tells_actor=True))
    return notices


def ended(event: Event) -> list[Notice]:
    """Of a batch, or of pictures measured again; stopped by a person is neither finished nor failed."""
    state = event.payload.get("state")
    kind = {"done": "finished", "failed": "failed"}.get(str(state))
    if kind is None:
        return []
    batch = _batch(event)
    ordered_by = batch.created_by_id if batch else event.actor_id or _measured_by(event)
    return [Notice(kind=kind, people=_of(ordered_by), tells_actor=True)]


def _measured_by(event: Event) -> int | None:
    jobs = Job.objects.filter(
        kind="variation.measure", subject_kind=event.subject_kind, subject_id=event.subject_id, created_at__lte=event.at
    )
    return jobs.order_by("-created_at").values_list("created_by_id", flat=True).first()
