"""Tallies: how many voted, how far they agree, and who does not."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import QuerySet

from collaboration.models import Project, User
from collaboration.reviews.models import ReviewItem
from collaboration.subjects import Target
from collaboration.votes.models import Vote, VotingRules

FAR_OFF = 2
"""Points from the median at which a score dissents."""


@dataclass(frozen=True, slots=True)
class Tally:
    """What a team thinks of one subject. Of a blind one, only `voters` may be shown to who has not voted."""

    votes: Sequence[Vote] = ()
    quorum: int = 2
    is_blind: bool = False
    scores: tuple[int, int, int, int, int] = field(init=False)
    """How many gave 1, 2, ... 5."""

    def __post_init__(self) -> None:
        given = [vote.score for vote in self.votes]
        object.__setattr__(self, "scores", tuple(given.count(n) for n in Vote.SCORES))

    @property
    def voters(self) -> int:
        return len(self.votes)

    @property
    def given(self) -> list[int]:
        return sorted(vote.score for vote in self.votes if vote.score is not None)

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.given) if self.given else None

    @property
    def median(self) -> float | None:
        return statistics.median(self.given) if self.given else None

    @property
    def spread(self) -> float | None:
        """Standard deviation of the scores, in points; 0 where all agree."""
        return statistics.pstdev(self.given) if self.given else None

    @property
    def picks(self) -> int:
        return sum(vote.verdict == Vote.PICK for vote in self.votes)

    @property
    def rejects(self) -> int:
        return sum(vote.verdict == Vote.REJECT for vote in self.votes)

    @property
    def has_quorum(self) -> bool:
        return self.voters >= self.quorum

    @property
    def dissenters(self) -> list[Vote]:
        """Scores two or more points from the median; the smaller side of picks and rejections, both where even."""
        median = self.median
        found = []
        for vote in self.votes:
            far = vote.score is not None and median is not None and abs(vote.score - median) >= FAR_OFF
            side = {Vote.PICK: self.picks, Vote.REJECT: self.rejects}.get(vote.verdict, math.inf)
            if far or (self.picks and self.rejects and 2 * side <= self.picks + self.rejects):
                found.append(vote)
        return found

    def vote_of(self, user: User) -> Vote | None:
        return next((vote for vote in self.votes if vote.voter_id == user.pk), None)

    def is_open_to(self, user: User) -> bool:
        """Whether the person may see more than how many voted."""
        return not self.is_blind or self.vote_of(user) is not None


def rules_of(project: Project) -> VotingRules:
    return VotingRules.objects.filter(project=project).first() or VotingRules(project=project)


def tallies(project: Project, kind: str, ids: Iterable[str]) -> Mapping[str, Tally]:
    """Subject id -> tally, for every id: three queries, however many there are."""
    wanted = [str(id) for id in ids]
    rules = rules_of(project)
    blind = blind_among(project, kind, wanted) if wanted else set()
    votes: dict[str, list[Vote]] = {id: [] for id in wanted}
    rows = Vote.objects.filter(project=project, subject_kind=kind, subject_id__in=wanted).select_related("voter")
    for vote in rows if wanted else ():
        votes[vote.subject_id].append(vote)
    return {
        id: Tally(found, quorum=rules.quorum, is_blind=rules.is_blind or id in blind) for id, found in votes.items()
    }


def attach(project: Project, kind: str, rows: Iterable[Any]) -> None:
    """Give each row its `tally`."""
    rows = list(rows)
    found = tallies(project, kind, [str(row.pk) for row in rows])
    for row in rows:
        row.tally = found[str(row.pk)]


def tally(project: Project, kind: str, id: str) -> Tally:
    return tallies(project, kind, [id])[str(id)]


def blind_among(project: Project, kind: str, ids: Sequence[str]) -> set[str]:
    """Those of the subjects that are in an open review which is blind."""
    rows = _in_open_reviews(project, kind, ids).filter(review__is_blind=True)
    return set(rows.values_list("subject_id", flat=True))


def _in_open_reviews(project: Project, kind: str, ids: Sequence[str]) -> QuerySet[ReviewItem]:
    rows = ReviewItem.objects.filter(subject_kind=kind, subject_id__in=ids)
    return rows.filter(review__project=project, review__closed_at=None, review__trashed_at=None)


def reviews_showing(found: Target) -> list[str]:
    """Keys of the live pages of the open reviews that show it."""
    rows = _in_open_reviews(found.project, found.kind, [found.id])
    return [f"review:{pk}" for pk in rows.values_list("review_id", flat=True)]


def mine_among(user: User, project: Project, kind: str, ids: Sequence[str]) -> dict[str, Vote]:
    """Subject id -> the person's own vote, where there is one."""
    rows = Vote.objects.filter(project=project, subject_kind=kind, subject_id__in=ids, voter=user)
    return {vote.subject_id: vote for vote in rows}
