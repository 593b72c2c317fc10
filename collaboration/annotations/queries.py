"""Reads that assemble a page."""

from __future__ import annotations

from collections.abc import Sequence

from django.db.models import Count, OuterRef, Prefetch, QuerySet, Subquery
from django.db.models.functions import Coalesce

from collaboration.annotations.models import Annotation, Reply
from collaboration.models import Project
from collaboration.subjects import Target


def _with_threads() -> QuerySet[Annotation]:
    replies = Reply.objects.filter(removed_at=None).select_related("author")
    rows = Annotation.objects.select_related("author", "resolved_by", "carried_from__author")
    before = Reply.objects.filter(annotation=OuterRef("carried_from"), removed_at=None).order_by()
    count = before.values("annotation").annotate(count=Count("pk")).values("count")
    rows = rows.annotate(answers_before=Coalesce(Subquery(count), 0))
    return rows.prefetch_related(Prefetch("replies", queryset=replies, to_attr="answers"))


def annotations_on(target: Target) -> list[Annotation]:
    """Those on the image as it is now, by number, each with its `answers` in order."""
    version = target.version
    if version is None:
        return []
    return list(
        _with_threads().filter(removed_at=None, subject_kind=target.kind, subject_id=target.id, version=version)
    )


def open_counts(project: Project, kind: str, ids: Sequence[str]) -> dict[str, int]:
    """id of an image -> how many open annotations are on it; images without any are left out."""
    rows = Annotation.objects.open().filter(project=project, subject_kind=kind, subject_id__in=ids)
    counted = rows.values("subject_id").annotate(count=Count("pk")).order_by()
    return {row["subject_id"]: row["count"] for row in counted}


def with_thread(annotation: Annotation) -> Annotation:
    """The annotation as it is now, removed or not, with its `answers`."""
    return _with_threads().get(pk=annotation.pk)
