"""Training runs: what a model was taught about a character, from which references, and how it went."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.urls import reverse
from django.utils import timezone

from characters.models import TIERS
from collaboration.models import Project

if TYPE_CHECKING:
    from collaboration.models import User


class TrainingRunQuerySet(models.QuerySet["TrainingRun"]):
    def visible_to(self, user: User) -> TrainingRunQuerySet:
        return self.filter(character__project__in=Project.objects.visible_to(user))

    def present(self) -> TrainingRunQuerySet:
        """Not in the trash."""
        return self.filter(trashed_at=None)

    def with_rows(self) -> TrainingRunQuerySet:
        """With every row that a page about the run reads."""
        return self.select_related("character__project__studio", "character__picture", "job", "adapter", "created_by")


class TrainingRun(models.Model):
    """One training of a LoRA for a character. How far it is stands on its job."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    character = models.ForeignKey("characters.Character", on_delete=models.CASCADE, related_name="training_runs")
    job = models.OneToOneField("gpu_worker.Job", on_delete=models.CASCADE, related_name="training_run")
    tier = models.CharField(max_length=10, choices=TIERS)
    """The tier whose preset the recipe began with, and whose references were needed."""
    recipe = models.JSONField()
    """Complete, as used: see `training.recipes.Recipe`."""
    references = models.JSONField()
    """[{id, asset, caption}]: the pictures and captions as they were, in the order in which they are trained."""
    held_out = models.JSONField(default=list)
    """Ids of the references that were kept to measure with."""
    samples_wanted = models.JSONField(default=list)
    """[{prompt, seed}]: the pictures that are made on the way, one for each place."""
    trigger = models.CharField(max_length=60)
    """The word that stands for the character in prompts."""
    pack = models.CharField(max_length=60)
    pack_version = models.CharField(max_length=40)
    adapter = models.OneToOneField(
        "gpu_worker.Adapter", null=True, on_delete=models.SET_NULL, related_name="training_run"
    )
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    cancelled_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    trashed_at = models.DateTimeField(null=True)

    objects = TrainingRunQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [models.Index(fields=["character", "trashed_at", "-created_at"])]

    def __str__(self) -> str:
        return self.job.title

    def get_absolute_url(self) -> str:
        return reverse("training:run", args=[self.character.project.slug, self.pk])


class TrainingSample(models.Model):
    """A picture that the LoRA made while it was being trained: the same prompt and seed at every step."""

    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="samples")
    step = models.PositiveIntegerField()
    place = models.PositiveSmallIntegerField()
    """Which of the run's prompts, from 0."""
    asset = models.ForeignKey("assets.Asset", on_delete=models.CASCADE, related_name="training_samples")
    prompt = models.TextField()
    seed = models.BigIntegerField()
    score = models.FloatField(null=True)
    """0-100, calibrated on impostor pairs; null when it cannot be measured."""
    cosine = models.FloatField(null=True)
    no_score_reason = models.CharField(max_length=200, blank=True)
    made_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["step", "place"]
        constraints = [models.UniqueConstraint(fields=["run", "step", "place"], name="one_sample_per_step_and_place")]

    def __str__(self) -> str:
        return f"Step {self.step}, {self.place}"
