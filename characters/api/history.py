"""The history of a character, and going back in it."""

from __future__ import annotations

from typing import Any, Literal

from ninja import Router, Status
from pydantic import Field

from characters import actions
from characters.api.characters import in_use
from characters.models import Character
from characters.permissions import access_character, require_roll_back, require_undo
from collaboration import revisions
from collaboration.models import Revision
from collaboration.permissions import Verb
from collaboration.rest.auth import ApiRequest
from collaboration.rest.paging import Cursor, Limit, Page, page
from collaboration.rest.problems import Problem
from collaboration.rest.schemas import UUID, Answer, Body, PersonOut, datetime, person

router = Router(tags=["Characters"])
Key = Literal[
    "name",
    "description",
    "noun",
    "age",
    "traits",
    "importance",
    "tier",
    "has_human_face",
    "tags",
    "base_prompt",
    "references",
    "picked",
    "picture",
    "adapter_version",
]


class RevisionOut(Answer):
    number: int
    author: PersonOut | None = Field(description="Null for what the studio did by itself.")
    reason: str = Field(examples=["changed age of Mara"])
    at: datetime
    snapshot: dict[str, Any] = Field(description="The whole state after the change.")


class RevisionPage(Page):
    items: list[RevisionOut]


class RollBackIn(Body):
    field: Key | None = Field(None, description="Bring back only this; without it, everything.")


class KeptOut(Answer):
    field: str
    by: PersonOut | None = Field(description="Who changed it later.")


class WentBackOut(Answer):
    changed: list[str] = Field(description="What is as it was again.")
    kept: list[KeptOut] = Field(description="What stays, because somebody changed it later.")
    lost: int = Field(description="Pictures that were erased or moved since and did not come back.")
    revision: int = Field(description="Number of the latest revision.")


def _out(row: Revision) -> RevisionOut:
    return RevisionOut(
        number=row.number, author=person(row.author), reason=row.reason, at=row.at, snapshot=row.snapshot
    )


def _find(character: Character, number: int) -> Revision:
    row = revisions.find("character", character.pk, number)
    if row is None:
        raise Problem("not-found", f"{character.name} has no revision {number}.")
    return row


def _went(character: Character, went: actions.WentBack) -> WentBackOut:
    return WentBackOut(
        changed=list(went.changed),
        kept=[KeptOut(field=kept.key, by=person(kept.by)) for kept in went.kept],
        lost=went.lost,
        revision=revisions.head("character", character.pk),
    )


@router.get("/characters/{uuid:character_id}/revisions", response=RevisionPage, summary="List revisions")
def history(request: ApiRequest, character_id: UUID, cursor: Cursor = "", limit: Limit = 50) -> RevisionPage:
    """The newest first."""
    character = access_character(request.auth, character_id)
    rows = Revision.objects.filter(subject_kind="character", subject_id=str(character.pk)).select_related("author")
    found, following = page(rows, order=["-number"], cursor=cursor, limit=limit)
    return RevisionPage(items=[_out(row) for row in found], next=following)


@router.get("/characters/{uuid:character_id}/revisions/{int:number}", response=RevisionOut, summary="Show a revision")
def revision(request: ApiRequest, character_id: UUID, number: int) -> RevisionOut:
    return _out(_find(access_character(request.auth, character_id), number))


@router.post(
    "/characters/{uuid:character_id}/revisions/{int:number}/roll-back",
    response={200: WentBackOut},
    summary="Roll back to a revision",
)
def roll_back(request: ApiRequest, character_id: UUID, number: int, payload: RollBackIn) -> Status:
    """A revision of its own, which can be undone. Who may not roll back everybody's work can go back in their own."""
    character = in_use(request.auth, character_id, Verb.ROLL_BACK_OWN)
    row = _find(character, number)
    keys = [payload.field] if payload.field else list(actions.RESTORABLE)
    require_roll_back(request.auth, character, keys, since=number)
    went = actions.roll_back(character=character, revision=row, actor=request.auth, keys=keys)
    return Status(200, _went(character, went))


@router.post(
    "/characters/{uuid:character_id}/revisions/{int:number}/undo",
    response={200: WentBackOut},
    summary="Take back one revision",
)
def undo(request: ApiRequest, character_id: UUID, number: int) -> Status:
    """Only what it changed. What anybody changed again since is kept, and named with who did."""
    character = in_use(request.auth, character_id, Verb.ROLL_BACK_OWN)
    row = _find(character, number)
    require_undo(request.auth, character, row)
    went = actions.undo_revision(character=character, revision=row, actor=request.auth)
    return Status(200, _went(character, went))
