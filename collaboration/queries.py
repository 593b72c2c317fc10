"""What the pages about people and projects show."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Exists, OuterRef, Prefetch, QuerySet

from collaboration import events
from collaboration.actions import hash_secret
from collaboration.models import (
    Event,
    Invitation,
    Membership,
    Project,
    Scene,
    Shot,
    Stream,
    Studio,
    StudioMembership,
    User,
)
from collaboration.subjects import Link, links
from collaboration.verbs import Role

EVENTS_PER_PAGE = 50


def projects_of(user: User) -> list[Project]:
    """Those that the person can see, each with `people` (how many) and `my_role` (a word)."""
    rows = Project.objects.visible_to(user).select_related("studio").annotate(people=Count("memberships"))
    roles = dict(Membership.objects.filter(user=user).values_list("project_id", "role"))
    projects: list[Any] = list(rows)
    for project in projects:
        project.my_role = roles.get(project.pk, "studio administrator")
    return projects


def members_of(project: Project) -> list[Membership]:
    """Owners first, then by role and name."""
    rows = Membership.objects.filter(project=project).select_related("user")
    rank = {role: n for n, role in enumerate(reversed(Role))}
    return sorted(rows, key=lambda m: (rank[Role(m.role)], m.user.display_name.casefold()))


def administrators_of(studio: Studio) -> list[User]:
    rows = StudioMembership.objects.filter(studio=studio, is_admin=True).select_related("user")
    return sorted((m.user for m in rows), key=lambda u: u.display_name.casefold())


def invitations_of(project: Project, *, limit: int = 30) -> list[Invitation]:
    """The newest first; those that were accepted name who accepted them."""
    rows = Invitation.objects.filter(project=project).select_related("created_by", "accepted_by")
    return list(rows[:limit])


def invitation_for(secret: str) -> Invitation | None:
    """The invitation whose link has this secret, open or not."""
    rows = Invitation.objects.select_related("project__studio", "created_by")
    return rows.filter(secret_hash=hash_secret(secret)).first()


def scenes_of(project: Project) -> QuerySet[Scene]:
    """Scenes in their order, with `present_shots` in theirs."""
    shots = Prefetch("shots", queryset=Shot.objects.present(), to_attr="present_shots")
    return project.scenes.present().prefetch_related(shots)


@dataclass(frozen=True, slots=True)
class Day:
    date: datetime.date
    """In UTC."""
    entries: list[tuple[Event, Link | None]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Activity:
    days: list[Day]
    """The newest first."""
    older: int | None
    """The number before which the next page ends; None on the last page."""


def activity_of(
    project: Project, *, before: int | None = None, actor: int | None = None, kinds: Sequence[str] | None = None
) -> Activity:
    """One page of what happened in the project, in the order of the event numbers, with links to its subjects."""
    stream = Stream.objects.filter(kind=Stream.PROJECT, key=str(project.pk)).first()
    rows = Event.objects.filter(stream=stream).select_related("actor").order_by("-seq")
    if before is not None:
        rows = rows.filter(seq__lt=before)
    if actor is not None:
        rows = rows.filter(actor_id=actor)
    if kinds is not None:
        rows = rows.filter(kind__in=kinds)
    page = list(rows[: EVENTS_PER_PAGE + 1])
    older = page[EVENTS_PER_PAGE - 1].seq if len(page) > EVENTS_PER_PAGE else None
    page = page[:EVENTS_PER_PAGE]
    found = links((e.subject_kind, e.subject_id) for e in page)
    days: list[Day] = []
    for event in page:
        if not days or days[-1].date != event.at.date():
            days.append(Day(event.at.date()))
        days[-1].entries.append((event, found.get((event.subject_kind, event.subject_id))))
    return Activity(days, older)


def actors_in(project: Project) -> list[User]:
    """Everybody who ever did something in the project."""
    kind, key = events.stream_of(project)
    theirs = Event.objects.filter(stream__kind=kind, stream__key=key, actor=OuterRef("pk"))
    return sorted(User.objects.filter(Exists(theirs)), key=lambda u: u.display_name.casefold())
