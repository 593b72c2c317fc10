"""Reviews as subjects of events."""

from __future__ import annotations

from django.db.models import QuerySet

from collaboration.reviews.models import Review
from collaboration.subjects import Subject


def _rows() -> QuerySet[Review]:
    return Review.objects.present().select_related("project")


SUBJECT = Subject(
    find=lambda id: _rows().filter(pk=id).first(),
    find_many=lambda ids: {str(row.pk): row for row in _rows().filter(pk__in=ids)},
    url=lambda review: review.get_absolute_url(),
    title=lambda review: review.title,
    project=lambda review: review.project,
    pages=lambda review: [f"review:{review.pk}"],
)
