"""Reads that assemble the pages about training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db.models import Prefetch, Q
from django.utils import timezone

from characters.models import Character, Reference
from collaboration.models import Project
from gpu_worker import queries as work
from gpu_worker.models import Adapter, Job
from training.models import CheckpointComparison, ComparisonPicture, TrainingCheckpoint, TrainingRun, TrainingSample

RUNS_PER_PAGE = 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where a waiting run stands in the queue of the whole installation."""

    position: int | None
    """From 1; None while something else has to end first."""
    seconds: float | None
    """Until it starts."""
    why: str


@dataclass(frozen=True, slots=True)
class Queue:
    running: list[TrainingRun]
    waiting: list[tuple[TrainingRun, Place]]
    paused: list[TrainingRun]
    ended: list[TrainingRun]
    older: str
    """Cursor of the next page of those that ended; empty on the last one."""

    @property
    def is_open(self) -> bool:
        return bool(self.running or self.waiting)

    @property
    def is_empty(self) -> bool:
        return not (self.running or self.waiting or self.paused or self.ended)


def queue_of(project: Project, *, before: str = "") -> Queue:
    """Open runs in the order in which they will be served, and one page of those that ended, the newest first."""
    runs = TrainingRun.objects.filter(character__project=project).present().with_rows().prefetch_related(_samples())
    opened = list(runs.filter(job__in=Job.objects.open()).order_by("created_at"))
    ended, older = ended_page(runs, before)
    waiting = [r for r in opened if r.job.state == Job.WAITING]
    places = places_of([r.job for r in waiting])
    in_order = sorted(
        ((r, places[r.job_id]) for r in waiting), key=lambda entry: (entry[1].position is None, entry[1].position or 0)
    )
    return Queue(
        running=[r for r in opened if r.job.state == Job.RUNNING],
        waiting=in_order,
        paused=[r for r in opened if r.job.state == Job.PAUSED],
        ended=ended,
        older=older,
    )


def _samples() -> Prefetch:
    return Prefetch("samples", TrainingSample.objects.select_related("asset").order_by("step", "place"))


def ended_page(runs: Any, before: str) -> tuple[list[TrainingRun], str]:
    """Keyset page by (created_at, id), newest first; `before` is a cursor that an earlier page gave."""
    rows = runs.filter(job__state__in=Job.ENDED).order_by("-created_at", "-id")
    if cursor := _read_cursor(before):
        moment, pk = cursor
        rows = rows.filter(Q(created_at__lt=moment) | Q(created_at=moment, pk__lt=pk))
    page = list(rows[: RUNS_PER_PAGE + 1])
    last = page[RUNS_PER_PAGE - 1] if len(page) > RUNS_PER_PAGE else None
    return page[:RUNS_PER_PAGE], f"{last.created_at.isoformat()}_{last.pk}" if last else ""


def _read_cursor(text: str) -> tuple[datetime, UUID] | None:
    """None for what is no cursor of ours: then the first page is shown."""
    moment, _, pk = text.partition("_")
    try:
        parsed = datetime.fromisoformat(moment)
        return (parsed if timezone.is_aware(parsed) else timezone.make_aware(parsed)).astimezone(UTC), UUID(pk)
    except (ValueError, OverflowError):
        return None


def places_of(jobs: Sequence[Job]) -> dict[UUID, Place]:
    """Position, time until the start, and why, from the same ordering as the claim."""
    if not jobs:
        return {}
    forecast = work.forecast()
    workers = work.live_workers()
    served = {queue for worker in workers for queue in worker.queues}
    return {job.pk: _place(job, forecast.get(job.pk), job.queue in served) for job in jobs}


def _place(job: Job, told: tuple[int, float] | None, is_served: bool) -> Place:
    position, seconds = told if told is not None else (None, None)
    if not is_served:
        return Place(position, None, "No worker for this queue is running. It starts as soon as one does.")
    if job.not_before and job.not_before > timezone.now():
        left = (job.not_before - timezone.now()).total_seconds()
        return Place(position, left, job.note or "It is tried again in a moment.")
    if position is None:
        return Place(None, None, "It waits for other work to be done first.")
    if job.yielded_at:
        return Place(position, seconds, f"Made way for shorter work at step {job.checkpoint_step:,}.")
    if position == 1:
        return Place(position, seconds, "Next in line.")
    ahead = position - 1
    return Place(position, seconds, f"{ahead} {'job is' if ahead == 1 else 'jobs are'} ahead in the shared queue.")


# ----------------------------------------------------------------------------------------------------------- one run
@dataclass(frozen=True, slots=True)
class SampleStep:
    step: int
    samples: list[TrainingSample]
    score: float | None
    """Mean of those that could be measured."""


def samples_of(run: TrainingRun) -> list[SampleStep]:
    by_step: dict[int, list[TrainingSample]] = {}
    for sample in run.samples.select_related("asset"):
        by_step.setdefault(sample.step, []).append(sample)
    return [SampleStep(step, samples, _mean(samples)) for step, samples in sorted(by_step.items())]


def _mean(samples: Sequence[TrainingSample]) -> float | None:
    scores = [s.score for s in samples if s.score is not None]
    return round(sum(scores) / len(scores), 1) if scores else None


@dataclass(frozen=True, slots=True)
class Trained:
    """A reference as it was used."""

    reference: Reference | None
    """None when it has been erased since."""
    caption: str


def references_of(run: TrainingRun) -> list[Trained]:
    rows = {str(r.pk): r for r in Reference.objects.filter(character=run.character).select_related("asset")}
    found = [(rows.get(entry["id"]), entry["caption"]) for entry in run.references]
    return [Trained(r if r and r.asset.erased_at is None else None, caption) for r, caption in found]


# -------------------------------------------------------------------------------------------------- its checkpoints
def checkpoints_of(run: TrainingRun) -> list[TrainingCheckpoint]:
    """In order of their steps, those that were erased too."""
    return list(run.checkpoints.select_related("file", "adapter"))


def latest_comparison(run: TrainingRun) -> CheckpointComparison | None:
    return run.comparisons.select_related("job", "created_by", "confirmed_by").first()


def pictures_of(comparison: CheckpointComparison) -> list[ComparisonPicture]:
    """By step, then by prompt."""
    return list(comparison.pictures.select_related("asset"))


# ----------------------------------------------------------------------------------------------------- one character
def runs_of(character: Character, *, limit: int = 10) -> list[TrainingRun]:
    rows = character.training_runs.present().select_related("job", "adapter", "created_by")
    return list(rows.prefetch_related(_samples())[:limit])


def adapters_of(character: Character) -> list[Adapter]:
    """Those that were not erased, the newest first."""
    rows = Adapter.objects.of("character", character.pk).select_related("project", "file", "created_by")
    return list(rows.select_related("checkpoint__run"))
