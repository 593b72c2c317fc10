"""The adapters that come of trainings: which there are, and which one is used."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from assets import actions as assets
from assets.models import Asset
from characters import actions as character_actions
from characters.actions import recording
from characters.models import Character
from collaboration.events import Happening
from collaboration.models import User
from gpu_worker import actions as jobs
from gpu_worker.contracts import RunError
from gpu_worker.models import Adapter
from gpu_worker.packs import Pack
from training import derivations, events
from training.actions.common import locked_character, tell
from training.models import TrainingCheckpoint, TrainingRun


def accept_checkpoint(
    *, run: TrainingRun, step: int, rank: int, prepared: assets.Prepared, again: Any
) -> TrainingCheckpoint:
    """Keep the LoRA as it was after `step`, in the caller's transaction. Raises RunError as `accept_adapter`."""
    with transaction.atomic():
        recording.lock(run.character)
        _refuse_erased(run)
        file = assets.record(prepared, actor=run.created_by, again=again)
        return TrainingCheckpoint.objects.create(run=run, step=step, rank=rank, file=file, sha256=prepared.sha256)


def accept_adapter(
    *, run: TrainingRun, step: int, prepared: assets.Prepared, again: Any, pack: Pack, rank: int
) -> Adapter:
    """Make the file that a training ends with the character's active adapter: rows, revision and event, in the caller's
    transaction.

    Raises RunError where a reference was erased while it was being learnt from.
    """
    with transaction.atomic():
        character = recording.lock(run.character)
        _refuse_erased(run)
        file = assets.record(prepared, actor=run.created_by, again=again)
        adapter = _adapter_of(
            run, character, file=file, sha256=prepared.sha256, rank=rank, pack=pack, actor=run.created_by
        )
        TrainingCheckpoint.objects.create(
            run=run, step=step, rank=rank, file=file, sha256=prepared.sha256, adapter=adapter
        )
        TrainingRun.objects.filter(pk=run.pk).update(adapter=adapter)
        run.adapter = adapter
        _activated(character, adapter, run.created_by)
    return adapter


def _refuse_erased(run: TrainingRun) -> None:
    if derivations.has_erased_picture(run):
        raise RunError(
            "References of this training were erased while it ran, so what it learnt is not kept. "
            "Start a new training with those that are left."
        )


def _adapter_of(
    run: TrainingRun, character: Character, *, file: Asset, sha256: str, rank: int, pack: Pack, actor: User | None
) -> Adapter:
    """The character's next version, and its active one."""
    return jobs.create_adapter(
        project=character.project,
        subject=("character", character.pk),
        activate=True,
        file=file,
        sha256=sha256,
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
        created_by=actor,
    )


def choose_checkpoint(*, run: TrainingRun, step: int, pack: Pack, actor: User) -> Adapter:
    """Make the checkpoint of a step the character's active adapter; doing it again changes nothing more.

    It becomes a new version unless it is one already; the version that was active stays. `pack`: the one it was trained
    on. Raises ValidationError where it is gone, and for a character in the trash.
    """
    with transaction.atomic():
        character = locked_character(run.character_id)
        rows = TrainingCheckpoint.objects.select_related("file", "adapter")
        checkpoint = rows.filter(run=run, step=step).first()
        if checkpoint is None:
            raise ValidationError(f"No checkpoint of step {step:,} was kept.", code="unknown")
        if checkpoint.file is None or not checkpoint.is_there:
            raise ValidationError(f"The checkpoint of step {step:,} has been erased.")
        adapter = checkpoint.adapter
        if adapter is None:
            adapter = _adapter_of(
                run,
                character,
                file=checkpoint.file,
                sha256=checkpoint.sha256,
                rank=checkpoint.rank,
                pack=pack,
                actor=actor,
            )
            TrainingCheckpoint.objects.filter(pk=checkpoint.pk).update(adapter=adapter)
        elif adapter.is_active:
            return adapter
        else:
            jobs.activate_adapter(adapter=adapter)
        tell(run, events.CheckpointChosen, actor, step=step, version=adapter.version)
        _activated(character, adapter, actor)
    return adapter


def erase_spare_checkpoints(*, run: TrainingRun, actor: User | None) -> int:
    """Erase the files of the checkpoints that are no adapter, for good. Returns how many there were."""
    with transaction.atomic():
        recording.lock(run.character)  # or one of them might become an adapter meanwhile
        rows = run.checkpoints.select_related("file").filter(file__erased_at=None).exclude(file=None)
        spare = [c.file for c in rows.exclude(adapter__isnull=False, adapter__erased_at=None) if c.file is not None]
        for file in spare:
            assets.erase(asset=file, actor=actor)
        if spare:
            tell(run, events.CheckpointsErased, actor, count=len(spare))
    return len(spare)


def activate_adapter(*, adapter: Adapter, actor: User) -> Adapter:
    """Make this version the one that variations are generated with. Raises ValidationError for one that is erased
    or whose character is in the trash."""
    with transaction.atomic():
        character = locked_character(adapter.subject_id)
        adapter = Adapter.objects.select_for_update(of=("self",)).get(pk=adapter.pk)
        if adapter.erased_at is not None:
            raise ValidationError(f"Adapter v{adapter.version} has been erased and cannot be used any more.")
        if not adapter.is_active:
            jobs.activate_adapter(adapter=adapter)
            _activated(character, adapter, actor)
    return adapter


def erase_adapter(*, adapter: Adapter, actor: User) -> Adapter:
    """Erase a version for good: its file goes, its row stays so that pictures can say what they were made with. With
    the last version of a training its other checkpoints go too.

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
            run = derivations.run_of(adapter)
            if run is not None and not derivations.adapters_of([run])[run.pk]:
                erase_spare_checkpoints(run=run, actor=actor)
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
