"""How far a character is, derived from its references, trainings and adapters."""

from __future__ import annotations

from characters.actions.recording import lock
from characters.models import Character
from gpu_worker.models import Adapter, Job


def write_status(character: Character) -> None:
    """Derive status and active adapter, in the caller's transaction, with the character locked."""
    active = Adapter.objects.of("character", character.pk).filter(is_active=True).first()
    training = Job.objects.open().filter(kind="training.train", subject_kind="character", subject_id=str(character.pk))
    enough = character.reference_count >= character.references_needed
    character.adapter_version = active.version if active else None
    if training.exists():
        character.status = Character.TRAINING
    elif active:
        character.status = Character.TRAINED
    else:
        character.status = Character.READY if enough else Character.DRAFT
    character.save(update_fields=["status", "adapter_version"])


def refresh_status(*, character: Character) -> None:
    """After a change to its adapters or trainings, in the transaction of that change."""
    write_status(lock(character))
