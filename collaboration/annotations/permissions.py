"""Fetch and authorise in one verb."""

from __future__ import annotations

from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.http import Http404

from collaboration.annotations.models import Annotation, Reply
from collaboration.models import User
from collaboration.permissions import access_target, verbs_of
from collaboration.subjects import Target
from collaboration.verbs import Verb


def access_annotation(user: User, annotation_id: UUID, *, verb: Verb = Verb.SEE) -> tuple[Annotation, Target]:
    """Return the annotation, removed or not, and the image it is on, if `user` may `verb` there.

    Raises as `collaboration.permissions.access_target`.
    """
    rows = Annotation.objects.select_related("project__studio", "author", "resolved_by", "carried_from")
    annotation = rows.filter(pk=annotation_id).first()
    if annotation is None:
        raise Http404
    target = access_target(user, annotation.subject_kind, annotation.subject_id, verb=verb)
    if target.project.pk != annotation.project_id:
        raise Http404
    return annotation, target


def access_reply(user: User, reply_id: UUID, *, verb: Verb = Verb.SEE) -> tuple[Reply, Target]:
    """Raises as `access_annotation`."""
    reply = Reply.objects.select_related("annotation__project__studio", "author").filter(pk=reply_id).first()
    if reply is None:
        raise Http404
    _, target = access_annotation(user, reply.annotation_id, verb=verb)
    return reply, target


def require_own(user: User, row: Annotation | Reply, target: Target) -> None:
    """What others said is removed only by who may undo anybody's work. Raises PermissionDenied."""
    if row.author_id != user.pk and Verb.ROLL_BACK not in verbs_of(user, target.project):
        raise PermissionDenied("Others wrote this. Ask them, or a lead, to remove it.")


def require_author(user: User, row: Annotation | Reply) -> None:
    """Nobody puts words into another's mouth. Raises PermissionDenied."""
    if row.author_id != user.pk:
        raise PermissionDenied("Others wrote this. Answer it instead.")


def require_kind(user: User, kind: str, target: Target) -> None:
    """An approval is given by who may approve. Raises PermissionDenied."""
    if kind == Annotation.APPROVAL and Verb.APPROVE not in verbs_of(user, target.project):
        raise PermissionDenied(f"Your role in {target.project.name} does not allow approvals. Ask a lead or the owner.")
