"""Creating, changing, tagging and trashing characters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from characters import events
from characters.actions import profiles
from characters.actions.recording import lock, named, record, record_many, touch
from characters.actions.references import refresh_references
from characters.actions.status import write_status
from characters.models import TIERS, Character, Tag
from collaboration import revisions
from collaboration.merging import Conflict, merge_text, merge_words
from collaboration.models import Project, User
from collaboration.names import clean_name, clean_text

FIELDS = ("name", "description", "noun", "age", "traits", "importance", "tier", "has_human_face")
MOST_TAGS = 20


class NameTaken(ValidationError):
    def __init__(self, name: str) -> None:
        super().__init__({"name": f"There is already a character called {name} in this project. Choose another name."})


def create_character(*, project: Project, actor: User, tags: Iterable[str] = (), **fields: Any) -> Character:
    """Create from `FIELDS`; what is left out has its default. Raises ValidationError keyed by field, and NameTaken."""
    fields = _cleaned({"name": "", **fields})
    labels = _clean_tags(tags)
    with transaction.atomic():
        _refuse_taken(project, fields["name"])
        character = Character(project=project, created_by=actor, **fields)
        _save_with_free_name(character, force_insert=True)
        _set_tags(character, labels)
        record(character, events.CharacterCreated(**named(character)), actor=actor)
    return character


def change_character(
    *, character: Character, actor: User, tags: Iterable[str] | None = None, **fields: Any
) -> Character:
    """Change any of `FIELDS` and the tags; what is equal already is no change. Raises as `create_character`."""
    fields = _cleaned(fields)
    labels = None if tags is None else _clean_tags(tags)
    with transaction.atomic():
        _write(lock(character), fields, labels, actor)
    character.refresh_from_db()
    return character


def _write(row: Character, fields: dict[str, Any], labels: Sequence[str] | None, actor: User) -> list[str]:
    """Change a locked character to cleaned values and leave a revision and an event. Returns what changed."""
    changed = restore_fields(row, fields, labels)
    if changed:
        record(row, events.CharacterChanged(**named(row), fields=changed), actor=actor)
    return changed


def restore_fields(row: Character, fields: Mapping[str, Any], labels: Sequence[str] | None) -> list[str]:
    """Give a locked character these cleaned values, and bring what follows from them in line. Returns what changed."""
    if "name" in fields:
        _refuse_taken(row.project, fields["name"], but=row)
    changed = [name for name, value in fields.items() if getattr(row, name) != value]
    for name in changed:
        setattr(row, name, fields[name])
    row.updated_at = timezone.now()
    if changed:
        _save_with_free_name(row, update_fields=[*changed, "updated_at"])
    if labels is not None and _set_tags(row, labels):
        changed.append("tags")
    if {"noun", "age", "traits"} & set(changed):
        profiles.renew_words(row)
    if "has_human_face" in changed:
        refresh_references(row)
    if changed:
        write_status(row)
    return changed


# --------------------------------------------------------------------------------------------------- several at once
@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    changed: Sequence[str]
    conflicts: Sequence[Conflict]
    revision: int
    """Number of the revision that this made, or of the latest where nothing changed."""


def merge_character(
    *,
    character: Character,
    actor: User,
    base: Mapping[str, Any],
    tags: Iterable[str] | None = None,
    whole: bool = False,
    **fields: Any,
) -> Merged:
    """Change a character as `change_character` does, by somebody who saw it as `base` (field -> value) says.

    Each property is merged by itself, in server order. One they left alone keeps what others made of it; tags and the
    description are merged; of any other that somebody else has changed meanwhile the present value stays, and both are
    returned as a conflict. `whole`: nothing is changed where there is a conflict. Raises as `create_character`.
    """
    fields = _cleaned(fields)
    labels = None if tags is None else _clean_tags(tags)
    with transaction.atomic():
        row = lock(character)
        wanted, disputed = dict[str, Any](), dict[str, Any]()
        for name, mine in fields.items():
            now = getattr(row, name)
            if mine == now or (name in base and _same(name, base[name], mine)):
                continue
            if name not in base or _same(name, base[name], now):
                wanted[name] = mine
            elif name == "description" and (text := _merged_text(base[name], mine, now)) is not None:
                wanted[name] = text
            else:
                disputed[name] = mine
        if labels is not None and isinstance(seen := base.get("tags"), list):
            labels = _clean_tags(
                merge_words([str(word).lower() for word in seen], labels, row.tags.values_list("name", flat=True))
            )
        blocked = whole and bool(disputed)
        changed = [] if blocked else _write(row, wanted, labels, actor)
        latest = revisions.last_changes("character", row.pk, list(disputed))
        conflicts = [
            Conflict(
                field=name,
                mine=mine,
                theirs=getattr(row, name),
                by=latest[name].author if name in latest else None,
                at=latest[name].at if name in latest else None,
            )
            for name, mine in disputed.items()
        ]
        number = revisions.head("character", row.pk)
    character.refresh_from_db()
    return Merged(changed=changed, conflicts=conflicts, revision=number)


def _same(name: str, seen: Any, value: Any) -> bool:
    """Whether what a form or program says it saw is this value. What cannot be a value was never seen."""
    if seen is None:
        return False
    try:
        return bool(_clean_field(name, seen) == value)
    except ValidationError:
        return bool(seen == value)


def _merged_text(base: Any, mine: str, theirs: str) -> str | None:
    """None where both together are too long, or there is no base."""
    if not isinstance(base, str):
        return None
    try:
        return clean_text(merge_text(clean_text(base, limit=4000), mine, theirs), limit=4000)
    except ValidationError:
        return None


def _cleaned(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields as they are kept. Raises ValidationError keyed by field, TypeError for an unknown one."""
    if unknown := fields.keys() - set(FIELDS):
        raise TypeError(f"A character has no changeable {', '.join(sorted(unknown))}.")
    cleaned, errors = {}, {}
    for name, value in fields.items():
        try:
            cleaned[name] = _clean_field(name, value)
        except ValidationError as error:
            errors[name] = error.messages
    if errors:
        raise ValidationError(errors)
    return cleaned


def _clean_field(name: str, value: Any) -> Any:
    match name:
        case "name":
            return clean_name(str(value))
        case "noun":
            return clean_name(str(value) or "person", limit=40, what="noun")
        case "age":
            return clean_name(str(value), limit=40, what="age") if str(value).strip() else ""
        case "description":
            return clean_text(str(value), limit=4000)
        case "traits":
            return clean_text(str(value), limit=400, what="list of traits")
        case "importance":
            number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
            if not (math.isfinite(number) and 0 <= number <= 1):
                raise ValidationError("The importance must be a number from 0 to 1.")
            return float(number)
        case "has_human_face":
            if not isinstance(value, bool):
                raise ValidationError("A character has a human face or has none: say true or false.")
            return value
        case _:
            if value not in dict(TIERS):
                raise ValidationError("The tier must be low, standard or high.")
            return value


def _refuse_taken(project: Project, name: str, *, but: Character | None = None) -> None:
    same = Character.objects.present().filter(project=project, name__iexact=name)
    if (same.exclude(pk=but.pk) if but else same).exists():
        raise NameTaken(name)


def _save_with_free_name(character: Character, **how: Any) -> None:
    try:
        with transaction.atomic():
            character.save(**how)
    except IntegrityError:  # somebody else took the name since we looked
        raise NameTaken(character.name) from None


# ------------------------------------------------------------------------------------------------------------ tags
def _clean_tags(tags: Iterable[str]) -> list[str]:
    """Lower case, each once, sorted. Raises ValidationError keyed by `tags`."""
    try:
        labels = sorted({clean_name(t, limit=40, what="tag").lower() for t in tags if t.strip()})
    except ValidationError as error:
        raise ValidationError({"tags": error.messages}) from None
    if len(labels) > MOST_TAGS:
        raise ValidationError({"tags": f"These are {len(labels)} tags; a character has at most {MOST_TAGS}."})
    return labels


def _set_tags(character: Character, labels: Sequence[str]) -> bool:
    """Returns whether anything changed."""
    if list(labels) == sorted(character.tags.values_list("name", flat=True)):
        return False
    character.tags.set([Tag.objects.get_or_create(project=character.project, name=n)[0] for n in labels])
    return True


def tag_characters(*, characters: Iterable[Character], tags: Iterable[str], actor: User) -> list[Character]:
    """Add tags to several characters of one project. Returns those that had not all of them. Raises ValidationError."""
    labels = set(_clean_tags(tags))
    changes = []
    with transaction.atomic():
        for character in characters:
            row = lock(character)
            before = set(row.tags.values_list("name", flat=True))
            if _set_tags(row, _clean_tags(before | labels)):
                touch(row)
                changes.append((row, events.CharacterChanged(**named(row), fields=["tags"])))
        record_many(changes, actor=actor)
    return [row for row, _ in changes]


# ----------------------------------------------------------------------------------------------------------- trash
def trash_character(*, character: Character, actor: User) -> None:
    trash_characters(characters=[character], actor=actor)
    character.refresh_from_db()


def trash_characters(*, characters: Iterable[Character], actor: User) -> list[Character]:
    """Move several characters of one project to the trash. Returns those that were not there yet."""
    changes = []
    with transaction.atomic():
        for character in characters:
            row = lock(character)
            if row.trashed_at is None:
                row.trashed_at = timezone.now()
                row.save(update_fields=["trashed_at"])
                changes.append((row, events.CharacterTrashed(**named(row))))
        record_many(changes, actor=actor)
    return [row for row, _ in changes]


def restore_character(*, character: Character, actor: User) -> Character:
    """A name that was taken meanwhile gets a number."""
    with transaction.atomic():
        row = lock(character)
        if row.trashed_at is not None:
            name, n = row.name, 2
            while Character.objects.present().filter(project=row.project, name__iexact=name).exists():
                name, n = f"{row.name[:110]} {n}", n + 1
            row.name, row.trashed_at, row.updated_at = name, None, timezone.now()
            _save_with_free_name(row, update_fields=["name", "trashed_at", "updated_at"])
            record(row, events.CharacterRestored(**named(row)), actor=actor)
    character.refresh_from_db()
    return character
