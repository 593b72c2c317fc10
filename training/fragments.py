"""The only builders of the contexts that the pages about training, their regions and the character's tab show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString

from assets.models import Asset
from characters.models import Character
from collaboration.bands import Bands
from collaboration.permissions import Verb, verbs_of
from gpu_worker import queries as work
from gpu_worker import selection
from gpu_worker.models import Adapter, Job
from training import curves, queries, verdicts
from training.actions import comparisons
from training.durations import about, exactly
from training.models import (
    CheckpointComparison,
    ComparisonPicture,
    TrainingCheckpoint,
    TrainingRun,
    TrainingSample,
)
from training.queries import Place
from training.samples import COMPARED

STATUS = {Job.RUNNING: "working"}
"""State of a job -> state of the status component, where they differ."""
LABEL = {Job.RUNNING: "Training", Job.DONE: "Trained"}
BUSY = {Job.PAUSE: "Pausing", Job.CANCEL: "Stopping"}


def picture(asset: Asset | None, *, alt: str = "", sizes: str = "") -> dict[str, Any] | None:
    if asset is None or asset.erased_at is not None:
        return None
    return {
        "url": asset.url(320),
        "srcset": asset.srcset,
        "sizes": sizes,
        "width": asset.width,
        "height": asset.height,
        "placeholder": asset.placeholder,
        "alt": alt,
    }


def score(value: float | None, cosine: float | None, reason: str, bands: Bands) -> dict[str, Any]:
    return {
        "value": value,
        "band": bands.of(value) if value is not None else "",
        "reason": reason,
        "detail": f"cosine {cosine:.2f}" if cosine is not None else "",
    }


# -------------------------------------------------------------------------------------------------------------- state
def state(run: TrainingRun) -> dict[str, Any]:
    """What every view of a run says about how far it is."""
    job = run.job
    loss = job.measured.get("loss", [])
    return {
        "status": STATUS.get(job.state, job.state),
        "label": BUSY.get(job.wanted) if job.state == Job.RUNNING and job.wanted in BUSY else LABEL.get(job.state, ""),
        "progress": _progress(job, loss),
        "spark": curves.curve(loss),
        "loss": f"{loss[-1][1]:.3f}" if loss else "",
    }


def _progress(job: Job, loss: list[Any]) -> dict[str, Any] | None:
    if job.state in (Job.DONE, Job.CANCELLED, Job.FAILED) or (job.state == Job.WAITING and not job.step):
        return None
    text = f"Step {job.step:,} of {job.total:,}" + (f" · loss {loss[-1][1]:.3f}" if loss else "")
    if job.state == Job.RUNNING and not job.step:
        return {"value": None, "max": 1, "text": job.note or "Starting", "left": "", "state": ""}
    if job.state == Job.RUNNING:
        return {"value": job.step, "max": job.total, "text": text, "left": f"{about(work.seconds_left(job))} left"}
    word = {"value": job.step, "max": job.total, "text": text, "left": ""}
    return word | {"state": "paused" if job.state == Job.PAUSED else "still"}


def buttons(run: TrainingRun, verbs: frozenset[Verb]) -> list[dict[str, Any]]:
    """What the person may do with the run now: [{label, icon, url, primary, danger}], each a POST."""
    if Verb.TRAIN not in verbs:
        return []
    job, slug = run.job, run.character.project.slug

    def button(name: str, label: str, icon: str, **more: Any) -> dict[str, Any]:
        return {"label": label, "icon": icon, "url": reverse(f"training:{name}", args=[slug, run.pk])} | more

    if job.state in (Job.WAITING, Job.RUNNING):
        found = [] if job.wanted == Job.CANCEL else [button("cancel", "Cancel", "x", plain=True)]
        if job.wanted == Job.PAUSE:
            return [button("resume", "Go on", "play"), *found]
        return [button("pause", "Pause", "pause"), *found] if found else []
    if job.state == Job.PAUSED:
        return [button("resume", "Resume", "play", primary=True), button("cancel", "Cancel", "x", plain=True)]
    found = [button("trash", "Remove from the list", "trash-2", plain=True)]
    if job.state in (Job.FAILED, Job.CANCELLED):
        words = f"Continue from step {job.checkpoint_step:,}" if job.checkpoint_step else "Try again"
        return [button("retry", words, "rotate-cw", primary=True), *found]
    return found


def line(run: TrainingRun, verbs: frozenset[Verb], place: Place | None = None) -> dict[str, Any]:
    """A run in a list. `run.samples` should be prefetched with their assets."""
    samples = list(run.samples.all())
    latest = max((s.step for s in samples), default=None)
    shown = [s for s in samples if s.step == latest]
    return {
        "run": run,
        "url": run.get_absolute_url(),
        "picture": picture(run.character.picture, alt=run.character.name, sizes="64px"),
        "last_samples": [sample(s) for s in shown[:3]],
        "last_step": latest,
        "place": place,
        "starts": _starts(place) if place else "",
        "buttons": buttons(run, verbs),
        "took": exactly(run.job.busy_seconds),
        **state(run),
    }


def _starts(place: Place) -> str:
    if place.seconds is None:
        return ""
    return "starts in a moment" if place.seconds < 8 else f"starts in {about(place.seconds)}"


def sample(row: TrainingSample) -> dict[str, Any]:
    return {
        "place": row.place,
        "picture": picture(row.asset, alt=f"Step {row.step}: {row.prompt}", sizes="(max-width: 720px) 30vw, 160px"),
        "url": row.asset.url(),
        "prompt": row.prompt,
        "seed": row.seed,
        "score": score(row.score, row.cosine, row.no_score_reason, row.run.character.project.studio.bands),
    }


# -------------------------------------------------------------------------------------------------------------- queue
def queue(request: Any, project: Any, before: str) -> dict[str, Any]:
    """Context of `training/_queue.html`."""
    verbs = verbs_of(request.user, project)
    found = queries.queue_of(project, before=before)
    here = reverse("training:queue", args=[project.slug])
    return {
        "project": project,
        "here": here,
        "is_empty": found.is_empty and not before,
        "running": [line(run, verbs) for run in found.running],
        "waiting": [line(run, verbs, place) for run, place in found.waiting],
        "paused": [line(run, verbs) for run in found.paused],
        "ended": [line(run, verbs) for run in found.ended],
        "older_url": f"{here}?{urlencode({'before': found.older})}" if found.older else "",
        "refresh_seconds": (2 if found.running else 4) if found.is_open else 0,
    }


# ------------------------------------------------------------------------------------------------------------ one run
def run(request: Any, run: TrainingRun) -> dict[str, Any]:
    """Context of `training/_run.html`."""
    job, recipe = run.job, run.recipe
    steps = queries.samples_of(run)
    place = queries.places_of([job]).get(job.pk) if job.state == Job.WAITING else None
    scored = [[s.step, s.score] for s in steps if s.score is not None]
    loss = job.measured.get("loss", [])
    verbs = verbs_of(request.user, run.character.project)
    kept = checkpoints(run, verbs)
    asks = kept["comparison"]["refresh_seconds"] if kept and kept["comparison"] else 0
    return {
        "run": run,
        "project": run.character.project,
        "here": run.get_absolute_url(),
        "job": job,
        "verbs": verbs,
        "buttons": buttons(run, verbs),
        "checkpoints": kept,
        "picture": picture(run.character.picture, alt=run.character.name, sizes="132px"),
        "place": place,
        "starts": _starts(place) if place else "",
        "loss_curve": curves.curve(loss, until=job.total, marks=[s.step for s in steps]),
        "loss_low": f"{min(v for _, v in loss):.3f}" if loss else "",
        "identity_curve": curves.curve(scored, until=job.total, low=0, high=100, smooth=False),
        "identity_last": scored[-1][1] if scored else None,
        "sample_steps": [{"step": s.step, "score": s.score, "samples": [sample(x) for x in s.samples]} for s in steps],
        "prompts": run.samples_wanted,
        "references": [
            {"caption": r.caption, "picture": picture(r.reference.asset, alt=r.caption, sizes="64px")}
            if r.reference
            else {"caption": "Erased since", "picture": None}
            for r in queries.references_of(run)
        ],
        "can_see_detail": request.user.is_staff,
        "held_out": len(run.held_out),
        "recipe": [
            {"name": name, "value": _setting(recipe[key])} for key, name in RECIPE_WORDS.items() if key in recipe
        ],
        "took": exactly(job.busy_seconds) if job.busy_seconds else "",
        "refresh_seconds": {Job.RUNNING: 2, Job.WAITING: 4}.get(job.state, asks),
        **state(run),
    }


RECIPE_WORDS = {
    "steps": "Steps",
    "learning_rate": "Learning rate",
    "rank": "Rank",
    "alpha": "Alpha",
    "batch_size": "Batch size",
    "resolution": "Resolution",
    "warmup_steps": "Warm-up steps",
    "dropout": "Dropout",
    "caption_dropout": "Caption dropout",
    "flip": "Mirroring",
    "checkpoint_every": "Checkpoint every",
    "compare_checkpoints": "Checkpoints to compare",
    "sample_every": "Samples every",
    "targets": "Layers",
    "seed": "Seed",
}


def _setting(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        return " ".join(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


# -------------------------------------------------------------------------------------------------- its checkpoints
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
    rows = []
    for place, entry in enumerate(comparison.plan):
        found = [made.get((column["step"], place)) for column in columns]
        rows.append({"prompt": entry["prompt"], "cells": [_cell(p, entry) if p else None for p in found]})
    return rows


def _cell(row: ComparisonPicture, entry: dict[str, Any]) -> dict[str, Any]:
    missed = [f"{name} {word}" for name, word in entry["asked"].items() if row.seen.get(name, word) != word]
    return {
        "picture": picture(
            row.asset, alt=f"Step {row.step}: {entry['prompt']}", sizes="(max-width: 720px) 30vw, 160px"
        ),
        "url": row.asset.url(),
        "score": score(row.score, row.cosine, row.no_score_reason),
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


# ------------------------------------------------------------------------------------------------- the character's tab
@dataclass(frozen=True, slots=True)
class CharacterTab:
    """What is known of a character's training, as a tab of the character's page."""

    label: str = "Training"
    name: str = "training"

    def url(self, character: Character) -> str:
        return reverse("characters:tab", args=[character.project.slug, character.pk, self.name])

    def render(self, request: HttpRequest, character: Character) -> SafeString:
        return render_to_string("training/_tab.html", self.context(request, character), request=request)

    def context(self, request: Any, character: Character) -> dict[str, Any]:
        project = character.project
        verbs = verbs_of(request.user, project)
        runs = queries.runs_of(character)
        for run in runs:
            run.character = character
        places = queries.places_of([r.job for r in runs if r.job.state == Job.WAITING])
        opened = next((r for r in runs if not r.job.has_ended), None)
        present = queries.adapters_of(character)
        counts = Counter(c.run_id for a in present if (c := getattr(a, "checkpoint", None)))
        adapters = [self._version(a, verbs, counts) for a in present]
        return {
            "character": character,
            "here": self.url(character),
            "refresh_url": reverse("training:tab", args=[project.slug, character.pk]),
            "refresh_seconds": 2 if opened and opened.job.state != Job.PAUSED else 0,
            "current": line(opened, verbs, places.get(opened.job_id)) if opened else None,
            "runs": [line(r, verbs) for r in runs if r.job.has_ended],
            "adapters": adapters,
            "active": next((a for a in adapters if a["adapter"].is_active), None),
            "train_url": reverse("training:new", args=[project.slug, character.pk]) if Verb.TRAIN in verbs else "",
            "train_label": f"Train {character.name}",
            "missing": character.references_missing,
            "missing_words": f"{character.name} has {character.reference_count} of the {character.references_needed} "
            f"references that {character.tier} needs. Add {character.references_missing} more.",
        }

    def _version(self, adapter: Adapter, verbs: frozenset[Verb], counts: Mapping[Any, int]) -> dict[str, Any]:
        """`counts`: run -> how many versions came of it."""
        slug = adapter.project.slug
        checkpoint = getattr(adapter, "checkpoint", None)
        usable = Verb.TRAIN in verbs and not adapter.is_active
        return {
            "adapter": adapter,
            "fits": self._fits(adapter),
            "checkpoint": checkpoint,
            "run_url": reverse("training:run", args=[slug, checkpoint.run_id]) if checkpoint else "",
            "is_last_of_run": checkpoint is not None and counts[checkpoint.run_id] == 1,
            "download_url": adapter.file.url() if adapter.file else "",
            "activate_url": reverse("training:adapter_activate", args=[slug, adapter.pk]) if usable else "",
            "erase_url": reverse("training:adapter_erase", args=[slug, adapter.pk]) if Verb.DELETE in verbs else "",
        }

    def _fits(self, adapter: Adapter) -> bool:
        try:
            return selection.fits(adapter, selection.pack_for(adapter.project))
        except selection.NoModel:
            return True


CHARACTER_TAB = CharacterTab()
