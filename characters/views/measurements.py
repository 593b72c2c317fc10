"""Measuring variations again: any that are selected, or all whose measurement is outdated."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from characters import actions, fragments, queries
from characters.fragments.batches import pictures
from characters.models import Character, Variation, VariationBatch
from characters.permissions import access_batch, access_variation
from characters.views.answers import done, find_character, go, with_toast
from collaboration.permissions import Verb, verbs_of
from collaboration.requests import AuthenticatedRequest


def measuring_of(
    request: AuthenticatedRequest, character: Character, watched: VariationBatch | Variation | None
) -> dict[str, Any]:
    """Context of characters/_measuring.html."""
    audience = verbs_of(request.user, character.project)
    if character.trashed_at is not None:
        audience &= {Verb.SEE}
    outdated = queries.outdated(character)
    return {
        "measuring": fragments.measuring(
            character,
            queries.open_measurements(character),
            queries.last_measurement(character),
            outdated,
            audience,
            watched=watched,
        ),
        "outdated": outdated.all,
    }


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def measure(request: AuthenticatedRequest, project: str, pk: UUID) -> HttpResponse:
    """POST: measure the `selected` pictures again or, with `outdated`, all whose measurement is. GET: ask first, for
    browsers without JavaScript; the selection stands in the address."""
    character = find_character(request, project, pk, Verb.GENERATE)
    here = reverse("characters:variations", args=[project, pk])
    given = request.POST if request.method == "POST" else request.GET
    ids = [str(id) for id in queries.outdated(character).all] if "outdated" in given else given.getlist("selected")
    chosen = queries.variations_by_id(character, ids)
    if request.method != "POST":
        rows = [
            {
                "id": v.pk,
                "title": f"{character.name} {v.index + 1}",
                "picture": fragments.picture(v.asset, size=160),
                "score": fragments.score(v, character.project.studio.bands),
                "measured_at": v.measured_at,
            }
            for v in chosen
        ]
        context = {"project": character.project, "character": character, "rows": rows, "back_url": here}
        return render(request, "characters/measure.html", context)
    try:
        jobs, count = actions.order_measurement(character=character, variations=chosen, actor=request.user)
    except ValidationError as refusal:
        if request.htmx:
            response = _region(request, character)
            return with_toast(response, refusal.messages[0], kind="attention")
        messages.error(request, refusal.messages[0])
        return go(request, here)
    text = f"Measuring {pictures(count)} again." if jobs else "They are being measured already."
    if request.htmx:
        return with_toast(_region(request, character), text, kind="good" if jobs else "attention")
    return done(request, _back(request, character, here), text)


def _back(request: AuthenticatedRequest, character: Character, otherwise: str) -> str:
    """The picture or batch that the form names in its field `watched`, else the tab."""
    watched = _watched(request, character, request.POST.get("variation"), request.POST.get("batch"))
    if isinstance(watched, Variation):
        return reverse("characters:variation", args=[character.project.slug, watched.pk])
    return f"{otherwise}?batch={watched.pk}" if watched else otherwise


def _watched(
    request: AuthenticatedRequest, character: Character, variation: str | None, batch: str | None
) -> VariationBatch | Variation | None:
    found: VariationBatch | Variation | None = None
    try:
        if variation:
            found = access_variation(request.user, UUID(variation))
        elif batch:
            found = access_batch(request.user, UUID(batch))
    except ValueError:
        raise Http404 from None
    if found is not None and found.character_id != character.pk:
        raise Http404
    return found


def _region(request: AuthenticatedRequest, character: Character) -> HttpResponse:
    query = request.POST if request.method == "POST" else request.GET
    watched = _watched(request, character, query.get("variation"), query.get("batch"))
    context = measuring_of(request, character, watched) | {"character": character, "watched": watched}
    return render(request, "characters/_measuring.html", context)


@require_safe
@login_required
def measuring(request: AuthenticatedRequest, project: str, pk: UUID) -> HttpResponse:
    """How far the measuring is and, out of band, the places of `?batch=` measured since `?since=`. A page that shows
    one `?variation=` is loaded anew when that was measured."""
    character = find_character(request, project, pk)
    since = _moment(request.GET.get("since", ""))
    watched = _watched(request, character, request.GET.get("variation"), request.GET.get("batch"))
    if isinstance(watched, Variation) and since is not None and watched.measured_at >= since:
        return HttpResponse(headers={"HX-Refresh": "true"})
    context = measuring_of(request, character, watched) | {"character": character, "watched": watched}
    if isinstance(watched, VariationBatch) and since is not None:
        watched.character = character
        audience = verbs_of(request.user, character.project)
        made = queries.variations_of(watched)
        context["news"] = [
            fragments.cell(watched, k, v, audience, outdated=context["outdated"])
            for k, v in made.items()
            if v.measured_at >= since
        ]
    return render(request, "characters/_measuring.html", context)


def _moment(text: str) -> Any:
    try:
        moment = parse_datetime(text)
    except ValueError:
        return None
    return moment if moment is None or timezone.is_aware(moment) else timezone.make_aware(moment)


@require_POST
@login_required
def stop(request: AuthenticatedRequest, project: str, pk: UUID) -> HttpResponse:
    character = find_character(request, project, pk, Verb.GENERATE)
    actions.stop_measuring(character=character, actor=request.user)
    if request.htmx:
        return _region(request, character)
    here = reverse("characters:variations", args=[project, pk])
    return done(request, _back(request, character, here), "Stopped. What was measured stays.")
