"""Annotations: one row for each shape, which stays as a tombstone when it is removed."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone

if TYPE_CHECKING:
    from collaboration.models import User

USER = settings.AUTH_USER_MODEL


class AnnotationQuerySet(models.QuerySet["Annotation"]):
    def present(self) -> AnnotationQuerySet:
        return self.filter(removed_at=None)

    def open(self) -> AnnotationQuerySet:
        """Neither removed nor resolved."""
        return self.present().filter(resolved_at=None)

    def on(self, kind: str, id: object) -> AnnotationQuerySet:
        return self.filter(subject_kind=kind, subject_id=str(id))


class Annotation(models.Model):
    """A shape on one version of an image, what is said about it, and the thread that follows."""

    NOTE, SUGGESTION, APPROVAL = "note", "suggestion", "approval"
    KINDS: ClassVar = [(NOTE, "Note"), (SUGGESTION, "Suggestion"), (APPROVAL, "Approval")]

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey("collaboration.Project", on_delete=models.CASCADE, related_name="annotations")
    subject_kind = models.CharField(max_length=30)
    subject_id = models.CharField(max_length=40)
    version = models.UUIDField()
    """Which image of the subject: its file."""
    number = models.PositiveIntegerField()
    """From 1, on that image; never given twice."""
    kind = models.CharField(max_length=12, choices=KINDS, default=NOTE)
    shape = models.CharField(max_length=12)
    """One of `shapes.SHAPES`."""
    geometry = models.JSONField(default=dict)
    """Where it is, in shares of the image's width and height, 0-1 from the top left: see `shapes`."""
    text = models.TextField(blank=True)
    """With people as `@[7]`: see `mentions`."""
    author = models.ForeignKey(USER, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    changed_at = models.DateTimeField(null=True, editable=False)
    resolved_at = models.DateTimeField(null=True, editable=False)
    resolved_by = models.ForeignKey(USER, null=True, on_delete=models.SET_NULL, related_name="+")
    removed_at = models.DateTimeField(null=True, editable=False)
    removed_by = models.ForeignKey(USER, null=True, on_delete=models.SET_NULL, related_name="+")
    carried_from = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="carried_to")
    """The one on the version before, which was still open when this version came."""
    became_kind = models.CharField(max_length=30, blank=True)
    became_id = models.CharField(max_length=40, blank=True)
    became_url = models.CharField(max_length=300, blank=True)
    """What a suggestion was made into; empty while it is only a suggestion."""
    mentioned: models.ManyToManyField[User, Any] = models.ManyToManyField(USER, related_name="+")

    objects = AnnotationQuerySet.as_manager()

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(
                fields=["subject_kind", "subject_id", "version", "number"], name="annotations_are_numbered"
            )
        ]
        indexes = [models.Index(fields=["project", "-created_at"], name="annotation_by_time")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.number}"

    @property
    def is_open(self) -> bool:
        return self.removed_at is None and self.resolved_at is None


class Reply(models.Model):
    """What somebody answered in the thread of an annotation; a tombstone when it is removed."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    annotation = models.ForeignKey(Annotation, on_delete=models.CASCADE, related_name="replies")
    text = models.TextField()
    author = models.ForeignKey(USER, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    changed_at = models.DateTimeField(null=True, editable=False)
    removed_at = models.DateTimeField(null=True, editable=False)
    mentioned: models.ManyToManyField[User, Any] = models.ManyToManyField(USER, related_name="+")

    class Meta:
        ordering = ["created_at", "id"]

    def __str__(self) -> str:
        return f"Reply {self.pk}"
