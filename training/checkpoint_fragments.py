"""The only builders of the context that the checkpoints of a training, their comparison and its verdict show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.urls import reverse

from collaboration.bands import Bands
from collaboration.permissions import Verb
from gpu_worker import queries as work
from gpu_worker.models import Job
from training import curves, queries, verdicts
from training.actions import comparisons
from training.durations import about, exactly
from training.models import CheckpointComparison, ComparisonPicture, TrainingCheckpoint, TrainingRun
from training.parts import BUSY, STATUS, picture, sample, score
from training.samples import COMPARED


def checkpoints(run: TrainingRun, verbs: frozenset[Verb]) -> dict[str, Any] | None:
    """Context of `training/_checkpoints.html`; None while there is nothing to choose between."""
    kept = queries.checkpoints_of(run)
    comparison = queries.latest_comparison(run)
    if not run.job.has_ended or (comparison is None and len(kept) < 2):
        return None
    slug, may_train = run.character.project.slug, Verb.TRAIN in verbs
    why_not = comparisons.why_not_compared(run)

    def url(name: str, *more: Any) -> str:
        return reverse(f"training:{name}", args=[slug, run.pk, *more])

    measured = {m["step"]: m for m in comparison.results} if comparison else {}
    columns = [_column(c, measured.get(c.step), comparison, url, may_train) for c in kept]
    spare = any(c["is_there"] and not c["version"] for c in columns)
    there = sum(c["is_there"] for c in columns)
    return {
        "columns": columns,
        "rows": _comparison_rows(comparison, columns) if comparison else _sample_rows(run, columns),
        "measures": _measures(comparison, columns) if comparison else [],
        "comparison": _comparison(comparison) if comparison else None,
        "curves": _comparison_curves(comparison) if comparison else [],
        "proposed": next((c for c in columns if c["is_proposed"]), None),
        "compare_url": url("compare") if may_train and not why_not else "",
        "why_not": why_not if there and not comparisons.open_comparison(run) else "",
        "estimate": _estimate(run, there) if not why_not else "",
        "pictures": there * COMPARED,
        "per_checkpoint": COMPARED,
        "cancel_url": url("compare_cancel") if may_train else "",
        "retry_url": url("compare_retry") if may_train and not why_not else "",
        "erase_url": url("checkpoints_erase") if Verb.DELETE in verbs and spare else "",
    }


def _column(
    checkpoint: TrainingCheckpoint,
    measured: dict[str, Any] | None,
    comparison: CheckpointComparison | None,
    url: Callable[..., str],
    may_train: bool,
) -> dict[str, Any]:
    adapter = checkpoint.adapter
    version = adapter.version if adapter and adapter.erased_at is None else None
    is_active = adapter is not None and adapter.is_active
    usable = may_train and checkpoint.is_there and not is_active
    return {
        "step": checkpoint.step,
        "is_there": checkpoint.is_there,
        "version": version,
        "is_active": is_active,
        "measured": measured,
        "is_proposed": comparison is not None and comparison.proposed_step == checkpoint.step,
        "is_confirmed": comparison is not None and comparison.confirmed_step == checkpoint.step,
        "use_url": url("checkpoint_use", checkpoint.step) if usable else "",
    }


def _comparison(comparison: CheckpointComparison) -> dict[str, Any]:
    job = comparison.job
    return {
        "job": job,
        "status": STATUS.get(job.state, job.state),
        "label": _stopping(job) or ("Comparing" if job.state == Job.RUNNING else ""),
        "is_open": not job.has_ended,
        "is_done": job.state == Job.DONE,
        "progress": _comparison_progress(comparison),
        "place": queries.places_of([job]).get(job.pk) if job.state == Job.WAITING else None,
        "reason": comparison.reason,
        "concerns": comparison.concerns,
        "took": exactly(job.busy_seconds) if job.busy_seconds else "",
        "by": comparison.created_by,
        "at": comparison.created_at,
        "confirmed_by": comparison.confirmed_by,
        "confirmed_at": comparison.confirmed_at,
        "confirmed_step": comparison.confirmed_step,
        "refresh_seconds": {Job.RUNNING: 2, Job.WAITING: 4}.get(job.state, 0),
    }


def _stopping(job: Job) -> str:
    return BUSY.get(job.wanted, "") if job.state == Job.RUNNING else ""


def _comparison_progress(comparison: CheckpointComparison) -> dict[str, Any] | None:
    job = comparison.job
    if job.state != Job.RUNNING:
        return None
    every, made = len(comparison.steps) * len(comparison.plan), comparison.pictures.count()
    if not job.step:
        return {"value": None, "max": 1, "text": job.note or "Starting", "left": ""}
    left = f"{about(work.seconds_left(job))} left"
    return {"value": job.step, "max": job.total, "text": f"{made} of {every} pictures", "left": left}


def _comparison_rows(comparison: CheckpointComparison, columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per prompt: what each checkpoint made of it, in the order of `columns`."""
    made = {(p.step, p.place): p for p in queries.pictures_of(comparison)}
    bands = comparison.run.character.project.studio.bands
    rows = []
    for place, entry in enumerate(comparison.plan):
        found = [made.get((column["step"], place)) for column in columns]
        rows.append({"prompt": entry["prompt"], "cells": [_cell(p, entry, bands) if p else None for p in found]})
    return rows


def _cell(row: ComparisonPicture, entry: dict[str, Any], bands: Bands) -> dict[str, Any]:
    missed = [f"{name} {word}" for name, word in entry["asked"].items() if row.seen.get(name, word) != word]
    return {
        "picture": picture(
            row.asset, alt=f"Step {row.step}: {entry['prompt']}", sizes="(max-width: 720px) 30vw, 160px"
        ),
        "url": row.asset.url(),
        "score": score(row.score, row.cosine, row.no_score_reason, bands),
        "missed": ", ".join(missed),
        "note": "",
    }


def _sample_rows(run: TrainingRun, columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per prompt of the training's own samples: the latest that were made up to each checkpoint."""
    samples = list(run.samples.select_related("asset"))

    def cell(place: int, until: int) -> dict[str, Any] | None:
        made = [s for s in samples if s.place == place and s.step <= until]
        latest = made[-1] if made else None  # they are in order of their steps
        return sample(latest) | {"missed": "", "note": f"sample of step {latest.step:,}"} if latest else None

    rows = [
        {"prompt": entry["prompt"], "cells": [cell(place, column["step"]) for column in columns]}
        for place, entry in enumerate(run.samples_wanted)
    ]
    return [row for row in rows if any(row["cells"])]


UNMEASURED = "not measured"
DISTANCES = {
    verdicts.FIGURE: "distance of whole figures, 0 to 2",
    verdicts.HASH: "difference of perceptual hashes, 0 to 1",
}


def _measures(comparison: CheckpointComparison, columns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of figures under the pictures: name, what it is, and words for each of the columns."""
    found = {m["step"]: verdicts.Measured.from_json(m) for m in comparison.results}
    if not found:
        return []

    def row(name: str, note: str, words: Callable[[verdicts.Measured], str]) -> dict[str, Any]:
        of_columns = [found.get(column["step"]) for column in columns]
        return {"name": name, "note": note, "values": [words(m) if m else "–" for m in of_columns]}

    return [
        row("Identity", "mean, of 100", _identity_words),
        row("Adherence", "of what was asked", lambda m: UNMEASURED if m.adherence is None else f"{m.adherence:.0%}"),
        row("Diversity", _distance(found), lambda m: UNMEASURED if m.diversity is None else f"{m.diversity:.2f}"),
    ]


def _distance(found: Mapping[int, verdicts.Measured]) -> str:
    return DISTANCES.get(next(iter(found.values())).distance, "of the pictures")


def _identity_words(measured: verdicts.Measured) -> str:
    if measured.identity is None:
        return UNMEASURED
    few = f" in {measured.scored} of {measured.pictures}" if measured.scored < measured.pictures else ""
    return f"{measured.identity:.0f}{few}"


def _comparison_curves(comparison: CheckpointComparison) -> list[dict[str, Any]]:
    found = {m["step"]: verdicts.Measured.from_json(m) for m in comparison.results}
    if not found:
        return []
    marks = [comparison.proposed_step] if comparison.proposed_step else []

    def curve(title: str, note: str, values: list[tuple[int, float | None]], high: float | None) -> dict[str, Any]:
        drawn = curves.curve(
            [(step, value) for step, value in values if value is not None], marks=marks, low=0, high=high, smooth=False
        )
        return {"title": title, "note": note, "curve": drawn}

    drawn = [
        curve("Identity", "of 100", [(k, m.identity) for k, m in found.items()], 100),
        curve("Adherence", "% of what was asked", [(k, _percent(m.adherence)) for k, m in found.items()], 100),
        curve("Diversity", _distance(found), [(k, m.diversity) for k, m in found.items()], None),
    ]
    return [one for one in drawn if one["curve"]]


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _estimate(run: TrainingRun, checkpoints: int) -> str:
    pack = comparisons.pack_of(run)
    return about(comparisons.seconds_to_compare(run, pack, checkpoints, COMPARED)) if pack else ""
