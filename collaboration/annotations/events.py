"""What happens to annotations. The subject of the event is the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID

from collaboration.events import Happening


@dataclass(frozen=True, slots=True, kw_only=True)
class _OnPicture(Happening):
    topic: ClassVar[str] = "Annotations"
    subject_kind: str
    subject_id: str
    title: str
    version: UUID

    def subject(self) -> tuple[str, object]:
        return self.subject_kind, self.subject_id


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfAnnotation(_OnPicture):
    annotation_id: UUID
    number: int
    annotation_kind: str


_MADE = {"note": "left note {n} on {title}", "suggestion": "made suggestion {n} on {title}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationCreated(_OfAnnotation):
    kind: ClassVar[str] = "annotation.created"
    mentioned: list[int]
    """Ids of people."""

    def summary(self) -> str:
        words = _MADE.get(self.annotation_kind, "approved {title}, with remark {n}")
        return words.format(n=self.number, title=self.title)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationChanged(_OfAnnotation):
    kind: ClassVar[str] = "annotation.changed"
    fields: list[str]
    mentioned: list[int]
    """Those who were not mentioned before."""

    def summary(self) -> str:
        return f"changed {self.annotation_kind} {self.number} on {self.title}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationReplied(_OfAnnotation):
    kind: ClassVar[str] = "annotation.replied"
    reply_id: UUID
    mentioned: list[int]

    def summary(self) -> str:
        return f"answered {self.annotation_kind} {self.number} on {self.title}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationReplyRemoved(_OfAnnotation):
    kind: ClassVar[str] = "annotation.reply_removed"
    reply_id: UUID

    def summary(self) -> str:
        return f"removed an answer to {self.annotation_kind} {self.number} on {self.title}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationResolved(_OfAnnotation):
    kind: ClassVar[str] = "annotation.resolved"

    def summary(self) -> str:
        return f"resolved {self.annotation_kind} {self.number} on {self.title}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationReopened(_OfAnnotation):
    kind: ClassVar[str] = "annotation.reopened"

    def summary(self) -> str:
        return f"reopened {self.annotation_kind} {self.number} on {self.title}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationRemoved(_OfAnnotation):
    kind: ClassVar[str] = "annotation.removed"

    def summary(self) -> str:
        return f"removed {self.annotation_kind} {self.number} from {self.title}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationRestored(_OfAnnotation):
    kind: ClassVar[str] = "annotation.restored"

    def summary(self) -> str:
        return f"brought back {self.annotation_kind} {self.number} on {self.title}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SuggestionOrdered(_OfAnnotation):
    kind: ClassVar[str] = "annotation.ordered"
    became_kind: str
    became_id: UUID

    def summary(self) -> str:
        return f"ordered a picture that follows suggestion {self.number} on {self.title}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotationsCarried(_OnPicture):
    kind: ClassVar[str] = "annotation.carried"
    from_id: str
    count: int

    def summary(self) -> str:
        what = "one open annotation" if self.count == 1 else f"{self.count} open annotations"
        return f"carried {what} over to {self.title}"
