"""/api/v1: jobs, and the catalogue of model packs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, cast

from django.conf import settings
from ninja import Query, Router
from pydantic import Field

from collaboration.permissions import access_project
from collaboration.rest.auth import ApiRequest
from collaboration.rest.paging import Cursor, Limit, Page, page
from collaboration.rest.schemas import UUID, Answer, PersonOut, datetime, person
from gpu_worker import catalog, fairness, queries, routing, selection
from gpu_worker.models import Job
from gpu_worker.packs import Pack
from gpu_worker.permissions import access_job, access_report

router = Router()

State = Literal["waiting", "running", "paused", "done", "failed", "cancelled"]


class SubjectOut(Answer):
    kind: str = Field(description="What the job is about.", examples=["character"])
    id: str = Field(examples=["3fa85f64-5717-4562-b3fc-2c963f66afa6"])


class NoticeOut(Answer):
    code: str = Field(examples=["unknown_words"])
    sentence: str = Field(description="What you should know although the job went on.")


class JobOut(Answer):
    id: UUID
    kind: str = Field(
        description="`reference.look`, `variation.generate`, `variation.measure`, `training.train` or "
        "`training.compare`.",
        examples=["training.train"],
    )
    title: str = Field(examples=["Train Mara"])
    subject: SubjectOut
    state: State = Field(examples=["running"])
    queue: str = Field(description="`cpu`, `gpu_low`, `gpu_standard` or `gpu_high`.", examples=["gpu_standard"])
    priority: int = Field(description="0 low, 1 normal, 2 high, 3 urgent.", examples=[1])
    step: int = Field(description="Units done: training steps, or pictures.", examples=[140])
    total: int = Field(description="Units in all.", examples=[400])
    note: str = Field(description="What it is doing just now.", examples=["Training"])
    position: int | None = Field(description="Place in the queue from 1; null unless it waits.", examples=[2])
    starts_in_seconds: float | None = Field(description="Estimate; null unless it waits.", examples=[35.0])
    seconds_left: float | None = Field(description="Estimate until it is done; null once it has ended or is paused.")
    estimated_seconds: float = Field(description="How long the whole of it takes, as estimated at its start.")
    attempts: int = Field(description="Starts that ended without an answer, such as a worker that died.")
    checkpoint_step: int = Field(description="Step from which it goes on after an interruption.")
    error: str = Field(description="Why it failed; empty unless it did.")
    notices: list[NoticeOut]
    created_by: PersonOut | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class JobPage(Page):
    items: list[JobOut]


class PackOut(Answer):
    name: str = Field(examples=["mini"])
    title: str
    version: str
    family: str = Field(examples=["sd"])
    architecture: str = Field(examples=["stable-diffusion-v1"])
    domain: str = Field(description="`illustration` or `photograph`: what it was trained on.")
    licence: str
    is_commercial: bool
    sizes: list[tuple[int, int]] = Field(description="Width and height in pixels.")
    scores: list[str] = Field(
        description="What it measures identity on; empty where it has no calibrated encoder.",
        examples=[["drawn faces"]],
    )
    makes_pictures: bool
    takes_image_prompts: bool
    is_default: bool
    has_open_vocabulary: bool = Field(description="Whether a prompt may use any word.")
    slots: dict[str, list[str]] = Field(description="Words to choose from, by axis; empty with an open vocabulary.")
    recipes: dict[str, dict[str, Any] | None] = Field(description="Tier -> the pack's own training recipe.")


class TierOut(Answer):
    tier: str = Field(examples=["standard"])
    label: str
    available: bool = Field(description="For a character without a trained adapter.")
    why: str


class CatalogueOut(Answer):
    packs: list[PackOut]
    tiers: list[TierOut]


Places = Mapping[Any, tuple[int, float]]


def places_for(jobs: Sequence[Job]) -> Places:
    """Where the waiting ones stand; asks the queue only when one of them waits."""
    return queries.forecast() if any(job.state == Job.WAITING for job in jobs) else {}


def job_out(job: Job, places: Places) -> JobOut:
    """Reads `job.created_by`; `places` is `places_for` of it."""
    position, starts_in = places.get(job.pk, (None, None)) if job.state == Job.WAITING else (None, None)
    left = None
    if job.state == Job.RUNNING:
        left = queries.seconds_left(job)
    elif starts_in is not None:
        left = starts_in + fairness.left_of(job.estimated_seconds, job.checkpoint_step, job.total)
    return JobOut(
        id=job.pk,
        kind=job.kind,
        title=job.title,
        subject=SubjectOut(kind=job.subject_kind, id=job.subject_id),
        state=cast("State", job.state),
        queue=job.queue,
        priority=job.priority,
        step=job.step,
        total=job.total,
        note=job.note,
        position=position,
        starts_in_seconds=_tenths(starts_in),
        seconds_left=_tenths(left),
        estimated_seconds=round(job.estimated_seconds, 1),
        attempts=job.attempts,
        checkpoint_step=job.checkpoint_step,
        error=job.error,
        notices=[NoticeOut(code=str(n.get("code", "")), sentence=str(n.get("sentence", ""))) for n in job.notices],
        created_by=person(job.created_by),
        created_at=job.created_at,
        started_at=job.started_at,
        ended_at=job.ended_at,
    )


def _tenths(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


@router.get("/projects/{slug:project}/jobs", response=JobPage, tags=["Jobs"], summary="List jobs")
def jobs(
    request: ApiRequest,
    project: str,
    state: Annotated[list[State] | None, Query(description="Only these; repeat it for several.")] = None,
    kind: Annotated[str, Query(max_length=40, description="Only this kind.")] = "",
    subject: Annotated[str, Query(max_length=40, description="Only about this subject, by id.")] = "",
    cursor: Cursor = "",
    limit: Limit = 50,
) -> JobPage:
    """The newest first."""
    rows = Job.objects.filter(project=access_project(request.auth, project)).select_related("created_by")
    if state:
        rows = rows.filter(state__in=state)
    if kind:
        rows = rows.filter(kind=kind)
    if subject:
        rows = rows.filter(subject_id=subject)
    found, following = page(rows, order=["-created_at", "-id"], cursor=cursor, limit=limit)
    places = places_for(found)
    return JobPage(items=[job_out(job, places) for job in found], next=following)


@router.get("/jobs/{uuid:job_id}", response=JobOut, tags=["Jobs"], summary="Show a job")
def job(request: ApiRequest, job_id: UUID) -> JobOut:
    """How far it is. Ask about once a second."""
    found = access_job(request.auth, job_id)
    return job_out(found, places_for([found]))


@router.get("/catalogue", response=CatalogueOut, tags=["Catalogue"], summary="List model packs and tiers")
def catalogue(request: ApiRequest) -> CatalogueOut:
    """What is installed here, and what each tier needs."""
    return CatalogueOut(
        packs=[_pack_out(pack) for pack in catalog.installed().values()],
        tiers=[TierOut.model_validate(tier) for tier in selection.tiers_explained(adapter=None)],
    )


@router.get(
    "/catalogue/{str:pack}/evaluation", response=dict[str, Any], tags=["Catalogue"], summary="Show a pack's evaluation"
)
def evaluation(request: ApiRequest, pack: str) -> dict[str, Any]:
    """The latest evaluation of the installed version, by `manage.py evaluate`: every figure with its 95 % interval over
    people (`value`, `low`, `high`, `of`, `people`); `value` is null where nothing was measured."""
    installed = catalog.installed().get(pack)
    return access_report(request.auth, pack, installed.version if installed else "").figures


def _pack_out(pack: Pack) -> PackOut:
    return PackOut(
        name=pack.name,
        title=pack.title,
        version=pack.version,
        family=pack.family,
        architecture=pack.architecture,
        domain=pack.domain,
        licence=pack.licence.name,
        is_commercial=pack.licence.commercial,
        sizes=list(pack.sizes),
        scores=routing.measures(pack),
        makes_pictures=pack.pipeline is not None,
        takes_image_prompts=pack.ip_adapter is not None,
        is_default=pack.name == settings.DEFAULT_PACK,
        has_open_vocabulary=pack.vocabulary is None,
        slots={axis: list(words) for axis, words in pack.slots.items()},
        recipes={tier: dict(recipe) if recipe else None for tier, recipe in pack.recipes.items()},
    )
