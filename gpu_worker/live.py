"""What of jobs changes without an event: how far they are, and how many run and wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from gpu_worker.models import Job

Change = tuple[str, tuple[str, str, str], object]
"""Project id, (kind, subject kind, subject id), version."""


def progress(project_ids: Sequence[str]) -> Iterator[Change]:
    """Of the jobs that have not ended: `job.progress` of a subject, `training.progress` of one that is trained, in
    whole per cents, and `job.counts` of a project."""
    rows = Job.objects.open().filter(project__in=[UUID(id) for id in project_ids]).order_by("created_at", "id")
    fields = ("project_id", "kind", "subject_kind", "subject_id", "state", "wanted", "step", "total", "note")
    subjects: dict[tuple[str, str, str], list[Any]] = {}
    trained: dict[tuple[str, str, str], object] = {}
    counts: dict[str, Counter[str]] = {}
    for project, kind, subject_kind, subject_id, state, wanted, step, total, note in rows.values_list(*fields):
        place = (str(project), subject_kind, subject_id)
        subjects.setdefault(place, []).append((state, wanted, step, note))
        if kind.startswith("training."):
            trained[place] = (state, 100 * step // total if total else 0)
        counts.setdefault(str(project), Counter())[state] += 1
    for (project_id, subject_kind, subject_id), version in subjects.items():
        yield project_id, ("job.progress", subject_kind, subject_id), tuple(version)
    for (project_id, subject_kind, subject_id), share in trained.items():
        yield project_id, ("training.progress", subject_kind, subject_id), share
    for project_id, count in counts.items():
        yield project_id, ("job.counts", "project", project_id), (count[Job.RUNNING], count[Job.WAITING])
