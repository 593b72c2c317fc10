"""Voting: one transaction, one event each."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from collaboration import events as log
from collaboration.models import Project, Stream, User
from collaboration.subjects import Target
from collaboration.votes import events, queries
from collaboration.votes.models import Vote, VotingRules

LARGEST_QUORUM = 50
UNCHANGED = object()


def _subject(found: Target) -> dict[str, str]:
    return {"subject_kind": found.kind, "subject_id": found.id}


def _named(found: Target) -> dict[str, Any]:
    """The fields that every event of a vote has."""
    pages = list(found.handler.pages(found.row)) if found.handler.pages else []
    return {**_subject(found), "title": found.title, "shown_on": pages + queries.reviews_showing(found)}


def _only_images(found: Target) -> None:
    if found.handler.picture is None:
        raise ValidationError("Votes are about images.", code="no_image")


def _take_turns(project: Project) -> None:
    """Votes of one project wait for each other, so that two at once of one person become one row."""
    kind, key = log.stream_of(project)
    Stream.objects.select_for_update().filter(kind=kind, key=key).first()


def cast_vote(
    *, subject: Target, actor: User, score: int | object | None = UNCHANGED, verdict: str | object = UNCHANGED
) -> Vote | None:
    """Set the score (1-5, None takes it back), the verdict (`pick`, `reject`, empty takes it back), or both.

    What is not given stays. Returns the vote; None where nothing is left of it. Raises ValidationError.
    """
    _only_images(subject)
    if score is not UNCHANGED and score is not None and (isinstance(score, bool) or score not in Vote.SCORES):
        raise ValidationError("A score is a whole number from 1 to 5.", code="score")
    if verdict is not UNCHANGED and verdict not in (Vote.PICK, Vote.REJECT, ""):
        raise ValidationError("A verdict is pick or reject.", code="verdict")
    with transaction.atomic():
        _take_turns(subject.project)
        vote = Vote.objects.filter(**_subject(subject), voter=actor).first()
        is_first = vote is None
        vote = vote or Vote(**_subject(subject), voter=actor, project=subject.project)
        before = (vote.score, vote.verdict)
        if score is not UNCHANGED:
            vote.score = score  # type: ignore[assignment]
        if verdict is not UNCHANGED:
            vote.verdict = str(verdict)
        if (vote.score, vote.verdict) == before:
            return None if is_first else vote
        if vote.score is None and not vote.verdict:
            withdraw_vote(subject=subject, actor=actor)
            return None
        vote.cast_at = timezone.now()
        vote.save()
        is_blind = queries.tally(subject.project, subject.kind, subject.id).is_blind
        value: dict[str, Any] = {} if is_blind else {"score": vote.score, "verdict": vote.verdict}
        happening = events.VoteCast(**_named(subject), is_first=is_first, **value)
        log.record(subject.project, happening, actor=actor)
    return vote


def withdraw_vote(*, subject: Target, actor: User) -> None:
    """Take the person's whole vote back. Without one, nothing happens."""
    with transaction.atomic():
        deleted, _ = Vote.objects.filter(**_subject(subject), voter=actor).delete()
        if deleted:
            log.record(subject.project, events.VoteWithdrawn(**_named(subject)), actor=actor)


def set_voting_rules(*, project: Project, is_blind: bool, quorum: int, actor: User) -> VotingRules:
    """`quorum`: 1-50 voters make a result. Raises ValidationError."""
    if isinstance(quorum, bool) or not 1 <= quorum <= LARGEST_QUORUM:
        raise ValidationError(f"From 1 to {LARGEST_QUORUM} voters make a result.", code="quorum")
    with transaction.atomic():
        rules = queries.rules_of(project)
        if rules.pk and (rules.is_blind, rules.quorum) == (is_blind, quorum):
            return rules
        rules, _ = VotingRules.objects.update_or_create(
            project=project, defaults={"is_blind": is_blind, "quorum": quorum}
        )
        happening = events.VotingRulesChanged(project_id=str(project.pk), is_blind=is_blind, quorum=quorum)
        log.record(project, happening, actor=actor)
    return rules
