"""What people do with annotations on the page of an image; without JavaScript each leads back to that page."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST

from collaboration.annotations import actions, fragments, shapes
from collaboration.annotations.models import Annotation
from collaboration.annotations.permissions import (
    access_annotation,
    access_reply,
    require_author,
    require_kind,
    require_own,
)
from collaboration.pages import with_toasts
from collaboration.permissions import access_target
from collaboration.requests import AuthenticatedRequest
from collaboration.subjects import Target
from collaboration.verbs import Verb


@require_POST
@login_required
def create(request: AuthenticatedRequest, project: str, kind: str, id: uuid.UUID) -> HttpResponse:
    """A new annotation from the form beside the image."""
    on = access_target(request.user, kind, id, verb=Verb.ANNOTATE)
    if on.project.slug != project:
        raise Http404
    require_kind(request.user, request.POST.get("kind", ""), on)
    try:
        made = actions.annotate(
            target=on,
            actor=request.user,
            kind=request.POST.get("kind", Annotation.NOTE),
            text=request.POST.get("text", ""),
            id=_uuid(request.POST.get("id", "")),
            version=_uuid(request.POST.get("version", "")),
            **_drawn(request),
        )
    except ValidationError as refusal:
        return _refused(request, on, refusal)
    return _shown(request, on, made.pk)


@require_POST
@login_required
def act(request: AuthenticatedRequest, project: str, annotation_id: uuid.UUID, what: str) -> HttpResponse:
    """`what`: change, reply, resolve, reopen, remove, restore or order."""
    do = ACTS.get(what)
    if do is None:
        raise Http404
    verb = {"reply": Verb.COMMENT, "order": Verb.GENERATE}.get(what, Verb.ANNOTATE)
    found, on = access_annotation(request.user, annotation_id, verb=verb)
    if on.project.slug != project:
        raise Http404
    try:
        do(request, found, on)
    except ValidationError as refusal:
        form = {"reply": {"reply": str(found.pk)}, "change": {"edit": str(found.pk)}}.get(what)
        return _refused(request, on, refusal, **(form or {})) if form else _not_now(request, on, refusal)
    return _shown(request, on, annotation_id)


@require_POST
@login_required
def reply_remove(request: AuthenticatedRequest, project: str, reply_id: uuid.UUID) -> HttpResponse:
    found, on = access_reply(request.user, reply_id, verb=Verb.COMMENT)
    if on.project.slug != project:
        raise Http404
    require_own(request.user, found, on)
    actions.remove_reply(reply=found, target=on, actor=request.user)
    return _shown(request, on, found.annotation_id)


# ------------------------------------------------------------------------------------------------------ what is done
def _change(request: AuthenticatedRequest, found: Annotation, on: Target) -> None:
    require_author(request.user, found)
    require_kind(request.user, request.POST.get("kind", ""), on)
    given: dict[str, Any] = {name: request.POST[name] for name in ("text", "kind") if name in request.POST}
    actions.change_annotation(annotation=found, target=on, actor=request.user, **given, **_drawn(request))


def _reply(request: AuthenticatedRequest, found: Annotation, on: Target) -> None:
    actions.reply(
        annotation=found,
        target=on,
        actor=request.user,
        text=request.POST.get("text", ""),
        id=_uuid(request.POST.get("id", "")),
    )


def _resolve(request: AuthenticatedRequest, found: Annotation, on: Target) -> None:
    actions.resolve(annotation=found, target=on, actor=request.user)


def _reopen(request: AuthenticatedRequest, found: Annotation, on: Target) -> None:
    actions.reopen(annotation=found, target=on, actor=request.user)


def _remove(request: AuthenticatedRequest, found: Annotation, on: Target) -> None:
    require_own(request.user, found, on)
    actions.remove(annotation=found, target=on, actor=request.user)
    undo = reverse("annotations:act", args=[on.project.slug, found.pk, "restore"])
    messages.success(request, f"{found.get_kind_display()} {found.number} removed.", extra_tags=f"undo:{undo}")


def _restore(request: AuthenticatedRequest, found: Annotation, on: Target) -> None:
    require_own(request.user, found, on)
    actions.restore(annotation=found, target=on, actor=request.user)


def _order(request: AuthenticatedRequest, found: Annotation, on: Target) -> None:
    _, note = actions.order_suggestion(annotation=found, target=on, actor=request.user)
    messages.success(request, f"Ordered. {note}".strip())


ACTS: dict[str, Callable[[AuthenticatedRequest, Annotation, Target], None]] = {
    "change": _change,
    "reply": _reply,
    "resolve": _resolve,
    "reopen": _reopen,
    "remove": _remove,
    "restore": _restore,
    "order": _order,
}


# ------------------------------------------------------------------------------------------------------- the form
def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text) if text else None
    except ValueError:
        raise ValidationError("That is no id.", code="id") from None


def _drawn(request: AuthenticatedRequest) -> dict[str, Any]:
    """{shape, geometry} of the form: as it was drawn, or by numbers in percent where nothing draws."""
    shape = request.POST.get("shape", shapes.PICTURE)
    if "geometry" in request.POST:
        try:
            return {"shape": shape, "geometry": json.loads(request.POST["geometry"] or "{}")}
        except ValueError:
            raise shapes.BadShape("The drawing did not arrive whole. Draw it again.") from None
    fields = shapes.FIELDS.get(shape, ())
    if shape in (shapes.ARROW, shapes.FREEHAND):
        raise shapes.BadShape("This shape is drawn with the pointer or the keys. Choose a pin or a rectangle here.")
    return {"shape": shape, "geometry": {name: _number(request.POST.get(f"place_{name}", "")) for name in fields}}


def _number(text: str) -> float:
    try:
        return float(text) / 100
    except ValueError:
        raise shapes.BadShape("Say where it is in percent of the image, from 0 to 100.") from None


# ------------------------------------------------------------------------------------------------------- the answer
def _shown(request: AuthenticatedRequest, on: Target, annotation_id: object) -> HttpResponse:
    """Shapes and threads anew, and an empty form."""
    if not request.htmx:
        return redirect(f"{on.url}#annotation-{annotation_id}")
    surface = fragments.surface(on, request.user)
    response = render(request, "annotations/_news.html", {"annotate": surface, "compose": surface["compose"]})
    return with_toasts(request, response)


def _refused(
    request: AuthenticatedRequest, on: Target, refusal: ValidationError, *, reply: str = "", edit: str = ""
) -> HttpResponse:
    """The form as it was filled in, with why it was refused."""
    sentence = refusal.messages[0]
    # A refused text does not cost the drawing.
    typed = {name: request.POST.get(name, "") for name in ("text", "kind", "shape", "geometry")}
    audience = fragments.audience_of(request.user, on)
    threads = fragments.lists(on, audience)["threads"]
    context = fragments.compose(
        on, request.user, audience, threads, reply=reply, edit=edit, typed=typed, problem=sentence
    )
    if request.htmx:
        return render(request, "annotations/_compose.html", {"compose": context}, status=422)
    messages.error(request, sentence)
    query = f"?reply={reply}" if reply else f"?edit={edit}" if edit else ""
    return redirect(f"{on.url}{query}#compose")


def _not_now(request: AuthenticatedRequest, on: Target, refusal: ValidationError) -> HttpResponse:
    messages.error(request, refusal.messages[0])
    return _shown(request, on, "")
