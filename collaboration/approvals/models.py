"""Who must approve what of a subject, and who has: always of one revision."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone


class GateQuerySet(models.QuerySet["Gate"]):
    def present(self) -> GateQuerySet:
        return self.filter(removed_at=None)

    def of(self, kind: str, id: object) -> GateQuerySet:
        return self.filter(subject_kind=kind, subject_id=str(id))


class Gate(models.Model):
    """What of a subject has to be approved, by how many of whom, and how far that is."""

    OPEN, ASKED, APPROVED, CHANGES, LOST = "open", "asked", "approved", "changes", "lost"
    STATES: ClassVar = [
        (OPEN, "Not asked for"),
        (ASKED, "Waiting for approval"),
        (APPROVED, "Approved"),
        (CHANGES, "Changes wanted"),
        (LOST, "Approval lost"),
    ]

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey("collaboration.Project", on_delete=models.CASCADE, related_name="gates")
    subject_kind = models.CharField(max_length=30)
    subject_id = models.CharField(max_length=40)
    name = models.CharField(max_length=60)
    aspect = models.CharField(max_length=40)
    """A key of the subject's `aspects`: changes of anything else leave approvals alone."""
    needed = models.PositiveSmallIntegerField(default=1)
    roles = models.JSONField(default=list)
    people = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="+", blank=True)
    """Who may approve: those who have one of the roles, and these people."""
    state = models.CharField(max_length=10, choices=STATES, default=OPEN)
    given = models.PositiveSmallIntegerField(default=0)
    """Approvals that stand. With `state` what lists show without counting."""
    asked_at = models.DateTimeField(null=True)
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    order = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(default=timezone.now)
    removed_at = models.DateTimeField(null=True)

    objects = GateQuerySet.as_manager()

    class Meta:
        ordering = ["order", "created_at"]
        indexes = [
            models.Index(fields=["subject_kind", "subject_id"], name="gate_subject", condition=Q(removed_at=None)),
            models.Index(fields=["project", "state"], name="gate_state", condition=Q(removed_at=None)),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["subject_kind", "subject_id", "name"],
                condition=Q(removed_at=None),
                name="gate_name_is_unique",
            )
        ]

    def __str__(self) -> str:
        return self.name


class Approval(models.Model):
    """What one person said to one revision at a gate. It stands until it ends."""

    APPROVE, CHANGES = "approve", "changes"
    VERDICTS: ClassVar = [(APPROVE, "Approved"), (CHANGES, "Wants changes")]
    WITHDRAWN, REPLACED, LOST = "withdrawn", "replaced", "lost"
    ENDS: ClassVar = [(WITHDRAWN, "Taken back"), (REPLACED, "Replaced"), (LOST, "Lost by a change")]

    gate = models.ForeignKey(Gate, on_delete=models.CASCADE, related_name="approvals")
    revision = models.ForeignKey("collaboration.Revision", on_delete=models.CASCADE, related_name="approvals")
    person = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="approvals")
    verdict = models.CharField(max_length=10, choices=VERDICTS)
    note = models.CharField(max_length=500, blank=True)
    given_at = models.DateTimeField(default=timezone.now)
    ended_at = models.DateTimeField(null=True)
    ended_how = models.CharField(max_length=10, choices=ENDS, blank=True)
    lost_to = models.ForeignKey("collaboration.Revision", null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-given_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["gate", "person"], condition=Q(ended_at=None), name="one_approval_per_person"
            )
        ]

    def __str__(self) -> str:
        return f"{self.person}: {self.get_verdict_display()}"
