"""Who may do what. Every page, endpoint, socket and file URL asks here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.http import Http404

from collaboration.models import Membership, Project, Studio, StudioMembership
from collaboration.subjects import Target, target
from collaboration.verbs import STUDIO_ADMIN_VERBS, Role, Verb

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from collaboration.models import User

__all__ = [
    "Verb",
    "access_project",
    "access_studio",
    "access_target",
    "administers",
    "forget_verbs",
    "remember_verbs",
    "require",
    "require_administration",
    "require_scope",
    "verbs_of",
]


def verbs_of(user: User | AnonymousUser, project: Project) -> frozenset[Verb]:
    """Return what `user` may do in `project`; the empty set for a stranger.

    A person who acts through an API token (`user.token_scopes`, set by `tokens.user_for_token`) has no more than its
    scopes. The answer is remembered on this `user` object: who keeps one for longer than a request (a socket) calls
    `forget_verbs` before asking again.
    """
    if not user.is_authenticated or not user.is_active:
        return frozenset()
    if project.pk not in _memory(user):
        remember_verbs(user, [project])
    return _memory(user)[project.pk]


def remember_verbs(user: User, projects: Iterable[Project]) -> None:
    """Look up with two queries what `verbs_of` answers for each of several projects."""
    projects = list(projects)
    roles = dict(Membership.objects.filter(project__in=projects, user=user).values_list("project_id", "role"))
    studios = {p.studio_id for p in projects}
    administered = set(
        StudioMembership.objects.filter(studio__in=studios, user=user, is_admin=True).values_list(
            "studio_id", flat=True
        )
    )
    scopes: frozenset[Verb] | None = getattr(user, "token_scopes", None)
    cache = _memory(user)
    for project in projects:
        role = roles.get(project.pk)
        verbs = Role(role).verbs if role else frozenset()
        if project.studio_id in administered:
            verbs |= STUDIO_ADMIN_VERBS
        cache[project.pk] = verbs if scopes is None else verbs & scopes


def forget_verbs(user: User) -> None:
    """After a role has changed."""
    _memory(user).clear()


def _memory(user: User) -> dict[object, frozenset[Verb]]:
    """Project -> verbs. By setattr, so that a user and the proxy of it that a request carries share one."""
    if not hasattr(user, "_verbs"):
        setattr(user, "_verbs", {})  # noqa: B010 - not declared on the model
    return user._verbs  # type: ignore[attr-defined]


def require(user: User, verb: Verb, project: Project) -> None:
    """Raise Http404 to strangers, who must not learn that it exists, and PermissionDenied to members without `verb`."""
    verbs = verbs_of(user, project)
    if Verb.SEE not in verbs:
        raise Http404
    if verb not in verbs:
        raise PermissionDenied(f"Your role in {project.name} does not allow this. Ask a lead or the owner.")


def require_scope(user: User, verb: Verb) -> None:
    """Raise PermissionDenied where an API token lacks `verb`; for what is outside every project. Sessions pass."""
    scopes: frozenset[Verb] | None = getattr(user, "token_scopes", None)
    if scopes is not None and verb not in scopes:
        raise PermissionDenied(f"This needs a token with the scope “{verb}”.")


def access_project(user: User, slug: str, *, verb: Verb = Verb.SEE) -> Project:
    """Return the project if `user` may `verb` it. Raises as `require` does."""
    project = Project.objects.select_related("studio").filter(slug=slug).first()
    if project is None:
        raise Http404
    require(user, verb, project)
    return project


def access_target(user: User, kind: str, id: object, *, verb: Verb = Verb.SEE) -> Target:
    """Return the subject (a variation, a reference, a character) if `user` may `verb` it.

    Raises as `require` does, and PermissionDenied for changes of what is in the trash.
    """
    found = target(kind, id)
    if found is None:
        raise Http404
    require(user, verb, found.project)
    if verb != Verb.SEE and not found.is_open:
        raise PermissionDenied(f"{found.title} is in the trash. Take it back first.")
    return found


def access_studio(user: User, slug: str, *, administer: bool = False) -> Studio:
    """Return the studio to its people, or with `administer` to those who administer it.

    Raises Http404 to strangers, and PermissionDenied to people of the studio who do not administer it.
    """
    studio = Studio.objects.filter(slug=slug, memberships__user=user).first()
    if studio is None or not user.is_active:
        raise Http404
    if administer:
        require_administration(user, studio)
    return studio


def administers(user: User, studio: Studio) -> bool:
    """An API token needs the scope to change settings."""
    scopes: frozenset[Verb] | None = getattr(user, "token_scopes", None)
    may = scopes is None or Verb.SETTINGS in scopes
    return may and StudioMembership.objects.filter(studio=studio, user=user, is_admin=True).exists()


def require_administration(user: User, studio: Studio) -> None:
    """Raise PermissionDenied unless `user` administers the studio."""
    if not administers(user, studio):
        raise PermissionDenied(f"Only who administers {studio.name} may do this.")
