"""What happens to review sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from collaboration.events import Happening, in_words


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfReview(Happening):
    topic: ClassVar[str] = "Reviews"
    review_id: str
    title: str

    def subject(self) -> tuple[str, object]:
        return "review", self.review_id


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count} images"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewCreated(_OfReview):
    kind: ClassVar[str] = "review.created"
    count: int

    def summary(self) -> str:
        return f"made the review {self.title} of {_images(self.count)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewChanged(_OfReview):
    kind: ClassVar[str] = "review.changed"
    fields: list[str]

    def summary(self) -> str:
        return f"changed {in_words(self.fields)} of the review {self.title}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewItemsAdded(_OfReview):
    kind: ClassVar[str] = "review.items_added"
    count: int

    def summary(self) -> str:
        return f"added {_images(self.count)} to the review {self.title}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewItemRemoved(_OfReview):
    kind: ClassVar[str] = "review.item_removed"
    image: str

    def summary(self) -> str:
        return f"took {self.image} out of the review {self.title}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewDecided(_OfReview):
    kind: ClassVar[str] = "review.decided"
    item_id: int
    image: str
    decision: str
    """`approved`, `rejected`, `held`; empty where a decision was taken back."""
    note: str

    def summary(self) -> str:
        how = self.decision or "decided nothing any more about"
        return f"{how} {self.image} in the review {self.title}" + (f": {self.note}" if self.note else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewClosed(_OfReview):
    kind: ClassVar[str] = "review.closed"
    approved: int
    rejected: int
    open: int

    def summary(self) -> str:
        return f"closed the review {self.title}: {self.approved} approved, {self.rejected} rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewReopened(_OfReview):
    kind: ClassVar[str] = "review.reopened"

    def summary(self) -> str:
        return f"opened the review {self.title} again"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewTrashed(_OfReview):
    kind: ClassVar[str] = "review.trashed"

    def summary(self) -> str:
        return f"moved the review {self.title} to the trash"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewRestored(_OfReview):
    kind: ClassVar[str] = "review.restored"

    def summary(self) -> str:
        return f"took the review {self.title} back from the trash"
