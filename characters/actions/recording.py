"""What every change of a character does besides changing: take its lock, and leave a revision and an event."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils import timezone

from characters import subjects
from characters.models import Character
from collaboration import events as log
from collaboration import revisions
from collaboration.approvals.actions import lose_outdated
from collaboration.events import Happening
from collaboration.models import User


def lock(character: Character) -> Character:
    """Return the row anew, locked until the transaction ends.

    Revisions of one character are numbered, and its references are counted and held out, together: changes wait for
    each other.
    """
    rows = Character.objects.select_for_update(of=("self",)).select_related("project")
    return rows.get(pk=character.pk)


def record(character: Character, happening: Happening, *, actor: User | None) -> None:
    """Write the revision and the event of one change, in its transaction, with the character locked."""
    record_many([(character, happening)], actor=actor)


def record_many(changes: Sequence[tuple[Character, Happening]], *, actor: User | None) -> None:
    """The same for several characters of one project; the events take their numbers at once."""
    written = [
        revisions.record(
            project=character.project,
            subject_kind="character",
            subject_id=character.pk,
            snapshot=subjects.snapshot(character),
            author=actor,
            reason=happening.summary(),
        )
        for character, happening in changes
    ]
    if changes:
        log.record_all(changes[0][0].project, [happening for _, happening in changes], actor=actor)
        lose_outdated(revisions=written, actor=actor)


def touch(character: Character, *fields: str) -> None:
    character.updated_at = timezone.now()
    character.save(update_fields=[*fields, "updated_at"])


def named(character: Character) -> dict[str, Any]:
    """The fields that every event of a character has."""
    return {"character_id": character.pk, "name": character.name}
