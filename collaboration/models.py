"""People, studios and projects, and the log of everything that happened in them."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from collaboration.bands import Bands
from collaboration.verbs import Role


class UserManager(BaseUserManager["User"]):
    use_in_migrations = True

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def get_by_natural_key(self, username: str | None) -> User:
        """Addresses are kept in lower case, however a person types theirs."""
        return self.get(email=(username or "").lower())

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractUser):
    """A person. The e-mail address is the name they sign in with."""

    username = None  # type: ignore[assignment]
    first_name = None  # type: ignore[assignment]
    last_name = None  # type: ignore[assignment]
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=120, blank=True)
    uses_keys = models.BooleanField(default=True)
    """Whether single keys do something (WCAG 2.1.4): who dictates, or types with a switch, would press them unmeant."""

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects: ClassVar[UserManager] = UserManager()  # type: ignore[assignment]

    def __str__(self) -> str:
        return self.display_name

    @property
    def display_name(self) -> str:
        return self.name or self.email.partition("@")[0]

    @property
    def initials(self) -> str:
        parts = self.display_name.split()
        return "".join(next(filter(str.isalnum, p), p[0]) for p in (parts[:1] + parts[1:][-1:])).upper()

    @property
    def hue(self) -> int:
        """1-8: which of the eight colours of people is theirs."""
        return (self.pk or 0) % 8 + 1

    def get_full_name(self) -> str:
        return self.display_name

    def get_short_name(self) -> str:
        return self.display_name


class StudioQuerySet(models.QuerySet["Studio"]):
    def open_to(self, user: User) -> StudioQuerySet:
        """Studios in which the person may start a project: they administer it, or lead or own a project of it."""
        administers = StudioMembership.objects.filter(user=user, is_admin=True).values("studio_id")
        leads = Membership.objects.filter(user=user, role__in=[Role.LEAD, Role.OWNER]).values("project__studio_id")
        return self.filter(Q(pk__in=administers) | Q(pk__in=leads))


class Studio(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=60, unique=True)
    excellent_from = models.FloatField(default=Bands().excellent)
    good_from = models.FloatField(default=Bands().good)
    """Scores, 0-100: see `bands`."""
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = StudioQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def bands(self) -> Bands:
        return Bands(excellent=self.excellent_from, good=self.good_from)


class StudioMembership(models.Model):
    studio = models.ForeignKey(Studio, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="studio_memberships")
    is_admin = models.BooleanField(default=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["studio", "user"], name="one_membership_per_studio")]

    def __str__(self) -> str:
        return f"{self.user} in {self.studio}"


class ProjectQuerySet(models.QuerySet["Project"]):
    def visible_to(self, user: User) -> ProjectQuerySet:
        """Projects the person is a member of, and all those of a studio they administer."""
        member = Membership.objects.filter(user=user).values("project_id")
        administers = StudioMembership.objects.filter(user=user, is_admin=True).values("studio_id")
        return self.filter(Q(pk__in=member) | Q(studio_id__in=administers))


class Project(models.Model):
    """A film: its cast, its styles, its shots, and the people who make it."""

    AUTOMATIC, ILLUSTRATION, PHOTOGRAPH = "auto", "illustration", "photograph"
    DOMAINS: ClassVar = [
        (AUTOMATIC, "Automatic, from each character's references"),
        (ILLUSTRATION, "Illustration"),
        (PHOTOGRAPH, "Photograph"),
    ]

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    studio = models.ForeignKey(Studio, on_delete=models.PROTECT, related_name="projects")
    name = models.CharField(max_length=120)
    slug = models.SlugField(max_length=60, unique=True)
    description = models.TextField(blank=True, max_length=4000)
    is_commercial = models.BooleanField(
        default=True, help_text="Only models whose licence allows commercial use are chosen for this project."
    )
    domain = models.CharField(
        max_length=12,
        choices=DOMAINS,
        default=AUTOMATIC,
        help_text="What its pictures are. Identity is measured by a model that was made for them.",
    )
    members = models.ManyToManyField(User, through="Membership", related_name="projects")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = ProjectQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("characters:gallery", args=[self.slug])


class Membership(models.Model):
    ROLES: ClassVar = [(r.value, r.value.capitalize()) for r in Role]

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=ROLES)
    since = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["project", "user"], name="one_role_per_project")]

    def __str__(self) -> str:
        return f"{self.user} in {self.project}"


class Invitation(models.Model):
    """A link that makes whoever opens it, signed in, a member. Only the hash of its secret is kept."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="invitations")
    role = models.CharField(max_length=10, choices=Membership.ROLES)
    secret_hash = models.CharField(max_length=64, unique=True, editable=False)
    created_by = models.ForeignKey(User, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    accepted_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    accepted_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.get_role_display()} of {self.project}"

    @property
    def state(self) -> str:
        if self.accepted_at:
            return "accepted"
        if self.revoked_at:
            return "revoked"
        return "open" if self.expires_at > timezone.now() else "expired"


class TrashQuerySet(models.QuerySet[Any]):
    def present(self) -> TrashQuerySet:
        """Those that are not in the trash."""
        return self.filter(trashed_at=None)


class Scene(models.Model):
    """A part of the film that plays at one time and place. `code` is what the production calls it: SC010."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="scenes")
    code = models.CharField(max_length=20)
    name = models.CharField(max_length=120, blank=True)
    order = models.PositiveIntegerField(default=0)
    trashed_at = models.DateTimeField(null=True, editable=False)

    objects = TrashQuerySet.as_manager()

    class Meta:
        ordering = ["order", "code"]
        constraints = [
            models.UniqueConstraint(
                fields=["project", "code"], condition=Q(trashed_at=None), name="scene_code_is_unique_in_project"
            )
        ]

    def __str__(self) -> str:
        return f"{self.code} {self.name}".strip()


class Shot(models.Model):
    """One uninterrupted view of the camera, in a scene."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    scene = models.ForeignKey(Scene, on_delete=models.CASCADE, related_name="shots")
    code = models.CharField(max_length=20)
    description = models.TextField(blank=True, max_length=2000)
    order = models.PositiveIntegerField(default=0)
    trashed_at = models.DateTimeField(null=True, editable=False)

    objects = TrashQuerySet.as_manager()

    class Meta:
        ordering = ["order", "code"]
        constraints = [
            models.UniqueConstraint(
                fields=["scene", "code"], condition=Q(trashed_at=None), name="shot_code_is_unique_in_scene"
            )
        ]

    def __str__(self) -> str:
        return f"{self.scene.code} {self.code}"


# ------------------------------------------------------------------------------------------------ what happened
class Stream(models.Model):
    """A numbered sequence of events: one for each project, studio and person.

    A row of its own, so that taking the next number never locks the project (which every insert refers to).
    """

    PROJECT, STUDIO, PERSON = "project", "studio", "person"

    kind = models.CharField(max_length=10)
    key = models.CharField(max_length=40)
    head = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["kind", "key"], name="one_stream_per_owner")]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


class Event(models.Model):
    """Something that happened, in the order in which it was committed. Never changed, never deleted."""

    stream = models.ForeignKey(Stream, on_delete=models.CASCADE, related_name="events")
    seq = models.BigIntegerField()
    kind = models.CharField(max_length=60)
    actor = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    subject_kind = models.CharField(max_length=30, blank=True)
    subject_id = models.CharField(max_length=40, blank=True)
    summary = models.CharField(max_length=300)
    """What the actor did, after their name and without it: "added 3 references to Mara"."""
    payload = models.JSONField(default=dict)
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-seq"]
        constraints = [models.UniqueConstraint(fields=["stream", "seq"], name="one_event_per_number")]
        indexes = [
            models.Index(fields=["subject_kind", "subject_id"], name="event_subject"),
            models.Index(fields=["stream", "actor", "-seq"], name="event_actor"),
        ]

    def __str__(self) -> str:
        return f"{self.actor or 'The studio'} {self.summary}"


class Revision(models.Model):
    """The whole state of a character or a style after one change: who, when, why. Rolling back adds a revision."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    subject_kind = models.CharField(max_length=30)
    subject_id = models.CharField(max_length=40)
    number = models.PositiveIntegerField()
    author = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    reason = models.CharField(max_length=300)
    snapshot = models.JSONField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["subject_kind", "subject_id", "number"], name="revisions_are_numbered")
        ]

    def __str__(self) -> str:
        return f"{self.subject_kind} {self.subject_id}, revision {self.number}"


# ------------------------------------------------------------------------------------------------ written together
class SharedText(models.Model):
    """A text that several people write at once: what has to be known beside the text itself to merge what they type."""

    project = models.ForeignKey(Project, on_delete=models.CASCADE, related_name="+")
    subject_kind = models.CharField(max_length=30)
    subject_id = models.CharField(max_length=40)
    field = models.CharField(max_length=40)
    state = models.BinaryField()
    """A Yjs document (v1 update) whose text `text` it is."""
    writer = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    """Who has written since the last revision that told of it; None where all is told."""
    written_at = models.DateTimeField(null=True)
    """Since when there is something to tell."""

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["subject_kind", "subject_id", "field"], name="one_shared_text_per_field")
        ]
        indexes = [
            models.Index(fields=["written_at"], name="shared_text_to_tell", condition=~Q(written_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.field} of {self.subject_kind} {self.subject_id}"


# ------------------------------------------------------------------------------------------------- the machinery
class IdempotencyRecord(models.Model):
    """The answer to a POST that carried an idempotency key, so that repeating it repeats the answer, not the deed."""

    scope = models.CharField(max_length=80)
    key = models.CharField(max_length=100)
    fingerprint = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    """Empty while the first request is being carried out."""
    headers = models.JSONField(default=dict)
    body = models.BinaryField(null=True)
    """Empty for an answer that was too large, or that carries a secret and must not be kept."""
    created_at = models.DateTimeField(default=timezone.now)
    """When the request that holds the key began; one that takes over an abandoned key begins anew."""

    class Meta:
        constraints = [models.UniqueConstraint(fields=["scope", "key"], name="one_answer_per_key")]
        indexes = [models.Index(fields=["created_at"], name="idempotency_age")]

    def __str__(self) -> str:
        return f"{self.scope} {self.key}"


class ApiToken(models.Model):
    """A key to the JSON API. Only its hash is kept; what it may do is what its owner may, narrowed to its scopes."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=80)
    hint = models.CharField(max_length=12, editable=False)
    secret_hash = models.CharField(max_length=64, unique=True, editable=False)
    scopes = models.JSONField(default=list)
    """Verbs."""
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True)
    last_used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.hint})"

    @property
    def state(self) -> str:
        if self.revoked_at:
            return "revoked"
        return "expired" if self.expires_at and self.expires_at <= timezone.now() else "active"


# Packages of this app that keep rows of their own.
from collaboration.annotations.models import Annotation, Reply  # noqa: E402
from collaboration.approvals.models import Approval, Gate  # noqa: E402
from collaboration.notifications.models import Choice, Cursor, Delivery, Notification, Webhook  # noqa: E402
from collaboration.reviews.models import Review, ReviewItem  # noqa: E402
from collaboration.votes.models import Vote, VotingRules  # noqa: E402

__all__ = [
    "Annotation",
    "ApiToken",
    "Approval",
    "Choice",
    "Cursor",
    "Delivery",
    "Event",
    "Gate",
    "IdempotencyRecord",
    "Invitation",
    "Membership",
    "Notification",
    "Project",
    "Reply",
    "Review",
    "ReviewItem",
    "Revision",
    "Scene",
    "SharedText",
    "Shot",
    "Stream",
    "Studio",
    "StudioMembership",
    "User",
    "Vote",
    "VotingRules",
    "Webhook",
]
