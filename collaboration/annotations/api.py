"""/api/v1: annotations on images, in our own words and as W3C Web Annotations."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from django.db import transaction
from django.http import HttpResponse, JsonResponse
from ninja import Path, Query, Router, Status
from pydantic import Field

from collaboration.annotations import actions, mentions, queries, web
from collaboration.annotations.models import Annotation
from collaboration.annotations.permissions import (
    access_annotation,
    access_reply,
    require_author,
    require_kind,
    require_own,
)
from collaboration.permissions import Verb, access_target, require
from collaboration.rest.auth import ApiRequest
from collaboration.rest.parsing import parse_json
from collaboration.rest.problems import Problem
from collaboration.rest.schemas import UUID, Answer, Body, PersonOut, datetime, person
from collaboration.subjects import Target

router = Router(tags=["Annotations"])

Kind = Literal["note", "suggestion", "approval"]
Shape = Literal["picture", "pin", "rectangle", "ellipse", "arrow", "freehand", "text"]
SubjectKind = Annotated[Literal["variation", "reference"], Path(description="What kind of image.")]
_GEOMETRY = (
    "In shares of the image's width and height, 0-1 from its top left: `{x, y}` for a pin and a text, `{x, y, w, h}` "
    "for a rectangle and an ellipse, `{x1, y1, x2, y2}` for an arrow, `{points: [[x, y], ...]}` for freehand, `{}` for "
    "the picture as a whole."
)


class ReplyOut(Answer):
    id: UUID
    text: str
    author: PersonOut | None
    created_at: datetime


class AnnotationOut(Answer):
    id: UUID
    number: int = Field(description="On this image, from 1.", examples=[3])
    subject_kind: str = Field(examples=["variation"])
    subject_id: str
    version: UUID = Field(description="Which image: the id of its file.")
    kind: Kind
    shape: Shape
    geometry: dict[str, Any] = Field(description=_GEOMETRY, examples=[{"x": 0.4, "y": 0.2, "w": 0.2, "h": 0.3}])
    text: str = Field(examples=["Warmer light on her face, @Leo"])
    mentioned: list[int] = Field(description="Ids of people.")
    author: PersonOut | None
    created_at: datetime
    changed_at: datetime | None
    resolved_at: datetime | None
    resolved_by: PersonOut | None
    removed_at: datetime | None
    carried_from: UUID | None = Field(description="The annotation on the version before that it was carried over from.")
    ordered: str | None = Field(description="Address of what was ordered to follow a suggestion.")
    replies: list[ReplyOut]


class AnnotationsOut(Answer):
    version: UUID | None = Field(description="Which image the subject is now; null once it was erased.")
    items: list[AnnotationOut]


class AnnotationIn(Body):
    shape: Shape = "picture"
    geometry: dict[str, Any] = Field(default_factory=dict, description=_GEOMETRY)
    text: str = Field("", description="At most 4,000 characters. `@Name` mentions a member.")
    kind: Kind = "note"
    id: UUID | None = Field(None, description="Of your choice; sent again, it changes nothing.")
    version: UUID | None = Field(None, description="The image you saw; refused when there is another one by now.")


class AnnotationChange(Body):
    shape: Shape | None = None
    geometry: dict[str, Any] | None = Field(None, description=_GEOMETRY)
    text: str | None = None
    kind: Kind | None = None


class ReplyIn(Body):
    text: str = Field(description="1-4,000 characters. `@Name` mentions a member.")
    id: UUID | None = Field(None, description="Of your choice; sent again, it changes nothing.")


class OrderedOut(Answer):
    annotation: AnnotationOut
    note: str = Field(description="What you should know: words the model does not know. Empty when there is nothing.")


def annotations_out(rows: list[Annotation]) -> list[AnnotationOut]:
    texts = [row.text for row in rows] + [a.text for row in rows for a in row.answers]  # type: ignore[attr-defined]
    names = mentions.names_in(texts)
    return [_out(row, names) for row in rows]


def _out(row: Any, names: dict[int, str]) -> AnnotationOut:
    return AnnotationOut(
        id=row.pk,
        number=row.number,
        subject_kind=row.subject_kind,
        subject_id=row.subject_id,
        version=row.version,
        kind=row.kind,
        shape=row.shape,
        geometry=row.geometry,
        text=mentions.plain(row.text, names),
        mentioned=sorted(mentions.ids_in([row.text])),
        author=person(row.author),
        created_at=row.created_at,
        changed_at=row.changed_at,
        resolved_at=row.resolved_at,
        resolved_by=person(row.resolved_by),
        removed_at=row.removed_at,
        carried_from=row.carried_from_id,
        ordered=row.became_url or None,
        replies=[
            ReplyOut(
                id=answer.pk,
                text=mentions.plain(answer.text, names),
                author=person(answer.author),
                created_at=answer.created_at,
            )
            for answer in row.answers
        ],
    )


def _one(annotation: Annotation) -> AnnotationOut:
    return annotations_out([queries.with_thread(annotation)])[0]


# ------------------------------------------------------------------------------------------------------ on an image
@router.get("/images/{subject_kind}/{uuid:subject_id}/annotations", response=AnnotationsOut, summary="List annotations")
def on_image(
    request: ApiRequest,
    subject_kind: SubjectKind,
    subject_id: UUID,
    is_open: Annotated[bool, Query(alias="open", description="Only those that are not resolved.")] = False,
) -> AnnotationsOut:
    """Those on the image as it is now, by number, with their threads."""
    target = access_target(request.auth, subject_kind, subject_id)
    rows = [row for row in queries.annotations_on(target) if row.is_open or not is_open]
    return AnnotationsOut(version=target.version, items=annotations_out(rows))


@router.post(
    "/images/{subject_kind}/{uuid:subject_id}/annotations", response={201: AnnotationOut}, summary="Annotate an image"
)
def annotate(request: ApiRequest, subject_kind: SubjectKind, subject_id: UUID, payload: AnnotationIn) -> Status:
    target = access_target(request.auth, subject_kind, subject_id, verb=Verb.ANNOTATE)
    require_kind(request.auth, payload.kind, target)
    made = actions.annotate(target=target, actor=request.auth, **payload.model_dump())
    return Status(201, _one(made))


@router.get("/images/{subject_kind}/{uuid:subject_id}/annotations/web", summary="Annotations as Web Annotations")
def as_web(request: ApiRequest, subject_kind: SubjectKind, subject_id: UUID) -> HttpResponse:
    """An AnnotationPage (W3C Web Annotation, JSON-LD) of those on the image as it is now."""
    target = access_target(request.auth, subject_kind, subject_id)
    rows = queries.annotations_on(target)
    documents = _documents(request, target, rows)
    return _json_ld(web.as_page(documents, request.build_absolute_uri(request.path)))


@router.post("/images/{subject_kind}/{uuid:subject_id}/annotations/web", summary="Take in Web Annotations")
def from_web(request: ApiRequest, subject_kind: SubjectKind, subject_id: UUID) -> HttpResponse:
    """A Web Annotation, a list of them, or an AnnotationPage, all or none; at most 200. They become yours; answers in
    them keep the names of their writers in front. Answers with those made, as an AnnotationPage."""
    target = access_target(request.auth, subject_kind, subject_id, verb=Verb.ANNOTATE)
    read = web.read(parse_json(request), target)
    for one in read:
        require_kind(request.auth, one["kind"], target)
    if any(one["answers"] for one in read):
        require(request.auth, Verb.COMMENT, target.project)
    made = []
    with transaction.atomic():
        for one in read:
            answers = one.pop("answers")
            made.append(actions.annotate(target=target, actor=request.auth, **one))
            for text in answers:
                actions.reply(annotation=made[-1], target=target, actor=request.auth, text=text)
    documents = _documents(request, target, [queries.with_thread(row) for row in made])
    return _json_ld(web.as_page(documents, request.build_absolute_uri(request.path)), status=201)


def _documents(request: ApiRequest, target: Target, rows: list[Annotation]) -> list[dict[str, Any]]:
    texts = [row.text for row in rows] + [a.text for row in rows for a in row.answers]  # type: ignore[attr-defined]
    names = mentions.names_in(texts)
    picture = target.picture() or {}
    source = request.build_absolute_uri(picture.get("url") or target.url)
    return [web.as_web(row, source, names, request.build_absolute_uri) for row in rows]


def _json_ld(document: dict[str, Any], status: int = 200) -> HttpResponse:
    return JsonResponse(document, status=status, content_type=web.MEDIA_TYPE)


# ------------------------------------------------------------------------------------------------------------- one
@router.get("/annotations/{uuid:annotation_id}", response=AnnotationOut, summary="Show an annotation")
def annotation(request: ApiRequest, annotation_id: UUID) -> AnnotationOut:
    return _one(access_annotation(request.auth, annotation_id)[0])


@router.get("/annotations/{uuid:annotation_id}/web", summary="One as a Web Annotation")
def one_as_web(request: ApiRequest, annotation_id: UUID) -> HttpResponse:
    found, target = access_annotation(request.auth, annotation_id)
    return _json_ld(_documents(request, target, [queries.with_thread(found)])[0])


@router.patch("/annotations/{uuid:annotation_id}", response=AnnotationOut, summary="Change an annotation")
def change(request: ApiRequest, annotation_id: UUID, payload: AnnotationChange) -> AnnotationOut:
    """Your own. What you leave out stays."""
    found, target = access_annotation(request.auth, annotation_id, verb=Verb.ANNOTATE)
    require_author(request.auth, found)
    if payload.kind:
        require_kind(request.auth, payload.kind, target)
    return _one(actions.change_annotation(annotation=found, target=target, actor=request.auth, **payload.given()))


@router.delete("/annotations/{uuid:annotation_id}", response=AnnotationOut, summary="Remove an annotation")
def remove(request: ApiRequest, annotation_id: UUID) -> AnnotationOut:
    """Your own, or with the verb `roll_back` anybody's. It can be restored."""
    found, target = access_annotation(request.auth, annotation_id, verb=Verb.ANNOTATE)
    require_own(request.auth, found, target)
    return _one(actions.remove(annotation=found, target=target, actor=request.auth))


@router.post("/annotations/{uuid:annotation_id}/restore", response=AnnotationOut, summary="Restore an annotation")
def restore(request: ApiRequest, annotation_id: UUID) -> AnnotationOut:
    found, target = access_annotation(request.auth, annotation_id, verb=Verb.ANNOTATE)
    require_own(request.auth, found, target)
    return _one(actions.restore(annotation=found, target=target, actor=request.auth))


@router.post("/annotations/{uuid:annotation_id}/resolve", response=AnnotationOut, summary="Resolve an annotation")
def resolve(request: ApiRequest, annotation_id: UUID) -> AnnotationOut:
    found, target = access_annotation(request.auth, annotation_id, verb=Verb.ANNOTATE)
    return _one(_now(actions.resolve, annotation=found, target=target, actor=request.auth))


@router.post("/annotations/{uuid:annotation_id}/reopen", response=AnnotationOut, summary="Reopen an annotation")
def reopen(request: ApiRequest, annotation_id: UUID) -> AnnotationOut:
    found, target = access_annotation(request.auth, annotation_id, verb=Verb.ANNOTATE)
    return _one(_now(actions.reopen, annotation=found, target=target, actor=request.auth))


@router.post("/annotations/{uuid:annotation_id}/replies", response={201: AnnotationOut}, summary="Answer in a thread")
def reply(request: ApiRequest, annotation_id: UUID, payload: ReplyIn) -> Status:
    found, target = access_annotation(request.auth, annotation_id, verb=Verb.COMMENT)
    _now(actions.reply, annotation=found, target=target, actor=request.auth, text=payload.text, id=payload.id)
    return Status(201, _one(found))


@router.delete("/annotations/replies/{uuid:reply_id}", response=AnnotationOut, summary="Remove an answer")
def remove_reply(request: ApiRequest, reply_id: UUID) -> AnnotationOut:
    """Your own, or with the verb `roll_back` anybody's."""
    found, target = access_reply(request.auth, reply_id, verb=Verb.COMMENT)
    require_own(request.auth, found, target)
    actions.remove_reply(reply=found, target=target, actor=request.auth)
    return _one(found.annotation)


@router.post("/annotations/{uuid:annotation_id}/order", response={201: OrderedOut}, summary="Order a suggestion")
def order(request: ApiRequest, annotation_id: UUID) -> Status:
    """Order a picture that follows the suggestion, once. What is open on the image is carried over to it."""
    found, target = access_annotation(request.auth, annotation_id, verb=Verb.GENERATE)
    changed, note = _now(actions.order_suggestion, annotation=found, target=target, actor=request.auth)
    return Status(201, OrderedOut(annotation=_one(changed), note=note))


def _now(do: Any, **arguments: Any) -> Any:
    """What does not fit the present state is a conflict, not a fault of the request."""
    try:
        return do(**arguments)
    except actions.NotNow as refusal:
        raise Problem("conflict", refusal.messages[0]) from None
