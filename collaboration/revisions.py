"""Revisions: the whole state of something after each change, so that any earlier one can come back."""

from __future__ import annotations

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
