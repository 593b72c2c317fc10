"""What a project is called and may use, and its scenes and shots."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.forms import model_to_dict
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from collaboration import scenes
from collaboration.actions import change_project
from collaboration.forms import SceneForm, SettingsForm, ShotForm, refused_into
from collaboration.models import Project, Scene, Shot
from collaboration.pages import refused, render_region, undone
from collaboration.permissions import access_project
from collaboration.queries import scenes_of
from collaboration.requests import AuthenticatedRequest
from collaboration.verbs import Verb
from collaboration.votes.forms import VotingRulesForm
from collaboration.votes.queries import rules_of


def _page(request: AuthenticatedRequest, project: Project, *, status: int = 200, **more: Any) -> HttpResponse:
    """`editing` is the id of the row whose form is open, `adding_to` that of the scene that gets a shot."""
    rows = list(scenes_of(project))
    initial = {name: getattr(project, name) for name in ("name", "description", "is_commercial", "domain")}
    context: dict[str, Any] = {
        "project": project,
        "scenes": rows,
        "form": SettingsForm(initial=initial),
        "scene_form": SceneForm(),
        "voting_form": VotingRulesForm(initial=model_to_dict(rules_of(project), ["is_blind", "quorum"])),
    }
    for scene in rows:
        if str(scene.pk) == request.GET.get("shot_in"):
            context |= {"adding_to": scene.pk, "shot_form": ShotForm()}
        if str(scene.pk) == request.GET.get("edit"):
            context |= {"editing": scene.pk, "edit_form": SceneForm(initial={"code": scene.code, "name": scene.name})}
        for shot in scene.present_shots:  # type: ignore[attr-defined] # by the query
            if str(shot.pk) == request.GET.get("edit"):
                shot_initial = {"code": shot.code, "description": shot.description}
                context |= {"editing": shot.pk, "edit_form": ShotForm(initial=shot_initial)}
    page, region = "collaboration/settings.html", "collaboration/_scenes.html"
    return render_region(request, page, region, context | more, status=status)


def _back(project: Project) -> HttpResponse:
    return redirect("collaboration:settings", project.slug)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def settings(request: AuthenticatedRequest, project: str) -> HttpResponse:
    film = access_project(request.user, project, verb=Verb.SETTINGS)
    if request.method != "POST":
        return _page(request, film)
    form = SettingsForm(request.POST)
    if form.is_valid():
        with refused_into(form):
            change_project(project=film, actor=request.user, **form.cleaned_data)
            messages.success(request, "Saved.")
            return _back(film)
    return _page(request, film, status=422, form=form)


# ------------------------------------------------------------------------------------------------- adding, editing
@require_POST
@login_required
def scene_add(request: AuthenticatedRequest, project: str) -> HttpResponse:
    film = access_project(request.user, project, verb=Verb.SETTINGS)
    form = SceneForm(request.POST)
    if _carried_out(form, lambda data: scenes.create_scene(project=film, actor=request.user, **data)):
        return _back(film)
    return _page(request, film, status=422, scene_form=form)


@require_POST
@login_required
def shot_add(request: AuthenticatedRequest, project: str, scene_id: uuid.UUID) -> HttpResponse:
    film = access_project(request.user, project, verb=Verb.SETTINGS)
    scene = _row(film, "scene", scene_id)
    form = ShotForm(request.POST)
    if _carried_out(form, lambda data: scenes.create_shot(scene=scene, actor=request.user, **data)):
        return _back(film)
    return _page(request, film, status=422, adding_to=scene.pk, shot_form=form)


@require_POST
@login_required
def scene_edit(request: AuthenticatedRequest, project: str, row_id: uuid.UUID) -> HttpResponse:
    film = access_project(request.user, project, verb=Verb.SETTINGS)
    scene = _row(film, "scene", row_id)
    form = SceneForm(request.POST)
    if _carried_out(form, lambda data: scenes.change_scene(scene=scene, actor=request.user, **data)):
        return _back(film)
    return _page(request, film, status=422, editing=row_id, edit_form=form)


@require_POST
@login_required
def shot_edit(request: AuthenticatedRequest, project: str, row_id: uuid.UUID) -> HttpResponse:
    film = access_project(request.user, project, verb=Verb.SETTINGS)
    shot = _row(film, "shot", row_id)
    form = ShotForm(request.POST)
    if _carried_out(form, lambda data: scenes.change_shot(shot=shot, actor=request.user, **data)):
        return _back(film)
    return _page(request, film, status=422, editing=row_id, edit_form=form)


# ------------------------------------------------------------------------------------------------- order and trash
@require_POST
@login_required
def row_move(request: AuthenticatedRequest, project: str, kind: str, row_id: uuid.UUID) -> HttpResponse:
    film = access_project(request.user, project, verb=Verb.SETTINGS)
    row = _row(film, kind, row_id)
    direction = scenes.DIRECTIONS.get(request.POST.get("direction", ""))
    if direction is None:
        return _page(request, film, status=422, refusal="Say whether it moves up or down.")
    scenes.move(row=row, direction=direction, actor=request.user)
    return _back(film)


@require_POST
@login_required
def row_trash(request: AuthenticatedRequest, project: str, kind: str, row_id: uuid.UUID) -> HttpResponse:
    film = access_project(request.user, project, verb=Verb.SETTINGS)
    row = _row(film, kind, row_id)
    scenes.trash(row=row, actor=request.user)
    undo = "undo:" + reverse(f"collaboration:{kind}_restore", args=[film.slug, row_id])
    messages.success(request, f"{row.code} is deleted.", extra_tags=undo)
    return _back(film)


@require_POST
@login_required
def row_restore(request: AuthenticatedRequest, project: str, kind: str, row_id: uuid.UUID) -> HttpResponse:
    film = access_project(request.user, project, verb=Verb.SETTINGS)
    row = _row(film, kind, row_id, trashed=True)
    try:
        scenes.restore(row=row, actor=request.user)
    except ValidationError as error:
        if request.htmx:
            return refused(error.messages[0])
        return _page(request, film, status=422, refusal=error.messages[0])
    messages.success(request, f"{row.code} is back.")
    return undone(request, "collaboration:settings", film.slug)


def _row(project: Project, kind: str, row_id: uuid.UUID, *, trashed: bool = False) -> Any:
    rows: Any
    if kind == "scene":
        rows = Scene.objects.filter(project=project).select_related("project")
    else:
        rows = Shot.objects.filter(scene__project=project).select_related("scene__project")
    return get_object_or_404(rows if trashed else rows.present(), pk=row_id)


def _carried_out(form: forms.Form, action: Callable[[dict[str, Any]], object]) -> bool:
    if form.is_valid():
        with refused_into(form, "code"):
            action(form.cleaned_data)
    return form.is_valid()
