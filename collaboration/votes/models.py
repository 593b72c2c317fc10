"""What people think of an image, and how a project asks for it."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone


class VotingRules(models.Model):
    """How votes are taken in a project. One without a row of its own votes by the defaults."""

    project = models.OneToOneField("collaboration.Project", on_delete=models.CASCADE, related_name="voting_rules")
    is_blind = models.BooleanField(default=False)
    """Who has not voted on an image sees only how many have."""
    quorum = models.PositiveSmallIntegerField(default=2)
    """Voters that make a result."""

    def __str__(self) -> str:
        return f"Voting in {self.project}"


class Vote(models.Model):
    """One person's opinion of one subject: a score of 1-5, a pick or a rejection, or both."""

    PICK, REJECT = "pick", "reject"
    VERDICTS: ClassVar = [(PICK, "Pick"), (REJECT, "Reject")]
    SCORES: ClassVar = (1, 2, 3, 4, 5)

    project = models.ForeignKey("collaboration.Project", on_delete=models.CASCADE, related_name="votes")
    subject_kind = models.CharField(max_length=30)
    subject_id = models.CharField(max_length=40)
    voter = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="votes")
    score = models.PositiveSmallIntegerField(null=True)
    verdict = models.CharField(max_length=6, choices=VERDICTS, blank=True)
    cast_at = models.DateTimeField(default=timezone.now)
    """When it was last changed."""

    class Meta:
        ordering = ["cast_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["subject_kind", "subject_id", "voter"], name="one_vote_per_person"),
            models.CheckConstraint(condition=Q(score=None) | Q(score__range=(1, 5)), name="score_is_1_to_5"),
            models.CheckConstraint(condition=~Q(score=None) | ~Q(verdict=""), name="vote_says_something"),
        ]

    def __str__(self) -> str:
        return f"Vote of {self.voter}"
