"""The character sheet: casting a face, ordering the grid, approving its pictures, and the grid as one picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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

from characters import actions, fragments, model_sheet, orders, queries, sheets
from characters.forms import CastingForm, SheetForm, refused_into
from characters.models import Character, CharacterSheet, Reference, SheetTake, VariationBatch
from characters.permissions import access_batch, access_sheet
from characters.variations import Settings
from characters.views.answers import done, find_batch, find_character, find_sheet, find_variation, go, with_toast
from characters.views.detail import frame
from characters.views.variations import estimate_of, fresh_seed, settings_context
from collaboration.permissions import Verb, verbs_of
from collaboration.requests import AuthenticatedRequest
from gpu_worker import actions as jobs
from gpu_worker import catalog

WATCH_SECONDS = 1


# -------------------------------------------------------------------------------------------------------- the page
@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def sheets_page(request: AuthenticatedRequest, project: str, pk: UUID) -> HttpResponse:
    """GET: a sheet (`?sheet=`, else the latest) and the form, which begins with the settings of `?from=` (a sheet); for
    a character whom nobody knows yet, casting. POST: order a sheet."""
    if request.method == "POST":
        return _order(request, find_character(request, project, pk, Verb.GENERATE))
    character = find_character(request, project, pk)
    if request.htmx and "watch" in request.GET:
        return _watched(request, character)
    return _page(request, character)


def _page(
    request: AuthenticatedRequest,
    character: Character,
    *,
    form: SheetForm | None = None,
    casting: CastingForm | None = None,
    status: int = 200,
) -> HttpResponse:
    context = frame(request, character, "sheets")
    audience = context["audience"]
    shown = _shown(request, character)
    context |= _region(character, shown, audience)
    if context["stage"] == "sheet" and context["can_generate"]:
        context |= _form_context(character, form or _new_form(request, character))
    if context["stage"] == "casting":
        context |= _casting_context(character, audience, casting)
    return render(request, "characters/sheets.html", context, status=status)


def _shown(request: AuthenticatedRequest, character: Character) -> CharacterSheet | None:
    wanted = request.GET.get("sheet") or request.GET.get("from")
    if not wanted:
        return next(iter(sheets.sheets_of(character)), None)
    try:
        sheet = access_sheet(request.user, UUID(wanted))
    except ValueError:
        raise Http404 from None
    if sheet.character_id != character.pk:
        raise Http404
    return sheet


def _region(character: Character, shown: CharacterSheet | None, audience: Iterable[Verb]) -> dict[str, Any]:
    """Context of characters/_sheets.html, and `stage`: what the page is about.

    `sheet` where it is known who this is; else `checking` or `unusable` where there are references; else `casting`.
    """
    own = sheets.sheets_of(character)
    for one in own:
        one.character = character
    found = {f.sheet.pk: f for f in sheets.fill(own)}
    present = list(character.references.present().values_list("verdict", flat=True))
    stage = "casting"
    if sheets.is_known(character):
        stage = "sheet"
    elif Reference.CHECKING in present:
        stage = "checking"
    elif present:
        stage = "unusable"
    return {
        "stage": stage,
        "character": character,
        "sheet": fragments.sheet(found[shown.pk], set(audience)) if shown is not None else None,
        "others": [fragments.sheet_card(f) for pk, f in found.items() if shown is None or pk != shown.pk],
        "references_url": reverse("characters:references", args=[character.project.slug, character.pk]),
        "watch_url": f"{reverse('characters:sheets', args=[character.project.slug, character.pk])}?watch=1",
        "watch_seconds": WATCH_SECONDS,
    }


def _watched(request: AuthenticatedRequest, character: Character) -> HttpResponse:
    """While references are being checked: the same again; then the whole page."""
    context = _region(character, None, verbs_of(request.user, character.project))
    if context["stage"] != "checking":
        return HttpResponse(headers={"HX-Refresh": "true"})
    return render(request, "characters/_sheet_checking.html", context)


# ------------------------------------------------------------------------------------------------------ the order
def _form(character: Character, data: Any = None, settings: Settings | None = None) -> SheetForm:
    return SheetForm(
        data,
        pack=catalog.default_pack(),
        settings=settings,
        has_adapter=queries.active_adapter(character) is not None,
    )


def _new_form(request: AuthenticatedRequest, character: Character) -> SheetForm:
    again = _shown(request, character) if request.GET.get("from") else None
    first = again.batches.order_by("created_at", "id").first() if again is not None else None
    if first is not None:
        return _form(character, settings=fresh_seed(Settings.from_json(first.settings)))
    return _form(character, settings=sheets.default_settings(character))


def _form_context(character: Character, form: SheetForm) -> dict[str, Any]:
    """Context of characters/_sheet_order.html."""
    args = [character.project.slug, character.pk]
    return settings_context(character, form) | {
        "action": reverse("characters:sheets", args=args),
        "estimate_url": reverse("characters:sheet_estimate", args=args),
        "estimate": estimate_of(character, form, sheets.propose) | {"verb": "Generate sheet of"},
    }


@require_safe
@login_required
def estimate(request: AuthenticatedRequest, project: str, pk: UUID) -> HttpResponse:
    """What the form as it is filled in now would make."""
    character = find_character(request, project, pk, Verb.GENERATE)
    context = estimate_of(character, _form(character, request.GET), sheets.propose) | {"verb": "Generate sheet of"}
    return render(request, "characters/_estimate.html", {"estimate": context})


def _order(request: AuthenticatedRequest, character: Character) -> HttpResponse:
    form = _form(character, request.POST)
    if form.is_valid():
        with refused_into(form):
            sheet = actions.order_sheet(character=character, settings=form.settings(), actor=request.user)
            return go(request, sheet.get_absolute_url())
    if request.htmx:
        return render(request, "characters/_sheet_order.html", _form_context(character, form), status=422)
    return _page(request, character, form=form, status=422)


# ---------------------------------------------------------------------------------------------------- while it is made
@require_safe
@login_required
def progress(request: AuthenticatedRequest, project: str, sheet_id: UUID) -> HttpResponse:
    """How far a sheet is, and the cells that hold something else than `?have=` says (`place.takes`, separated by
    commas)."""
    sheet = find_sheet(request, project, sheet_id)
    return _news(request, sheet, request.GET.get("have", ""))


def _news(request: AuthenticatedRequest, sheet: CharacterSheet, have: str) -> HttpResponse:
    found = sheets.filled(sheet)
    audience = verbs_of(request.user, sheet.character.project)
    known = set(have.split(","))
    # Cells that are still empty change with the state of the jobs: all of them come along when the last one ends.
    is_over = all(batch.job.has_ended for batch in found.batches)
    changed = [c for c in found.cells if is_over or f"{c.row.place}.{len(c.takes)}" not in known]
    context = {
        "progress": fragments.sheet_progress(found, audience),
        "head": fragments.sheet_head(found, audience),
        "cells": [fragments.sheet_cell(found, c, audience) for c in changed],
        "sheet_id": sheet.pk,
    }
    return render(request, "characters/_sheet_news.html", context)


@require_POST
@login_required
def job(request: AuthenticatedRequest, project: str, sheet_id: UUID, what: str) -> HttpResponse:
    """`cancel` all that is still to be made for the sheet, or `retry` what is missing of its latest order."""
    sheet = find_sheet(request, project, sheet_id, Verb.GENERATE)
    batches = list(sheet.batches.select_related("job", "character__project").order_by("-created_at", "-id"))
    if what == "cancel":
        batches = [b for b in batches if not b.job.has_ended]
    refused = _steer(batches if what == "cancel" else batches[:1], what, request)
    if not request.htmx:
        if refused:
            messages.error(request, refused)
        return redirect(sheet.get_absolute_url())
    response = _news(request, access_sheet(request.user, sheet.pk), "")
    return with_toast(response, refused, kind="attention") if refused else response


def _steer(batches: Iterable[VariationBatch], what: str, request: AuthenticatedRequest) -> str:
    """Cancel or retry; returns why it was refused. Raises Http404 for anything else."""
    do: Callable[..., None] | None = {"cancel": orders.cancel_batch, "retry": orders.retry_batch}.get(what)
    if do is None:
        raise Http404
    try:
        for batch in batches:
            do(batch=batch, actor=request.user)
    except jobs.NotNow as refusal:
        return str(refusal.messages[0])
    return ""


# -------------------------------------------------------------------------------------------------------- deciding
@require_POST
@login_required
def approve(request: AuthenticatedRequest, project: str, sheet_id: UUID) -> HttpResponse:
    """Approve the pictures named by `take` (ids of variations, in the form or, for an undo, in the address)."""
    return _decide(request, project, sheet_id, actions.approve_takes, "approved", "sheet_reopen")


@require_POST
@login_required
def reject(request: AuthenticatedRequest, project: str, sheet_id: UUID) -> HttpResponse:
    return _decide(request, project, sheet_id, actions.reject_takes, "rejected", "sheet_reopen")


@require_POST
@login_required
def reopen(request: AuthenticatedRequest, project: str, sheet_id: UUID) -> HttpResponse:
    """Take decisions back."""
    return _decide(request, project, sheet_id, actions.reopen_takes, "open again", "")


def _decide(
    request: AuthenticatedRequest,
    project: str,
    sheet_id: UUID,
    do: Callable[..., list[SheetTake]],
    word: str,
    undo: str,
) -> HttpResponse:
    sheet = find_sheet(request, project, sheet_id, Verb.APPROVE)
    takes = _takes(request, sheet)
    before = {t.cell_id: t for t in SheetTake.objects.filter(cell__sheet=sheet, verdict=SheetTake.APPROVED)}
    try:
        changed = do(sheet=sheet, takes=takes, actor=request.user)
    except ValidationError as error:
        return _decided(request, sheet, takes, error.messages[0], kind="attention")
    if not changed:
        words = "Select at least one picture first." if not takes else f"Already {word}."
        return _decided(request, sheet, takes, words, kind="attention")
    url = reverse(f"characters:{undo}", args=[project, sheet_id]) if undo else ""
    query = [("take", t.variation_id) for t in changed]
    if len(changed) == 1 and word != "rejected" and (old := before.get(changed[0].cell_id)):
        # Undoing the change of the one picture that a cell holds brings the former one back.
        url, query = reverse("characters:sheet_approve", args=[project, sheet_id]), [("take", old.variation_id)]
    words = f"One picture {word}." if len(changed) == 1 else f"{len(changed)} pictures {word}."
    return _decided(request, sheet, changed, words, undo_url=f"{url}?{urlencode(query)}" if url else "")


def _takes(request: AuthenticatedRequest, sheet: CharacterSheet) -> list[SheetTake]:
    ids = []
    for text in (request.POST.getlist("take") or request.GET.getlist("take"))[:200]:
        try:
            ids.append(UUID(text))
        except ValueError:
            continue
    return list(SheetTake.objects.filter(cell__sheet=sheet, variation__in=ids).select_related("cell"))


def _decided(
    request: AuthenticatedRequest,
    sheet: CharacterSheet,
    takes: Iterable[SheetTake],
    words: str,
    *,
    kind: str = "good",
    undo_url: str = "",
) -> HttpResponse:
    """For htmx the cell anew, where it is a cell that asked, or the whole sheet; else the page."""
    target = request.htmx.target if request.htmx else None
    place = next((t.cell.place for t in takes), None)
    if target not in (f"sheet-cell-{place}", f"sheet-{sheet.pk}"):
        if kind != "good":
            messages.warning(request, words)
            return go(request, sheet.get_absolute_url())
        return done(request, sheet.get_absolute_url(), words, undo_url=undo_url)
    fresh = access_sheet(request.user, sheet.pk)
    found = sheets.filled(fresh)
    audience = verbs_of(request.user, fresh.character.project)
    context = frame(request, fresh.character, "sheets")
    if target == f"sheet-{sheet.pk}":
        context["sheet"] = fragments.sheet(found, audience)
        response = render(request, "characters/_sheet_anew.html", context)
    else:
        cell = next(c for c in found.cells if c.row.place == place)
        context |= {
            "cell": fragments.sheet_cell(found, cell, audience),
            "sheet_id": fresh.pk,
            "head": fragments.sheet_head(found, audience),
        }
        response = render(request, "characters/_sheet_cell_news.html", context)
    return with_toast(response, words, kind=kind, undo_url=undo_url)


@require_POST
@login_required
def again(request: AuthenticatedRequest, project: str, sheet_id: UUID, place: int) -> HttpResponse:
    """Another take of one cell."""
    sheet = find_sheet(request, project, sheet_id, Verb.GENERATE)
    cell = get_object_or_404(sheet.cells.select_related("sheet__character__project"), place=place)
    try:
        actions.order_takes(cell=cell, actor=request.user)
    except ValidationError as error:
        if request.htmx:
            return with_toast(HttpResponse(status=204), error.messages[0], kind="problem")
        messages.error(request, error.messages[0])
    if not request.htmx:
        return redirect(sheet.get_absolute_url())
    fresh = access_sheet(request.user, sheet.pk)
    context = {
        "sheet": fragments.sheet(sheets.filled(fresh), verbs_of(request.user, fresh.character.project)),
        "project": fresh.character.project,
    }
    return render(request, "characters/_sheet.html", context)


@require_safe
@login_required
def picture(request: AuthenticatedRequest, project: str, sheet_id: UUID) -> HttpResponse:
    """The sheet as one PNG, with labels."""
    sheet = find_sheet(request, project, sheet_id)
    return png(sheet)


def png(sheet: CharacterSheet) -> HttpResponse:
    """Made anew at each request: what is approved may have changed."""
    response = HttpResponse(model_sheet.png(sheets.filled(sheet)), content_type="image/png")
    response["Cache-Control"] = "private, no-cache"
    return response


# --------------------------------------------------------------------------------------------------------- casting
def _casting_context(character: Character, audience: Iterable[Verb], form: CastingForm | None = None) -> dict[str, Any]:
    """Context of characters/_casting.html."""
    batch = sheets.faces_of(character)
    if batch is not None:
        batch.character = character
    made = queries.variations_of(batch) if batch is not None else {}
    verbs = set(audience)
    return {
        "faces": fragments.faces(batch, made, verbs) if batch is not None else None,
        "casting": form or CastingForm.for_character(character),
        "cast_url": reverse("characters:faces", args=[character.project.slug, character.pk]),
        "can_cast": {Verb.GENERATE, Verb.EDIT} <= verbs,
        "pack": catalog.default_pack(),
    }


@require_POST
@login_required
def cast(request: AuthenticatedRequest, project: str, pk: UUID) -> HttpResponse:
    """Order faces from words alone; the words are kept with the character."""
    character = find_character(request, project, pk, Verb.GENERATE)
    find_character(request, project, pk, Verb.EDIT)
    form = CastingForm(request.POST)
    if form.is_valid():
        with refused_into(form):
            actions.order_faces(character=character, actor=request.user, **form.values())
            return go(request, reverse("characters:sheets", args=[project, pk]))
    character.refresh_from_db()
    if request.htmx:
        audience = verbs_of(request.user, character.project)
        context = {"character": character} | _casting_context(character, audience, form)
        return render(request, "characters/_casting_form.html", context, status=422)
    return _page(request, character, casting=form, status=422)


@require_safe
@login_required
def faces_progress(request: AuthenticatedRequest, project: str, batch_id: UUID) -> HttpResponse:
    """How far the faces are, and those that are not among `?have=` (places, separated by commas) yet."""
    return _faces_news(request, _faces(request, project, batch_id, Verb.SEE), request.GET.get("have", ""))


def _faces(request: AuthenticatedRequest, project: str, batch_id: UUID, verb: Verb) -> VariationBatch:
    batch = find_batch(request, project, batch_id, verb)
    if not batch.is_casting:
        raise Http404
    return batch


def _faces_news(request: AuthenticatedRequest, batch: VariationBatch, have: str) -> HttpResponse:
    made = queries.variations_of(batch)
    audience = verbs_of(request.user, batch.character.project)
    known = set(have.split(","))
    places = range(len(batch.plan)) if batch.job.has_ended or not have else sorted(made)
    context = {
        "progress": fragments.faces_progress(batch, made, audience),
        "news": [fragments.face(batch, k, made.get(k), audience) for k in places if str(k) not in known],
    }
    return render(request, "characters/_faces_news.html", context)


@require_POST
@login_required
def faces_job(request: AuthenticatedRequest, project: str, batch_id: UUID, what: str) -> HttpResponse:
    batch = _faces(request, project, batch_id, Verb.GENERATE)
    refused = _steer([batch], what, request)
    if not request.htmx:
        if refused:
            messages.error(request, refused)
        return redirect(reverse("characters:sheets", args=[project, batch.character_id]))
    response = _faces_news(request, access_batch(request.user, batch.pk), "")
    return with_toast(response, refused, kind="attention") if refused else response


@require_POST
@login_required
def choose(request: AuthenticatedRequest, project: str, variation_id: UUID) -> HttpResponse:
    """Make a cast face the character's."""
    row = find_variation(request, project, variation_id, Verb.EDIT)
    here = reverse("characters:sheets", args=[project, row.character_id])
    try:
        reference = actions.choose_face(variation=row, actor=request.user)
    except ValidationError as error:
        messages.error(request, error.messages[0])
        return go(request, here)
    undo = reverse("characters:reference_trash", args=[project, row.character_id, reference.pk])
    return done(request, here, f"This is {row.character.name} now. Next: the character sheet.", undo_url=undo)
