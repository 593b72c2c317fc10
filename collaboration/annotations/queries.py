"""Reads that assemble a page."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Count, Prefetch, Q, QuerySet

from collaboration.annotations.models import Annotation, Reply
from collaboration.models import Project
from collaboration.subjects import Target


def _with_threads() -> QuerySet[Annotation]:
    replies = Reply.objects.filter(removed_at=None).select_related("author")
    rows = Annotation.objects.present().select_related("author", "resolved_by", "carried_from__author")
    return rows.prefetch_related(Prefetch("replies", queryset=replies, to_attr="answers")).annotate(
        answers_before=Count("carried_from__replies", filter=Q(carried_from__replies__removed_at=None))
    )


def annotations_on(target: Target) -> list[Annotation]:
    """Those on the image as it is now, by number, each with its `answers` in order."""
    version = target.version
    if version is None:
        return []
    return list(_with_threads().filter(subject_kind=target.kind, subject_id=target.id, version=version))


def open_counts(project: Project, kind: str, ids: Sequence[str]) -> dict[str, int]:
    """id of an image -> how many open annotations are on it; images without any are left out."""
    rows = Annotation.objects.open().filter(project=project, subject_kind=kind, subject_id__in=ids)
    counted = rows.values("subject_id").annotate(count=Count("pk")).order_by()
    return {row["subject_id"]: row["count"] for row in counted}
