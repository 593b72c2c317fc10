"""The only builders of the contexts that the pages about training, their regions and the character's tab show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString

from characters.models import Character
from collaboration.permissions import Verb, verbs_of
from gpu_worker import queries as work
from gpu_worker import selection
from gpu_worker.models import Adapter, Job
from training import checkpoint_fragments, curves, queries
from training.durations import about, exactly
from training.models import TrainingRun
from training.parts import BUSY, LABEL, STATUS, picture, sample
from training.queries import Place


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
    kept = checkpoint_fragments.checkpoints(run, verbs)
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
            {
                "caption": f"{r.caption} (generated)" if r.reference.is_generated else r.caption,
                "picture": picture(r.reference.asset, alt=r.caption, sizes="64px"),
            }
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
