"""Taking a job, keeping it, ending it. Every change is a compare-and-set on (state, fencing token).

Leases use the database's clock, so hosts whose clocks differ agree about who holds what.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import DateTimeField, ExpressionWrapper, F, QuerySet, Value
from django.db.models.functions import Coalesce, Now

from collaboration import events as log
from gpu_worker import fairness, hints
from gpu_worker.events import JobStarted
from gpu_worker.kinds import kind_of
from gpu_worker.models import Job, Worker

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 5
"""Claims in a row that may end without an answer and without getting further before a job is given up: something about
it kills its workers."""


class LeaseLost(Exception):
    """Another worker may hold this job by now; whatever this one still produces is refused."""


def after(seconds: float) -> ExpressionWrapper:
    return ExpressionWrapper(Now() + Value(timedelta(seconds=seconds)), output_field=DateTimeField())


def claim(queues: Iterable[str], worker: Worker) -> Job | None:
    """Claim the fairest waiting job of the queues; None when there is none."""
    for candidate in fairness.queue_order(queues):
        with transaction.atomic():
            skip = connection.features.has_select_for_update_skip_locked
            job = (
                Job.objects.select_for_update(skip_locked=skip, of=("self",) if skip else ())
                .filter(pk=candidate.id, state=Job.WAITING)
                .first()
            )
            if job is None:
                continue
            Job.objects.filter(pk=job.pk).update(
                state=Job.RUNNING,
                wanted="",
                token=F("token") + 1,
                worker=worker,
                lease_until=after(settings.JOB_LEASE_SECONDS),
                claimed_at=Now(),
                started_at=Coalesce("started_at", Now()),
                yielded_at=None,
                not_before=None,
                charged_seconds=candidate.cost,
                note="Starting",
            )
            fairness.charge(fairness.group_of(job.queue), candidate)
            if job.started_at is None and job.queue != Job.CPU:
                _tell_of_start(job)
            return Job.objects.select_related("project", "created_by").get(pk=job.pk)
    return None


def _tell_of_start(job: Job) -> None:
    happening = JobStarted(
        job_id=str(job.pk),
        title=job.title,
        subject_kind=job.subject_kind,
        subject_id=job.subject_id,
        ordered_by=job.created_by_id,
    )
    log.record(job.project, happening, actor=None)


def _held(job: Job) -> QuerySet[Job]:
    return Job.objects.filter(pk=job.pk, token=job.token, state=Job.RUNNING)


def beat(job: Job, **fields: Any) -> str:
    """Renew the lease and write progress `fields`. Returns what the worker is asked to do. Raises LeaseLost."""
    if not _held(job).update(lease_until=after(settings.JOB_LEASE_SECONDS), **fields):
        raise LeaseLost
    return asked(job)


def asked(job: Job) -> str:
    """Return what the worker is asked to do. Raises LeaseLost."""
    wanted = _held(job).values_list("wanted", flat=True).first()
    if wanted is None:
        raise LeaseLost
    return wanted


def hold(job: Job) -> None:
    """Lock the job's row for the current transaction. Raises LeaseLost when this claim is no longer the valid one."""
    if not Job.objects.select_for_update().filter(pk=job.pk, token=job.token, state=Job.RUNNING).exists():
        raise LeaseLost


def end(job: Job, state: str, *, then: Callable[[Job], None] | None = None, **fields: Any) -> None:
    """End the job and do `then` in the same transaction. Its kind hears of any end but a good one. Raises LeaseLost."""
    with transaction.atomic():
        hold(job)
        fields |= {"state": state, "ended_at": Now(), "worker": None}
        Job.objects.filter(pk=job.pk).update(**(fields | _settled(job)))
        job.refresh_from_db()
        if state != Job.DONE:
            _tell_of_failure(job)
        if then:
            then(job)
        for queue in set(job.children.filter(state=Job.WAITING).values_list("queue", flat=True)):
            hints.announce(queue)


def _tell_of_failure(job: Job) -> None:
    """What goes wrong with the kind's answer must not keep the job from ending: it would run and fail for ever."""
    try:
        with transaction.atomic():
            kind_of(job.kind).failed(job)
    except Exception:
        logger.exception("%s ended as %s, and its kind %s could not take note", job.pk, job.state, job.kind)


def release(job: Job, *, state: str = Job.WAITING, **fields: Any) -> None:
    """Give a running job back: to the queue, or to rest when it was paused. Raises LeaseLost."""
    with transaction.atomic():
        hold(job)
        Job.objects.filter(pk=job.pk).update(**({"state": state, "worker": None, **fields} | _settled(job)))
        if state == Job.WAITING:
            hints.announce(job.queue)


def _settled(job: Job) -> dict[str, Any]:
    """What every claim that ends leaves on the job; books the service it really took."""
    now = Job.objects.filter(pk=job.pk).values_list(Now(), flat=True).get()
    busy = max(0.0, (now - job.claimed_at).total_seconds()) if job.claimed_at else 0.0
    fairness.settle(job, busy)
    return {"busy_seconds": F("busy_seconds") + busy, "charged_seconds": 0, "lease_until": None, "wanted": ""}


def take_back(jobs: QuerySet[Job]) -> int:
    """Return running jobs whose worker is gone to the queue; give up those that keep losing their worker."""
    returned = 0
    for pk, token in list(jobs.values_list("pk", "token")):
        try:
            with transaction.atomic():
                rows = Job.objects.select_for_update(of=("self",)).select_related("project")
                job = rows.filter(pk=pk, token=token, state=Job.RUNNING).first()
                if job is not None:
                    _take_back(job)
                    returned += 1
        except Exception:  # the others are not to wait for this one
            logger.exception("Could not take %s back", pk)
    return returned


def _take_back(job: Job) -> None:
    attempts = job.attempts + 1
    fields: dict[str, Any] = {"worker": None, "attempts": attempts}
    if job.wanted == Job.CANCEL:
        fields |= {"state": Job.CANCELLED, "ended_at": Now(), "note": ""}
    elif attempts >= MAX_ATTEMPTS:
        sentence = f"The worker stopped {attempts} times while it ran this. Ask an operator to look at it."
        fields |= {"state": Job.FAILED, "ended_at": Now(), "note": "", "error": sentence}
    elif job.wanted == Job.PAUSE:
        fields |= {"state": Job.PAUSED, "note": "Paused"}
    else:
        fields |= {"state": Job.WAITING, "note": "Waiting again: its worker stopped"}
        hints.announce(job.queue)
    Job.objects.filter(pk=job.pk).update(**(fields | _settled(job)))
    job.refresh_from_db()
    if job.has_ended:
        _tell_of_failure(job)


def take_back_expired() -> int:
    return take_back(Job.objects.filter(state=Job.RUNNING, lease_until__lt=Now()))
