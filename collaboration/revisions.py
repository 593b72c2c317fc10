"""Revisions: the whole state of something after each change, so that any earlier one can come back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Max

from collaboration.models import Project, Revision, User


def record(
    *,
    project: Project,
    subject_kind: str,
    subject_id: object,
    snapshot: dict[str, Any],
    author: User | None,
    reason: str,
) -> Revision:
    """Write the next revision. Call it in the change's transaction, with the subject's row locked or just written."""
    rows = Revision.objects.filter(subject_kind=subject_kind, subject_id=str(subject_id))
    number = (rows.aggregate(last=Max("number"))["last"] or 0) + 1
    return Revision.objects.create(
        project=project,
        subject_kind=subject_kind,
        subject_id=str(subject_id),
        number=number,
        author=author,
        reason=reason[:300],
        snapshot=snapshot,
    )


def head(subject_kind: str, subject_id: object) -> int:
    """The number of the latest revision; 0 before the first."""
    rows = Revision.objects.filter(subject_kind=subject_kind, subject_id=str(subject_id))
    return rows.aggregate(last=Max("number"))["last"] or 0


def find(subject_kind: str, subject_id: object, number: int) -> Revision | None:
    rows = Revision.objects.filter(subject_kind=subject_kind, subject_id=str(subject_id), number=number)
    return rows.select_related("author").first()


def before(revision: Revision) -> Revision | None:
    """The one before it; None for the first."""
    rows = Revision.objects.filter(
        subject_kind=revision.subject_kind, subject_id=revision.subject_id, number__lt=revision.number
    )
    return rows.select_related("author").order_by("-number").first()


def last_changes(subject_kind: str, subject_id: object, keys: Sequence[str]) -> dict[str, Revision]:
    """Key of the snapshot -> the revision that gave it its present value. Reads back only as far as it must."""
    open_keys, found = set(keys), dict[str, Revision]()
    rows = Revision.objects.filter(subject_kind=subject_kind, subject_id=str(subject_id)).select_related("author")
    later: Revision | None = None
    for revision in rows.order_by("-number").iterator(chunk_size=20):
        for key in list(open_keys) if later is not None else []:
            if revision.snapshot.get(key) != later.snapshot.get(key):  # type: ignore[union-attr]
                found[key] = later  # type: ignore[assignment]
                open_keys.discard(key)
        later = revision
        if not open_keys:
            break
    if later is not None:
        found |= dict.fromkeys(open_keys, later)
    return found


@dataclass(frozen=True, slots=True)
class Change:
    """One key of a snapshot, before and after."""

    key: str
    before: Any
    after: Any


def changes(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[Change]:
    """What differs between two snapshots, in the order of the later one. Without an earlier: all that is not empty."""
    if before is None:
        return [Change(key, None, value) for key, value in after.items() if value not in ("", [], None, False)]
    keys = [*after, *(key for key in before if key not in after)]
    return [Change(k, before.get(k), after.get(k)) for k in keys if before.get(k) != after.get(k)]
