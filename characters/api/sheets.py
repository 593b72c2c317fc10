"""Character sheets: casting a face from words, ordering a sheet, approving its pictures, the sheet as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

from django.http import HttpResponse
from ninja import Router, Status
from pydantic import Field

from characters import actions, model_sheet, sheets
from characters.api import schemas
from characters.api.batches import BatchIn, detail
from characters.api.characters import in_use
from characters.api.schemas import BatchDetailOut, ReferenceOut, VariationOut
from characters.models import Character, CharacterSheet, SheetTake
from characters.permissions import access_character, access_reference, access_sheet, access_variation
from characters.variations import Settings
from collaboration.bands import Bands
from collaboration.permissions import Verb, require
from collaboration.rest.auth import ApiRequest
from collaboration.rest.paging import Cursor, Limit, Page, page
from collaboration.rest.problems import invalid
from collaboration.rest.schemas import UUID, Answer, Body, PersonOut, datetime, person

router = Router(tags=["Character sheets"])

State = Literal["making", "review", "done"]
Verdict = Literal["undecided", "approved", "rejected"]


class FacesIn(Body):
    """Words for a face; those that are given are kept with the character."""

    noun: str = Field("person", description="Woman, man, person, creature.", examples=["woman"])
    age: str = Field("", description="In words or years.", examples=["old"])
    traits: str = Field("", description="Separated by commas.", examples=["grey hair, round glasses"])
    count: int = Field(sheets.FACES, description="Faces to choose from, 1-24.", examples=[6])


class SheetIn(BatchIn):
    """Angles and expressions to combine, and how. What is left out is chosen for a sheet by the model pack."""

    angles: list[str] | None = Field(
        None, description="Rows. Null: those of the model pack, as many as fit.", examples=[["facing forward"]]
    )
    expressions: list[str] | None = Field(
        None, description="Columns. Null: those of the model pack.", examples=[["neutral", "happy"]]
    )
    axes: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Other axes (`outfit`, `colour`, `background`, `light`) with one value each, for all pictures; "
        "what is left out is chosen by the model pack, an empty list leaves it open.",
        examples=[{"outfit": ["coat"]}],
    )


class DecisionIn(Body):
    variations: list[UUID] = Field(min_length=1, max_length=200, description="Pictures of the sheet, by their ids.")


class TakesIn(Body):
    place: int = Field(ge=0, le=23, description="The cell: from 0, row by row.", examples=[3])
    count: int = Field(1, description=f"Further takes of the cell, 1-{sheets.MOST_TAKES}.", examples=[2])


class TakeOut(Answer):
    variation: VariationOut
    verdict: Verdict
    decided_by: PersonOut | None
    decided_at: datetime | None
    reference: UUID | None = Field(description="The generated reference that an approved picture is.")


class CellOut(Answer):
    place: int = Field(description="From 0, row by row.")
    angle: str = Field(examples=["facing forward"])
    expression: str = Field(examples=["happy"])
    approved: UUID | None = Field(description="The approved picture.")
    proposed: UUID | None = Field(description="The best by score of those not decided, while none is approved.")
    is_awaited: bool = Field(description="A take is being made, or waits to be.")
    takes: list[TakeOut] = Field(description="Best first.")


class SheetOut(Answer):
    id: UUID
    character: UUID
    state: State = Field(description="`making` until all pictures are there, `review` while some are not decided.")
    angles: list[str]
    expressions: list[str]
    approved: int = Field(description="Cells with an approved picture.")
    to_decide: int = Field(description="Cells with a proposed picture.")
    batches: list[UUID] = Field(description="The orders that make it, newest first: see `/variation-batches/{id}`.")
    image: str = Field(description="Address of the sheet as one PNG.")
    created_by: PersonOut | None
    created_at: datetime


class SheetDetailOut(SheetOut):
    cells: list[CellOut]


class SheetPage(Page):
    items: list[SheetOut]


# --------------------------------------------------------------------------------------------------------- casting
@router.post("/characters/{uuid:character_id}/faces", response={201: BatchDetailOut}, summary="Cast faces from words")
def cast_faces(request: ApiRequest, character_id: UUID, payload: FacesIn) -> Status:
    """A batch of faces made from words alone, each of somebody else. Choose one of them: see `choose-face`."""
    character = in_use(request.auth, character_id, Verb.GENERATE)
    given = payload.given()
    count = given.pop("count", sheets.FACES)
    if given:
        require(request.auth, Verb.EDIT, character.project)
    batch = actions.order_faces(character=character, actor=request.auth, count=count, **given)
    return Status(201, detail(batch.pk))


@router.post("/variations/{uuid:variation_id}/choose-face", response=ReferenceOut, summary="Choose a cast face")
def choose_face(request: ApiRequest, variation_id: UUID) -> ReferenceOut:
    """It becomes the character's first reference, labelled `cast`, from which its identity is learnt."""
    variation = access_variation(request.auth, variation_id, verb=Verb.EDIT)
    in_use(request.auth, variation.character_id, Verb.EDIT)
    reference = actions.choose_face(variation=variation, actor=request.auth)
    return schemas.reference_out(access_reference(request.auth, reference.pk))


# ------------------------------------------------------------------------------------------------------ the sheet
@router.get("/characters/{uuid:character_id}/sheets", response=SheetPage, summary="List character sheets")
def list_sheets(request: ApiRequest, character_id: UUID, cursor: Cursor = "", limit: Limit = 50) -> SheetPage:
    """The newest first, without their cells."""
    character = access_character(request.auth, character_id)
    rows = character.sheets.select_related("created_by")
    found, following = page(rows, order=["-created_at", "-id"], cursor=cursor, limit=limit)
    return SheetPage(items=[SheetOut(**_fields(filled)) for filled in sheets.fill(found)], next=following)


@router.post(
    "/characters/{uuid:character_id}/sheets", response={201: SheetDetailOut}, summary="Order a character sheet"
)
def order(request: ApiRequest, character_id: UUID, payload: SheetIn) -> Status:
    """Every angle with every expression in one batch of at most 24 pictures. The person is the one of the identity
    profile: add references, or choose a cast face, before."""
    character = in_use(request.auth, character_id, Verb.GENERATE)
    given = payload.given()
    priority = given.pop("priority", 1)
    if priority > 1:
        require(request.auth, Verb.URGENT, character.project)
    sheet = actions.order_sheet(
        character=character, settings=_settings(character, given), actor=request.auth, priority=priority
    )
    return Status(201, _detail(sheet))


def _settings(character: Character, given: dict[str, Any]) -> Settings:
    standard = sheets.default_settings(character).as_json()
    axes = standard["axes"] | given.pop("axes", {})
    for name, axis in (("angles", sheets.ANGLE), ("expressions", sheets.EXPRESSION)):
        if (values := given.pop(name, None)) is not None:
            axes[axis] = values
    return Settings.from_json(standard | given | {"axes": axes})


@router.get("/sheets/{uuid:sheet_id}", response=SheetDetailOut, summary="Show a character sheet")
def show(request: ApiRequest, sheet_id: UUID) -> SheetDetailOut:
    """With its cells and all their takes. Ask about once a second while it is made."""
    return _detail(access_sheet(request.auth, sheet_id))


@router.get("/sheets/{uuid:sheet_id}/image", response={200: None}, summary="Download a character sheet as one PNG")
def image(request: ApiRequest, sheet_id: UUID) -> HttpResponse:
    """Approved pictures, and proposed ones marked as such, in a grid with labels."""
    filled = sheets.filled(access_sheet(request.auth, sheet_id))
    return HttpResponse(model_sheet.png(filled), content_type="image/png")


@router.post("/sheets/{uuid:sheet_id}/takes", response={201: BatchDetailOut}, summary="Order more takes of a cell")
def again(request: ApiRequest, sheet_id: UUID, payload: TakesIn) -> Status:
    """With the settings of the sheet and new seeds."""
    sheet = access_sheet(request.auth, sheet_id, verb=Verb.GENERATE)
    in_use(request.auth, sheet.character_id, Verb.GENERATE)
    cell = sheet.cells.select_related("sheet__character__project").filter(place=payload.place).first()
    if cell is None:
        raise invalid({"place": [f"The sheet has no cell {payload.place}."]})
    batch = actions.order_takes(cell=cell, actor=request.auth, count=payload.count)
    return Status(201, detail(batch.pk))


# -------------------------------------------------------------------------------------------------------- deciding
@router.post("/sheets/{uuid:sheet_id}/approve", response=SheetDetailOut, summary="Approve pictures of a sheet")
def approve(request: ApiRequest, sheet_id: UUID, payload: DecisionIn) -> SheetDetailOut:
    """They become references, labelled generated, that count for training. One of each cell; one approved before is
    open again."""
    sheet, takes = _to_decide(request, sheet_id, payload)
    actions.approve_takes(sheet=sheet, takes=takes, actor=request.auth)
    return _detail(access_sheet(request.auth, sheet_id))


@router.post("/sheets/{uuid:sheet_id}/reject", response=SheetDetailOut, summary="Reject pictures of a sheet")
def reject(request: ApiRequest, sheet_id: UUID, payload: DecisionIn) -> SheetDetailOut:
    sheet, takes = _to_decide(request, sheet_id, payload)
    actions.reject_takes(sheet=sheet, takes=takes, actor=request.auth)
    return _detail(access_sheet(request.auth, sheet_id))


@router.post("/sheets/{uuid:sheet_id}/reopen", response=SheetDetailOut, summary="Take decisions back")
def reopen(request: ApiRequest, sheet_id: UUID, payload: DecisionIn) -> SheetDetailOut:
    """What was approved is no reference any more."""
    sheet, takes = _to_decide(request, sheet_id, payload)
    actions.reopen_takes(sheet=sheet, takes=takes, actor=request.auth)
    return _detail(access_sheet(request.auth, sheet_id))


def _to_decide(request: ApiRequest, sheet_id: UUID, payload: DecisionIn) -> tuple[CharacterSheet, list[SheetTake]]:
    """Raises Problem for pictures that are not of this sheet."""
    sheet = access_sheet(request.auth, sheet_id, verb=Verb.APPROVE)
    in_use(request.auth, sheet.character_id, Verb.APPROVE)
    takes = list(SheetTake.objects.filter(cell__sheet=sheet, variation__in=payload.variations))
    if unknown := set(payload.variations) - {t.variation_id for t in takes}:
        raise invalid({"variations": [f"The sheet has no picture {min(unknown)}."]})
    return sheet, takes


# ------------------------------------------------------------------------------------------------------- from rows
def _detail(sheet: CharacterSheet) -> SheetDetailOut:
    filled = sheets.filled(sheet)
    bands = sheet.character.project.studio.bands
    return SheetDetailOut(**_fields(filled), cells=[_cell(cell, bands) for cell in filled.cells])


def _fields(filled: sheets.Filled) -> dict[str, Any]:
    sheet = filled.sheet
    return {
        "id": sheet.pk,
        "character": sheet.character_id,
        "state": cast("State", filled.state),
        "angles": filled.angles,
        "expressions": filled.expressions,
        "approved": sum(c.approved is not None for c in filled.cells),
        "to_decide": sum(c.proposed is not None for c in filled.cells),
        "batches": [batch.pk for batch in filled.batches],
        "image": f"/api/v1/sheets/{sheet.pk}/image",
        "created_by": person(sheet.created_by),
        "created_at": sheet.created_at,
    }


def _cell(cell: sheets.Cell, bands: Bands) -> CellOut:
    return CellOut(
        place=cell.row.place,
        angle=cell.row.angle,
        expression=cell.row.expression,
        approved=cell.approved.variation_id if cell.approved else None,
        proposed=cell.proposed.variation_id if cell.proposed else None,
        is_awaited=cell.is_awaited,
        takes=_takes(cell.takes, bands),
    )


def _takes(takes: Sequence[SheetTake], bands: Bands) -> list[TakeOut]:
    shown = []
    for take in takes:
        reference = sheets.reference_of(take)
        shown.append(
            TakeOut(
                variation=schemas.variation_out(take.variation, bands),
                verdict=cast("Verdict", take.verdict),
                decided_by=person(take.decided_by),
                decided_at=take.decided_at,
                reference=reference.pk if reference is not None else None,
            )
        )
    return shown
