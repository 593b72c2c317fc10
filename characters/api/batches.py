"""Variation batches, variations and their scores."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Annotated, Literal

from ninja import Query, Router, Status
from pydantic import Field

from characters import actions, orders
from characters.api import schemas
from characters.api.characters import in_use
from characters.api.schemas import (
    BatchDetailOut,
    BatchOut,
    BatchPage,
    ProvenanceOut,
    SummaryOut,
    VariationOut,
    VariationPage,
)
from characters.models import Variation, VariationBatch
from characters.permissions import access_batch, access_character, access_variation
from characters.variations import Settings
from collaboration.permissions import Verb, require
from collaboration.rest.auth import ApiRequest
from collaboration.rest.paging import Cursor, Limit, Page, page
from collaboration.rest.problems import Problem
from collaboration.rest.schemas import UUID, Answer, Body
from gpu_worker.api import places_for

router = Router(tags=["Variations"])


class BatchIn(Body):
    """Everything a person can set. What is left out is filled in by the profile, the model pack and chance."""

    axes: dict[str, list[str]] = Field(
        default_factory=dict,
        description="Axis (`expression`, `pose`, `outfit`, `colour`, `background`, `light`) -> values; the batch holds "
        "every combination. The words a model pack knows stand in `/catalogue`.",
        examples=[{"expression": ["happy", "sad"], "background": ["beach", "library"]}],
    )
    text: str = Field("", description="Free words for every picture, with wildcards: `{red|blue}`, `__outfit__`.")
    base_prompt: str = Field("", description="What each prompt begins with; empty: the profile's.")
    per_combination: int = Field(1, description="Pictures of each combination; a batch holds at most 24.", examples=[1])
    tier: Literal["auto", "low", "standard", "high"] = Field("auto", description="`auto`: the best that is ready.")
    lora_strength: float = Field(0.7, description="0-1.5; 0 leaves the trained adapter out.")
    image_prompt_strength: float = Field(0.6, description="0-1; 0 leaves the identity profile out.")
    negative_prompt: str | None = Field(None, description="Null: the pack's own.")
    steps: int | None = Field(None, description="Denoising steps, 1-150; null: the pack's own.", examples=[20])
    guidance: float | None = Field(None, description="Classifier-free guidance scale, 1-30; null: the pack's own.")
    seed: int | None = Field(
        None, description="0 to 2^32 - 1, of the first picture; each next one counts up. Null: chance."
    )
    width: int | None = Field(None, description="Pixels; null: the pack's own.")
    height: int | None = Field(None, description="Pixels; null: the pack's own.")
    priority: Literal[0, 1, 2, 3] = Field(1, description="0 low to 3 urgent; above 1 needs the verb `urgent`.")


class ScoreOut(Answer):
    variation: UUID
    batch: UUID
    index: int
    seed: int
    tier: str
    lora_strength: float
    image_prompt_strength: float
    score: float | None = Field(description="0-100; null: see the reason.")
    cosine: float | None = Field(description="Mean cosine to the references it is measured against.")
    no_score_reason: str
    held_out: bool = Field(description="Whether it was measured against held-out references only.")
    false_match_rate: float | None = Field(description="Share of strangers who would score as high.")


class ScorePage(Page):
    items: list[ScoreOut]


_BATCH_ROWS = VariationBatch.objects.select_related("adapter", "created_by", "job__created_by")


@router.get("/characters/{uuid:character_id}/variation-batches", response=BatchPage, summary="List variation batches")
def batches(request: ApiRequest, character_id: UUID, cursor: Cursor = "", limit: Limit = 50) -> BatchPage:
    """The newest first, without their pictures."""
    character = access_character(request.auth, character_id)
    rows = _BATCH_ROWS.filter(character=character)
    found, following = page(rows, order=["-created_at", "-id"], cursor=cursor, limit=limit)
    places = places_for([batch.job for batch in found])
    return BatchPage(items=[BatchOut(**schemas.batch_fields(b, places)) for b in found], next=following)


@router.post(
    "/characters/{uuid:character_id}/variation-batches", response={201: BatchDetailOut}, summary="Order variations"
)
def order(request: ApiRequest, character_id: UUID, payload: BatchIn) -> Status:
    """1-24 pictures. They appear one by one in the batch, each with its identity score."""
    character = in_use(request.auth, character_id, Verb.GENERATE)
    given = payload.given()
    priority = given.pop("priority", 1)
    if priority > 1:
        require(request.auth, Verb.URGENT, character.project)
    batch = orders.order_variations(
        character=character, settings=Settings.from_json(given), actor=request.auth, priority=priority
    )
    return Status(201, detail(batch.pk))


@router.get("/variation-batches/{uuid:batch_id}", response=BatchDetailOut, summary="Show a variation batch")
def batch(request: ApiRequest, batch_id: UUID) -> BatchDetailOut:
    """With the pictures made so far. Ask about once a second while its job runs."""
    return detail(access_batch(request.auth, batch_id).pk)


def detail(batch_id: UUID) -> BatchDetailOut:
    """A batch with the pictures made so far."""
    found = _BATCH_ROWS.get(pk=batch_id)
    made = list(found.variations.present().select_related("asset", "batch").order_by("index"))
    return BatchDetailOut(
        **schemas.batch_fields(found, places_for([found.job])),
        summary=_summary(made),
        variations=[schemas.variation_out(v, found.character.project.studio.bands) for v in made],
    )


def _summary(made: Sequence[Variation]) -> SummaryOut:
    cosines = [v.cosine for v in made if v.cosine is not None]
    scores = [v.score for v in made if v.score is not None]
    held_out = [bool(v.measured_against.get("held_out")) for v in made if v.cosine is not None]
    return SummaryOut(
        made=len(made),
        scored=len(cosines),
        mean_cosine=round(statistics.fmean(cosines), 4) if cosines else None,
        median_score=round(statistics.median(scores), 1) if scores else None,
        measured_on_held_out=all(held_out) if held_out else None,
    )


# ------------------------------------------------------------------------------------------------------ variations
@router.get("/characters/{uuid:character_id}/variations", response=VariationPage, summary="List variations")
def variations(
    request: ApiRequest,
    character_id: UUID,
    picked: Annotated[
        bool | None, Query(description="Only those picked into the character, or only the others.")
    ] = None,
    cursor: Cursor = "",
    limit: Limit = 50,
) -> VariationPage:
    """Of all batches, the newest first."""
    character = access_character(request.auth, character_id)
    rows = Variation.objects.present().filter(character=character)
    if picked is not None:
        rows = rows.filter(picked_at__isnull=not picked)
    rows = rows.select_related("asset", "batch")
    found, following = page(rows, order=["-made_at", "-id"], cursor=cursor, limit=limit)
    bands = character.project.studio.bands
    return VariationPage(items=[schemas.variation_out(v, bands) for v in found], next=following)


@router.get("/variations/{uuid:variation_id}", response=VariationOut, summary="Show a variation")
def variation(request: ApiRequest, variation_id: UUID) -> VariationOut:
    return _one(access_variation(request.auth, variation_id))


@router.get("/variations/{uuid:variation_id}/provenance", response=ProvenanceOut, summary="Show how a picture was made")
def provenance(request: ApiRequest, variation_id: UUID) -> ProvenanceOut:
    found = access_variation(request.auth, variation_id)
    return ProvenanceOut(variation=found.pk, provenance=found.provenance)


@router.post(
    "/variations/{uuid:variation_id}/pick", response=VariationOut, summary="Pick a variation into the character"
)
def pick(request: ApiRequest, variation_id: UUID) -> VariationOut:
    """It becomes the character's picture. Picking it again changes nothing."""
    found = _to_change(request, variation_id)
    actions.pick_variation(variation=found, actor=request.auth)
    return _one(access_variation(request.auth, variation_id))


@router.post("/variations/{uuid:variation_id}/unpick", response=VariationOut, summary="Take a pick back")
def unpick(request: ApiRequest, variation_id: UUID) -> VariationOut:
    found = _to_change(request, variation_id)
    actions.unpick_variation(variation=found, actor=request.auth)
    return _one(access_variation(request.auth, variation_id))


def _one(variation: Variation) -> VariationOut:
    return schemas.variation_out(variation, variation.character.project.studio.bands)


def _to_change(request: ApiRequest, variation_id: UUID) -> Variation:
    found = access_variation(request.auth, variation_id, verb=Verb.EDIT)
    if found.character.trashed_at is not None:
        raise Problem("conflict", f"{found.character.name} is in the trash. Restore the character first.")
    return found


@router.get("/characters/{uuid:character_id}/scores", response=ScorePage, summary="List identity scores")
def scores(
    request: ApiRequest,
    character_id: UUID,
    batch: Annotated[UUID | None, Query(description="Only of this batch.")] = None,
    cursor: Cursor = "",
    limit: Limit = 100,
) -> ScorePage:
    """Of every variation, the newest first, with the strengths it was made with."""
    rows = Variation.objects.present().filter(character=access_character(request.auth, character_id))
    if batch is not None:
        rows = rows.filter(batch_id=batch)
    found, following = page(rows.select_related("batch"), order=["-made_at", "-id"], cursor=cursor, limit=limit)
    return ScorePage(items=[_score_out(v) for v in found], next=following)


def _score_out(variation: Variation) -> ScoreOut:
    against = variation.measured_against
    return ScoreOut(
        variation=variation.pk,
        batch=variation.batch_id,
        index=variation.index,
        seed=variation.seed,
        tier=variation.batch.tier,
        lora_strength=variation.batch.settings["lora_strength"],
        image_prompt_strength=variation.batch.settings["image_prompt_strength"],
        score=variation.score,
        cosine=variation.cosine,
        no_score_reason=variation.no_score_reason,
        held_out=bool(against.get("held_out")),
        false_match_rate=against.get("false_match_rate"),
    )
