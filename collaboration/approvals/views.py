"""The gates of one subject: setting them, asking, approving."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from collaboration.approvals import actions, fragments
from collaboration.approvals.forms import GateForm
from collaboration.approvals.models import Gate
from collaboration.forms import refused_into
from collaboration.pages import render_region, undone
from collaboration.permissions import Verb, access_target, verbs_of
from collaboration.requests import AuthenticatedRequest
from collaboration.subjects import Target


def find_subject(request: AuthenticatedRequest, slug: str, kind: str, id: UUID, verb: Verb = Verb.SEE) -> Target:
    """Raises Http404 also for another project's, and for what has nothing to approve."""
    found = access_target(request.user, kind, id, verb=verb)
    if found.project.slug != slug or not found.handler.aspects:
        raise Http404
    return found


def find_gate(
    request: AuthenticatedRequest, slug: str, gate_id: UUID, verb: Verb = Verb.SEE, *, removed: bool = False
) -> tuple[Gate, Target]:
    rows = Gate.objects.select_related("project").filter(pk=gate_id, project__slug=slug)
    gate = (rows if removed else rows.filter(removed_at=None)).first()
    if gate is None:
        raise Http404
    found = find_subject(request, slug, gate.subject_kind, UUID(gate.subject_id), verb)
    return gate, found


def _page(
    request: AuthenticatedRequest,
    found: Target,
    *,
    form: GateForm | None = None,
    editing: Gate | None = None,
    status: int = 200,
) -> HttpResponse:
    verbs = verbs_of(request.user, found.project)
    can_set = Verb.APPROVE in verbs and found.is_open
    context: dict[str, Any] = {
        "project": found.project,
        "subject": found,
        "approvals": fragments.gates(found),
        "mine": fragments.mine(found, request.user),
        "can_set": can_set,
        "form": form or (GateForm(subject=found) if can_set else None),
        "editing": editing,
    }
    return render_region(request, "approvals/approvals.html", "approvals/_page.html", context, status=status)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def approvals(request: AuthenticatedRequest, project: str, kind: str, id: UUID) -> HttpResponse:
    """GET: the gates. POST: one more."""
    if request.method != "POST":
        return _page(request, find_subject(request, project, kind, id))
    found = find_subject(request, project, kind, id, Verb.APPROVE)
    form = GateForm(request.POST, subject=found)
    if form.is_valid():
        with refused_into(form):
            actions.create_gate(subject=found, actor=request.user, **form.values())
            return redirect(fragments.page_url(found))
    return _page(request, found, form=form, status=422)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def edit(request: AuthenticatedRequest, project: str, gate_id: UUID) -> HttpResponse:
    gate, found = find_gate(request, project, gate_id, Verb.APPROVE)
    form = GateForm(request.POST if request.method == "POST" else None, subject=found, gate=gate)
    if form.is_bound and form.is_valid():
        with refused_into(form):
            actions.change_gate(gate=gate, actor=request.user, **form.values())
            return redirect(fragments.page_url(found))
    return _page(request, found, form=form, editing=gate, status=422 if form.is_bound else 200)


@require_POST
@login_required
def remove(request: AuthenticatedRequest, project: str, gate_id: UUID) -> HttpResponse:
    gate, found = find_gate(request, project, gate_id, Verb.APPROVE)
    actions.remove_gate(gate=gate, actor=request.user)
    undo = reverse("approvals:restore", args=[project, gate_id])
    messages.success(request, f"The approval “{gate.name}” is no longer needed.", extra_tags=f"undo:{undo}")
    return redirect(fragments.page_url(found))


@require_POST
@login_required
def restore(request: AuthenticatedRequest, project: str, gate_id: UUID) -> HttpResponse:
    gate, found = find_gate(request, project, gate_id, Verb.APPROVE, removed=True)
    try:
        actions.restore_gate(gate=gate, actor=request.user)
    except ValidationError as error:
        messages.error(request, error.messages[0])
    return undone(request, "approvals:approvals", project, found.kind, found.id)


# ------------------------------------------------------------------------------------------------- asking, approving
@require_safe
@login_required
def mine(request: AuthenticatedRequest, project: str, kind: str, id: UUID) -> HttpResponse:
    """What one may do oneself at the gates, for the slot `#mine-approvals-...`."""
    found = find_subject(request, project, kind, id)
    return render(request, "approvals/_mine.html", {"mine": fragments.mine(found, request.user)})


@require_POST
@login_required
def ask(request: AuthenticatedRequest, project: str, gate_id: UUID) -> HttpResponse:
    gate, found = find_gate(request, project, gate_id, Verb.EDIT)
    actions.ask_approval(gate=gate, actor=request.user)
    return _answer(request, found, f"Asked for “{gate.name}”.")


@require_POST
@login_required
def approve(request: AuthenticatedRequest, project: str, gate_id: UUID) -> HttpResponse:
    """`revision`: what was looked at; `changes` with a `note` instead of approving."""
    gate, found = find_gate(request, project, gate_id)
    text = request.POST.get("revision", "")
    revision = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
    note = request.POST.get("note", "")
    try:
        if "changes" in request.POST:
            actions.ask_changes(gate=gate, actor=request.user, note=note, revision=revision)
            said = "The team sees what should change."
        else:
            actions.approve(gate=gate, actor=request.user, note=note, revision=revision)
            said = f"Approved: {gate.name}."
    except ValidationError as error:
        return _answer(request, found, error.messages[0], level=messages.ERROR)
    return _answer(request, found, said)


@require_POST
@login_required
def withdraw(request: AuthenticatedRequest, project: str, gate_id: UUID) -> HttpResponse:
    gate, found = find_gate(request, project, gate_id)
    actions.withdraw(gate=gate, actor=request.user)
    return _answer(request, found, "Taken back.")


def _answer(request: AuthenticatedRequest, found: Target, text: str, *, level: int = messages.SUCCESS) -> HttpResponse:
    """Back to where the gates were acted at: the subject's own page or the page of its gates."""
    messages.add_message(request, level, text)
    if not request.htmx:
        return redirect(
            found.url + "#approvals" if request.POST.get("from") == "subject" else fragments.page_url(found)
        )
    return HttpResponse(headers={"HX-Refresh": "true"})
