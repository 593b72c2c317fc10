"""Every write about jobs and adapters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Max, Sum
from django.db.models.functions import Now

from collaboration.models import Project, User
from gpu_worker import hints
from gpu_worker.kinds import kind_of
from gpu_worker.models import Adapter, Job


class NotNow(ValidationError):
    """What was asked does not fit the state of the job. A sentence for the person."""


def enqueue(
    *,
    kind: str,
    title: str,
    project: Project,
    actor: User | None,
    subject: tuple[str, object],
    arguments: dict[str, Any],
    queue: str,
    units: int,
    is_short: bool = True,
    priority: int = 1,
    parents: Sequence[Job] = (),
    seconds_per_unit: float | None = None,
) -> Job:
    """Write a job in the caller's transaction; workers learn of it after the commit."""
    with transaction.atomic():
        job = Job.objects.create(
            kind=kind,
            title=title[:200],
            project=project,
            created_by=actor,
            subject_kind=subject[0],
            subject_id=str(subject[1]),
            arguments=arguments,
            queue=queue,
            units=units,
            total=units,
            is_short=is_short,
            priority=priority,
            estimated_seconds=estimate_seconds(kind, queue, units, seconds_per_unit),
        )
        if parents:
            job.parents.set(parents)
        hints.announce(queue)
    return job


def estimate_seconds(kind: str, queue: str, units: int, seconds_per_unit: float | None = None) -> float:
    """From the last twenty jobs of the kind on that queue; before there are any, from the kind's own guess."""
    recent = Job.objects.filter(kind=kind, queue=queue, state=Job.DONE).order_by("-ended_at").values("pk")[:20]
    seen = Job.objects.filter(pk__in=[r["pk"] for r in recent]).aggregate(s=Sum("busy_seconds"), u=Sum("units"))
    if seen["u"]:
        return units * seen["s"] / seen["u"]
    known = kind_of(kind)
    return known.seconds_overhead + units * (seconds_per_unit or known.seconds_per_unit)


def cancel(*, job: Job) -> Job:
    """Cancel the job and everything that waits for it. A running one stops at its next step."""
    with transaction.atomic():
        job = Job.objects.select_for_update().get(pk=job.pk)
        if job.state == Job.RUNNING:
            Job.objects.filter(pk=job.pk).update(wanted=Job.CANCEL, note="Stopping")
        elif not job.has_ended:
            Job.objects.filter(pk=job.pk).update(state=Job.CANCELLED, ended_at=Now())
            kind_of(job.kind).failed(Job.objects.get(pk=job.pk))
        cancel_children(job)
    job.refresh_from_db()
    return job


def cancel_children(job: Job) -> None:
    for child in job.children.exclude(state__in=Job.ENDED):
        cancel(job=child)


def pause(*, job: Job) -> Job:
    """A running job stops at its next step and keeps its checkpoint. Raises NotNow."""
    with transaction.atomic():
        job = Job.objects.select_for_update().get(pk=job.pk)
        if job.state == Job.RUNNING and job.wanted == Job.CANCEL:
            raise NotNow("This is being cancelled already.")
        if job.state == Job.RUNNING:
            Job.objects.filter(pk=job.pk).update(wanted=Job.PAUSE, note="Pausing")
        elif job.state == Job.WAITING:
            Job.objects.filter(pk=job.pk).update(state=Job.PAUSED)
        elif job.has_ended:
            raise NotNow("This has ended already, so there is nothing to pause.")
    job.refresh_from_db()
    return job


def resume(*, job: Job) -> Job:
    """Raises NotNow."""
    with transaction.atomic():
        job = Job.objects.select_for_update().get(pk=job.pk)
        if job.state == Job.PAUSED:
            Job.objects.filter(pk=job.pk).update(state=Job.WAITING, not_before=None, note="")
            hints.announce(job.queue)
        elif job.state == Job.RUNNING and job.wanted == Job.PAUSE:
            Job.objects.filter(pk=job.pk).update(wanted="", note="")
        elif job.has_ended:
            raise NotNow("This has ended already. Start a new one instead.")
    job.refresh_from_db()
    return job


def retry(*, job: Job) -> Job:
    """Put a failed or cancelled job back in the queue; it continues from its checkpoint. Raises NotNow."""
    with transaction.atomic():
        job = Job.objects.select_for_update().get(pk=job.pk)
        if job.state not in (Job.FAILED, Job.CANCELLED):
            raise NotNow("Only what failed or was cancelled can be tried again.")
        Job.objects.filter(pk=job.pk).update(
            state=Job.WAITING, wanted="", attempts=0, error="", error_detail="", ended_at=None, note="", not_before=None
        )
        hints.announce(job.queue)
    job.refresh_from_db()
    return job


# ------------------------------------------------------------------------------------------------------- adapters
def create_adapter(*, project: Project, subject: tuple[str, object], activate: bool, **fields: Any) -> Adapter:
    """Write the next version of a subject's adapter, in the caller's transaction."""
    rows = Adapter.objects.filter(subject_kind=subject[0], subject_id=str(subject[1]))
    with transaction.atomic():
        version = (rows.aggregate(last=Max("version"))["last"] or 0) + 1
        adapter = Adapter.objects.create(
            project=project, subject_kind=subject[0], subject_id=str(subject[1]), version=version, **fields
        )
        if activate:
            activate_adapter(adapter=adapter)
    return adapter


def activate_adapter(*, adapter: Adapter) -> None:
    with transaction.atomic():
        rows = Adapter.objects.of(adapter.subject_kind, adapter.subject_id)
        rows.filter(is_active=True).exclude(pk=adapter.pk).update(is_active=False)
        rows.filter(pk=adapter.pk).update(is_active=True)
    adapter.refresh_from_db()


def erase_adapter(*, adapter: Adapter) -> None:
    """Leave a tombstone that keeps number, hash and origin. Its file is erased by the caller."""
    Adapter.objects.filter(pk=adapter.pk, erased_at=None).update(erased_at=Now(), is_active=False, file=None)
    adapter.refresh_from_db()
