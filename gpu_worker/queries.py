"""Reads that assemble what pages show about jobs and model packs."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.urls import reverse
from django.utils import timezone

from collaboration.models import Project, User
from gpu_worker import fairness, reports
from gpu_worker.models import Job, Worker
from gpu_worker.packs import Pack

logger = logging.getLogger(__name__)


def live_workers() -> list[Worker]:
    recently = timezone.now() - timedelta(seconds=2 * settings.JOB_LEASE_SECONDS)
    return list(Worker.objects.filter(stopped_at=None, beat_at__gt=recently).order_by("lane"))


MAKES_WAY_SECONDS = 60.0
"""Longest time until what is long comes to a checkpoint and makes way for what is short."""


@dataclass(slots=True)
class _Lane:
    """When it is free: `short` for a short job, which what is long makes way for, `long` for any other."""

    short: float = 0.0
    long: float = 0.0

    def take(self, seconds: float, is_short: bool) -> float:
        """Give it one more job; returns when that starts."""
        if is_short:
            start = self.short
            self.short += seconds
            self.long += seconds  # what made way goes on that much later
        else:
            start = self.long
            self.long += seconds
            self.short = start + min(seconds, MAKES_WAY_SECONDS)
        return start


def forecast(also: fairness.Waiting | None = None) -> dict[UUID, tuple[int, float]]:
    """Return waiting job id -> (position from 1, seconds until it starts), from the same ordering as the claim.

    Lanes are filled in that order; a running job frees its lane when its own estimate is over, and one that is long
    makes way for short ones at its next checkpoint. `also`: a GPU job that is not there yet, as if it had just been
    enqueued.
    """
    places: dict[UUID, tuple[int, float]] = {}
    workers, everywhere = live_workers(), list(Job.objects.filter(state=Job.RUNNING))
    for queues in ([Job.CPU], list(Job.GPU_QUEUES)):
        running = [job for job in everywhere if job.queue in queues]
        count = max(1, sum(1 for w in workers if set(w.queues) & set(queues)))
        busy = []
        for held in running:
            busy.append(_Lane())
            busy[-1].take(seconds_left(held), held.is_short)
        lanes = sorted(busy, key=lambda lane: lane.long)[:count] + [_Lane() for _ in range(count - len(busy))]
        more = [also] if also and queues != [Job.CPU] else []
        for position, job in enumerate(fairness.queue_order(queues, more), 1):
            lane = min(lanes, key=lambda lane: lane.short if job.is_short else lane.long)
            places[job.id] = (position, lane.take(job.cost, job.is_short))
    return places


def start_of_another(queue: str, project: Project, user: User, seconds: float) -> float | None:
    """Seconds until a long GPU job of `seconds` would start if it were enqueued now; None while no worker serves it."""
    if not any(queue in worker.queues for worker in live_workers()):
        return None
    another = fairness.Waiting(
        id=uuid4(),
        studio=f"studio:{project.studio_id}",
        user=f"user:{project.studio_id}:{user.pk}",
        priority=1,
        cost=seconds,
        created_at=timezone.now(),
        is_short=False,
        yielded_at=None,
    )
    return forecast(another)[another.id][1]


def seconds_left(job: Job) -> float:
    """From its own pace when it has one, else from the estimate and the time since its claim."""
    if (left := job.seconds_left) is not None:
        return left
    since = (timezone.now() - job.claimed_at).total_seconds() if job.claimed_at else 0.0
    return max(1.0, job.estimated_seconds - job.busy_seconds - since)


def pulse(project: Any) -> dict[str, int]:
    """How many jobs of the project run and wait: the queue's pulse in the top bar."""
    states = list(project.jobs.filter(state__in=[Job.RUNNING, Job.WAITING]).values_list("state", flat=True))
    return {"running": states.count(Job.RUNNING), "waiting": states.count(Job.WAITING)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is known of the latest evaluation of a pack's version."""

    pack: Pack
    made_at: datetime
    summary: str
    """One sentence."""
    is_current: bool
    """Whether the pack's files are still those that were measured."""
    figures: dict[str, Any]
    page: Path

    @property
    def url(self) -> str:
        return reverse("gpu_worker:report", args=[self.pack.name, self.pack.version])


def latest_report(pack: Pack) -> Report | None:
    """None where this version has not been evaluated here, or where what was written cannot be read."""
    folder = reports.folder_for(pack, Path(settings.EVALUATIONS_DIR))
    try:
        figures = json.loads((folder / reports.DATA).read_bytes())
        return Report(
            pack=pack,
            made_at=datetime.fromisoformat(figures["date"]),
            summary=str(figures["summary"]),
            is_current=figures["pack"]["sha256"] == pack.sha256,
            figures=figures,
            page=folder / reports.PAGE,
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        logger.exception("The report in %s cannot be read; evaluate %s anew", folder, pack.name)
        return None
