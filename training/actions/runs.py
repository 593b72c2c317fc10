"""Starting, pausing and ending trainings."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from characters import actions as character_actions
from characters.models import TIERS, Character, Reference
from collaboration.models import User
from gpu_worker import actions as jobs
from gpu_worker import checkpoints, selection
from gpu_worker.models import Job
from gpu_worker.packs import Pack
from training import dataset, derivations, events, recipes
from training.actions import comparisons
from training.actions.adapters import erase_spare_checkpoints
from training.actions.common import locked_character, locked_job, tell
from training.models import TrainingRun
from training.recipes import Recipe
from training.samples import samples_wanted

KIND = "training.train"
TRAIN_QUEUE = {"low": Job.LOW, "standard": Job.STANDARD, "high": Job.HIGH}


class AlreadyTraining(ValidationError):
    def __init__(self, character: Character) -> None:
        super().__init__(
            f"{character.name} is being trained already. Wait until that is done, or cancel it first.",
            code="already_training",
        )


def start_training(
    *,
    character: Character,
    tier: str,
    actor: User,
    recipe: Recipe | None = None,
    reference_ids: Sequence[UUID | str] | None = None,
    captions: Mapping[str, str] | None = None,
    priority: int = 1,
) -> TrainingRun:
    """Check the recipe and the pictures, and put a training in the queue.

    `recipe` None: the preset. `reference_ids` None: every usable reference that is not held out. `captions`: id of
    a reference -> what to say of it; kept with the reference. Raises ValidationError keyed by `tier`, `references`,
    `priority` or a field of the recipe, and AlreadyTraining.
    """
    pack = _pack_for(character, tier)
    recipe = recipe if recipe is not None else recipes.preset(tier, pack)
    if recipe is None:
        raise ValidationError({"tier": recipes.why_no_preset(tier, pack)})
    recipe = recipes.checked(recipe, pack)
    if priority not in dict(Job.PRIORITIES):
        raise ValidationError({"priority": "The priority is 0 (low), 1 (normal), 2 (high) or 3 (urgent)."})
    with transaction.atomic():
        # Two people who press Train at once wait for each other here, and the second one is told.
        character = locked_character(character.pk)
        if open_run(character) is not None:
            raise AlreadyTraining(character)
        data = dataset.examine(character, tier=tier, pack=pack, reference_ids=reference_ids, captions=captions)
        if data.refused:
            raise ValidationError({"references": [f.sentence for f in data.refused]})
        if captions:
            for picture in data.pictures:
                picture.reference.caption = picture.said
            Reference.objects.bulk_update([p.reference for p in data.pictures], ["caption"])
        run_id = uuid.uuid4()
        job = jobs.enqueue(
            kind=KIND,
            title=f"Train {character.name}",
            project=character.project,
            actor=actor,
            subject=("character", character.pk),
            arguments={"run": str(run_id)},
            queue=TRAIN_QUEUE[tier],
            units=recipe.steps,
            is_short=False,
            priority=priority,
            seconds_per_unit=recipes.seconds_per_step(recipe, pack),
        )
        run = TrainingRun.objects.create(
            pk=run_id,
            character=character,
            job=job,
            tier=tier,
            recipe=recipe.as_json(),
            references=[
                {"id": str(p.reference.pk), "asset": str(p.reference.asset_id), "caption": p.caption}
                for p in data.pictures
            ],
            held_out=[str(r.pk) for r in data.held_out],
            samples_wanted=samples_wanted(character, data.trigger, recipe.seed, pack),
            trigger=data.trigger,
            pack=pack.name,
            pack_version=pack.version,
            created_by=actor,
        )
        character_actions.refresh_status(character=character)
        tell(run, events.TrainingStarted, actor, tier=tier, references=len(data.pictures), steps=recipe.steps)
    return run


def _pack_for(character: Character, tier: str) -> Pack:
    if tier not in dict(TIERS):
        raise ValidationError({"tier": "The tier must be low, standard or high."})
    try:
        return selection.pack_for(character.project)
    except selection.NoModel as error:
        raise ValidationError({"tier": str(error)}) from None


def open_run(character: Character) -> TrainingRun | None:
    """The run of the character that waits, runs or is paused."""
    return TrainingRun.objects.filter(character=character, job__in=Job.objects.open()).select_related("job").first()


# -------------------------------------------------------------------------------------------- while it is under way
def pause_training(*, run: TrainingRun, actor: User) -> TrainingRun:
    """A running one stops at its next step and keeps its checkpoint. Raises NotNow."""
    with transaction.atomic():
        before = locked_job(run)
        run.job = jobs.pause(job=before)
        if (before.state, before.wanted) != (run.job.state, run.job.wanted):
            tell(run, events.TrainingPaused, actor)
    return run


def resume_training(*, run: TrainingRun, actor: User) -> TrainingRun:
    """Raises NotNow."""
    with transaction.atomic():
        before = locked_job(run)
        run.job = jobs.resume(job=before)
        if (before.state, before.wanted) != (run.job.state, run.job.wanted):
            tell(run, events.TrainingResumed, actor)
    return run


def cancel_training(*, run: TrainingRun, actor: User) -> TrainingRun:
    """Stop for good. What was learnt up to the last checkpoint is kept for `retry_training`. Raises NotNow."""
    with transaction.atomic():
        job = locked_job(run)
        if job.has_ended:
            raise jobs.NotNow("This training has ended already, so there is nothing to cancel.")
        TrainingRun.objects.filter(pk=run.pk).update(cancelled_by=actor)
        run.cancelled_by = actor
        run.job = jobs.cancel(job=job)
    return run


def retry_training(*, run: TrainingRun, actor: User) -> TrainingRun:
    """Put a failed or cancelled run back in the queue; it goes on from its checkpoint.

    Raises NotNow and AlreadyTraining.
    """
    with transaction.atomic():
        job = locked_job(run)  # the job before the character, as where a result is accepted
        character = locked_character(run.character_id)
        if (other := open_run(character)) is not None and other.pk != run.pk:
            raise AlreadyTraining(character)
        run.job = jobs.retry(job=job)
        TrainingRun.objects.filter(pk=run.pk).update(cancelled_by=None, trashed_at=None)
        run.cancelled_by = run.trashed_at = None
        character_actions.refresh_status(character=character)
        tell(run, events.TrainingRetried, actor, step=run.job.checkpoint_step)
    return run


def trash_run(*, run: TrainingRun, actor: User) -> None:
    """Take an ended run out of the lists; `restore_run` brings it back. Its adapter stays. Raises NotNow."""
    with transaction.atomic():
        if not locked_job(run).has_ended:
            raise jobs.NotNow("This training is still under way. Cancel it first.")
        if comparisons.open_comparison(run) is not None:
            raise jobs.NotNow(
                "The checkpoints of this training are being compared. Wait until that is done, or cancel it."
            )
        if TrainingRun.objects.present().filter(pk=run.pk).update(trashed_at=timezone.now()):
            tell(run, events.TrainingTrashed, actor)


def restore_run(*, run: TrainingRun, actor: User) -> None:
    with transaction.atomic():
        if TrainingRun.objects.exclude(trashed_at=None).filter(pk=run.pk).update(trashed_at=None):
            tell(run, events.TrainingRestored, actor)


# ----------------------------------------------------------------------------------------------- erasing a reference
def forget_reference(*, reference: Reference, actor: User) -> None:
    """Before a reference is erased, in that transaction: stop learning from it, and erase what unfinished trainings
    keep of it. Adapters stay; `erase_adapter` is for them. Fills the slot `reference.erased`.
    """
    ended = []
    for run in derivations.runs_with(reference.asset_id):
        job = locked_job(run)  # all jobs before the characters, as where a result is accepted
        run.references = derivations.without_caption(run, reference.asset_id)
        run.save(update_fields=["references"])
        if not job.has_ended:
            job = cancel_training(run=run, actor=actor).job
        comparisons.cancel_open(run, actor)
        if job.has_ended:  # else when its worker has stopped: see `note_stopped`
            ended.append((run, job))
    for run, job in sorted(ended, key=lambda pair: pair[0].character_id):  # the characters in one order
        _forget_learnt(run, job, actor)


def _forget_learnt(run: TrainingRun, job: Job, actor: User | None) -> None:
    """What a run could go on from, which holds weights and the embeddings of the references, and the checkpoints that
    became no adapter."""
    Job.objects.filter(pk=job.pk).update(checkpoint_step=0)
    transaction.on_commit(lambda: checkpoints.forget(job), robust=True)
    erase_spare_checkpoints(run=run, actor=actor)


# ------------------------------------------------------------------------------------------------------- how it ends
def note_finished(*, run: TrainingRun) -> None:
    """In the transaction that ends the job. What a GPU has trained it compares at once."""
    character_actions.refresh_status(character=run.character)
    seconds = round(run.job.busy_seconds, 1)
    tell(run, events.TrainingFinished, run.created_by, steps=run.job.total, seconds=seconds)
    if derivations.has_erased_picture(run):  # erased between the adapter and the end
        erase_spare_checkpoints(run=run, actor=None)
    elif comparisons.was_trained_on_gpu(run):
        with suppress(ValidationError):  # what cannot be compared is trained all the same
            comparisons.start_comparison(run=run, actor=run.created_by)


def note_stopped(*, run: TrainingRun) -> None:
    """In the transaction that ends the job as failed or cancelled."""
    if derivations.has_erased_picture(run):
        _forget_learnt(run, run.job, run.cancelled_by)
    character_actions.refresh_status(character=run.character)
    if run.job.state == Job.CANCELLED:
        tell(run, events.TrainingCancelled, run.cancelled_by, step=run.job.step)
    else:
        tell(run, events.TrainingFailed, None, sentence=run.job.error)
