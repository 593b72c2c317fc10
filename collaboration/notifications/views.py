"""One's own notifications, how one is told, and the webhooks of a project."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from collaboration.forms import refused_into
from collaboration.models import Project
from collaboration.notifications import actions, fragments, queries
from collaboration.notifications.forms import ChoicesForm, WebhookForm
from collaboration.notifications.models import Delivery, Webhook
from collaboration.permissions import Verb, access_project
from collaboration.requests import AuthenticatedRequest
from collaboration.subjects import url_of
from collaboration.views.account import tabs

SHOWN_DELIVERIES = 40


# ----------------------------------------------------------------------------------------------------- the own list
def _list(request: AuthenticatedRequest) -> dict[str, Any]:
    text = request.GET.get("before", "")
    before = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
    unread = "unread" in request.GET
    groups, after = queries.groups_of(request.user, unread=unread, before=before)
    here = reverse("notifications:notifications")
    keep = {"unread": "1"} if unread else {}
    newest = max((row.pk for group in groups for row in group.rows), default=0)
    return {
        "groups": groups,
        "newest": newest,
        "has_unread": any(group.unread for group in groups),
        "next_url": f"{here}?{urlencode(keep | {'before': after})}" if after else "",
        "refresh_url": reverse("notifications:list") + ("?unread=1" if unread else ""),
        "facets": [
            {"label": "Everything", "url": here, "current": not unread},
            {"label": "Unread", "url": f"{here}?unread=1", "current": unread},
        ],
        "unread_only": unread,
    }


@require_safe
@login_required
def notifications(request: AuthenticatedRequest) -> HttpResponse:
    """`?unread=1`: those not read yet; `?before=`: where a page begins."""
    return render(request, "notifications/notifications.html", _list(request))


@require_safe
@login_required
def own_list(request: AuthenticatedRequest) -> HttpResponse:
    return render(request, "notifications/_list.html", _list(request))


@require_safe
@login_required
def bell(request: AuthenticatedRequest) -> HttpResponse:
    return render(request, "notifications/_bell.html", {"bell": fragments.bell(request.user)})


@require_safe
@login_required
def open_one(request: AuthenticatedRequest, notification_id: int) -> HttpResponse:
    """Go where it is about; what it belongs to counts as read."""
    row = get_object_or_404(queries.visible(request.user).select_related("event", "project"), pk=notification_id)
    actions.mark_read(person=request.user, topic=row.topic, upto=row.pk)
    to = url_of(row.event.subject_kind, row.event.subject_id)
    return redirect(to or (row.project.get_absolute_url() if row.project else reverse("notifications:notifications")))


@require_POST
@login_required
def read(request: AuthenticatedRequest) -> HttpResponse:
    """`topic`, or all of them; `upto`: none newer than that."""
    text = request.POST.get("upto", "")
    upto = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
    actions.mark_read(person=request.user, topic=request.POST.get("topic", ""), upto=upto)
    return _listed(request)


@require_POST
@login_required
def unread(request: AuthenticatedRequest) -> HttpResponse:
    actions.mark_unread(person=request.user, topic=request.POST.get("topic", ""))
    return _listed(request)


def _listed(request: AuthenticatedRequest) -> HttpResponse:
    if not request.htmx:
        return redirect("notifications:notifications")
    context = _list(request) | {"bell": fragments.bell(request.user), "with_bell": True}
    return render(request, "notifications/_list.html", context)


# -------------------------------------------------------------------------------------------------------- choosing
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def choices(request: AuthenticatedRequest) -> HttpResponse:
    chosen = queries.choices_of(request.user)
    form = ChoicesForm(request.POST if request.method == "POST" else None, choices=chosen)
    if form.is_bound and form.is_valid():
        with refused_into(form):
            actions.choose(person=request.user, choices=form.values())
            messages.success(request, "Saved.")
            return redirect("notifications:choices")
    dead = Delivery.objects.filter(person=request.user, channel=Delivery.EMAIL, state=Delivery.DEAD)
    context = {"form": form, "tabs": tabs("choices"), "given_up": dead.count(), "last_dead": dead.first()}
    return render(request, "notifications/choices.html", context, status=422 if form.errors else 200)


@require_POST
@login_required
def mail_again(request: AuthenticatedRequest) -> HttpResponse:
    count = actions.mail_again(person=request.user)
    messages.success(request, f"{count} on the way again.")
    return redirect("notifications:choices")


# -------------------------------------------------------------------------------------------------------- webhooks
def _film(request: AuthenticatedRequest, slug: str) -> Project:
    return access_project(request.user, slug, verb=Verb.SETTINGS)


def _hook(request: AuthenticatedRequest, slug: str, hook_id: UUID) -> Webhook:
    rows = Webhook.objects.select_related("project").filter(project=_film(request, slug), removed_at=None)
    hook = rows.filter(pk=hook_id).first()
    if hook is None:
        raise Http404
    return hook


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def webhooks(request: AuthenticatedRequest, project: str) -> HttpResponse:
    film = _film(request, project)
    form = WebhookForm(request.POST if request.method == "POST" else None)
    context: dict[str, Any] = {"project": film, "form": form}
    status = 200
    if form.is_bound and form.is_valid():
        with refused_into(form):
            hook = actions.create_webhook(project=film, actor=request.user, **form.cleaned_data)
            context |= {"form": WebhookForm(), "made": hook, "secret": hook.secret}
            status = 201
    if form.errors:
        status = 422
    context["rows"] = queries.webhooks_of(film)
    response = render(request, "notifications/webhooks.html", context, status=status)
    response["Cache-Control"] = "no-store"
    return response


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def webhook(request: AuthenticatedRequest, project: str, hook_id: UUID) -> HttpResponse:
    """What went to it and what was given up; POST: change it."""
    return _webhook(request, _hook(request, project, hook_id))


def _webhook(request: AuthenticatedRequest, hook: Webhook, *, secret: str = "") -> HttpResponse:
    initial = {"name": hook.name, "url": hook.url, "kinds": hook.kinds}
    form = WebhookForm(request.POST if request.method == "POST" and not secret else None, initial=initial)
    if form.is_bound and form.is_valid():
        with refused_into(form):
            actions.change_webhook(hook=hook, actor=request.user, **form.cleaned_data)
            messages.success(request, "Saved.")
            return redirect("notifications:webhook", hook.project.slug, hook.pk)
    rows = Delivery.objects.filter(webhook=hook).select_related("event__actor", "event__stream").order_by("-created_at")
    dead = rows.filter(state=Delivery.DEAD)
    context = {
        "project": hook.project,
        "hook": hook,
        "form": form,
        "secret": secret,
        "deliveries": rows.exclude(state=Delivery.DEAD)[:SHOWN_DELIVERIES],
        "dead": dead[:SHOWN_DELIVERIES],
        "given_up": dead.count(),
    }
    response = render(request, "notifications/webhook.html", context, status=422 if form.errors else 200)
    response["Cache-Control"] = "no-store"
    return response


@require_POST
@login_required
def webhook_secret(request: AuthenticatedRequest, project: str, hook_id: UUID) -> HttpResponse:
    """A new secret stands in this answer and nowhere else."""
    hook = actions.renew_secret(hook=_hook(request, project, hook_id), actor=request.user)
    return _webhook(request, hook, secret=hook.secret)


@require_POST
@login_required
def webhook_switch(request: AuthenticatedRequest, project: str, hook_id: UUID) -> HttpResponse:
    hook = _hook(request, project, hook_id)
    actions.change_webhook(hook=hook, actor=request.user, is_active=not hook.is_active)
    messages.success(request, f"{hook.name} is {'on' if hook.is_active else 'off'}.")
    return redirect("notifications:webhook", project, hook_id)


@require_POST
@login_required
def webhook_try(request: AuthenticatedRequest, project: str, hook_id: UUID) -> HttpResponse:
    hook = _hook(request, project, hook_id)
    try:
        problem = actions.try_webhook(hook=hook)
    except ValidationError as error:
        problem = error.messages[0]
    if problem:
        messages.error(request, f"The test did not arrive. {problem}")
    else:
        messages.success(request, "The test arrived.")
    return redirect("notifications:webhook", project, hook_id)


@require_POST
@login_required
def webhook_remove(request: AuthenticatedRequest, project: str, hook_id: UUID) -> HttpResponse:
    hook = _hook(request, project, hook_id)
    actions.remove_webhook(hook=hook, actor=request.user)
    messages.success(request, f"{hook.name} is told of nothing any more.")
    return redirect("notifications:webhooks", project)


@require_POST
@login_required
def webhook_again(request: AuthenticatedRequest, project: str, hook_id: UUID) -> HttpResponse:
    """`delivery`: one that was given up; without it, all."""
    hook = _hook(request, project, hook_id)
    text = request.POST.get("delivery", "")
    try:
        one = UUID(text) if text else None
    except ValueError:
        raise Http404 from None
    count = actions.send_again(hook=hook, actor=request.user, delivery=one)
    messages.success(request, f"{count} on the way again.")
    return redirect("notifications:webhook", project, hook_id)
