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
from training import actions, queries, recipes
from training.models import CheckpointComparison, ComparisonPicture, TrainingRun, TrainingSample
from training.permissions import access_adapter, access_comparison, access_run
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


class CameOf(Answer):
    """The checkpoint that an adapter is."""

    training_run: UUID
    step: int = Field(examples=[75])


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
    came_of: CameOf | None = Field(description="The training and its step; null for one that was not trained here.")
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


class CheckpointOut(Answer):
    step: int = Field(examples=[75])
    sha256: str = Field(description="Hex digest of its file.")
    bytes: int | None = Field(description="Null once it is erased.")
    is_there: bool = Field(description="False once it is erased.")
    adapter: UUID | None = Field(description="The version that it became.")


class MeasuredOut(Answer):
    step: int = Field(examples=[75])
    pictures: int = Field(examples=[4])
    scored: int = Field(description="Pictures in which identity could be measured.", examples=[4])
    identity: float | None = Field(description="0-100: the mean of those.", examples=[82.4])
    adherence: float | None = Field(description="0-1: what was asked and a classifier found; null: none looks.")
    diversity: float | None = Field(description="Mean distance between two of the pictures.", examples=[0.31])
    distance: str = Field(description="`figure`: 1 - cosine, 0-2; `hash`: share of differing bits, 0-1.")


class ComparisonPictureOut(Answer):
    step: int = Field(examples=[75])
    place: int = Field(description="Which of the comparison's prompts, from 0.")
    prompt: str
    seed: int
    asked: dict[str, str] = Field(description="Attribute -> word of the prompt.", examples=[{"expression": "happy"}])
    seen: dict[str, str] = Field(description="Attribute -> word that the classifier finds; empty without one.")
    score: float | None = Field(description="0-100; null when identity could not be measured.")
    cosine: float | None
    no_score_reason: str
    held_out: bool = Field(description="Whether it was measured against references kept from the training.")
    picture: PictureOut


class ComparisonOut(Answer):
    id: UUID
    training_run: UUID
    job: JobOut
    steps: list[int] = Field(examples=[[25, 50, 75, 100]])
    proposed_step: int | None = Field(description="Null until it is done, and where nothing can be proposed.")
    reason: str = Field(description="Why that step, or why none.")
    concerns: list[str] = Field(description="Signs of over-training, and limits of the measurement.")
    measured: list[MeasuredOut] = Field(description="Once it is done.")
    confirmed_step: int | None = Field(description="The step that a person made the active adapter.")
    confirmed_by: PersonOut | None
    confirmed_at: datetime | None
    created_by: PersonOut | None
    created_at: datetime


class ComparisonPage(Page):
    items: list[ComparisonOut]


class ComparisonDetailOut(ComparisonOut):
    pictures: list[ComparisonPictureOut]


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

    When it is done, the adapter becomes the character's active one by itself. On a GPU its checkpoints are then
    compared: see `comparisons`.
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


# ----------------------------------------------------------------------------------------------------- checkpoints
@router.get(
    "/training-runs/{uuid:run_id}/checkpoints", response=list[CheckpointOut], summary="List a training's checkpoints"
)
def checkpoints(request: ApiRequest, run_id: UUID) -> list[CheckpointOut]:
    """The LoRA as it was at some steps, in their order."""
    return [
        CheckpointOut(
            step=c.step,
            sha256=c.sha256,
            bytes=c.file.bytes if c.file and c.is_there else None,
            is_there=c.is_there,
            adapter=c.adapter_id,
        )
        for c in queries.checkpoints_of(access_run(request.auth, run_id))
    ]


@router.post("/training-runs/{uuid:run_id}/checkpoints/{int:step}/use", response=AdapterOut, summary="Use a checkpoint")
def use_checkpoint(request: ApiRequest, run_id: UUID, step: int) -> AdapterOut:
    """It becomes the character's active adapter, as a new version unless it is one already; the others stay."""
    run = access_run(request.auth, run_id, verb=Verb.TRAIN)
    in_use(request.auth, run.character_id, Verb.TRAIN)
    adapter = actions.use_checkpoint(run=run, step=step, actor=request.auth)
    return _adapter_out(access_adapter(request.auth, adapter.pk))


@router.post(
    "/training-runs/{uuid:run_id}/checkpoints/erase",
    response=list[CheckpointOut],
    summary="Erase a training's checkpoints",
)
def erase_checkpoints(request: ApiRequest, run_id: UUID) -> list[CheckpointOut]:
    """For good; those that became an adapter stay."""
    actions.erase_checkpoints(run=access_run(request.auth, run_id, verb=Verb.DELETE), actor=request.auth)
    return checkpoints(request, run_id)


@router.get(
    "/training-runs/{uuid:run_id}/comparisons", response=ComparisonPage, summary="List comparisons of checkpoints"
)
def comparisons(request: ApiRequest, run_id: UUID, cursor: Cursor = "", limit: Limit = 50) -> ComparisonPage:
    """The newest first."""
    rows = _comparisons().filter(run=access_run(request.auth, run_id))
    found, following = page(rows, order=["-created_at", "-id"], cursor=cursor, limit=limit)
    places = places_for([comparison.job for comparison in found])
    return ComparisonPage(items=[ComparisonOut(**_told(c, places)) for c in found], next=following)


@router.post(
    "/training-runs/{uuid:run_id}/comparisons",
    response={201: ComparisonDetailOut},
    summary="Compare a training's checkpoints",
)
def compare(request: ApiRequest, run_id: UUID) -> Status:
    """The same pictures are made with each of them; identity, adherence and diversity say which one is best."""
    run = access_run(request.auth, run_id, verb=Verb.TRAIN)
    in_use(request.auth, run.character_id, Verb.TRAIN)
    return Status(201, _comparison_out(actions.start_comparison(run=run, actor=request.auth).pk))


@router.get("/comparisons/{uuid:comparison_id}", response=ComparisonDetailOut, summary="Show a comparison")
def comparison(request: ApiRequest, comparison_id: UUID) -> ComparisonDetailOut:
    """With its pictures. Ask about once a second while it runs."""
    return _comparison_out(access_comparison(request.auth, comparison_id).pk)


@router.post("/comparisons/{uuid:comparison_id}/cancel", response=ComparisonDetailOut, summary="Cancel a comparison")
def cancel_comparison(request: ApiRequest, comparison_id: UUID) -> ComparisonDetailOut:
    """The pictures that were made stay."""
    found = access_comparison(request.auth, comparison_id, verb=Verb.TRAIN)
    actions.cancel_comparison(comparison=found, actor=request.auth)
    return _comparison_out(comparison_id)


@router.post("/comparisons/{uuid:comparison_id}/retry", response=ComparisonDetailOut, summary="Retry a comparison")
def retry_comparison(request: ApiRequest, comparison_id: UUID) -> ComparisonDetailOut:
    """What is missing of one that failed or was cancelled is made."""
    found = access_comparison(request.auth, comparison_id, verb=Verb.TRAIN)
    actions.retry_comparison(comparison=found, actor=request.auth)
    return _comparison_out(comparison_id)


def _comparisons() -> Any:
    return CheckpointComparison.objects.select_related("job__created_by", "created_by", "confirmed_by")


def _told(comparison: CheckpointComparison, places: Places) -> dict[str, Any]:
    return {
        "id": comparison.pk,
        "training_run": comparison.run_id,
        "job": job_out(comparison.job, places),
        "steps": [entry["step"] for entry in comparison.steps],
        "proposed_step": comparison.proposed_step,
        "reason": comparison.reason,
        "concerns": comparison.concerns,
        "measured": [MeasuredOut(**measured) for measured in comparison.results],
        "confirmed_step": comparison.confirmed_step,
        "confirmed_by": person(comparison.confirmed_by),
        "confirmed_at": comparison.confirmed_at,
        "created_by": person(comparison.created_by),
        "created_at": comparison.created_at,
    }


def _comparison_out(comparison_id: UUID) -> ComparisonDetailOut:
    found = _comparisons().get(pk=comparison_id)
    pictures = [_compared(picture, found.plan[picture.place]) for picture in queries.pictures_of(found)]
    return ComparisonDetailOut(**_told(found, places_for([found.job])), pictures=pictures)


def _compared(row: ComparisonPicture, entry: dict[str, Any]) -> ComparisonPictureOut:
    asset = row.asset
    return ComparisonPictureOut(
        step=row.step,
        place=row.place,
        prompt=entry["prompt"],
        seed=entry["seed"],
        asked=entry["asked"],
        seen=row.seen,
        score=row.score,
        cosine=row.cosine,
        no_score_reason=row.no_score_reason,
        held_out=bool(row.measured_against.get("held_out")),
        picture=PictureOut(asset=asset.pk, file=address_of(asset.pk), width=asset.width, height=asset.height),
    )


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
    """Reads `file`, `created_by` and `checkpoint`."""
    checkpoint = getattr(adapter, "checkpoint", None)
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
        came_of=CameOf(training_run=checkpoint.run_id, step=checkpoint.step) if checkpoint else None,
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
    rows = Adapter.objects.of("character", character.pk).select_related("file", "created_by", "checkpoint")
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
