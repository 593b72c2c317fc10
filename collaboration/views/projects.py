"""The list of projects, and starting one."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from collaboration.actions import start_project
from collaboration.forms import ProjectForm, refused_into
from collaboration.queries import projects_of
from collaboration.requests import AuthenticatedRequest


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def projects(request: AuthenticatedRequest) -> HttpResponse:
    form = ProjectForm(request.POST if request.method == "POST" else None, user=request.user)
    if form.is_bound and form.is_valid():
        with refused_into(form):
            project = start_project(
                name=form.cleaned_data["name"],
                actor=request.user,
                studio=form.chosen_studio,
                studio_name=form.cleaned_data["studio_name"],
            )
            return redirect(project)
    context = {"form": form, "rows": projects_of(request.user)}
    return render(request, "collaboration/projects.html", context, status=422 if form.errors else 200)
