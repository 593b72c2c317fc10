"""Pictures against each other: two to four side by side, up to 24 as a contact sheet."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from characters import fragments
from characters.fragments.batches import caption
from characters.models import Reference, Variation
from collaboration.models import Project
from collaboration.permissions import access_project
from collaboration.requests import AuthenticatedRequest

LEAST, SIDE_BY_SIDE, MOST = 2, 4, 24
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWX"


@require_safe
@login_required
def compare(request: AuthenticatedRequest, project: str) -> HttpResponse:
    """`?selected=<uuid>` 2-24 times: variations or references of the project, in the order of the letters."""
    film = access_project(request.user, project)
    ids = list(dict.fromkeys(request.GET.getlist("selected")))
    items = _find(film, ids[:MOST])
    if not items:
        raise Http404
    back = request.GET.get("back", "")
    close_url = _page_of(items[0])
    if len(items) < LEAST:
        messages.warning(request, "Select two or more pictures to compare.")
        return redirect(close_url)
    if len(ids) > MOST:
        messages.warning(request, f"The first {MOST} of {len(ids)} are compared.")
    shown = [_shown(film, item, letter) for item, letter in zip(items, LETTERS, strict=False)]
    keys = [str(item.pk) for item in items]
    for k, one in enumerate(shown):
        # Wipe, flip, blend and difference take the first two: any other comes in front by these links.
        others = [key for n, key in enumerate(keys) if n != k]
        one["front_url"] = f"{request.path}?{urlencode({'selected': [keys[k], *others]}, doseq=True)}" if k else ""
        one["drop_url"] = f"{request.path}?{urlencode({'selected': others}, doseq=True)}" if len(keys) > LEAST else ""
    context: dict[str, Any] = {
        "project": film,
        "items": shown,
        "rows": fragments.compared(items),
        "close_url": close_url,
        "back": back,
        "mode": "sheet" if len(items) > SIDE_BY_SIDE else "side",
    }
    return render(request, "characters/compare.html", context)


def _find(project: Project, ids: list[str]) -> list[Variation | Reference]:
    keys = []
    for id in ids:
        try:
            keys.append(UUID(id))
        except ValueError:
            continue
    made = Variation.objects.filter(pk__in=keys, character__project=project, asset__erased_at=None).select_related(
        "asset", "batch__adapter", "batch__job", "character__project"
    )
    references = Reference.objects.filter(
        pk__in=keys, character__project=project, asset__erased_at=None
    ).select_related("asset", "character__project")
    found: dict[UUID, Variation | Reference] = {v.pk: v for v in made} | {r.pk: r for r in references}
    return [found[key] for key in keys if key in found]


def _page_of(item: Variation | Reference) -> str:
    args = [item.character.project.slug, item.character_id]
    if isinstance(item, Reference):
        return reverse("characters:references", args=args)
    return reverse("characters:variations", args=args) + f"?batch={item.batch_id}"


def _shown(project: Project, item: Variation | Reference, letter: str) -> dict[str, Any]:
    is_made = isinstance(item, Variation)
    title = f"{item.character.name} {item.index + 1}" if isinstance(item, Variation) else item.asset.original_name
    return {
        "letter": letter,
        "key": letter.lower(),
        "title": title,
        "note": _caption(item),
        "picture": fragments.picture(item.asset, alt=title, size=1280),
        "thumb": fragments.picture(item.asset, alt=title, size=160),
        "score": fragments.score(item, project.studio.bands) if isinstance(item, Variation) else None,
        "url": reverse("characters:variation", args=[project.slug, item.pk]) if is_made else item.asset.url(),
    }


def _caption(item: Variation | Reference) -> str:
    if isinstance(item, Reference):
        if item.is_generated:
            return "Reference, generated"
        return "Reference, held out" if item.is_held_out else "Reference"
    return caption(item.axes)
