"""Comparing the checkpoints of a training on the same prompts and seeds, and confirming what is proposed."""

from __future__ import annotations

import uuid
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from characters.variations import IMAGE_PROMPT_STRENGTH, LORA_STRENGTH
from collaboration.models import User
from gpu_worker import actions as jobs
from gpu_worker import catalog
from gpu_worker.models import Adapter, Job
from gpu_worker.packs import Pack
from training import derivations, events, verdicts
from training.actions import adapters
from training.actions.common import locked_character, locked_job, tell
from training.models import CheckpointComparison, TrainingCheckpoint, TrainingRun
from training.samples import comparison_plan

KIND = "training.compare"
SECONDS_PER_STEP_AND_PICTURE = 0.06
"""First guess, before the installation has its own experience."""


def pack_of(run: TrainingRun) -> Pack | None:
    """The pack that the run was made for; None when it is not installed any more."""
    pack = catalog.installed().get(run.pack)
    return pack if pack is not None and pack.version == run.pack_version else None


def why_not_compared(run: TrainingRun) -> str:
    """Why the checkpoints of the run cannot be compared now, as a sentence; empty when they can."""
    if not run.job.has_ended:
        return "The training is still under way. Compare its checkpoints when it has ended."
    if derivations.has_erased_picture(run):
        return "References of this training were erased, so what it learnt from them is not used for new pictures."
    if len(_there(run)) < 2:
        return "Fewer than two checkpoints of this training are kept, so there is nothing to compare."
    pack = pack_of(run)
    if pack is None:
        return (
            f"This training was made for the model pack {run.pack} {run.pack_version}, which is no longer installed, "
            "so its checkpoints cannot be compared."
        )
    if run.character.project.is_commercial and not pack.licence.commercial:
        return f"This is a commercial project by now, and {pack.title} may not be used commercially."
    if open_comparison(run) is not None:
        return "The checkpoints of this training are being compared already."
    return ""


def _there(run: TrainingRun) -> list[TrainingCheckpoint]:
    return [c for c in run.checkpoints.select_related("file") if c.is_there]


def open_comparison(run: TrainingRun) -> CheckpointComparison | None:
    return run.comparisons.filter(job__in=Job.objects.open()).select_related("job").first()


def was_trained_on_gpu(run: TrainingRun) -> bool:
    made = run.job.outputs.filter(kind="adapter").first()
    return made is not None and made.data.get("device", "cpu") != "cpu"


def start_comparison(*, run: TrainingRun, actor: User | None) -> CheckpointComparison:
    """Put a comparison of the run's checkpoints in the queue.

    Raises NotNow where it cannot be done now, and ValidationError for a character in the trash.
    """
    with transaction.atomic():
        run.job = locked_job(run)  # two people who press at once wait for each other here
        character = locked_character(run.character_id)
        sentence, pack = why_not_compared(run), pack_of(run)
        if sentence or pack is None:
            raise jobs.NotNow(sentence)
        steps = [{"step": c.step, "sha256": c.sha256} for c in _there(run)]
        plan = comparison_plan(character, run.trigger, int(run.recipe["seed"]), pack)
        settings = _settings(pack)
        comparison_id = uuid.uuid4()
        job = jobs.enqueue(
            kind=KIND,
            title=f"Compare checkpoints of {character.name}",
            project=character.project,
            actor=actor,
            subject=("character", character.pk),
            arguments={"comparison": str(comparison_id)},
            queue=run.job.queue,
            units=len(steps) * len(plan),
            seconds_per_unit=settings["steps"] * SECONDS_PER_STEP_AND_PICTURE,
        )
        comparison = CheckpointComparison.objects.create(
            pk=comparison_id, run=run, job=job, plan=plan, settings=settings, steps=steps, created_by=actor
        )
        tell(run, events.ComparisonStarted, actor, checkpoints=len(steps), pictures=len(steps) * len(plan))
    return comparison


def seconds_to_compare(run: TrainingRun, pack: Pack, checkpoints: int, pictures: int) -> float:
    """Estimate, with `pictures` of each checkpoint."""
    per_picture = _settings(pack)["steps"] * SECONDS_PER_STEP_AND_PICTURE
    return jobs.estimate_seconds(KIND, run.job.queue, checkpoints * pictures, per_picture)


def _settings(pack: Pack) -> dict[str, Any]:
    """As the standard tier makes pictures unless a person sets it otherwise: what is compared is what will be used."""
    width, height = pack.sizes[0] if pack.sizes else (pack.resolution, pack.resolution)
    return {
        "steps": int(pack.defaults.get("steps", 25)),
        "guidance": float(pack.defaults.get("guidance", 7)),
        "negative_prompt": str(pack.defaults.get("negative_prompt", "")),
        "width": width,
        "height": height,
        "lora_strength": LORA_STRENGTH,
        "image_prompt_strength": IMAGE_PROMPT_STRENGTH,
    }


# ------------------------------------------------------------------------------------------------ while it is under way
def cancel_comparison(*, comparison: CheckpointComparison, actor: User) -> None:
    """Stop it; the pictures that were made stay. Raises NotNow."""
    with transaction.atomic():
        job = Job.objects.select_for_update().get(pk=comparison.job_id)
        if job.has_ended:
            raise jobs.NotNow("This comparison has ended already, so there is nothing to cancel.")
        comparison.job = jobs.cancel(job=job)


def cancel_open(run: TrainingRun, actor: User) -> None:
    if (comparison := open_comparison(run)) is not None:
        cancel_comparison(comparison=comparison, actor=actor)


def retry_comparison(*, comparison: CheckpointComparison, actor: User) -> None:
    """Make what is missing of a failed or cancelled one. Raises NotNow."""
    run = comparison.run
    with transaction.atomic():
        run.job = locked_job(run)
        if sentence := why_not_compared(run):
            raise jobs.NotNow(sentence)
        comparison.job = jobs.retry(job=comparison.job)
        pictures = len(comparison.steps) * len(comparison.plan)
        tell(run, events.ComparisonStarted, actor, checkpoints=len(comparison.steps), pictures=pictures)


# -------------------------------------------------------------------------------------------------------- how it ends
def note_compared(
    *, comparison: CheckpointComparison, measured: list[verdicts.Measured], verdict: verdicts.Verdict
) -> None:
    """In the transaction that ends its job."""
    comparison.results = [m.as_json() for m in measured]
    comparison.proposed_step, comparison.reason = verdict.step, verdict.reason
    comparison.concerns = list(verdict.concerns)
    comparison.save(update_fields=["results", "proposed_step", "reason", "concerns"])
    tell(comparison.run, events.ComparisonFinished, None, proposed=verdict.step)


def note_comparison_stopped(*, comparison: CheckpointComparison) -> None:
    """In the transaction that ends its job as failed or cancelled."""
    tell(comparison.run, events.ComparisonStopped, None, state=comparison.job.state)


# --------------------------------------------------------------------------------------------------------- confirming
def use_checkpoint(*, run: TrainingRun, step: int, actor: User) -> Adapter:
    """A person's choice: the checkpoint of that step becomes the active adapter (`adapters.choose_checkpoint`), and the
    latest finished comparison notes who confirmed it.

    Raises ValidationError with a sentence where it cannot be used.
    """
    pack = pack_of(run)
    if pack is None:
        raise ValidationError(
            f"This training was made for the model pack {run.pack} {run.pack_version}, which is no longer installed."
        )
    with transaction.atomic():
        adapter = adapters.choose_checkpoint(run=run, step=step, pack=pack, actor=actor)
        latest = run.comparisons.filter(job__state=Job.DONE).first()
        if latest is not None and latest.confirmed_step != step:
            latest.confirmed_step, latest.confirmed_by, latest.confirmed_at = step, actor, timezone.now()
            latest.save(update_fields=["confirmed_step", "confirmed_by", "confirmed_at"])
    return adapter


def erase_checkpoints(*, run: TrainingRun, actor: User) -> int:
    """Erase, for good, the checkpoints that became no adapter; a comparison under way is cancelled. Returns how many.

    Raises NotNow while the training is under way.
    """
    with transaction.atomic():
        if not locked_job(run).has_ended:
            raise jobs.NotNow("This training is still under way. Cancel it first.")
        cancel_open(run, actor)
        return adapters.erase_spare_checkpoints(run=run, actor=actor)
