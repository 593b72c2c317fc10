"""The description, written by several people at once.

What is typed is kept at once; the revision and the event that tell of it follow when somebody pauses, so that a
sentence is one change and not forty. Nobody's words are told as somebody else's.
"""

from __future__ import annotations

import datetime
from functools import partial

from django.db import transaction
from django.utils import timezone

from characters import events
from characters.actions.recording import lock, named, record, touch
from characters.models import Character
from collaboration import revisions, texts
from collaboration.models import SharedText, User
from collaboration.names import clean_text
from collaboration.texts import Merged

FIELD = "description"
TELL_AFTER = datetime.timedelta(seconds=20)
_clean = partial(clean_text, limit=4000)


def write_description(
    *, character: Character, actor: User, update: bytes = b"", vector: bytes = b"", pause: bool = False
) -> Merged:
    """Merge what a browser typed and return what it lacks. `pause`: tell now what was written. Raises ValidationError
    as `texts.synchronise`."""
    with transaction.atomic():
        row = lock(character)
        if update:
            _tell_of_others(row, actor)
        merged = texts.synchronise(
            project=row.project,
            subject=("character", row.pk),
            field=FIELD,
            text=row.description,
            clean=_clean,
            update=update,
            vector=vector,
        )
        shared, now = merged.row, timezone.now()
        if (kept := _clean(merged.text)) != row.description:
            row.description = kept
            touch(row, FIELD)
            shared.writer = actor
            shared.written_at = shared.written_at or now
            shared.save(update_fields=["writer", "written_at"])
        if shared.written_at and (now - shared.written_at > TELL_AFTER or (pause and shared.writer_id == actor.pk)):
            _tell(row, shared)
    character.refresh_from_db()
    return merged


def _tell_of_others(row: Character, actor: User) -> None:
    shared = _shared(row)
    if shared is not None and shared.written_at and shared.writer_id != actor.pk:
        _tell(row, shared)


def _shared(row: Character) -> SharedText | None:
    rows = SharedText.objects.select_for_update(of=("self",)).select_related("writer")
    return rows.filter(subject_kind="character", subject_id=str(row.pk), field=FIELD).first()


def _tell(row: Character, shared: SharedText) -> None:
    """Leave the revision and the event of what was written, unless another revision has told of it."""
    writer, shared.writer, shared.written_at = shared.writer, None, None
    shared.save(update_fields=["writer", "written_at"])
    latest = revisions.find("character", row.pk, revisions.head("character", row.pk))
    if latest is None or latest.snapshot.get(FIELD) != row.description:
        record(row, events.CharacterChanged(**named(row), fields=[FIELD]), actor=writer)


def tell_written() -> None:
    """Tell of what was written and left without a pause: a browser that was closed, a connection that was lost."""
    waiting = SharedText.objects.filter(written_at__lt=timezone.now() - 2 * TELL_AFTER, subject_kind="character")
    for pk in waiting.values_list("subject_id", flat=True)[:200]:
        with transaction.atomic():
            row = lock(Character(pk=pk))
            shared = _shared(row)
            if shared is not None and shared.written_at:
                _tell(row, shared)
