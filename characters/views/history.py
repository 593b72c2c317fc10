"""The history of a character: what each revision changed, and going back."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from characters import actions, fragments, queries, subjects
from characters.fragments.history import Pictures
from characters.history import LABELS
from characters.models import Character
from characters.permissions import require_roll_back, require_undo
from characters.views.answers import done, find_character, go
from characters.views.detail import frame
from collaboration import revisions
from collaboration.events import in_words
from collaboration.models import Revision
from collaboration.permissions import Verb, verbs_of
from collaboration.requests import AuthenticatedRequest


@require_safe
@login_required
def history(request: AuthenticatedRequest, project: str, pk: UUID) -> HttpResponse:
    """`?before=` is the number before which a page ends, `?field=` shows only what changed that field."""
    character = find_character(request, project, pk)
    text = request.GET.get("before", "")
    before = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
    field = request.GET.get("field", "")
    page = queries.history_of(character, before=before, field=field if field in LABELS else "")
    here = reverse("characters:history", args=[project, pk])
    context = frame(request, character, "history") | {
        "rows": _rows(request, character, page.pairs),
        "next_url": f"{here}?before={page.older}" + (f"&field={field}" if field in LABELS else "")
        if page.older
        else "",
        "fields": [{"label": "Everything", "url": here, "current": field not in LABELS, "count": None}]
        + [
            {"label": label, "url": f"{here}?field={key}", "current": key == field, "count": None}
            for key, label in LABELS.items()
            if key != "trashed"
        ],
    }
    template = "characters/_revisions.html" if request.htmx and before is not None else "characters/history.html"
    return render(request, template, context)


def _rows(
    request: AuthenticatedRequest, character: Character, pairs: list[tuple[Revision, Revision | None]]
) -> list[dict[str, Any]]:
    pictures = Pictures(r.snapshot for pair in pairs for r in pair if r is not None)
    now = subjects.snapshot(character)
    verbs = set() if character.trashed_at is not None else verbs_of(request.user, character.project)
    rows = []
    for revision, earlier in pairs:
        row = fragments.revision(revision, earlier, pictures, character=character, now=now)
        own = revision.author_id == request.user.pk and Verb.ROLL_BACK_OWN in verbs
        row["can_undo"] = not row["is_first"] and (own or Verb.ROLL_BACK in verbs)
        row["can_roll_back"] = not row["is_present"] and Verb.ROLL_BACK in verbs
        rows.append(row)
    return rows


@require_safe
@login_required
def revision(request: AuthenticatedRequest, project: str, pk: UUID, number: int) -> HttpResponse:
    """One revision beside the one before it: every field, and its picture against the picture before."""
    character = find_character(request, project, pk)
    row = _find(character, number)
    earlier = revisions.before(row)
    shown = _rows(request, character, [(row, earlier)])[0]
    pictures = Pictures(r.snapshot for r in (row, earlier) if r is not None)
    sides = [(r, r.snapshot.get("picture")) for r in (earlier, row) if r is not None and r.snapshot.get("picture")]
    compared = None
    if len(sides) == 2 and sides[0][1] != sides[1][1]:
        found = [pictures.shown("picture", [asset], size=1280)[0] for _, asset in sides]
        if all(found):
            compared = [
                {"picture": one, "title": f"Revision {r.number}", "note": r.reason}
                for (r, _), one in zip(sides, found, strict=True)
            ]
    head = revisions.head("character", character.pk)
    here = "characters:revision"
    context = frame(request, character, "history") | {
        "row": shown,
        "compared": compared,
        "earlier_url": reverse(here, args=[project, pk, earlier.number]) if earlier else "",
        "later_url": reverse(here, args=[project, pk, number + 1]) if number < head else "",
        "back_url": reverse("characters:history", args=[project, pk]),
    }
    return render(request, "characters/revision.html", context)


@require_POST
@login_required
def roll_back(request: AuthenticatedRequest, project: str, pk: UUID, number: int) -> HttpResponse:
    """To that revision, or with `field` (of the snapshot) only that field of it."""
    character = find_character(request, project, pk, Verb.ROLL_BACK_OWN)
    row = _find(character, number)
    field = request.POST.get("field", "")
    if field and field not in actions.RESTORABLE:
        raise Http404
    keys = [field] if field else list(actions.RESTORABLE)
    require_roll_back(request.user, character, keys, since=number)
    try:
        went = actions.roll_back(character=character, revision=row, actor=request.user, keys=keys)
    except ValidationError as error:
        return _refused(request, character, error)
    what = f"{LABELS[field]} of revision {number} is" if field else f"{character.name} is at revision {number}"
    words = f"{what} back." if field else f"{what} again."
    return _went(request, character, went, words if went.changed else "Nothing differs from that revision.")


@require_POST
@login_required
def undo(request: AuthenticatedRequest, project: str, pk: UUID, number: int) -> HttpResponse:
    """Take back one revision. What somebody changed again since stays, and is said."""
    character = find_character(request, project, pk, Verb.ROLL_BACK_OWN)
    row = _find(character, number)
    require_undo(request.user, character, row)
    try:
        went = actions.undo_revision(character=character, revision=row, actor=request.user)
    except ValidationError as error:
        return _refused(request, character, error)
    return _went(request, character, went, f"Taken back: {row.reason}." if went.changed else "Nothing was taken back.")


def _find(character: Character, number: int) -> Revision:
    row = revisions.find("character", character.pk, number)
    if row is None:
        raise Http404
    return row


def _refused(request: AuthenticatedRequest, character: Character, error: ValidationError) -> HttpResponse:
    messages.error(request, " ".join(error.messages))
    return go(request, reverse("characters:history", args=[character.project.slug, character.pk]))


def _went(request: AuthenticatedRequest, character: Character, went: actions.WentBack, words: str) -> HttpResponse:
    here = reverse("characters:history", args=[character.project.slug, character.pk])
    by: dict[str, list[str]] = {}
    for kept in went.kept:
        by.setdefault(kept.by.display_name if kept.by else "Somebody", []).append(LABELS[kept.key].lower())
    for who, keys in by.items():
        messages.warning(request, f"{who} has changed {in_words(keys)} since. That stays as it is.")
    if went.lost:
        pictures = "1 picture was" if went.lost == 1 else f"{went.lost} pictures were"
        messages.warning(request, f"{pictures} erased or moved since and cannot come back.")
    if not went.changed:
        messages.info(request, words)
        return go(request, here)
    number = revisions.head("character", character.pk)
    undo = reverse("characters:revision_undo", args=[character.project.slug, character.pk, number])
    return done(request, here, words, undo_url=undo)
