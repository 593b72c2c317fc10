"""Going back: to an earlier revision, to one field of it, or to before one change. Each makes a revision of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from characters import events, subjects
from characters.actions.characters import FIELDS, restore_fields
from characters.actions.profiles import write_prompt
from characters.actions.recording import lock, named, record, touch
from characters.actions.references import choose_picture, refresh_references, why_not_back
from characters.actions.status import write_status
from characters.models import Character, IdentityProfile, Reference
from collaboration import revisions
from collaboration.models import Revision, User
from gpu_worker import actions as adapters
from gpu_worker.models import Adapter

SETS = ("tags", "references", "picked")
"""Keys of the snapshot that are sets: of these only what a change added or took away is undone."""
RESTORABLE = (*FIELDS, "tags", "base_prompt", "references", "picked", "picture", "adapter_version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What stays as it is, because somebody changed it later."""

    key: str
    by: User | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WentBack:
    changed: Sequence[str]
    """Keys of the snapshot."""
    kept: Sequence[Kept] = ()
    lost: int = 0
    """Pictures that were erased, or moved to another character, and did not come back."""


def roll_back(*, character: Character, revision: Revision, actor: User, keys: Collection[str] = RESTORABLE) -> WentBack:
    """Make the character, or only these keys of it, what they were at that revision; a later revision says so.

    Raises ValidationError where that cannot be: its name is taken meanwhile.
    """
    wanted = {key: revision.snapshot[key] for key in RESTORABLE if key in keys and key in revision.snapshot}
    with transaction.atomic():
        row = lock(character)
        changed, lost = _restore(row, wanted)
        if changed:
            whole = set(keys) >= set(RESTORABLE)
            happening = events.CharacterRolledBack(**named(row), number=revision.number, fields=changed, is_whole=whole)
            record(row, happening, actor=actor)
    character.refresh_from_db()
    return WentBack(changed=changed, lost=lost)


def undo_revision(*, character: Character, revision: Revision, actor: User) -> WentBack:
    """Take back what one revision changed, and nothing else. What anybody changed again since is kept.

    Raises ValidationError for the revision that made the character.
    """
    earlier = revisions.before(revision)
    if earlier is None:
        raise ValidationError("This is how the character began. Move it to the trash instead.")
    with transaction.atomic():
        row = lock(character)
        now = _state(row)
        done = [c for c in revisions.changes(earlier.snapshot, revision.snapshot) if c.key in RESTORABLE]
        wanted, kept_keys = dict[str, Any](), list[str]()
        for change in done:
            if change.key in SETS:
                before, after = set(change.before or ()), set(change.after or ())
                wanted[change.key] = sorted((set(now[change.key]) - (after - before)) | (before - after))
            elif now[change.key] == change.after:
                wanted[change.key] = change.before
            else:
                kept_keys.append(change.key)
        latest = revisions.last_changes("character", row.pk, kept_keys)
        kept = [Kept(key=key, by=latest[key].author if key in latest else None) for key in kept_keys]
        changed, lost = _restore(row, wanted)
        if changed:
            record(row, events.CharacterUndone(**named(row), number=revision.number, fields=changed), actor=actor)
    character.refresh_from_db()
    return WentBack(changed=changed, kept=kept, lost=lost)


def _restore(row: Character, wanted: Mapping[str, Any]) -> tuple[list[str], int]:
    """Returns (keys of the snapshot that changed, pictures that could not come back)."""
    before = _state(row)
    restore_fields(row, {k: v for k, v in wanted.items() if k in FIELDS}, wanted.get("tags"))
    lost = _restore_references(row, wanted["references"]) if "references" in wanted else 0
    if "picked" in wanted:
        lost += _restore_picked(row, wanted["picked"])
    if "picture" in wanted:
        _restore_picture(row, wanted["picture"])
    if "adapter_version" in wanted:
        _restore_adapter(row, wanted["adapter_version"])
    if "base_prompt" in wanted and (wanted["base_prompt"] or IdentityProfile.objects.filter(character=row).exists()):
        write_prompt(row, wanted["base_prompt"])
    changed = [c.key for c in revisions.changes(before, _state(row))]
    if changed:
        touch(row)
    return changed, lost


def _state(row: Character) -> dict[str, Any]:
    # Of a copy: what a snapshot reads of the profile stays on the row it was read from.
    return subjects.snapshot(Character.objects.get(pk=row.pk))


def _restore_references(row: Character, ids: Collection[str]) -> int:
    present = {str(pk) for pk in row.references.present().values_list("pk", flat=True)}
    gone, missing = present - set(ids), set(ids) - present
    if not gone and not missing:
        return 0
    row.references.filter(pk__in=gone).update(trashed_at=timezone.now(), is_held_out=False)
    back = [r.pk for r in row.references.filter(pk__in=missing) if not why_not_back(r)]
    Reference.objects.filter(pk__in=back).update(trashed_at=None)
    refresh_references(row)
    return len(missing) - len(back)


def _restore_picked(row: Character, ids: Collection[str]) -> int:
    rows = row.variations.filter(asset__erased_at=None)
    picked = {str(pk) for pk in rows.present().exclude(picked_at=None).values_list("pk", flat=True)}
    rows.filter(pk__in=picked - set(ids)).update(picked_at=None, picked_by=None)
    back = rows.filter(pk__in=set(ids) - picked)
    count = back.filter(picked_at=None).update(picked_at=timezone.now(), trashed_at=None)
    count += rows.filter(pk__in=set(ids) - picked).exclude(trashed_at=None).update(trashed_at=None)
    choose_picture(row, list(row.references.usable()))
    touch(row, "picture")
    return max(0, len(set(ids) - picked) - count)


def _restore_picture(row: Character, asset_id: str) -> None:
    """Only to a picture that is one of the character's now."""
    if not asset_id:
        return
    references = row.references.present().filter(asset_id=asset_id, asset__erased_at=None)
    variations = row.variations.present().exclude(picked_at=None).filter(asset_id=asset_id, asset__erased_at=None)
    if references.exists() or variations.exists():
        row.picture_id = asset_id  # type: ignore[assignment]
        touch(row, "picture")


def _restore_adapter(row: Character, version: int | None) -> None:
    if version is None:
        return
    found = Adapter.objects.of("character", row.pk).filter(version=version, erased_at=None).first()
    if found is not None and not found.is_active:
        adapters.activate_adapter(adapter=found)
        write_status(row)
