"""Every write about trainings and the adapters that come of them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from assets import actions as assets
from characters import actions as character_actions
from characters.actions import recording
from characters.models import TIERS, Character, Reference
from collaboration import events as log
from collaboration.events import Happening
from collaboration.models import User
from gpu_worker import actions as jobs
from gpu_worker import checkpoints, selection
from gpu_worker.contracts import RunError
from gpu_worker.models import Adapter, Job
from gpu_worker.packs import Pack
from training import dataset, derivations, events, recipes
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
        character = _locked_character(character.pk)
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
            seconds_per_unit=recipes.seconds_per_step(recipe),
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
        _tell(run, events.TrainingStarted, actor, tier=tier, references=len(data.pictures), steps=recipe.steps)
    return run


def _locked_character(pk: Any) -> Character:
    """Raises ValidationError for one in the trash."""
    character = recording.lock(Character(pk=pk))
    if character.trashed_at is not None:
        raise ValidationError(f"{character.name} is in the trash. Restore the character first.")
    return character


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


def _tell(run: TrainingRun, happening: Callable[..., Happening], actor: User | None, **more: Any) -> None:
    character = run.character
    log.record(character.project, happening(**recording.named(character), run_id=run.pk, **more), actor=actor)


# -------------------------------------------------------------------------------------------- while it is under way
def pause_training(*, run: TrainingRun, actor: User) -> TrainingRun:
    """A running one stops at its next step and keeps its checkpoint. Raises NotNow."""
    with transaction.atomic():
        before = _locked(run)
        run.job = jobs.pause(job=before)
        if (before.state, before.wanted) != (run.job.state, run.job.wanted):
            _tell(run, events.TrainingPaused, actor)
    return run


def resume_training(*, run: TrainingRun, actor: User) -> TrainingRun:
    """Raises NotNow."""
    with transaction.atomic():
        before = _locked(run)
        run.job = jobs.resume(job=before)
        if (before.state, before.wanted) != (run.job.state, run.job.wanted):
            _tell(run, events.TrainingResumed, actor)
    return run


def cancel_training(*, run: TrainingRun, actor: User) -> TrainingRun:
    """Stop for good. What was learnt up to the last checkpoint is kept for `retry_training`. Raises NotNow."""
    with transaction.atomic():
        job = _locked(run)
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
        job = _locked(run)  # the job before the character, as where a result is accepted
        character = _locked_character(run.character_id)
        if (other := open_run(character)) is not None and other.pk != run.pk:
            raise AlreadyTraining(character)
        run.job = jobs.retry(job=job)
        TrainingRun.objects.filter(pk=run.pk).update(cancelled_by=None, trashed_at=None)
        run.cancelled_by = run.trashed_at = None
        character_actions.refresh_status(character=character)
        _tell(run, events.TrainingRetried, actor, step=run.job.checkpoint_step)
    return run


def _locked(run: TrainingRun) -> Job:
    return Job.objects.select_for_update().get(pk=run.job_id)


def trash_run(*, run: TrainingRun, actor: User) -> None:
    """Take an ended run out of the lists; `restore_run` brings it back. Its adapter stays. Raises NotNow."""
    with transaction.atomic():
        if not _locked(run).has_ended:
            raise jobs.NotNow("This training is still under way. Cancel it first.")
        if TrainingRun.objects.present().filter(pk=run.pk).update(trashed_at=timezone.now()):
            _tell(run, events.TrainingTrashed, actor)


def restore_run(*, run: TrainingRun, actor: User) -> None:
    with transaction.atomic():
        if TrainingRun.objects.exclude(trashed_at=None).filter(pk=run.pk).update(trashed_at=None):
            _tell(run, events.TrainingRestored, actor)


# ----------------------------------------------------------------------------------------------- erasing a reference
def forget_reference(*, reference: Reference, actor: User) -> None:
    """Before a reference is erased, in that transaction: stop learning from it, and erase what unfinished trainings
    keep of it. Adapters stay; `erase_adapter` is for them. Fills the slot `reference.erased`.
    """
    for run in derivations.runs_with(reference.asset_id):
        job = _locked(run)  # the jobs before the characters, as where a result is accepted
        run.references = derivations.without_caption(run, reference.asset_id)
        run.save(update_fields=["references"])
        if not job.has_ended:
            job = cancel_training(run=run, actor=actor).job
        if job.has_ended:  # else when its worker has stopped: see `note_stopped`
            _forget_checkpoints(job)


def _forget_checkpoints(job: Job) -> None:
    """They hold weights that were being learnt, and the embeddings of the references."""
    Job.objects.filter(pk=job.pk).update(checkpoint_step=0)
    transaction.on_commit(lambda: checkpoints.forget(job), robust=True)


# ------------------------------------------------------------------------------------------------------- how it ends
def note_finished(*, run: TrainingRun) -> None:
    """In the transaction that ends the job."""
    character_actions.refresh_status(character=run.character)
    seconds = round(run.job.busy_seconds, 1)
    _tell(run, events.TrainingFinished, run.created_by, steps=run.job.total, seconds=seconds)


def note_stopped(*, run: TrainingRun) -> None:
    """In the transaction that ends the job as failed or cancelled."""
    if derivations.has_erased_picture(run):
        _forget_checkpoints(run.job)
    character_actions.refresh_status(character=run.character)
    if run.job.state == Job.CANCELLED:
        _tell(run, events.TrainingCancelled, run.cancelled_by, step=run.job.step)
    else:
        _tell(run, events.TrainingFailed, None, sentence=run.job.error)


# ---------------------------------------------------------------------------------------------------------- adapters
def accept_adapter(*, run: TrainingRun, prepared: assets.Prepared, again: Any, pack: Pack, rank: int) -> Adapter:
    """Make a trained file the character's active adapter: row, revision and event, in the caller's transaction.

    Raises RunError where a reference was erased while it was being learnt from.
    """
    with transaction.atomic():
        character = recording.lock(run.character)
        if derivations.has_erased_picture(run):
            raise RunError(
                "References of this training were erased while it ran, so what it learnt is not kept. "
                "Start a new training with those that are left."
            )
        asset = assets.record(prepared, actor=run.created_by, again=again)
        adapter = jobs.create_adapter(
            project=character.project,
            subject=("character", character.pk),
            activate=True,
            file=asset,
            sha256=prepared.sha256,
            pack=run.pack,
            pack_version=run.pack_version,
            architecture=pack.architecture,
            trigger=run.trigger,
            rank=rank,
            licence={
                "name": pack.licence.name,
                "spdx": pack.licence.spdx,
                "commercial": pack.licence.commercial,
                "url": pack.licence.url,
                "inherited_from": f"{pack.title} {pack.version}",
            },
            job=run.job,
            created_by=run.created_by,
        )
        TrainingRun.objects.filter(pk=run.pk).update(adapter=adapter)
        run.adapter = adapter
        _activated(character, adapter, run.created_by)
    return adapter


def activate_adapter(*, adapter: Adapter, actor: User) -> Adapter:
    """Make this version the one that variations are generated with. Raises ValidationError for one that is erased
    or whose character is in the trash."""
    with transaction.atomic():
        character = _locked_character(adapter.subject_id)
        adapter = Adapter.objects.select_for_update(of=("self",)).get(pk=adapter.pk)
        if adapter.erased_at is not None:
            raise ValidationError(f"Adapter v{adapter.version} has been erased and cannot be used any more.")
        if not adapter.is_active:
            jobs.activate_adapter(adapter=adapter)
            _activated(character, adapter, actor)
    return adapter


def erase_adapter(*, adapter: Adapter, actor: User) -> Adapter:
    """Erase a version for good: its file goes, its row stays so that pictures can say what they were made with.

    When it was the active one, the character has none until another version is activated.
    """
    with transaction.atomic():
        character = _character_of(adapter)
        adapter = Adapter.objects.select_for_update(of=("self",)).select_related("file").get(pk=adapter.pk)
        if adapter.erased_at is None:
            file = adapter.file
            jobs.erase_adapter(adapter=adapter)
            if file is not None:
                assets.erase(asset=file, actor=actor)
            _record(character, events.AdapterErased(**_of(character, adapter)), actor)
    return adapter


def _character_of(adapter: Adapter) -> Character:
    return recording.lock(Character(pk=adapter.subject_id))


def _of(character: Character, adapter: Adapter) -> dict[str, Any]:
    return {**recording.named(character), "adapter_id": adapter.pk, "version": adapter.version}


def _activated(character: Character, adapter: Adapter, actor: User | None) -> None:
    _record(character, events.AdapterActivated(**_of(character, adapter)), actor)


def _record(character: Character, happening: Happening, actor: User | None) -> None:
    """Status, revision and event of a change to the character's adapters, in its transaction."""
    character_actions.refresh_status(character=character)
    character.refresh_from_db(fields=["status", "adapter_version"])
    recording.record(character, happening, actor=actor)
