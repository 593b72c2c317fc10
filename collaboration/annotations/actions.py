"""Every write about annotations: one transaction, one event. Who may: see `permissions`."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from collaboration import events as log
from collaboration.annotations import events, mentions, shapes
from collaboration.annotations.models import Annotation, Reply
from collaboration.models import Project, Stream, User
from collaboration.names import clean_text
from collaboration.subjects import Target

LONGEST_TEXT = 4000
MOST_ON_A_PICTURE = 500


class NotNow(ValidationError):
    """What was asked does not fit what the annotation is by now."""


def _take_turns(project: Project) -> None:
    """Annotations of one project wait for each other, so that each gets a number of its own."""
    kind, key = log.stream_of(project)
    Stream.objects.select_for_update().filter(kind=kind, key=key).first()


def _locked(annotation: Annotation) -> Annotation:
    """The row as it is now, locked."""
    rows = Annotation.objects.select_for_update(of=("self",))
    fresh = rows.get(pk=annotation.pk)
    fresh.project = annotation.project
    return fresh


def _about(target: Target, annotation: Annotation) -> dict[str, Any]:
    return {
        "subject_kind": target.kind,
        "subject_id": target.id,
        "title": target.title,
        "version": annotation.version,
        "annotation_id": annotation.pk,
        "number": annotation.number,
        "annotation_kind": annotation.kind,
    }


def _clean(text: str, project: Project, *, what: str = "text") -> tuple[str, set[int]]:
    """(the text as it is kept, who is mentioned). Raises ValidationError."""
    kept, mentioned = mentions.read(clean_text(text, limit=LONGEST_TEXT, what=what), project)
    return kept, mentioned


def _check_kind(kind: str) -> None:
    if kind not in dict(Annotation.KINDS):
        raise ValidationError("An annotation is a note, a suggestion or an approval.", code="kind")


def _check_words(kind: str, shape: str, text: str) -> None:
    """An approval may stand without words, a shape that is nothing but words may not."""
    if not text and (kind != Annotation.APPROVAL or shape == shapes.TEXT):
        what = {Annotation.SUGGESTION: "suggest"}.get(kind, "say")
        raise ValidationError(f"Write what you {what}. A few words are enough.", code="empty")


def annotate(
    *,
    target: Target,
    actor: User,
    shape: str,
    geometry: Mapping[str, Any],
    text: str = "",
    kind: str = Annotation.NOTE,
    id: uuid.UUID | None = None,
    version: uuid.UUID | None = None,
) -> Annotation:
    """Put an annotation on the image that `target` is now.

    `id`: of the caller's choice, so that what it drew already is known by it; sent again, it changes nothing.
    `version`: the image that the caller saw; another one by now is refused. Raises ValidationError.
    """
    current = target.version
    if current is None:
        raise ValidationError("There is no image here to annotate.", code="no_image")
    if version is not None and version != current:
        raise ValidationError("There is another image here by now. Load the page again.", code="version")
    _check_kind(kind)
    place = shapes.checked(shape, geometry)
    kept, mentioned = _clean(text, target.project)
    _check_words(kind, shape, kept)
    with transaction.atomic():
        _take_turns(target.project)
        if id is not None and (known := Annotation.objects.filter(pk=id).first()) is not None:
            if (known.subject_kind, known.subject_id, known.author_id) != (target.kind, target.id, actor.pk):
                raise ValidationError("This id is taken. Choose another.", code="id")
            return known
        rows = Annotation.objects.on(target.kind, target.id).filter(version=current)
        numbers = list(rows.values_list("number", flat=True))
        if len(numbers) >= MOST_ON_A_PICTURE:
            raise ValidationError(f"An image holds at most {MOST_ON_A_PICTURE} annotations.", code="many")
        annotation = Annotation.objects.create(
            id=id or uuid.uuid4(),
            project=target.project,
            subject_kind=target.kind,
            subject_id=target.id,
            version=current,
            number=max(numbers, default=0) + 1,
            kind=kind,
            shape=shape,
            geometry=place,
            text=kept,
            author=actor,
        )
        annotation.mentioned.set(mentioned)
        happening = events.AnnotationCreated(**_about(target, annotation), mentioned=sorted(mentioned - {actor.pk}))
        log.record(target.project, happening, actor=actor)
    return annotation


def change_annotation(
    *,
    annotation: Annotation,
    target: Target,
    actor: User,
    text: str | None = None,
    kind: str | None = None,
    shape: str | None = None,
    geometry: Mapping[str, Any] | None = None,
) -> Annotation:
    """Change what is given, in the order in which changes arrive; the rest stays. Raises ValidationError."""
    with transaction.atomic():
        annotation = _locked(annotation)
        _refuse_removed(annotation)
        new: dict[str, Any] = {}
        mentioned: set[int] = set()
        if geometry is not None or shape is not None:
            new["shape"] = shape or annotation.shape
            new["geometry"] = shapes.checked(new["shape"], annotation.geometry if geometry is None else geometry)
        if text is not None:
            new["text"], mentioned = _clean(text, annotation.project)
        if kind is not None:
            _check_kind(kind)
            if annotation.became_id and kind != annotation.kind:
                raise NotNow("This suggestion has been ordered and stays one.", code="ordered")
            new["kind"] = kind
        _check_words(
            new.get("kind", annotation.kind), new.get("shape", annotation.shape), new.get("text", annotation.text)
        )
        changed = sorted(name for name, value in new.items() if getattr(annotation, name) != value)
        if not changed:
            return annotation
        for name in changed:
            setattr(annotation, name, new[name])
        annotation.changed_at = timezone.now()
        annotation.save(update_fields=[*changed, "changed_at"])
        told: set[int] = set()
        if "text" in changed:
            told = mentioned - set(annotation.mentioned.values_list("pk", flat=True)) - {actor.pk}
            annotation.mentioned.set(mentioned)
        happening = events.AnnotationChanged(**_about(target, annotation), fields=changed, mentioned=sorted(told))
        log.record(annotation.project, happening, actor=actor)
    return annotation


def _refuse_removed(annotation: Annotation) -> None:
    if annotation.removed_at is not None:
        raise NotNow("This annotation was removed. Take it back first.", code="removed")


def _set(annotation: Annotation, target: Target, actor: User, happening: type[Any], **values: Any) -> Annotation:
    """Set fields and tell of it; what is so already stays as it is, without an event."""
    with transaction.atomic():
        annotation = _locked(annotation)
        if happening in (events.AnnotationResolved, events.AnnotationReopened):
            _refuse_removed(annotation)
        flag = next(name for name in values if name.endswith("_at"))
        if (getattr(annotation, flag) is None) == (values[flag] is None):
            return annotation
        for name, value in values.items():
            setattr(annotation, name, value)
        annotation.save(update_fields=list(values))
        log.record(annotation.project, happening(**_about(target, annotation)), actor=actor)
    return annotation


def resolve(*, annotation: Annotation, target: Target, actor: User) -> Annotation:
    return _set(annotation, target, actor, events.AnnotationResolved, resolved_at=timezone.now(), resolved_by=actor)


def reopen(*, annotation: Annotation, target: Target, actor: User) -> Annotation:
    return _set(annotation, target, actor, events.AnnotationReopened, resolved_at=None, resolved_by=None)


def remove(*, annotation: Annotation, target: Target, actor: User) -> Annotation:
    """It stays as a tombstone and can be taken back."""
    return _set(annotation, target, actor, events.AnnotationRemoved, removed_at=timezone.now(), removed_by=actor)


def restore(*, annotation: Annotation, target: Target, actor: User) -> Annotation:
    return _set(annotation, target, actor, events.AnnotationRestored, removed_at=None, removed_by=None)


# -------------------------------------------------------------------------------------------------------- threads
def reply(*, annotation: Annotation, target: Target, actor: User, text: str, id: uuid.UUID | None = None) -> Reply:
    """Answer in the thread. `id`: as in `annotate`. Raises ValidationError."""
    kept, mentioned = _clean(text, annotation.project, what="answer")
    if not kept:
        raise ValidationError("Write an answer. A few words are enough.", code="empty")
    with transaction.atomic():
        annotation = _locked(annotation)
        _refuse_removed(annotation)
        if id is not None and (known := Reply.objects.filter(pk=id).first()) is not None:
            if (known.annotation_id, known.author_id) != (annotation.pk, actor.pk):
                raise ValidationError("This id is taken. Choose another.", code="id")
            return known
        answer = Reply.objects.create(id=id or uuid.uuid4(), annotation=annotation, text=kept, author=actor)
        answer.mentioned.set(mentioned)
        happening = events.AnnotationReplied(
            **_about(target, annotation), reply_id=answer.pk, mentioned=sorted(mentioned - {actor.pk})
        )
        log.record(annotation.project, happening, actor=actor)
    return answer


def remove_reply(*, reply: Reply, target: Target, actor: User) -> Reply:
    with transaction.atomic():
        annotation = _locked(reply.annotation)
        if Reply.objects.filter(pk=reply.pk, removed_at=None).update(removed_at=timezone.now()):
            happening = events.AnnotationReplyRemoved(**_about(target, annotation), reply_id=reply.pk)
            log.record(annotation.project, happening, actor=actor)
        reply.refresh_from_db()
    return reply


# ----------------------------------------------------------------------------------- from one version to the next
def order_suggestion(*, annotation: Annotation, target: Target, actor: User) -> tuple[Annotation, str]:
    """Order a picture that follows a suggestion. Returns (the annotation, a note for the person or nothing).

    Raises ValidationError, also for one that was ordered before.
    """
    if annotation.kind != Annotation.SUGGESTION:
        raise NotNow("Only a suggestion can be ordered. Make it one first.", code="kind")
    if target.handler.improve is None:
        raise NotNow("Nothing can be ordered from an image of this kind.", code="kind")
    with transaction.atomic():
        annotation = _locked(annotation)
        _refuse_removed(annotation)
        if annotation.became_id:
            raise NotNow("This suggestion has been ordered already.", code="ordered")
        words = mentions.without(annotation.text)
        if not words:
            raise ValidationError("Say in words what should be different.", code="empty")
        ordered = target.handler.improve(target.row, words, actor)
        annotation.became_kind, annotation.became_id = ordered.kind, str(ordered.id)
        annotation.became_url = ordered.url
        annotation.save(update_fields=["became_kind", "became_id", "became_url"])
        happening = events.SuggestionOrdered(
            **_about(target, annotation), became_kind=ordered.kind, became_id=ordered.id
        )
        log.record(annotation.project, happening, actor=actor)
    return annotation, ordered.note


def carry_over(*, before: Target, after: Target) -> list[Annotation]:
    """Put what is still open on one image onto its next version, marked as carried over.

    An approval is of one version only, and stays there. Call it in the transaction that makes the next version.
    """
    old, new = before.version, after.version
    if old is None or new is None or before.project.pk != after.project.pk:
        return []
    with transaction.atomic():
        _take_turns(after.project)
        rows = Annotation.objects.on(before.kind, before.id).open().filter(version=old)
        open_ones = list(rows.exclude(kind=Annotation.APPROVAL).prefetch_related("mentioned"))
        here = Annotation.objects.on(after.kind, after.id).filter(version=new)
        carried = set(here.values_list("carried_from_id", flat=True))
        taken = max(here.values_list("number", flat=True), default=0)
        copies = []
        for one in (row for row in open_ones if row.pk not in carried):
            taken += 1
            copy = Annotation.objects.create(
                project=after.project,
                subject_kind=after.kind,
                subject_id=after.id,
                version=new,
                number=taken,
                kind=one.kind,
                shape=one.shape,
                geometry=one.geometry,
                text=one.text,
                author_id=one.author_id,
                became_kind=one.became_kind,
                became_id=one.became_id,
                became_url=one.became_url,
                carried_from=one,
            )
            copy.mentioned.set(one.mentioned.all())
            copies.append(copy)
        if copies:
            happening = events.AnnotationsCarried(
                subject_kind=after.kind,
                subject_id=after.id,
                title=after.title,
                version=new,
                from_id=before.id,
                count=len(copies),
            )
            log.record(after.project, happening, actor=None)
    return copies


def forget(*, asset: Any) -> None:
    """Delete what was drawn on and said about an image, in the transaction that erases it."""
    Annotation.objects.filter(version=asset.pk).delete()
