"""What happens when a team votes. The value of a vote stands in its event only where everybody may see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from collaboration.events import Happening, in_words


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfVote(Happening):
    topic: ClassVar[str] = "Votes"
    subject_kind: str
    subject_id: str
    title: str
    shown_on: list[str]
    """Keys of the live pages that show it."""

    def subject(self) -> tuple[str, object]:
        return self.subject_kind, self.subject_id


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteCast(_OfVote):
    kind: ClassVar[str] = "vote.cast"
    is_first: bool
    """False where the person changed a vote."""
    score: int | None = None
    verdict: str = ""

    def summary(self) -> str:
        return f"voted on {self.title}" if self.is_first else f"changed a vote on {self.title}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteWithdrawn(_OfVote):
    kind: ClassVar[str] = "vote.withdrawn"

    def summary(self) -> str:
        return f"took back a vote on {self.title}"


@dataclass(frozen=True, slots=True, kw_only=True)
class VotingRulesChanged(Happening):
    kind: ClassVar[str] = "vote.rules_changed"
    topic: ClassVar[str] = "Votes"
    project_id: str
    is_blind: bool
    quorum: int

    def subject(self) -> tuple[str, object]:
        return "project", self.project_id

    def summary(self) -> str:
        blind = "blind until cast" if self.is_blind else "open"
        return "changed how votes are taken: " + in_words([blind, f"{self.quorum} make a result"])
