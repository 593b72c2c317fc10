"""What the pages about reviews show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Q, QuerySet

from collaboration.models import Project
from collaboration.reviews.models import Review, ReviewItem
from collaboration.subjects import Subject, Target, subject
from collaboration.votes import queries as votes
from collaboration.votes.queries import Tally

IMAGE_KINDS = ("variation", "reference")
STRIP = 5
"""Pictures that a review shows of itself in the list."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An image of a review with what there is to say about it."""

    item: ReviewItem
    row: Any | None
    """None where the image is gone."""
    handler: Subject | None
    tally: Tally

    @property
    def number(self) -> int:
        return self.item.place + 1

    @property
    def title(self) -> str:
        return self.handler.title(self.row) if self.handler and self.row is not None else "An image that is gone"

    @property
    def url(self) -> str:
        return self.handler.url(self.row) if self.handler and self.row is not None else ""

    @property
    def is_open(self) -> bool:
        return bool(self.handler and self.row is not None and self.handler.is_open(self.row))

    def picture(self, pixels: int) -> dict[str, Any] | None:
        if self.handler is None or self.row is None or self.handler.picture is None:
            return None
        return self.handler.picture(self.row, pixels)


def reviews_of(project: Project, *, trashed: bool = False) -> QuerySet[Review]:
    """The newest first, each with `images`, `decided`, `approved` and `rejected` (how many)."""
    rows = Review.objects.filter(project=project).select_related("created_by", "project")
    rows = rows.exclude(trashed_at=None) if trashed else rows.present()
    return rows.annotate(
        images=Count("items"),
        decided=Count("items", filter=~Q(items__decision="")),
        approved=Count("items", filter=Q(items__decision=ReviewItem.APPROVED)),
        rejected=Count("items", filter=Q(items__decision=ReviewItem.REJECTED)),
    )


def strips(reviews: Sequence[Review]) -> dict[Any, list[dict[str, Any]]]:
    """Review id -> the first few of its pictures: a query for each kind of image, however many reviews."""
    items = ReviewItem.objects.filter(review__in=reviews, place__lt=STRIP).order_by("place")
    found: dict[Any, list[dict[str, Any]]] = {review.pk: [] for review in reviews}
    listed = list(items)
    rows = _rows(listed)
    for item in listed:
        handler, row = subject(item.subject_kind), rows.get((item.subject_kind, item.subject_id))
        if handler and handler.picture and row is not None and (shown := handler.picture(row, 160)):
            found[item.review_id].append(shown)
    return found


def _rows(items: Iterable[ReviewItem]) -> dict[tuple[str, str], Any]:
    by_kind: dict[str, list[str]] = {}
    for item in items:
        by_kind.setdefault(item.subject_kind, []).append(item.subject_id)
    found = {}
    for kind, ids in by_kind.items():
        handler = subject(kind)
        if handler is not None and handler.find_many is not None:
            found.update({(kind, id): row for id, row in handler.find_many(ids).items()})
    return found


def items_of(review: Review) -> list[Shown]:
    """In their order, with tallies: the same number of queries however many."""
    items = list(review.items.select_related("decided_by").order_by("place"))
    rows = _rows(items)
    tallies: dict[tuple[str, str], Tally] = {}
    for kind in {item.subject_kind for item in items}:
        ids = [item.subject_id for item in items if item.subject_kind == kind]
        found = votes.tallies(review.project, kind, ids)
        tallies.update({(kind, id): tally for id, tally in found.items()})
    return [
        Shown(
            item,
            rows.get((item.subject_kind, item.subject_id)),
            subject(item.subject_kind),
            tallies[item.subject_kind, item.subject_id],
        )
        for item in items
    ]


def images_among(project: Project, ids: Sequence[str]) -> list[Target]:
    """The images of the project with these ids, in their order; what is none is left out."""
    found: dict[str, Target] = {}
    for kind in IMAGE_KINDS:
        handler = subject(kind)
        if handler is None or handler.find_many is None or handler.project is None:
            continue
        for id, row in handler.find_many(list(ids)).items():
            if handler.project(row).pk == project.pk and handler.is_open(row):
                found[id] = Target(kind, id, handler, row, project)
    return [found[id] for id in dict.fromkeys(ids) if id in found]
