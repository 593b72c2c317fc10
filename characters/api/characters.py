"""Characters: list, create, change, trash; and their identity profile."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from django.db.models import Q
from django.http import HttpResponse
from ninja import Header, Query, Router, Status
from pydantic import Field

from characters import actions
from characters.api import schemas
from characters.api.schemas import CharacterOut, CharacterPage, ProfileOut, Tier
from characters.models import Character, CharacterQuerySet, IdentityProfile
from characters.permissions import access_character
from collaboration import revisions
from collaboration.permissions import Verb, access_project
from collaboration.rest.auth import ApiRequest
from collaboration.rest.paging import Cursor, Limit, page
from collaboration.rest.problems import Problem, invalid
from collaboration.rest.schemas import UUID, Body

router = Router(tags=["Characters"])

Sort = Literal["name", "-name", "importance", "-importance", "updated", "-updated", "created", "-created"]
_COLUMNS = {"name": "name", "importance": "importance", "updated": "updated_at", "created": "created_at"}


class CharacterFields(Body):
    """What may be set; the length of each is checked with a sentence of its own."""

    description: str = Field("", description="At most 4,000 characters.")
    noun: str = Field(
        "person", description="What a prompt calls them: woman, man, person, creature.", examples=["woman"]
    )
    age: str = Field("", description="In words or years: young, middle-aged, 34.", examples=["young"])
    traits: str = Field(
        "",
        description="What always stays, separated by commas; at most 400 characters.",
        examples=["brown hair, round glasses"],
    )
    has_human_face: bool = Field(
        True, description="False for animals, creatures and machines: their whole figure is measured instead."
    )
    tags: list[str] = Field(default_factory=list, description="At most 20 of 40 characters.", examples=[["lead"]])
    importance: float = Field(0.5, description="0 for an extra, 1 for the lead.", examples=[0.9])
    tier: Tier = Field("standard", description="Needs 5, 10 or 20 usable references.")


class CharacterIn(CharacterFields):
    name: str = Field(description="1-120 characters, unique in the project.", examples=["Mara"])


class CharacterPatch(CharacterFields):
    name: str = Field("", description="1-120 characters, unique in the project.", examples=["Mara"])


class ProfilePatch(Body):
    base_prompt: str = Field(
        description="At most 600 characters; empty: back to the one built from the character.",
        examples=["portrait of a young woman, brown hair"],
    )


def in_use(user: Any, character_id: UUID, verb: Verb) -> Character:
    """The character, to be changed. Raises Problem while it is in the trash."""
    character = access_character(user, character_id, verb=verb)
    if character.trashed_at is not None:
        raise Problem("conflict", f"{character.name} is in the trash. Restore the character first.")
    return character


def _one(character: Character) -> CharacterOut:
    row = Character.objects.select_related("picture", "project__studio").prefetch_related("tags").get(pk=character.pk)
    return schemas.character_out(row, row.project)


@router.get("/projects/{slug:project}/characters", response=CharacterPage, summary="List characters")
def characters(
    request: ApiRequest,
    project: str,
    search: Annotated[str, Query(max_length=200, description="In names, descriptions and traits.")] = "",
    tag: Annotated[
        list[str] | None, Query(description="With this tag; repeat it for characters with all of several.")
    ] = None,
    tier: Annotated[Tier | None, Query()] = None,
    status: Annotated[schemas.Status | None, Query()] = None,
    trashed: Annotated[bool, Query(description="Those in the trash instead.")] = False,
    sort: Annotated[Sort, Query(description="`-` in front: descending.")] = "-updated",
    cursor: Cursor = "",
    limit: Limit = 50,
) -> CharacterPage:
    found_project = access_project(request.auth, project)
    rows = Character.objects.filter(project=found_project, trashed_at__isnull=not trashed)
    rows = _filtered(rows, search=search, tags=tag or [], tier=tier, status=status)
    minus, column = ("-" if sort.startswith("-") else ""), _COLUMNS[sort.removeprefix("-")]
    rows = rows.select_related("picture").prefetch_related("tags")
    found, following = page(rows, order=[minus + column, minus + "id"], cursor=cursor, limit=limit)
    return CharacterPage(items=[schemas.character_out(c, found_project) for c in found], next=following)


def _filtered(
    rows: CharacterQuerySet, *, search: str, tags: list[str], tier: str | None, status: str | None
) -> CharacterQuerySet:
    for word in search.split()[:10]:
        rows = rows.filter(Q(name__icontains=word) | Q(description__icontains=word) | Q(traits__icontains=word))
    for tag in tags[:20]:
        rows = rows.filter(tags__name=tag.strip().lower())
    if tier:
        rows = rows.filter(tier=tier)
    if status:
        rows = rows.filter(status=status)
    return rows


@router.post("/projects/{slug:project}/characters", response={201: CharacterOut}, summary="Create a character")
def create(request: ApiRequest, project: str, payload: CharacterIn) -> Status:
    found = access_project(request.auth, project, verb=Verb.CREATE)
    character = actions.create_character(project=found, actor=request.auth, **payload.given())
    return Status(201, _one(character))


def _etag(character: Character) -> str:
    return f'"{revisions.head("character", character.pk)}"'


@router.get("/characters/{uuid:character_id}", response=CharacterOut, summary="Show a character")
def character(request: ApiRequest, response: HttpResponse, character_id: UUID) -> CharacterOut:
    """In the trash or not. The header `ETag` is the number of its latest revision."""
    found = access_character(request.auth, character_id)
    response["ETag"] = _etag(found)
    return _one(found)


@router.patch("/characters/{uuid:character_id}", response=CharacterOut, summary="Change a character")
def change(
    request: ApiRequest,
    response: HttpResponse,
    character_id: UUID,
    payload: CharacterPatch,
    if_match: Annotated[
        str,
        Header(alias="If-Match", max_length=40, description="The `ETag` of the character as it was read."),
    ] = "",
) -> CharacterOut:
    """Only what is named changes.

    With `If-Match`, what others changed since is merged: other fields are theirs and stay, tags and the description are
    merged, and a field that both changed is refused (409) with both values; then nothing is changed. Without it the
    request overwrites.
    """
    found = in_use(request.auth, character_id, Verb.EDIT)
    if not if_match or if_match.strip() == "*":
        changed = actions.change_character(character=found, actor=request.auth, **payload.given())
        response["ETag"] = _etag(changed)
        return _one(changed)
    seen = revisions.find("character", found.pk, _number(if_match))
    if seen is None:
        raise Problem("conflict", "If-Match names no revision of this character. Send the ETag of the latest answer.")
    merged = actions.merge_character(
        character=found, actor=request.auth, base=seen.snapshot, whole=True, **payload.given()
    )
    if merged.conflicts:
        errors = {
            c.field: [f"{c.author} has changed it from what you read to {c.theirs!r}. You sent {c.mine!r}."]
            for c in merged.conflicts
        }
        raise invalid(errors, kind="conflict")
    response["ETag"] = _etag(found)
    return _one(found)


def _number(if_match: str) -> int:
    digits = if_match.strip().removeprefix("W/").strip('"')
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 10 else 0


@router.delete("/characters/{uuid:character_id}", response=CharacterOut, summary="Move a character to the trash")
def trash(request: ApiRequest, character_id: UUID) -> CharacterOut:
    """With everything that belongs to it; from there it comes back whole."""
    found = access_character(request.auth, character_id, verb=Verb.EDIT)
    actions.trash_character(character=found, actor=request.auth)
    return _one(found)


@router.post(
    "/characters/{uuid:character_id}/restore", response=CharacterOut, summary="Restore a character from the trash"
)
def restore(request: ApiRequest, character_id: UUID) -> CharacterOut:
    """Under a name with a number, where its own was taken meanwhile."""
    found = access_character(request.auth, character_id, verb=Verb.EDIT)
    actions.restore_character(character=found, actor=request.auth)
    return _one(found)


# --------------------------------------------------------------------------------------------------------- profile
@router.get("/characters/{uuid:character_id}/profile", response=ProfileOut, summary="Show the identity profile")
def profile(request: ApiRequest, character_id: UUID) -> ProfileOut:
    """What was learnt from the references: it appears when the first of them has been checked."""
    found = access_character(request.auth, character_id)
    row = IdentityProfile.objects.filter(character=found).first()
    if row is None:
        raise Problem(
            "not-found", f"{found.name} has no identity profile yet. It is learnt once references are checked."
        )
    return schemas.profile_out(row)


@router.patch("/characters/{uuid:character_id}/profile", response=ProfileOut, summary="Change the base prompt")
def change_profile(request: ApiRequest, character_id: UUID, payload: ProfilePatch) -> ProfileOut:
    found = in_use(request.auth, character_id, Verb.EDIT)
    row = actions.change_base_prompt(character=found, prompt=payload.base_prompt, actor=request.auth)
    return schemas.profile_out(row)
