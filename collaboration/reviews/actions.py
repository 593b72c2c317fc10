"""Making review sets and deciding in them: one transaction, one event each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from collaboration import events as log
from collaboration.models import Project, User
from collaboration.names import clean_name, clean_text
from collaboration.reviews import events
from collaboration.reviews.models import Review, ReviewItem
from collaboration.subjects import Target

MOST = 500
"""Images of one review."""


class Closed(ValidationError):
    def __init__(self) -> None:
        super().__init__("This review is closed. Open it again to go on.", code="closed")


def _named(review: Review) -> dict[str, Any]:
    """The fields that every event of a review has."""
    return {"review_id": str(review.pk), "title": review.title}


def _refuse(images: Sequence[Target], project: Project) -> None:
    if not images:
        raise ValidationError("Select at least one image to review.", code="empty")
    if any(image.project.pk != project.pk or image.handler.picture is None for image in images):
        raise ValidationError("A review shows images of its own project.", code="foreign")


def _lock(review: Review, *, closed: bool = False) -> Review:
    """The row anew, locked. Raises Closed for one that is."""
    row = Review.objects.select_for_update(of=("self",)).select_related("project").get(pk=review.pk)
    if not closed and not row.is_open:
        raise Closed
    return row


def create_review(
    *, project: Project, title: str, images: Sequence[Target], actor: User, brief: str = "", is_blind: bool = False
) -> Review:
    """Raises ValidationError: no image, more than 500, images of another project."""
    title, brief = clean_name(title, what="title"), clean_text(brief, limit=2000, what="brief")
    _refuse(images, project)
    if len(images) > MOST:
        raise ValidationError(f"A review shows at most {MOST} images; these are {len(images)}.", code="most")
    with transaction.atomic():
        review = Review.objects.create(project=project, title=title, brief=brief, is_blind=is_blind, created_by=actor)
        _add(review, images, 0)
        log.record(project, events.ReviewCreated(**_named(review), count=len(images)), actor=actor)
    return review


def _add(review: Review, images: Sequence[Target], first: int) -> None:
    ReviewItem.objects.bulk_create(
        ReviewItem(review=review, place=place, subject_kind=image.kind, subject_id=image.id)
        for place, image in enumerate(images, first)
    )


def add_images(*, review: Review, images: Sequence[Target], actor: User) -> int:
    """Add those that are not in it yet, at the end. Returns how many. Raises Closed, and ValidationError."""
    _refuse(images, review.project)
    with transaction.atomic():
        row = _lock(review)
        present = set(row.items.values_list("subject_kind", "subject_id"))
        new = [image for image in images if (image.kind, image.id) not in present]
        if len(present) + len(new) > MOST:
            raise ValidationError(f"A review shows at most {MOST} images.", code="most")
        if new:
            last = row.items.aggregate(last=Max("place"))["last"]
            _add(row, new, 0 if last is None else last + 1)
            log.record(row.project, events.ReviewItemsAdded(**_named(row), count=len(new)), actor=actor)
    return len(new)


def remove_image(*, item: ReviewItem, image: str, actor: User) -> None:
    """Take one image out; those behind it move up. `image`: what it is called. Raises Closed."""
    with transaction.atomic():
        review = _lock(item.review)
        deleted, _ = ReviewItem.objects.filter(pk=item.pk).delete()
        if not deleted:
            return
        for place, other in enumerate(review.items.order_by("place")):
            if other.place != place:
                ReviewItem.objects.filter(pk=other.pk).update(place=place)
        log.record(review.project, events.ReviewItemRemoved(**_named(review), image=image), actor=actor)


def change_review(*, review: Review, actor: User, **fields: Any) -> Review:
    """Change `title`, `brief` or `is_blind`. Raises Closed."""
    if unknown := fields.keys() - {"title", "brief", "is_blind"}:
        raise TypeError(f"A review has no changeable {', '.join(sorted(unknown))}.")
    if "title" in fields:
        fields["title"] = clean_name(fields["title"], what="title")
    if "brief" in fields:
        fields["brief"] = clean_text(fields["brief"], limit=2000, what="brief")
    with transaction.atomic():
        row = _lock(review)
        changed = [name for name, value in fields.items() if getattr(row, name) != value]
        for name in changed:
            setattr(row, name, fields[name])
        if changed:
            row.save(update_fields=changed)
            words = ["whether it is blind" if name == "is_blind" else name for name in changed]
            log.record(row.project, events.ReviewChanged(**_named(row), fields=words), actor=actor)
    return row


def decide(*, item: ReviewItem, decision: str, image: str, actor: User, note: str = "") -> ReviewItem:
    """`decision`: approved, rejected, held, or empty to take it back. `image`: what it is called. Raises Closed."""
    if decision and decision not in dict(ReviewItem.DECISIONS):
        raise ValidationError("Decide to approve, to reject or to hold.", code="decision")
    note = clean_text(note, limit=500, what="note")
    with transaction.atomic():
        review = _lock(item.review)
        row = ReviewItem.objects.select_for_update().get(pk=item.pk)
        if (row.decision, row.note) == (decision, note):
            return row
        row.decision, row.note = decision, note
        row.decided_by, row.decided_at = (actor, timezone.now()) if decision else (None, None)
        row.save(update_fields=["decision", "note", "decided_by", "decided_at"])
        happening = events.ReviewDecided(**_named(review), item_id=row.pk, image=image, decision=decision, note=note)
        log.record(review.project, happening, actor=actor)
    return row


def close_review(*, review: Review, actor: User) -> Review:
    """No more decisions; blind tallies are blind no longer, as far as the review made them so."""
    with transaction.atomic():
        row = _lock(review, closed=True)
        if row.closed_at is not None:
            return row
        row.closed_at, row.closed_by = timezone.now(), actor
        row.save(update_fields=["closed_at", "closed_by"])
        said = list(row.items.values_list("decision", flat=True))
        happening = events.ReviewClosed(
            **_named(row), approved=said.count("approved"), rejected=said.count("rejected"), open=said.count("")
        )
        log.record(row.project, happening, actor=actor)
    return row


def reopen_review(*, review: Review, actor: User) -> Review:
    with transaction.atomic():
        row = _lock(review, closed=True)
        if row.closed_at is not None:
            row.closed_at = row.closed_by = None
            row.save(update_fields=["closed_at", "closed_by"])
            log.record(row.project, events.ReviewReopened(**_named(row)), actor=actor)
    return row


def trash_review(*, review: Review, actor: User) -> None:
    with transaction.atomic():
        if Review.objects.present().filter(pk=review.pk).update(trashed_at=timezone.now()):
            log.record(review.project, events.ReviewTrashed(**_named(review)), actor=actor)


def restore_review(*, review: Review, actor: User) -> None:
    with transaction.atomic():
        if Review.objects.exclude(trashed_at=None).filter(pk=review.pk).update(trashed_at=None):
            log.record(review.project, events.ReviewRestored(**_named(review)), actor=actor)
