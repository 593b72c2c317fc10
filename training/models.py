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

USER = settings.AUTH_USER_MODEL


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
    created_by = models.ForeignKey(USER, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    cancelled_by = models.ForeignKey(USER, null=True, on_delete=models.SET_NULL, related_name="+")
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


class TrainingCheckpoint(models.Model):
    """The LoRA as it was after some step, kept to be compared and chosen from: a small file, without optimizer state.

    What a run goes on from after an interruption is another thing, and is kept with its job (`gpu_worker.checkpoints`).
    """

    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="checkpoints")
    step = models.PositiveIntegerField()
    file = models.ForeignKey("assets.Asset", null=True, on_delete=models.SET_NULL, related_name="+")
    sha256 = models.CharField(max_length=64)
    rank = models.PositiveIntegerField()
    adapter = models.OneToOneField(
        "gpu_worker.Adapter", null=True, on_delete=models.SET_NULL, related_name="checkpoint"
    )
    """The version it became; both have the same file."""
    made_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["step"]
        constraints = [models.UniqueConstraint(fields=["run", "step"], name="one_checkpoint_per_step")]

    def __str__(self) -> str:
        return f"Step {self.step}"

    @property
    def is_there(self) -> bool:
        """Reads `file`."""
        return self.file is not None and self.file.erased_at is None


class CheckpointComparison(models.Model):
    """A run's checkpoints on the same prompts and seeds: what was measured, what is proposed, what a person chose."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="comparisons")
    job = models.OneToOneField("gpu_worker.Job", on_delete=models.CASCADE, related_name="comparison")
    plan = models.JSONField()
    """[{prompt, seed, asked}]: the pictures made with each checkpoint; `asked`: attribute -> word."""
    settings = models.JSONField()
    """{steps, guidance, negative_prompt, width, height, lora_strength, image_prompt_strength}: the same for all."""
    steps = models.JSONField()
    """[{step, sha256}]: the checkpoints compared, in order."""
    results = models.JSONField(default=list)
    """[`training.verdicts.Measured`]: of each step, once all is made."""
    proposed_step = models.PositiveIntegerField(null=True)
    reason = models.TextField(blank=True)
    """Why that step, or why none: a sentence."""
    concerns = models.JSONField(default=list)
    """What else the figures say, in sentences: over-training."""
    confirmed_step = models.PositiveIntegerField(null=True)
    confirmed_by = models.ForeignKey(USER, null=True, on_delete=models.SET_NULL, related_name="+")
    confirmed_at = models.DateTimeField(null=True)
    created_by = models.ForeignKey(USER, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return self.job.title


class ComparisonPicture(models.Model):
    """One picture of a comparison: a checkpoint on one of its prompts."""

    comparison = models.ForeignKey(CheckpointComparison, on_delete=models.CASCADE, related_name="pictures")
    step = models.PositiveIntegerField()
    place = models.PositiveSmallIntegerField()
    """Which of the comparison's prompts, from 0."""
    asset = models.ForeignKey("assets.Asset", on_delete=models.CASCADE, related_name="comparison_pictures")
    score = models.FloatField(null=True)
    """0-100, calibrated on impostor pairs; null when it cannot be measured."""
    cosine = models.FloatField(null=True)
    no_score_reason = models.CharField(max_length=200, blank=True)
    measured_against = models.JSONField(default=dict)
    seen = models.JSONField(default=dict)
    """Attribute -> word: what the pack's classifier found of what was asked; empty where it has none."""
    made_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["step", "place"]
        constraints = [
            models.UniqueConstraint(fields=["comparison", "step", "place"], name="one_picture_per_step_and_prompt")
        ]

    def __str__(self) -> str:
        return f"Step {self.step}, {self.place}"
