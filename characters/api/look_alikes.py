"""Who of the cast looks like whom."""

from __future__ import annotations

from ninja import Router
from pydantic import Field

from characters import actions, queries
from characters.fragments.look_alikes import in_words
from characters.models import Character, LookAlike
from characters.permissions import access_character, access_look_alike
from collaboration.permissions import Verb
from collaboration.rest.auth import ApiRequest
from collaboration.rest.schemas import UUID, Answer, Body, PersonOut, datetime, person

router = Router(tags=["Characters"])


class LookAlikeOut(Answer):
    id: int
    character: UUID = Field(description="Whom the character that you asked about looks like.")
    name: str = Field(examples=["Noor"])
    cosine: float = Field(description="Mean over all pairs of their references.", examples=[0.31])
    false_match_rate: float = Field(description="Share of pairs of strangers who are as alike.", examples=[0.025])
    sentence: str = Field(examples=["One pair of strangers in 40 is this alike."])
    dismissed_by: PersonOut | None
    dismissed_at: datetime | None
    dismissed_reason: str


class DismissIn(Body):
    reason: str = Field(description="Why it is no trouble; at most 300 characters.", examples=["They are twins."])


def _out(row: LookAlike, character: Character) -> LookAlikeOut:
    other = row.other(character)
    return LookAlikeOut(
        id=row.pk,
        character=other.pk,
        name=other.name,
        cosine=row.cosine,
        false_match_rate=row.false_match_rate,
        sentence=in_words(row.false_match_rate),
        dismissed_by=person(row.dismissed_by),
        dismissed_at=row.dismissed_at,
        dismissed_reason=row.dismissed_reason,
    )


@router.get("/characters/{uuid:character_id}/look-alikes", response=list[LookAlikeOut], summary="List look-alikes")
def look_alikes(request: ApiRequest, character_id: UUID) -> list[LookAlikeOut]:
    """Others of the project who may be mistaken for the character, the most alike first; those dismissed at the end."""
    found = access_character(request.auth, character_id)
    return [_out(row, found) for row in queries.look_alikes_of(found)]


@router.post("/look-alikes/{int:look_alike_id}/dismiss", response=LookAlikeOut, summary="Dismiss a look-alike")
def dismiss(request: ApiRequest, look_alike_id: int, payload: DismissIn) -> LookAlikeOut:
    """The warning comes back when the references of either change."""
    row = access_look_alike(request.auth, look_alike_id, verb=Verb.EDIT)
    actions.dismiss_look_alike(look_alike=row, character=row.first, reason=payload.reason, actor=request.auth)
    return _out(row, row.first)


@router.post("/look-alikes/{int:look_alike_id}/restore", response=LookAlikeOut, summary="Warn of a look-alike again")
def restore(request: ApiRequest, look_alike_id: int) -> LookAlikeOut:
    row = access_look_alike(request.auth, look_alike_id, verb=Verb.EDIT)
    actions.restore_look_alike(look_alike=row, character=row.first, actor=request.auth)
    return _out(row, row.first)
