"""What people are told of, by which way, and what is still on its way."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

USER = settings.AUTH_USER_MODEL


class Cursor(models.Model):
    """How far the log of one stream has been read for notifications."""

    stream = models.OneToOneField("collaboration.Stream", on_delete=models.CASCADE, related_name="told")
    seq = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.stream}: {self.seq}"


class Choice(models.Model):
    """How one person wants to hear of one kind. Without a row, the kind's own defaults."""

    OFF, NOW, DIGEST = "off", "now", "digest"
    MAIL: ClassVar = [(OFF, "No e-mail"), (NOW, "At once"), (DIGEST, "Once a day")]
    NONE, MINE, ALL = "none", "mine", "all"
    REACHES: ClassVar = [(NONE, "Never"), (MINE, "When it concerns me"), (ALL, "Everything in my projects")]

    person = models.ForeignKey(USER, on_delete=models.CASCADE, related_name="notification_choices")
    kind = models.CharField(max_length=20)
    reach = models.CharField(max_length=5, choices=REACHES, default=MINE)
    mail = models.CharField(max_length=6, choices=MAIL, default=OFF)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["person", "kind"], name="one_choice_per_kind")]

    def __str__(self) -> str:
        return f"{self.person}: {self.kind}"


class Notification(models.Model):
    """One person is told of one event."""

    person = models.ForeignKey(USER, on_delete=models.CASCADE, related_name="notifications")
    event = models.ForeignKey("collaboration.Event", on_delete=models.CASCADE, related_name="notifications")
    project = models.ForeignKey("collaboration.Project", null=True, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=20)
    topic = models.CharField(max_length=120)
    """Notifications of one kind about one thing are shown as one: `<kind>:<subject kind>:<subject id>`."""
    words = models.CharField(max_length=300, blank=True)
    """A sentence of its own; empty: what the event says."""
    is_for_me = models.BooleanField(default=True)
    """Whether it concerns the person, rather than the project they follow."""
    at = models.DateTimeField(default=timezone.now)
    read_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["person", "event", "kind"], name="told_once")]
        indexes = [
            models.Index(fields=["person", "-id"], name="notification_by_time"),
            models.Index(fields=["person", "topic"], name="notification_unread", condition=Q(read_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} for {self.person}"


class Webhook(models.Model):
    """An address of somebody else's program that is told of what happens in a project, signed with a secret."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey("collaboration.Project", on_delete=models.CASCADE, related_name="webhooks")
    name = models.CharField(max_length=80)
    url = models.URLField(max_length=500)
    secret = models.CharField(max_length=80, editable=False)
    """`whsec_` and 32 bytes in base64: needed in the clear, to sign with."""
    kinds = models.JSONField(default=list)
    is_active = models.BooleanField(default=True)
    created_by = models.ForeignKey(USER, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    removed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["created_at"]

    def __str__(self) -> str:
        return self.name


class Delivery(models.Model):
    """A message that leaves the studio, by e-mail or to a webhook. Sent at least once; `id` tells a repeat."""

    EMAIL, WEBHOOK = "email", "webhook"
    CHANNELS: ClassVar = [(EMAIL, "E-mail"), (WEBHOOK, "Webhook")]
    WAITING, SENT, DEAD = "waiting", "sent", "dead"
    STATES: ClassVar = [(WAITING, "Waiting"), (SENT, "Sent"), (DEAD, "Given up")]

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    channel = models.CharField(max_length=7, choices=CHANNELS)
    event = models.ForeignKey("collaboration.Event", on_delete=models.CASCADE, related_name="deliveries")
    kind = models.CharField(max_length=20)
    person = models.ForeignKey(USER, null=True, on_delete=models.CASCADE, related_name="+")
    webhook = models.ForeignKey(Webhook, null=True, on_delete=models.CASCADE, related_name="deliveries")
    words = models.CharField(max_length=300, blank=True)
    is_digest = models.BooleanField(default=False)
    state = models.CharField(max_length=7, choices=STATES, default=WAITING)
    attempts = models.PositiveSmallIntegerField(default=0)
    not_before = models.DateTimeField(default=timezone.now)
    """When it is due, or due again; while somebody is sending it, when another may take it over."""
    last_error = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["event", "kind", "person"], name="mailed_once"),
            models.UniqueConstraint(fields=["event", "kind", "webhook"], name="posted_once"),
        ]
        indexes = [models.Index(fields=["not_before"], name="delivery_due", condition=Q(state="waiting"))]

    def __str__(self) -> str:
        return f"{self.kind} by {self.channel}"
