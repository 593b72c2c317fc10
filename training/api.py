"""/api/v1: training runs and their adapters; also where any job is cancelled, which is told with who did it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http.response import HttpResponseBase
from ninja import Router, Status
from pydantic import Field

from assets.api import address_of
from assets.delivery import deliver
from characters import orders
from characters.api.characters import in_use
from characters.api.schemas import PictureOut, Tier
from characters.models import Character, VariationBatch
from characters.permissions import access_character
from collaboration.permissions import Verb, require
from collaboration.rest.auth import ApiRequest
from collaboration.rest.paging import Cursor, Limit, Page, page
from collaboration.rest.problems import Problem, invalid
from collaboration.rest.schemas import UUID, Answer, Body, PersonOut, datetime, person
from gpu_worker import actions as jobs
from gpu_worker import catalog
from gpu_worker.api import JobOut, Places, job_out, places_for
from gpu_worker.models import Adapter
from gpu_worker.permissions import access_job
from training import actions, recipes
from training.models import TrainingRun, TrainingSample
from training.permissions import access_adapter, access_run
from training.recipes import Recipe

router = Router(tags=["Training"])
adapter_router = Router(tags=["Adapters"])


class RecipeIn(Body):
    """Settings that differ from the tier's preset; the presets stand in `/catalogue`."""

    rank: int | None = Field(None, description="Rank of the LoRA, 1-256.", examples=[16])
    alpha: float | None = Field(None, description="Scale of the LoRA: its effect is multiplied by alpha / rank.")
    dropout: float | None = Field(None, description="0-0.9, of the LoRA's inputs.")
    targets: list[str] | None = Field(None, description="Kinds of layer that get a LoRA.", examples=[["to_q", "to_v"]])
    learning_rate: float | None = Field(None, description="Above 0, at most 1.", examples=[0.0001])
    warmup_steps: int | None = Field(None, description="Steps over which the learning rate rises; a cosine follows.")
    steps: int | None = Field(None, description="Optimiser steps, 1-20,000.", examples=[400])
    batch_size: int | None = Field(None, description="Pictures in a step, 1-64.")
    resolution: int | None = Field(None, description="Pixels of the pictures' shorter side, a multiple of 8.")
    flip: bool | None = Field(None, description="Whether pictures are mirrored at random.")
    caption_dropout: float | None = Field(None, description="0-0.9: share of steps trained without a caption.")
    checkpoint_every: int | None = Field(None, description="Steps between checkpoints, 1-500.")
    keep_checkpoints: int | None = Field(None, description="How many checkpoints are kept, 1-20.")
    compare_checkpoints: int | None = Field(
        None, description="LoRA files kept to compare and choose from, evenly spaced, the last step's among them, 1-8."
    )
    sample_every: int | None = Field(None, description="Steps between sample pictures.")
    seed: int | None = Field(None, description="0 to 2^32 - 1.")


class TrainingIn(Body):
    tier: Tier | None = Field(None, description="Preset and number of references; null: the character's own tier.")
    recipe: RecipeIn | None = Field(None, description="Null: the preset of the tier.")
    references: list[UUID] | None = Field(None, description="Null: every usable one that is not held out.")
    priority: int = Field(1, description="0 low to 3 urgent; above 1 needs the verb `urgent`.", examples=[1])


class AdapterOut(Answer):
    id: UUID
    character: UUID
    version: int = Field(examples=[1])
    is_active: bool = Field(description="Whether variations are generated with it.")
    trigger: str = Field(description="The word that stands for the character in prompts.", examples=["sks"])
    rank: int
    default_strength: float
    pack: str = Field(description="The model pack it was trained on and works with.")
    pack_version: str
    architecture: str = Field(examples=["stable-diffusion-v1"])
    licence: dict[str, Any] = Field(description="The terms it inherits from the model it was trained on.")
    sha256: str = Field(description="Hex digest of the file.")
    bytes: int | None
    file: str = Field(description="Address of the file (safetensors).")
    created_by: PersonOut | None
    created_at: datetime


class AdapterPage(Page):
    items: list[AdapterOut]


class SampleOut(Answer):
    step: int = Field(examples=[100])
    place: int = Field(description="Which of the run's prompts, from 0.")
    prompt: str
    seed: int
    score: float | None = Field(description="0-100; null when identity could not be measured.")
    cosine: float | None
    no_score_reason: str
    picture: PictureOut


class TrainingOut(Answer):
    id: UUID
    character: UUID
    tier: Tier
    trigger: str = Field(description="The word that stands for the character in prompts.")
    references: int = Field(description="Pictures trained on.")
    held_out: int = Field(description="Pictures kept to measure with.")
    pack: str
    recipe: dict[str, Any] = Field(description="Complete, as used.")
    job: JobOut = Field(description="State, step, place in the queue and estimates.")
    adapter: UUID | None = Field(description="What came of it.")
    created_by: PersonOut | None
    created_at: datetime


class TrainingPage(Page):
    items: list[TrainingOut]


class TrainingDetailOut(TrainingOut):
    loss: list[tuple[int, float]] = Field(
        description="[[step, loss], ...], thinned.", examples=[[[10, 0.21], [20, 0.17]]]
    )
    measured: dict[str, list[tuple[int, float]]] = Field(
        description="All that was measured, by name, in the same form."
    )
    samples: list[SampleOut] = Field(description="What the LoRA made on the way, by step.")


def _fields(run: TrainingRun, places: Places) -> dict[str, Any]:
    """Reads `job.created_by` and `created_by`."""
    return {
        "id": run.pk,
        "character": run.character_id,
        "tier": run.tier,
        "trigger": run.trigger,
        "references": len(run.references),
        "held_out": len(run.held_out),
        "pack": run.pack,
        "recipe": run.recipe,
        "job": job_out(run.job, places),
        "adapter": run.adapter_id,
        "created_by": person(run.created_by),
        "created_at": run.created_at,
    }


def _detail(run_id: UUID) -> TrainingDetailOut:
    run = TrainingRun.objects.select_related("job__created_by", "created_by").get(pk=run_id)
    return TrainingDetailOut(
        **_fields(run, places_for([run.job])),
        loss=run.job.measured.get("loss", []),
        measured=run.job.measured,
        samples=[_sample_out(sample) for sample in run.samples.select_related("asset")],
    )


def _sample_out(sample: TrainingSample) -> SampleOut:
    asset = sample.asset
    picture = PictureOut(asset=asset.pk, file=address_of(asset.pk), width=asset.width, height=asset.height)
    return SampleOut(
        step=sample.step,
        place=sample.place,
        prompt=sample.prompt,
        seed=sample.seed,
        score=sample.score,
        cosine=sample.cosine,
        no_score_reason=sample.no_score_reason,
        picture=picture,
    )


# ------------------------------------------------------------------------------------------------------------ runs
@router.get("/characters/{uuid:character_id}/training-runs", response=TrainingPage, summary="List training runs")
def runs(request: ApiRequest, character_id: UUID, cursor: Cursor = "", limit: Limit = 50) -> TrainingPage:
    """The newest first."""
    rows = TrainingRun.objects.present().filter(character=access_character(request.auth, character_id))
    rows = rows.select_related("job__created_by", "created_by")
    found, following = page(rows, order=["-created_at", "-id"], cursor=cursor, limit=limit)
    places = places_for([run.job for run in found])
    return TrainingPage(items=[TrainingOut(**_fields(run, places)) for run in found], next=following)


@router.post(
    "/characters/{uuid:character_id}/training-runs", response={201: TrainingDetailOut}, summary="Start a training"
)
def start(request: ApiRequest, character_id: UUID, payload: TrainingIn) -> Status:
    """The answer carries the job, its place in the queue and how long it will take.

    When it is done, the adapter becomes the character's active one by itself.
    """
    character = in_use(request.auth, character_id, Verb.TRAIN)
    if payload.priority > 1:
        require(request.auth, Verb.URGENT, character.project)
    tier = payload.tier or character.tier
    _check_known(character, payload.references or ())
    run = actions.start_training(
        character=character,
        tier=tier,
        actor=request.auth,
        recipe=_recipe(payload.recipe, tier),
        reference_ids=payload.references,
        priority=payload.priority,
    )
    return Status(201, _detail(run.pk))


def _check_known(character: Character, ids: Sequence[UUID]) -> None:
    """Raise Problem for references that the character does not have."""
    if unknown := set(ids) - set(character.references.present().values_list("pk", flat=True)):
        raise invalid({"references": [f"{character.name} has no reference {min(unknown)}."]})


def _recipe(wanted: RecipeIn | None, tier: str) -> Recipe | None:
    """The tier's preset with what differs; None where nothing does."""
    given = {k: v for k, v in (wanted.given() if wanted else {}).items() if v is not None}
    if not given:
        return None
    pack = catalog.default_pack()
    return Recipe.from_json(given, base=recipes.preset(tier, pack) or Recipe(resolution=pack.resolution))


@router.get("/training-runs/{uuid:run_id}", response=TrainingDetailOut, summary="Show a training run")
def run(request: ApiRequest, run_id: UUID) -> TrainingDetailOut:
    """With its loss and sample pictures. Ask about once a second while it runs."""
    return _detail(access_run(request.auth, run_id).pk)


@router.post("/training-runs/{uuid:run_id}/pause", response=TrainingDetailOut, summary="Pause a training")
def pause(request: ApiRequest, run_id: UUID) -> TrainingDetailOut:
    """It stops at its next step and keeps its checkpoint."""
    actions.pause_training(run=access_run(request.auth, run_id, verb=Verb.TRAIN), actor=request.auth)
    return _detail(run_id)


@router.post("/training-runs/{uuid:run_id}/resume", response=TrainingDetailOut, summary="Resume a paused training")
def resume(request: ApiRequest, run_id: UUID) -> TrainingDetailOut:
    actions.resume_training(run=access_run(request.auth, run_id, verb=Verb.TRAIN), actor=request.auth)
    return _detail(run_id)


@router.post("/training-runs/{uuid:run_id}/cancel", response=TrainingDetailOut, summary="Cancel a training")
def cancel(request: ApiRequest, run_id: UUID) -> TrainingDetailOut:
    """What was learnt up to the last checkpoint is kept for a retry."""
    actions.cancel_training(run=access_run(request.auth, run_id, verb=Verb.TRAIN), actor=request.auth)
    return _detail(run_id)


@router.post("/training-runs/{uuid:run_id}/retry", response=TrainingDetailOut, summary="Retry a training")
def retry(request: ApiRequest, run_id: UUID) -> TrainingDetailOut:
    """One that failed or was cancelled goes on from its last checkpoint."""
    actions.retry_training(run=access_run(request.auth, run_id, verb=Verb.TRAIN), actor=request.auth)
    return _detail(run_id)


@router.post("/jobs/{uuid:job_id}/cancel", response=JobOut, tags=["Jobs"], summary="Cancel a job")
def cancel_job(request: ApiRequest, job_id: UUID) -> JobOut:
    """A running job stops at its next step. What waits for it is cancelled too; one that has ended stays as it is."""
    job = access_job(request.auth, job_id, verb=None)
    run = TrainingRun.objects.with_rows().filter(job=job).first()
    batch = VariationBatch.objects.filter(job=job).select_related("character__project").first()
    if run is not None and not job.has_ended:
        actions.cancel_training(run=run, actor=request.auth)
    elif batch is not None:
        orders.cancel_batch(batch=batch, actor=request.auth)
    else:
        jobs.cancel(job=job)
    job = access_job(request.auth, job_id)
    return job_out(job, places_for([job]))


# -------------------------------------------------------------------------------------------------------- adapters
def _adapter_out(adapter: Adapter) -> AdapterOut:
    """Reads `file` and `created_by`."""
    return AdapterOut(
        id=adapter.pk,
        character=UUID(adapter.subject_id),
        version=adapter.version,
        is_active=adapter.is_active,
        trigger=adapter.trigger,
        rank=adapter.rank,
        default_strength=adapter.default_strength,
        pack=adapter.pack,
        pack_version=adapter.pack_version,
        architecture=adapter.architecture,
        licence=adapter.licence,
        sha256=adapter.sha256,
        bytes=adapter.file.bytes if adapter.file else None,
        file=f"/api/v1/adapters/{adapter.pk}/file",
        created_by=person(adapter.created_by),
        created_at=adapter.created_at,
    )


@adapter_router.get("/characters/{uuid:character_id}/adapters", response=AdapterPage, summary="List adapters")
def adapters(request: ApiRequest, character_id: UUID, cursor: Cursor = "", limit: Limit = 50) -> AdapterPage:
    """The newest version first; without those that were erased."""
    character = access_character(request.auth, character_id)
    rows = Adapter.objects.of("character", character.pk).select_related("file", "created_by")
    found, following = page(rows, order=["-version"], cursor=cursor, limit=limit)
    return AdapterPage(items=[_adapter_out(a) for a in found], next=following)


@adapter_router.get("/adapters/{uuid:adapter_id}", response=AdapterOut, summary="Show an adapter")
def adapter(request: ApiRequest, adapter_id: UUID) -> AdapterOut:
    return _adapter_out(access_adapter(request.auth, adapter_id))


@adapter_router.post("/adapters/{uuid:adapter_id}/activate", response=AdapterOut, summary="Activate an adapter")
def activate(request: ApiRequest, adapter_id: UUID) -> AdapterOut:
    """From now on variations are generated with this version."""
    found = access_adapter(request.auth, adapter_id, verb=Verb.TRAIN)
    in_use(request.auth, UUID(found.subject_id), Verb.TRAIN)
    actions.activate_adapter(adapter=found, actor=request.auth)
    return _adapter_out(access_adapter(request.auth, adapter_id))


@adapter_router.get(
    "/adapters/{uuid:adapter_id}/file",
    response={200: None, 302: None},
    summary="Download an adapter",
)
def adapter_file(request: ApiRequest, adapter_id: UUID) -> HttpResponseBase:
    """The LoRA as safetensors. May answer by a redirect, as `/assets/{id}/file` does."""
    found = access_adapter(request.auth, adapter_id)
    if found.file is None or found.file.erased_at is not None:
        raise Problem("gone", "The file of this adapter was erased for good.")
    return deliver(request, found.file)
