"""Characters: their references, what was learnt about them, and the pictures made of them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models.functions import Coalesce, Lower
from django.urls import reverse
from django.utils import timezone

from collaboration.models import Project

if TYPE_CHECKING:
    from collaboration.models import User

USER = settings.AUTH_USER_MODEL
LOW, STANDARD, HIGH = "low", "standard", "high"
TIERS: list[tuple[str, str]] = [(LOW, "Low"), (STANDARD, "Standard"), (HIGH, "High")]
REFERENCES_NEEDED = {LOW: 5, STANDARD: 10, HIGH: 20}
HOLD_OUT_FROM = 8
HOLD_OUT_SHARE = 0.2
HOLD_OUT_LEAST = 2


class Tag(models.Model):
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="tags")
    name = models.CharField(max_length=40)

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["project", "name"], name="tag_is_unique_in_project")]

    def __str__(self) -> str:
        return self.name


_PRESENT = models.Q(trashed_at=None)


class CharacterQuerySet(models.QuerySet["Character"]):
    def visible_to(self, user: User) -> CharacterQuerySet:
        return self.filter(project__in=Project.objects.visible_to(user))

    def present(self) -> CharacterQuerySet:
        """Not in the trash."""
        return self.filter(trashed_at=None)


class Character(models.Model):
    """Somebody in the film."""

    DRAFT, READY, TRAINING, TRAINED = "draft", "ready", "training", "trained"
    STATUSES: ClassVar = [
        (DRAFT, "Collecting references"),
        (READY, "Ready to train"),
        (TRAINING, "Training"),
        (TRAINED, "Trained"),
    ]

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="characters")
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True, max_length=4000)
    noun = models.CharField(
        max_length=40, default="person", help_text="What a prompt calls them: woman, man, person, creature."
    )
    age = models.CharField(max_length=40, blank=True, help_text="In words or years: young, middle-aged, 34.")
    traits = models.CharField(
        max_length=400, blank=True, help_text="What always stays: hair, eyes, glasses, scars. Separate with commas."
    )
    has_human_face = models.BooleanField(
        default=True,
        help_text="Off for animals, creatures and machines: their whole figure is measured instead of a face.",
    )
    tags = models.ManyToManyField(Tag, related_name="characters", blank=True)
    importance = models.FloatField(
        default=0.5,
        validators=[MinValueValidator(0), MaxValueValidator(1)],
        help_text="0 for an extra, 1 for the lead.",
    )
    tier = models.CharField(max_length=10, choices=TIERS, default=STANDARD)
    status = models.CharField(max_length=10, choices=STATUSES, default=DRAFT)
    picture = models.ForeignKey("assets.Asset", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    score = models.FloatField(null=True)
    """Median identity score of the latest batch, 0-100."""
    reference_count = models.PositiveIntegerField(default=0)
    """Usable references: those that passed their checks, with or without a warning."""
    generated_count = models.PositiveIntegerField(default=0)
    """How many of them a model made."""
    domain = models.CharField(max_length=12, blank=True)
    """What the usable references are, `illustration` or `photograph`: see `gpu_worker.routing`. Empty while unclear."""
    adapter_version = models.PositiveIntegerField(null=True)
    """Version of the active adapter."""
    created_by = models.ForeignKey(USER, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    trashed_at = models.DateTimeField(null=True)

    objects = CharacterQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                "project",
                Lower("name"),
                condition=models.Q(trashed_at=None),
                name="character_name_is_unique",
            )
        ]
        indexes = [
            # One for each order of the gallery. Partial, as the trash is in none of them: PostgreSQL does not
            # see that an index on (project, trashed_at, ...) is sorted by the rest.
            models.Index(fields=["project", "-updated_at", "-id"], name="character_by_update", condition=_PRESENT),
            models.Index(fields=["project", "-importance", "-id"], name="character_by_importance", condition=_PRESENT),
            models.Index("project", Lower("name"), "id", name="character_by_name", condition=_PRESENT),
            models.Index(
                "project",
                Coalesce("score", models.Value(-1.0)).desc(),
                models.F("id").desc(),
                name="character_by_score",
                condition=_PRESENT,
            ),
            models.Index(fields=["project", "tier", "status"], name="character_facets", condition=_PRESENT),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("characters:detail", args=[self.project.slug, self.pk])

    @property
    def references_needed(self) -> int:
        return REFERENCES_NEEDED[self.tier]

    @property
    def references_missing(self) -> int:
        return max(0, self.references_needed - self.reference_count)


class ReferenceQuerySet(models.QuerySet["Reference"]):
    def present(self) -> ReferenceQuerySet:
        return self.filter(trashed_at=None)

    def usable(self) -> ReferenceQuerySet:
        return self.present().filter(verdict__in=[Reference.PASS, Reference.WARN])

    def for_learning(self) -> ReferenceQuerySet:
        """Usable, and not held out to measure with."""
        return self.usable().filter(is_held_out=False)

    def generated(self) -> ReferenceQuerySet:
        """Made by a model and taken in by a person."""
        return self.exclude(origin=Reference.UPLOADED)


class Reference(models.Model):
    """A picture that shows who a character is.

    One that a model made counts for training. It is no truth: nothing is measured against it, and nothing is learnt
    from it of who the character is, while there are uploaded ones.
    """

    UPLOADED, CAST, SHEET = "uploaded", "cast", "sheet"
    ORIGINS: ClassVar = [
        (UPLOADED, "Uploaded"),
        (CAST, "Generated from words and chosen as the face"),
        (SHEET, "Generated and approved on a character sheet"),
    ]
    CHECKING, PASS, WARN, REJECT = "checking", "pass", "warn", "reject"
    VERDICTS: ClassVar = [(CHECKING, "Checking"), (PASS, "Pass"), (WARN, "Warning"), (REJECT, "Rejected")]

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    character = models.ForeignKey(Character, on_delete=models.CASCADE, related_name="references")
    asset = models.ForeignKey("assets.Asset", on_delete=models.CASCADE, related_name="references")
    origin = models.CharField(max_length=10, choices=ORIGINS, default=UPLOADED)
    made_from = models.OneToOneField(
        "characters.Variation", null=True, blank=True, on_delete=models.SET_NULL, related_name="as_reference"
    )
    """The generated picture that it is, with its provenance; None for an uploaded one."""
    verdict = models.CharField(max_length=10, choices=VERDICTS, default=CHECKING)
    checks = models.JSONField(default=list)
    """[{name, verdict, word, sentence}] in the order in which they are shown."""
    is_held_out = models.BooleanField(default=False)
    """Kept from conditioning and training, to measure against."""
    caption = models.CharField(max_length=400, blank=True)
    """What else is in the picture, for training: expression, clothes, place."""
    added_by = models.ForeignKey(USER, null=True, on_delete=models.SET_NULL, related_name="+")
    added_at = models.DateTimeField(default=timezone.now)
    trashed_at = models.DateTimeField(null=True)

    objects = ReferenceQuerySet.as_manager()

    class Meta:
        ordering = ["added_at", "id"]

    def __str__(self) -> str:
        return f"Reference {self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("characters:reference", args=[self.character.project.slug, self.character_id, self.pk])

    @property
    def is_generated(self) -> bool:
        return self.origin != self.UPLOADED


class IdentityProfile(models.Model):
    """Who the references show, learnt from those that are not held out."""

    character = models.OneToOneField(Character, on_delete=models.CASCADE, related_name="profile")
    pack = models.CharField(max_length=60)
    pack_version = models.CharField(max_length=40)
    centroid = models.JSONField()
    """512 values, unit length: the mean of the conditioning encoder's embeddings. Empty: see `is_learnt`."""
    spread = models.FloatField()
    """1 - mean cosine of the references to the centroid; 0 when all are alike."""
    colours = models.JSONField(default=list)
    """[["#rrggbb", share], ...] over all references, largest first."""
    facets = models.JSONField(default=list)
    """[{name, words}]: what can be said of the character from its pictures and its description."""
    base_prompt = models.CharField(max_length=600)
    is_prompt_edited = models.BooleanField(default=False)
    """A prompt that a person wrote is never overwritten."""
    learnt_from = models.JSONField(default=list)
    """Ids of the references."""
    updated_at = models.DateTimeField(default=timezone.now)

    def __str__(self) -> str:
        return f"Identity of {self.character}"

    @property
    def is_learnt(self) -> bool:
        """False where only a base prompt that a person wrote is left, and no references to learn from."""
        return bool(self.centroid)


class ScoringMean(models.Model):
    """How a character looks to the encoder that scores it, to compare the cast with each other."""

    character = models.OneToOneField(Character, on_delete=models.CASCADE, related_name="scoring_mean")
    pack = models.CharField(max_length=60)
    pack_version = models.CharField(max_length=40)
    encoder = models.CharField(max_length=20)
    vector = models.JSONField()
    """Mean of unit vectors, not renormalised: the product of two is the mean cosine of all pairs of references."""
    references = models.JSONField()
    """Ids of the references, sorted."""

    def __str__(self) -> str:
        return f"{self.character} as {self.pack} sees them"


class LookAlikeQuerySet(models.QuerySet["LookAlike"]):
    def of(self, character: Character) -> LookAlikeQuerySet:
        return self.filter(models.Q(first=character) | models.Q(second=character))

    def open(self) -> LookAlikeQuerySet:
        """Not dismissed, and both are in the cast."""
        return self.present().filter(dismissed_at=None)

    def present(self) -> LookAlikeQuerySet:
        return self.filter(first__trashed_at=None, second__trashed_at=None)


class LookAlike(models.Model):
    """Two characters of a project who look so much alike that people and scores may mistake one for the other."""

    first = models.ForeignKey(Character, on_delete=models.CASCADE, related_name="+")
    second = models.ForeignKey(Character, on_delete=models.CASCADE, related_name="+")
    """The id of the first sorts before that of the second."""
    cosine = models.FloatField()
    """Mean over all pairs of their references, by the encoder that scores both."""
    false_match_rate = models.FloatField()
    """Share of pairs of strangers who are as alike, by the pack's calibration."""
    found_at = models.DateTimeField(default=timezone.now)
    is_told = models.BooleanField(default=False)
    """Whether the activity has told of it."""
    dismissed_at = models.DateTimeField(null=True)
    dismissed_by = models.ForeignKey(USER, null=True, on_delete=models.SET_NULL, related_name="+")
    dismissed_reason = models.CharField(max_length=300, blank=True)

    objects = LookAlikeQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["first", "second"], name="one_look_alike_per_pair")]

    def __str__(self) -> str:
        return f"{self.first} and {self.second}"

    def other(self, character: Character) -> Character:
        return self.second if self.first_id == character.pk else self.first


class PresetQuerySet(models.QuerySet["Preset"]):
    def present(self) -> PresetQuerySet:
        return self.filter(trashed_at=None)


class Preset(models.Model):
    """Axes of a variation batch under a name, for the whole project."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="presets")
    name = models.CharField(max_length=60)
    settings = models.JSONField()
    created_by = models.ForeignKey(USER, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    trashed_at = models.DateTimeField(null=True)

    objects = PresetQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "name"], condition=models.Q(trashed_at=None), name="preset_is_unique_in_project"
            )
        ]

    def __str__(self) -> str:
        return self.name


class VariationBatch(models.Model):
    """One order of 1-24 pictures of a character."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    character = models.ForeignKey(Character, on_delete=models.CASCADE, related_name="batches")
    job = models.OneToOneField("gpu_worker.Job", on_delete=models.CASCADE, related_name="variation_batch")
    settings = models.JSONField()
    """Everything the person could set, as it was: see `characters.variations.Settings`."""
    plan = models.JSONField()
    """[{index, prompt, seed, axes}]: one entry for each picture."""
    tier = models.CharField(max_length=10, choices=TIERS)
    tier_reason = models.CharField(max_length=300)
    """Why this tier and model: shown on every picture."""
    pack = models.CharField(max_length=60)
    adapter = models.ForeignKey("gpu_worker.Adapter", null=True, on_delete=models.SET_NULL, related_name="+")
    is_casting = models.BooleanField(default=False)
    """Faces made from words alone, of which one is chosen as the character's."""
    sheet = models.ForeignKey(
        "characters.CharacterSheet", null=True, blank=True, on_delete=models.CASCADE, related_name="batches"
    )
    """The character sheet that its pictures are takes of."""
    revises = models.ForeignKey(
        "characters.Variation", null=True, blank=True, on_delete=models.SET_NULL, related_name="revised_by"
    )
    """The picture that a suggestion was made on: its pictures are next versions of that one."""
    created_by = models.ForeignKey(USER, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [models.Index(fields=["character", "-created_at", "-id"], name="batch_by_time")]

    def __str__(self) -> str:
        return f"Batch of {len(self.plan)}"


class VariationQuerySet(models.QuerySet["Variation"]):
    def present(self) -> VariationQuerySet:
        return self.filter(trashed_at=None)


class Variation(models.Model):
    """One picture of a character, made by a model, and how well it kept who they are."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    batch = models.ForeignKey(VariationBatch, on_delete=models.CASCADE, related_name="variations")
    character = models.ForeignKey(Character, on_delete=models.CASCADE, related_name="variations")
    index = models.PositiveIntegerField()
    asset = models.ForeignKey("assets.Asset", on_delete=models.CASCADE, related_name="variations")
    prompt = models.TextField()
    seed = models.BigIntegerField()
    axes = models.JSONField(default=dict)
    score = models.FloatField(null=True)
    """0-100, calibrated on impostor pairs; null when it cannot be measured."""
    cosine = models.FloatField(null=True)
    """Mean cosine to the references it is measured against, by the scoring encoder."""
    no_score_reason = models.CharField(max_length=200, blank=True)
    measured_against = models.JSONField(default=dict)
    """{held_out, method, references, reference_ids, left_out, pool, encoder, pack, pack_version, false_match_rate,
    why}: see `characters.scoring.Truth`."""
    findings = models.JSONField(default=dict)
    """What was measured beside the identity score: a `characters.measuring.Findings`; empty where nothing was."""
    measured_at = models.DateTimeField(default=timezone.now)
    """These five are those of its latest `Measurement`."""
    provenance = models.JSONField()
    picked_at = models.DateTimeField(null=True)
    picked_by = models.ForeignKey(USER, null=True, on_delete=models.SET_NULL, related_name="+")
    made_at = models.DateTimeField(default=timezone.now)
    trashed_at = models.DateTimeField(null=True)

    objects = VariationQuerySet.as_manager()

    class Meta:
        ordering = ["batch", "index"]
        constraints = [models.UniqueConstraint(fields=["batch", "index"], name="one_variation_per_place")]
        indexes = [models.Index(fields=["character", "-made_at"], name="variation_by_time")]

    def __str__(self) -> str:
        return f"Variation {self.index + 1}"

    @property
    def model_name(self) -> str:
        return str(self.provenance.get("model", ""))


class Measurement(models.Model):
    """What was measured of a variation at one time. Later ones are added; none is changed."""

    variation = models.ForeignKey(Variation, on_delete=models.CASCADE, related_name="measurements")
    score = models.FloatField(null=True)
    cosine = models.FloatField(null=True)
    no_score_reason = models.CharField(max_length=200, blank=True)
    measured_against = models.JSONField(default=dict)
    findings = models.JSONField(default=dict)
    asked_by = models.ForeignKey(USER, null=True, on_delete=models.SET_NULL, related_name="+")
    """None where it was measured as it was made."""
    measured_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-measured_at", "-id"]
        indexes = [models.Index(fields=["variation", "-measured_at"], name="measurement_by_time")]

    def __str__(self) -> str:
        return f"Measurement of {self.variation_id}"


class CharacterSheet(models.Model):
    """One person from several angles with several expressions, to be approved picture by picture."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    character = models.ForeignKey(Character, on_delete=models.CASCADE, related_name="sheets")
    created_by = models.ForeignKey(USER, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [models.Index(fields=["character", "-created_at", "-id"], name="sheet_by_time")]

    def __str__(self) -> str:
        return f"Character sheet of {self.character}"

    def get_absolute_url(self) -> str:
        here = reverse("characters:sheets", args=[self.character.project.slug, self.character_id])
        return f"{here}?sheet={self.pk}"


class SheetCell(models.Model):
    """One angle with one expression."""

    sheet = models.ForeignKey(CharacterSheet, on_delete=models.CASCADE, related_name="cells")
    place = models.PositiveIntegerField()
    """From 0, row by row: a row is an angle, a column an expression."""
    angle = models.CharField(max_length=120)
    expression = models.CharField(max_length=120)

    class Meta:
        ordering = ["sheet", "place"]
        constraints = [
            models.UniqueConstraint(fields=["sheet", "place"], name="one_cell_per_place"),
            models.UniqueConstraint(fields=["sheet", "angle", "expression"], name="one_cell_per_angle_and_expression"),
        ]

    def __str__(self) -> str:
        return f"{self.angle}, {self.expression}"


class SheetTake(models.Model):
    """One picture made for a cell, and what a person decided about it. An approved one is a reference:
    `variation.as_reference`."""

    UNDECIDED, APPROVED, REJECTED = "undecided", "approved", "rejected"
    VERDICTS: ClassVar = [(UNDECIDED, "Not decided"), (APPROVED, "Approved"), (REJECTED, "Rejected")]

    cell = models.ForeignKey(SheetCell, on_delete=models.CASCADE, related_name="takes")
    variation = models.OneToOneField(Variation, on_delete=models.CASCADE, related_name="sheet_take")
    verdict = models.CharField(max_length=10, choices=VERDICTS, default=UNDECIDED)
    decided_by = models.ForeignKey(USER, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["cell", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["cell"], condition=models.Q(verdict="approved"), name="one_approved_take_per_cell"
            )
        ]

    def __str__(self) -> str:
        return f"Take of {self.cell}"
