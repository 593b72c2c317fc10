"""Sets of images that a team looks at together, one after the other, and what was decided of each."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone


class ReviewQuerySet(models.QuerySet["Review"]):
    def present(self) -> ReviewQuerySet:
        return self.filter(trashed_at=None)


class Review(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey("collaboration.Project", on_delete=models.CASCADE, related_name="reviews")
    title = models.CharField(max_length=120)
    brief = models.TextField(blank=True, max_length=2000)
    """What is to be decided."""
    is_blind = models.BooleanField(default=False)
    """While it is open, who has not voted on an image sees only how many have."""
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    closed_at = models.DateTimeField(null=True)
    closed_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    trashed_at = models.DateTimeField(null=True)

    objects = ReviewQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [models.Index(fields=["project", "-created_at", "-id"], name="review_by_time")]

    def __str__(self) -> str:
        return self.title

    def get_absolute_url(self) -> str:
        return reverse("reviews:review", args=[self.project.slug, self.pk])

    @property
    def is_open(self) -> bool:
        return self.closed_at is None and self.trashed_at is None


class ReviewItem(models.Model):
    """One image of a review."""

    APPROVED, REJECTED, HELD = "approved", "rejected", "held"
    DECISIONS: ClassVar[list[tuple[Any, str]]] = [
        (APPROVED, "Approved"),
        (REJECTED, "Rejected"),
        (HELD, "Held for later"),
    ]

    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="items")
    place = models.PositiveIntegerField()
    """From 0."""
    subject_kind = models.CharField(max_length=30)
    subject_id = models.CharField(max_length=40)
    decision = models.CharField(max_length=10, choices=DECISIONS, blank=True)
    note = models.CharField(max_length=500, blank=True)
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    decided_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["review", "place"]
        indexes = [models.Index(fields=["subject_kind", "subject_id"], name="review_item_subject")]
        constraints = [
            models.UniqueConstraint(fields=["review", "subject_kind", "subject_id"], name="once_in_each_review")
        ]

    def __str__(self) -> str:
        return f"{self.place + 1} of {self.review}"
