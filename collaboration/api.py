"""/api/v1: oneself and projects."""

from __future__ import annotations

from typing import Any, Literal, cast

from django.db.models import Count, Q
from ninja import Router, Status
from pydantic import Field

from collaboration import actions, permissions
from collaboration.bands import Bands
from collaboration.models import Membership, Project, Studio, User
from collaboration.rest.auth import ApiRequest
from collaboration.rest.paging import Cursor, Limit, Page, page
from collaboration.rest.problems import invalid
from collaboration.rest.schemas import UUID, Answer, Body, datetime
from collaboration.verbs import Verb

router = Router(tags=["People and projects"])

Domain = Literal["auto", "illustration", "photograph"]


class StudioOut(Answer):
    id: UUID
    name: str = Field(examples=["Northlight"])
    slug: str = Field(examples=["northlight"])
    may_start_projects: bool


class BandsOut(Answer):
    excellent: float = Field(description="Scores from here on are excellent.", examples=[85.0])
    good: float = Field(
        description="From here on they are good and the picture counts as verified; below, it needs review.",
        examples=[70.0],
    )


class StudioDetailOut(Answer):
    id: UUID
    name: str = Field(examples=["Northlight"])
    slug: str = Field(examples=["northlight"])
    bands: BandsOut
    is_admin: bool = Field(description="Whether you may change it.")


class BandsIn(Body):
    excellent: float = Field(description="Above `good` and below 100.", examples=[88.0])
    good: float = Field(description="Above 0.", examples=[75.0])


class MeOut(Answer):
    id: int
    email: str = Field(examples=["alice@studio.example"])
    name: str = Field(examples=["Alice Moreau"])
    scopes: list[Verb] | None = Field(
        description="What this token may do at most; null in a session, which is not narrowed."
    )
    studios: list[StudioOut]


class ProjectOut(Answer):
    id: UUID
    slug: str = Field(description="Its name in addresses; never changes.", examples=["the-lighthouse"])
    name: str = Field(examples=["The Lighthouse"])
    description: str
    is_commercial: bool = Field(description="Whether only models whose licence allows commercial use are chosen.")
    domain: Domain = Field(
        description="What its pictures are, and so what measures identity; `auto`: as each character's references."
    )
    studio: str = Field(description="Slug of the studio.", examples=["northlight"])
    role: str | None = Field(description="Your role; null for an administrator of the studio who is no member.")
    verbs: list[Verb] = Field(description="What you may do here, narrowed to the scopes of the token.")
    characters: int = Field(description="Characters that are not in the trash.")
    created_at: datetime


class ProjectPage(Page):
    items: list[ProjectOut]


class ProjectIn(Body):
    name: str = Field(description="1-120 characters.", examples=["The Lighthouse"])
    description: str = Field("", description="At most 4,000 characters.")
    is_commercial: bool = True
    domain: Domain = Field("auto", description="What its pictures are; `auto`: as each character's references.")
    studio: str = Field("", description="Slug of a studio in which you may start projects; or give `studio_name`.")
    studio_name: str = Field(
        "", description="Name of a new studio, which you will administer.", examples=["Northlight"]
    )


def projects_shown(user: User) -> Any:
    """With everything `project_out` reads."""
    present = Count("characters", filter=Q(characters__trashed_at=None))
    return Project.objects.visible_to(user).select_related("studio").annotate(present_characters=present)


def project_out(project: Any, user: User, role: str | None) -> ProjectOut:
    return ProjectOut(
        id=project.pk,
        slug=project.slug,
        name=project.name,
        description=project.description,
        is_commercial=project.is_commercial,
        domain=cast("Domain", project.domain),
        studio=project.studio.slug,
        role=role,
        verbs=[verb for verb in Verb if verb in permissions.verbs_of(user, project)],
        characters=project.present_characters,
        created_at=project.created_at,
    )


def _one(project: Project, user: User) -> ProjectOut:
    role = Membership.objects.filter(project=project, user=user).values_list("role", flat=True).first()
    return project_out(projects_shown(user).get(pk=project.pk), user, role)


@router.get("/me", response=MeOut, summary="Who you are")
def me(request: ApiRequest) -> MeOut:
    user = request.auth
    may_start = set(Studio.objects.open_to(user).values_list("pk", flat=True))
    studios = Studio.objects.filter(memberships__user=user)
    scopes = getattr(user, "token_scopes", None)
    return MeOut(
        id=user.pk,
        email=user.email,
        name=user.display_name,
        scopes=None if scopes is None else [verb for verb in Verb if verb in scopes],
        studios=[StudioOut(id=s.pk, name=s.name, slug=s.slug, may_start_projects=s.pk in may_start) for s in studios],
    )


@router.get("/projects", response=ProjectPage, summary="List projects")
def projects(request: ApiRequest, cursor: Cursor = "", limit: Limit = 50) -> ProjectPage:
    """Those you can see, by name."""
    user = request.auth
    found, following = page(projects_shown(user), order=["name", "id"], cursor=cursor, limit=limit)
    roles = dict(Membership.objects.filter(user=user).values_list("project_id", "role"))
    permissions.remember_verbs(user, found)
    return ProjectPage(items=[project_out(p, user, roles.get(p.pk)) for p in found], next=following)


@router.post("/projects", response={201: ProjectOut}, summary="Start a project")
def create_project(request: ApiRequest, payload: ProjectIn) -> Status:
    """You become its owner."""
    user = request.auth
    permissions.require_scope(user, Verb.CREATE)
    if payload.studio and payload.studio_name:
        raise invalid({"studio": ["Give either `studio` or `studio_name`."]})
    studio = None
    if payload.studio:
        studio = Studio.objects.open_to(user).filter(slug=payload.studio).first()
        if studio is None:
            raise invalid({"studio": [f"There is no studio {payload.studio} in which you may start projects."]})
    elif not payload.studio_name:
        raise invalid({"studio": ["Give `studio`, the slug of one of your studios, or `studio_name` for a new one."]})
    project = actions.start_project(
        name=payload.name,
        actor=user,
        studio=studio,
        studio_name=payload.studio_name,
        description=payload.description,
        is_commercial=payload.is_commercial,
        domain=payload.domain,
    )
    return Status(201, _one(project, user))


@router.get("/projects/{slug:project}", response=ProjectOut, summary="Show a project")
def project(request: ApiRequest, project: str) -> ProjectOut:
    return _one(permissions.access_project(request.auth, project), request.auth)


# --------------------------------------------------------------------------------------------------------- studios
def _studio(studio: Studio, user: User) -> StudioDetailOut:
    return StudioDetailOut(
        id=studio.pk,
        name=studio.name,
        slug=studio.slug,
        bands=BandsOut(excellent=studio.excellent_from, good=studio.good_from),
        is_admin=permissions.administers(user, studio),
    )


@router.get("/studios/{slug:studio}", response=StudioDetailOut, summary="Show a studio")
def studio(request: ApiRequest, studio: str) -> StudioDetailOut:
    """To the people of its projects."""
    return _studio(permissions.access_studio(request.auth, studio), request.auth)


@router.put("/studios/{slug:studio}/bands", response=StudioDetailOut, summary="Set the bands of scores")
def set_bands(request: ApiRequest, studio: str, payload: BandsIn) -> StudioDetailOut:
    """From which scores on pictures are good and excellent, in every project of the studio."""
    found = permissions.access_studio(request.auth, studio, administer=True)
    actions.set_bands(studio=found, bands=Bands(excellent=payload.excellent, good=payload.good), actor=request.auth)
    return _studio(found, request.auth)
