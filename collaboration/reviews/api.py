"""/api/v1: review sets."""

from __future__ import annotations

from typing import Literal, cast

from ninja import Router, Status
from pydantic import Field

from collaboration.permissions import Verb, access_project
from collaboration.rest.auth import ApiRequest
from collaboration.rest.paging import Cursor, Limit, Page, page
from collaboration.rest.problems import Problem
from collaboration.rest.schemas import UUID, Answer, Body, PersonOut, datetime, person
from collaboration.reviews import actions, exports, queries
from collaboration.reviews.models import Review
from collaboration.reviews.permissions import access_review

router = Router(tags=["Reviews"])

Decision = Literal["approved", "rejected", "held"]


class ReviewOut(Answer):
    id: UUID
    title: str
    brief: str
    is_blind: bool
    is_open: bool
    images: int
    decided: int
    approved: int
    rejected: int
    created_by: PersonOut | None
    created_at: datetime
    closed_at: datetime | None


class ReviewPage(Page):
    items: list[ReviewOut]


class ReviewedOut(Answer):
    number: int = Field(description="Place in the review, from 1.")
    image: str = Field(description="What it is called.")
    kind: str = Field(examples=["variation"])
    id: str
    address: str
    decision: Decision | None
    decided_by: str
    note: str
    voters: int
    mean: float | None = Field(description="Of the scores, 1-5; null where votes are hidden from you, or none has one.")
    median: float | None
    spread: float | None
    picks: int | None
    rejects: int | None
    dissent: list[str] | None = Field(description="Who does not agree with the others.")


class ReviewDetailOut(ReviewOut):
    items: list[ReviewedOut]


class ReviewIn(Body):
    title: str
    images: list[UUID] = Field(description="Variations and references of the project, in their order; at most 500.")
    brief: str = ""
    is_blind: bool = False


class ImagesIn(Body):
    images: list[UUID]


class DecideIn(Body):
    decision: Decision | None = Field(description="Null takes it back.")
    note: str = ""


def _out(review: Review) -> ReviewOut:
    return ReviewOut(
        id=review.pk,
        title=review.title,
        brief=review.brief,
        is_blind=review.is_blind,
        is_open=review.is_open,
        images=review.images,  # type: ignore[attr-defined] # by the query
        decided=review.decided,  # type: ignore[attr-defined]
        approved=review.approved,  # type: ignore[attr-defined]
        rejected=review.rejected,  # type: ignore[attr-defined]
        created_by=person(review.created_by),
        created_at=review.created_at,
        closed_at=review.closed_at,
    )


def _detail(request: ApiRequest, review: Review) -> ReviewDetailOut:
    counted = queries.reviews_of(review.project).get(pk=review.pk)
    rows = exports.rows(review, queries.items_of(review), request.auth, request.build_absolute_uri)
    items = [
        ReviewedOut(**{k: v for k, v in row.items() if k != "decided_at"} | {"decision": row["decision"] or None})
        for row in rows
    ]
    return ReviewDetailOut(**_out(counted).model_dump(), items=items)


@router.get("/projects/{slug:project}/reviews", response=ReviewPage, summary="List the reviews of a project")
def list_reviews(request: ApiRequest, project: str, cursor: Cursor = "", limit: Limit = 50) -> ReviewPage:
    film = access_project(request.auth, project)
    rows, after = page(queries.reviews_of(film), order=("-created_at", "-id"), cursor=cursor, limit=limit)
    return ReviewPage(items=[_out(row) for row in rows], next=after)


@router.post("/projects/{slug:project}/reviews", response={201: ReviewDetailOut}, summary="Make a review")
def create_review(request: ApiRequest, project: str, payload: ReviewIn) -> Status[ReviewDetailOut]:
    film = access_project(request.auth, project, verb=Verb.CREATE)
    images = queries.images_among(film, [str(id) for id in payload.images[: actions.MOST + 1]])
    if len(images) != len(set(payload.images[: actions.MOST + 1])):
        raise Problem("invalid", "Some of these are no images of the project, or are in the trash.")
    fields = payload.model_dump() | {"images": images}
    made = actions.create_review(project=film, actor=request.auth, **fields)
    return Status(201, _detail(request, made))


@router.get("/reviews/{uuid:id}", response=ReviewDetailOut, summary="See a review with its votes and decisions")
def get_review(request: ApiRequest, id: UUID) -> ReviewDetailOut:
    return _detail(request, access_review(request.auth, id))


@router.post("/reviews/{uuid:id}/images", response=ReviewDetailOut, summary="Add images to a review")
def add_images(request: ApiRequest, id: UUID, payload: ImagesIn) -> ReviewDetailOut:
    found = access_review(request.auth, id, verb=Verb.CREATE)
    images = queries.images_among(found.project, [str(id) for id in payload.images])
    actions.add_images(review=found, images=images, actor=request.auth)
    return _detail(request, found)


@router.put("/reviews/{uuid:id}/images/{int:number}/decision", response=ReviewDetailOut, summary="Decide on an image")
def decide(request: ApiRequest, id: UUID, number: int, payload: DecideIn) -> ReviewDetailOut:
    """`number`: the place of the image in the review, from 1."""
    found = access_review(request.auth, id, verb=Verb.APPROVE)
    shown = next((one for one in queries.items_of(found) if one.number == number), None)
    if shown is None:
        raise Problem("not-found")
    decision = cast("str", payload.decision or "")
    actions.decide(item=shown.item, decision=decision, note=payload.note, image=shown.title, actor=request.auth)
    return _detail(request, found)


@router.post("/reviews/{uuid:id}/close", response=ReviewDetailOut, summary="Close a review")
def close(request: ApiRequest, id: UUID) -> ReviewDetailOut:
    found = access_review(request.auth, id, verb=Verb.APPROVE)
    return _detail(request, actions.close_review(review=found, actor=request.auth))


@router.post("/reviews/{uuid:id}/reopen", response=ReviewDetailOut, summary="Open a review again")
def reopen(request: ApiRequest, id: UUID) -> ReviewDetailOut:
    found = access_review(request.auth, id, verb=Verb.APPROVE)
    return _detail(request, actions.reopen_review(review=found, actor=request.auth))
