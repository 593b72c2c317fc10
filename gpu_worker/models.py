"""Work to be done by models, who does it, and what came of it."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

if TYPE_CHECKING:
    from collaboration.models import User


class Worker(models.Model):
    """A process that runs jobs. Its liveness is its beat, whatever the job it runs is doing."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    host = models.CharField(max_length=120)
    pid = models.PositiveIntegerField()
    lane = models.CharField(max_length=40)
    queues = models.JSONField(default=list)
    device = models.CharField(max_length=120, blank=True)
    started_at = models.DateTimeField(default=timezone.now)
    beat_at = models.DateTimeField(default=timezone.now)
    stopped_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.lane} on {self.host}"

    @property
    def is_alive(self) -> bool:
        return self.stopped_at is None and self.beat_at > timezone.now() - timedelta(
            seconds=2 * settings.JOB_LEASE_SECONDS
        )


class JobQuerySet(models.QuerySet["Job"]):
    def visible_to(self, user: User) -> JobQuerySet:
        from collaboration.models import Project

        return self.filter(project__in=Project.objects.visible_to(user))

    def open(self) -> JobQuerySet:
        return self.filter(state__in=[Job.WAITING, Job.RUNNING, Job.PAUSED])

    def claimable(self) -> JobQuerySet:
        """Waiting, due, and with no parent that is not done."""
        unfinished = Job.parents.through.objects.filter(from_job_id=models.OuterRef("pk")).exclude(
            to_job__state=Job.DONE
        )
        due = Q(not_before=None) | Q(not_before__lte=models.functions.Now())
        return self.filter(due, ~models.Exists(unfinished), state=Job.WAITING)


class Job(models.Model):
    """One run of a model. The row is the truth; messages are only hints that it exists."""

    CPU, LOW, STANDARD, HIGH = "cpu", "gpu_low", "gpu_standard", "gpu_high"
    QUEUES: ClassVar = [(CPU, "CPU"), (LOW, "GPU, low"), (STANDARD, "GPU, standard"), (HIGH, "GPU, high")]
    GPU_QUEUES: ClassVar = [LOW, STANDARD, HIGH]

    WAITING, RUNNING, PAUSED, DONE, FAILED, CANCELLED = "waiting", "running", "paused", "done", "failed", "cancelled"
    STATES: ClassVar = [(s, s.capitalize()) for s in (WAITING, RUNNING, PAUSED, DONE, FAILED, CANCELLED)]
    ENDED: ClassVar = (DONE, FAILED, CANCELLED)

    CANCEL, PAUSE, YIELD = "cancel", "pause", "yield"

    PRIORITIES: ClassVar = [(0, "Low"), (1, "Normal"), (2, "High"), (3, "Urgent")]

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey("collaboration.Project", on_delete=models.CASCADE, related_name="jobs")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    kind = models.CharField(max_length=40)
    """A key of the wiring's JOB_KINDS."""
    title = models.CharField(max_length=200)
    subject_kind = models.CharField(max_length=30)
    subject_id = models.CharField(max_length=40)
    arguments = models.JSONField(default=dict)
    """What the kind's `prepare` needs to build the request, late: ids and settings, never files."""
    queue = models.CharField(max_length=20, choices=QUEUES)
    priority = models.PositiveSmallIntegerField(choices=PRIORITIES, default=1)
    is_short = models.BooleanField(default=True)
    """Seconds rather than minutes: runs of training make way for it at their next checkpoint."""
    units = models.PositiveIntegerField(default=1)
    """Pictures to make or to look at, or training steps: what the estimate is counted in."""
    estimated_seconds = models.FloatField(default=10)
    parents = models.ManyToManyField("self", symmetrical=False, related_name="children", blank=True)

    state = models.CharField(max_length=10, choices=STATES, default=WAITING)
    wanted = models.CharField(max_length=10, blank=True)
    """What the running worker is asked to do: cancel, pause or yield."""
    token = models.PositiveIntegerField(default=0)
    """Fencing token: grows with every claim; results that carry an older one are refused."""
    worker = models.ForeignKey(Worker, null=True, on_delete=models.SET_NULL, related_name="jobs")
    lease_until = models.DateTimeField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    """Claims that ended without an answer: a worker that died, a retryable failure."""
    not_before = models.DateTimeField(null=True)
    yielded_at = models.DateTimeField(null=True)

    step = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    note = models.CharField(max_length=200, blank=True)
    measured = models.JSONField(default=dict)
    """Name -> [[step, value], ...]: the loss of a training, thinned to a few hundred points."""
    notices = models.JSONField(default=list)
    """[{code, sentence, data}]: what the person should know although the job went on."""
    checkpoint_step = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)
    error_detail = models.TextField(blank=True)
    busy_seconds = models.FloatField(default=0)
    """Time spent running, over all claims."""
    charged_seconds = models.FloatField(default=0)
    """What the claim it runs under booked in advance on the shares; settled when the claim ends."""

    created_at = models.DateTimeField(default=timezone.now)
    claimed_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["state", "queue", "created_at"]),
            models.Index(fields=["subject_kind", "subject_id", "-created_at"]),
            models.Index(fields=["project", "-created_at"]),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def has_ended(self) -> bool:
        return self.state in self.ENDED

    @property
    def seconds_left(self) -> float | None:
        """What the run itself measures, else from the pace since the claim; None until there is one."""
        if self.state != self.RUNNING or self.claimed_at is None:
            return None
        if own := self.measured.get("seconds_left"):
            return float(own[-1][1])
        pace = self.measured.get("steps_per_second")
        if pace and float(pace[-1][1]) > 0:
            return max(0.0, (self.total - self.step) / float(pace[-1][1]))
        if not self.step or not self.total or self.checkpoint_step:  # steps of an earlier claim took time of their own
            return None
        since = (timezone.now() - self.claimed_at).total_seconds()
        return max(0.0, since * (self.total - self.step) / self.step)


class JobOutput(models.Model):
    """One accepted result of a job. Unique by index, so that nothing is made or shown twice."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="outputs")
    index = models.BigIntegerField()
    kind = models.CharField(max_length=20)
    token = models.PositiveIntegerField()
    data = models.JSONField(default=dict)
    accepted_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["index"]
        constraints = [models.UniqueConstraint(fields=["job", "index"], name="one_output_per_index")]

    def __str__(self) -> str:
        return f"{self.kind} {self.index}"


class Share(models.Model):
    """How much service a studio, or a person within it, has had from a group of queues: its virtual time.

    Start-time fair queueing (Goyal, Vin and Cheng 1996). `party` is `studio:<id>`, `user:<studio>:<id>` or `clock`.
    """

    group = models.CharField(max_length=10)
    party = models.CharField(max_length=90)
    virtual_time = models.FloatField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["group", "party"], name="one_share_per_party")]

    def __str__(self) -> str:
        return f"{self.group} {self.party}"


class Schedule(models.Model):
    """Periodic work, run by whichever worker takes its lease first."""

    name = models.CharField(max_length=60, primary_key=True)
    due_at = models.DateTimeField(default=timezone.now)
    last_run_at = models.DateTimeField(null=True)
    last_error = models.TextField(blank=True)

    def __str__(self) -> str:
        return self.name


class Reading(models.Model):
    """What a pack's detector and encoders saw in a picture, kept by picture and pack: nothing is looked at twice.

    `seen` is a `contracts.Looked`; the embeddings in it are biometric and go when the picture is erased.
    """

    asset = models.ForeignKey("assets.Asset", on_delete=models.CASCADE, related_name="readings")
    pack = models.CharField(max_length=60)
    pack_version = models.CharField(max_length=40)
    seen = models.JSONField()
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["asset", "pack", "pack_version"], name="one_reading_per_picture_and_pack")
        ]

    def __str__(self) -> str:
        return f"{self.pack} {self.pack_version} on {self.asset_id}"


class AdapterQuerySet(models.QuerySet["Adapter"]):
    def of(self, kind: str, id: object) -> AdapterQuerySet:
        return self.filter(subject_kind=kind, subject_id=str(id), erased_at=None)


class Adapter(models.Model):
    """A trained LoRA: one version of what a model has learnt about a character or a style."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey("collaboration.Project", on_delete=models.CASCADE, related_name="adapters")
    subject_kind = models.CharField(max_length=30)
    subject_id = models.CharField(max_length=40)
    version = models.PositiveIntegerField()
    file = models.ForeignKey("assets.Asset", null=True, on_delete=models.SET_NULL, related_name="+")
    sha256 = models.CharField(max_length=64)
    pack = models.CharField(max_length=60)
    pack_version = models.CharField(max_length=40)
    architecture = models.CharField(max_length=80)
    trigger = models.CharField(max_length=60)
    rank = models.PositiveIntegerField()
    default_strength = models.FloatField(default=0.7)
    is_active = models.BooleanField(default=False)
    licence = models.JSONField(default=dict)
    """The terms it inherits from the model it was trained on."""
    job = models.ForeignKey(Job, null=True, on_delete=models.SET_NULL, related_name="adapters")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    erased_at = models.DateTimeField(null=True)

    objects = AdapterQuerySet.as_manager()

    class Meta:
        ordering = ["-version"]
        constraints = [
            models.UniqueConstraint(fields=["subject_kind", "subject_id", "version"], name="adapters_are_numbered"),
            models.UniqueConstraint(
                fields=["subject_kind", "subject_id"], condition=Q(is_active=True), name="one_active_adapter"
            ),
        ]

    def __str__(self) -> str:
        return f"v{self.version}"
