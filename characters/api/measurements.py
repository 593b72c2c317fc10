"""Measuring variations again, and what was measured before."""

from __future__ import annotations

from ninja import Router, Status
from pydantic import Field

from characters import actions, queries
from characters.api import schemas
from characters.api.characters import in_use
from characters.api.schemas import MeasurementsOut
from characters.models import VariationBatch
from characters.permissions import access_character, access_variation
from collaboration.permissions import Verb
from collaboration.rest.auth import ApiRequest
from collaboration.rest.problems import Problem
from collaboration.rest.schemas import UUID, Answer, Body
from gpu_worker.api import JobOut, job_out, places_for

router = Router(tags=["Variations"])


class MeasureIn(Body):
    """Which pictures; any of the three, together."""

    variations: list[UUID] = Field(default_factory=list, max_length=500, description="Ids, all of this character.")
    batches: list[UUID] = Field(default_factory=list, max_length=50, description="Every picture of these batches.")
    outdated: bool = Field(
        False, description="Every picture measured against other references, or by another model, than those of today."
    )


class MeasuringOut(Answer):
    count: int = Field(description="Pictures that are measured; those that were waiting already are not counted.")
    jobs: list[JobOut] = Field(description="Empty where all of them were waiting already.")


class OutdatedOut(Answer):
    by_references: list[UUID] = Field(description="Measured against other references than those of today.")
    by_model: list[UUID] = Field(description="Measured by another model, or another version of it.")


@router.post("/characters/{uuid:character_id}/measurements", response={201: MeasuringOut}, summary="Measure again")
def measure(request: ApiRequest, character_id: UUID, payload: MeasureIn) -> Status:
    """Have any selection of pictures looked at and measured again. What was measured before stays readable."""
    character = in_use(request.auth, character_id, Verb.GENERATE)
    ids = {str(pk) for pk in payload.variations}
    found = queries.variations_by_id(character, list(ids))
    if len(found) < len(ids):
        raise Problem("not-found", "Some of these are no pictures of this character.")
    if payload.batches:
        batches = VariationBatch.objects.filter(character=character, pk__in=payload.batches)
        if batches.count() < len(set(payload.batches)):
            raise Problem("not-found", "Some of these are no batches of this character.")
        found += list(character.variations.present().filter(batch__in=batches).select_related("asset"))
    if payload.outdated:
        found += queries.variations_by_id(character, [str(pk) for pk in queries.outdated(character).all])
    jobs, count = actions.order_measurement(character=character, variations=found, actor=request.auth)
    places = places_for(jobs)
    return Status(201, MeasuringOut(count=count, jobs=[job_out(job, places) for job in jobs]))


@router.get(
    "/characters/{uuid:character_id}/measurements/outdated", response=OutdatedOut, summary="List outdated measurements"
)
def outdated(request: ApiRequest, character_id: UUID) -> OutdatedOut:
    """Among the newest 500 pictures; those that wait to be measured again are left out."""
    found = queries.outdated(access_character(request.auth, character_id))
    return OutdatedOut(by_references=sorted(found.by_references), by_model=sorted(found.by_model))


@router.get(
    "/variations/{uuid:variation_id}/measurements", response=MeasurementsOut, summary="List measurements of a variation"
)
def measurements(request: ApiRequest, variation_id: UUID) -> MeasurementsOut:
    """What was measured when, against what, and by which model."""
    variation = access_variation(request.auth, variation_id)
    bands = variation.character.project.studio.bands
    return MeasurementsOut(items=[schemas.measurement_out(row, bands) for row in queries.measurements_of(variation)])
