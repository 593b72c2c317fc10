"""Who is in a project, with which role, and who is invited."""

from __future__ import annotations

import uuid
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from collaboration import actions, queries
from collaboration.forms import InvitationForm, RoleForm, refused_into
from collaboration.models import Invitation, Project, User
from collaboration.pages import refused, render_region, undone
from collaboration.permissions import access_project, require, verbs_of
from collaboration.requests import AuthenticatedRequest
from collaboration.verbs import Role, Verb


def _page(request: AuthenticatedRequest, project: Project, *, status: int = 200, **more: Any) -> HttpResponse:
    may_manage = Verb.MEMBERS in verbs_of(request.user, project)
    context = {
        "project": project,
        "members": queries.members_of(project),
        "administrators": queries.administrators_of(project.studio),
        "roles": list(Role),
        "may_manage": may_manage,
    }
    if may_manage:
        context |= {"form": InvitationForm(), "invitations": queries.invitations_of(project)}
    page, region = "collaboration/people.html", "collaboration/_people.html"
    return render_region(request, page, region, context | more, status=status)


@require_safe
@login_required
def people(request: AuthenticatedRequest, project: str) -> HttpResponse:
    return _page(request, access_project(request.user, project))


@require_POST
@login_required
def member_role(request: AuthenticatedRequest, project: str, user_id: int) -> HttpResponse:
    film = access_project(request.user, project, verb=Verb.MEMBERS)
    member = get_object_or_404(User, memberships__project=film, pk=user_id)
    form = RoleForm(request.POST)
    if form.is_valid():
        role = Role(form.cleaned_data["role"])
        with refused_into(form):
            actions.set_role(project=film, user=member, role=role, actor=request.user)
            messages.success(request, f"{member.display_name} is {role} now.")
            return redirect("collaboration:people", film.slug)
    return _page(request, film, status=422, refusal=_first_error(form))


@require_POST
@login_required
def member_remove(request: AuthenticatedRequest, project: str, user_id: int) -> HttpResponse:
    """Take somebody out of the project; anybody may leave it themselves."""
    is_self = user_id == request.user.pk
    film = access_project(request.user, project, verb=Verb.SEE if is_self else Verb.MEMBERS)
    member = get_object_or_404(User, memberships__project=film, pk=user_id)
    try:
        actions.remove_member(project=film, user=member, actor=request.user)
    except ValidationError as error:
        return _page(request, film, status=422, refusal=error.messages[0])
    undo = "undo:" + reverse("collaboration:member_restore", args=[film.slug, user_id])
    if is_self:
        messages.success(request, f"You left {film.name}.", extra_tags=undo)
        return redirect("collaboration:projects")
    messages.success(request, f"{member.display_name} is no longer in {film.name}.", extra_tags=undo)
    return redirect("collaboration:people", film.slug)


@require_POST
@login_required
def member_restore(request: AuthenticatedRequest, project: str, user_id: int) -> HttpResponse:
    """Undo a removal. Who left by themselves may also come back by themselves."""
    film = get_object_or_404(Project.objects.select_related("studio"), slug=project)
    member = get_object_or_404(User, pk=user_id)
    removal = actions.last_removal(film, member)
    left_by_themselves = removal is not None and removal.payload["by_themselves"]
    if not (left_by_themselves and member.pk == request.user.pk):
        require(request.user, Verb.MEMBERS, film)
    if removal is None and not member.memberships.filter(project=film).exists():
        raise Http404
    try:
        actions.bring_back_member(project=film, user=member, actor=request.user)
    except ValidationError as error:
        if request.htmx:
            return refused(error.messages[0])
        return _page(request, film, status=422, refusal=error.messages[0])
    messages.success(request, f"{member.display_name} is back in {film.name}.")
    return undone(request, "collaboration:people", film.slug)


@require_POST
@login_required
def invite(request: AuthenticatedRequest, project: str) -> HttpResponse:
    """Make an invitation; its link stands in this answer and nowhere else."""
    film = access_project(request.user, project, verb=Verb.MEMBERS)
    form = InvitationForm(request.POST)
    if form.is_valid():
        with refused_into(form, "days"):
            invitation, secret = actions.create_invitation(
                project=film,
                role=Role(form.cleaned_data["role"]),
                days=form.cleaned_data["days"],
                actor=request.user,
            )
            link = request.build_absolute_uri(reverse("collaboration:invitation", args=[secret]))
            response = _page(request, film, status=201, invitation=invitation, link=link)
            response["Cache-Control"] = "no-store"
            return response
    return _page(request, film, status=422, form=form)


@require_POST
@login_required
def invitation_revoke(request: AuthenticatedRequest, project: str, invitation_id: uuid.UUID) -> HttpResponse:
    film = access_project(request.user, project, verb=Verb.MEMBERS)
    invitation = get_object_or_404(Invitation.objects.select_related("project"), project=film, pk=invitation_id)
    actions.revoke_invitation(invitation=invitation, actor=request.user)
    messages.success(request, "The link no longer opens the project.")
    return redirect("collaboration:people", film.slug)


def _first_error(form: RoleForm) -> str:
    return next(str(error) for errors in form.errors.values() for error in errors)
