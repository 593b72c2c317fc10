"""Voting on one image, one's own votes on many, and how a project votes."""

from __future__ import annotations

import json
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from collaboration.forms import refused_into
from collaboration.pages import refused
from collaboration.permissions import Verb, access_project, access_target, verbs_of
from collaboration.requests import AuthenticatedRequest
from collaboration.subjects import Target
from collaboration.votes import actions, fragments, queries
from collaboration.votes.forms import VotingRulesForm
from collaboration.votes.models import Vote

MOST = 200
"""Subjects about which one request asks for one's own votes."""


def find_image(request: AuthenticatedRequest, slug: str, kind: str, id: UUID, verb: Verb = Verb.SEE) -> Target:
    """Raises Http404 also where the address names another project, or what is no image."""
    found = access_target(request.user, kind, id, verb=verb)
    if found.project.slug != slug or found.handler.picture is None:
        raise Http404
    return found


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def vote(request: AuthenticatedRequest, project: str, kind: str, id: UUID) -> HttpResponse:
    """GET: one's own part of the panel. POST `score` (1-5), `verdict` (pick, reject) or `withdraw`: vote.

    What is pressed already is taken back by pressing it again. The answer to htmx is the panel, or with `quick` the
    mark of a cell.
    """
    if request.method != "POST":
        found = find_image(request, project, kind, id)
        context = fragments.panel(found, request.user, may_vote=_may(request, found), back=_back(request, found))
        return render(request, "votes/_mine.html", context)
    found = find_image(request, project, kind, id, Verb.VOTE)
    try:
        _cast(request, found)
    except ValidationError as error:
        if request.htmx:
            return refused(error.messages[0])
        messages.error(request, error.messages[0])
        return redirect(_back(request, found))
    if not request.htmx:
        return redirect(_back(request, found))
    if "quick" in request.POST:
        tally = queries.tally(found.project, found.kind, found.id)
        context = fragments.mark(found.project, found.kind, found.id, tally, may_vote=True)
        response = render(request, "votes/_mark.html", context)
        mine = tally.vote_of(request.user)
        said = {"key": f"{kind}-{id}", "score": mine.score if mine else None, "verdict": mine.verdict if mine else ""}
        response["HX-Trigger"] = json.dumps({"voted": said})
        return response
    context = fragments.panel(found, request.user, may_vote=True, back=_back(request, found))
    return render(request, "votes/_panel.html", context)


def _cast(request: AuthenticatedRequest, found: Target) -> None:
    mine = Vote.objects.filter(subject_kind=found.kind, subject_id=found.id, voter=request.user).first()
    if "withdraw" in request.POST:
        actions.withdraw_vote(subject=found, actor=request.user)
    elif "score" in request.POST:
        text = request.POST["score"]
        score = int(text) if text.isascii() and text.isdigit() and len(text) == 1 else 0
        same = mine is not None and mine.score == score
        actions.cast_vote(subject=found, actor=request.user, score=None if same else score)
    else:
        verdict = request.POST.get("verdict", "")
        if verdict not in (Vote.PICK, Vote.REJECT):
            raise ValidationError("Vote with a score from 1 to 5, or with pick or reject.", code="empty")
        same = mine is not None and mine.verdict == verdict
        actions.cast_vote(subject=found, actor=request.user, verdict="" if same else verdict)


def _may(request: AuthenticatedRequest, found: Target) -> bool:
    return Verb.VOTE in verbs_of(request.user, found.project) and found.is_open


def _back(request: AuthenticatedRequest, found: Target) -> str:
    address = request.POST.get("back", "") or request.GET.get("back", "")
    if address.startswith("/") and url_has_allowed_host_and_scheme(address, allowed_hosts=None):
        return address
    return found.url


@require_safe
@login_required
def mine(request: AuthenticatedRequest, project: str) -> JsonResponse:
    """`?kind=` and up to 200 times `?id=`: {id: {score, verdict}} of one's own votes."""
    film = access_project(request.user, project)
    ids = request.GET.getlist("id")[:MOST]
    found = queries.mine_among(request.user, film, request.GET.get("kind", ""), ids)
    return JsonResponse({id: {"score": vote.score, "verdict": vote.verdict} for id, vote in found.items()})


@require_POST
@login_required
def rules(request: AuthenticatedRequest, project: str) -> HttpResponse:
    """How votes are taken; the form stands on the project's settings."""
    film = access_project(request.user, project, verb=Verb.SETTINGS)
    form = VotingRulesForm(request.POST)
    if form.is_valid():
        with refused_into(form):
            actions.set_voting_rules(project=film, actor=request.user, **form.cleaned_data)
    if form.errors:
        for sentences in form.errors.values():
            messages.error(request, str(sentences[0]))
    else:
        messages.success(request, "Saved.")
    return redirect("collaboration:settings", film.slug)
