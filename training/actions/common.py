"""What the writes about trainings have in common: locks, and telling what happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import ValidationError

from characters.actions import recording
from characters.models import Character
from collaboration import events as log
from collaboration.events import Happening
from collaboration.models import User
from gpu_worker.models import Job
from training.models import TrainingRun


def locked_character(pk: Any) -> Character:
    """Raises ValidationError for one in the trash."""
    character = recording.lock(Character(pk=pk))
    if character.trashed_at is not None:
        raise ValidationError(f"{character.name} is in the trash. Restore the character first.")
    return character


def locked_job(run: TrainingRun) -> Job:
    return Job.objects.select_for_update().get(pk=run.job_id)


def tell(run: TrainingRun, happening: Callable[..., Happening], actor: User | None, **more: Any) -> None:
    character = run.character
    log.record(character.project, happening(**recording.named(character), run_id=run.pk, **more), actor=actor)
