"""How workers learn that a job may be waiting. A hint that is lost costs time, never a job."""

from __future__ import annotations

from collections import Counter
from functools import partial

from django.conf import settings
from django.db import transaction
from django.utils.module_loading import import_string

from gpu_worker.models import Job
from gpu_worker.queries import live_workers


def announce(queue: str) -> None:
    """Hint, after the current transaction commits, that there may be work on `queue`."""
    transaction.on_commit(partial(import_string(settings.JOB_HINT), queue), robust=True)


def leave_to_polling(queue: str) -> None:
    """Workers look at the job table by themselves."""


def send_message(queue: str) -> None:
    """Send one Dramatiq message."""
    from gpu_worker.actors import ACTORS

    ACTORS[queue].send()


def remind() -> int:
    """Send messages for waiting jobs again: earlier ones may have been lost. Duplicates find nothing to claim.

    At most one for each worker that could take one now: those that are busy look for more work by themselves, and
    messages that nobody reads must not pile up. One goes out in any case, for a process that has not shown itself yet.
    """
    waiting = Counter(Job.objects.claimable().values_list("queue", flat=True)[:1000])
    sent = 0
    for queue, jobs in waiting.items():
        for _ in range(min(jobs, max(1, _idle_workers(queue)))):
            import_string(settings.JOB_HINT)(queue)
            sent += 1
    return sent


def _idle_workers(queue: str) -> int:
    busy = set(Job.objects.filter(state=Job.RUNNING).values_list("worker_id", flat=True))
    return sum(1 for worker in live_workers() if queue in worker.queues and worker.pk not in busy)
