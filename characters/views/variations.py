"""Variations: ordering a batch, watching it fill, choosing from it."""

from __future__ import annotations

import math
from collections.abc import Callable
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

from characters import actions, fragments, orders, queries
from characters.forms import OrderForm, refused_into
from characters.fragments.batches import caption, pictures, seconds
from characters.models import Character, Preset, Reference, Variation, VariationBatch
from characters.permissions import access_batch, access_reference, access_variation
from characters.variations import MOST, SEEDS, Settings
from characters.views.annotating import surface_of
from characters.views.answers import done, find_batch, find_character, find_variation, go, votes_on, with_toast
from characters.views.detail import frame
from characters.views.measurements import measuring_of
from collaboration.permissions import Verb, access_project, verbs_of
from collaboration.requests import AuthenticatedRequest
from gpu_worker import actions as jobs
from gpu_worker import catalog, selection


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def variations(request: AuthenticatedRequest, project: str, pk: UUID) -> HttpResponse:
    """GET: a batch (`?batch=`, else the latest), the form, earlier batches (`?after=`). POST: order a batch.

    The form begins with the settings of the batch shown, or of what `?from=` (a batch), `?variation=`, `?reference=`
    (a file that told how it was made) or `?preset=` name.
    """
    if request.method == "POST":
        return _order(request, find_character(request, project, pk, Verb.GENERATE))
    character = find_character(request, project, pk)
    after = request.GET.get("after", "")
    if request.htmx and after:
        shown = _shown_batch(request, character)
        return render(request, "characters/_earlier.html", _earlier(character, after=after, but=shown))
    shown = _shown_batch(request, character)
    context = frame(request, character, "variations")
    context |= _region(request, character, shown)
    if context["can_generate"]:
        context |= _form_context(request, character, _new_form(request, character, shown))
    return render(request, "characters/variations.html", context)


def _shown_batch(request: AuthenticatedRequest, character: Character) -> VariationBatch | None:
    wanted = request.GET.get("batch") or request.GET.get("from")
    if not wanted:
        return queries.latest_batch(character)
    try:
        batch = access_batch(request.user, UUID(wanted))
    except ValueError:
        raise Http404 from None
    if batch.character_id != character.pk:
        raise Http404
    return batch


def _region(request: AuthenticatedRequest, character: Character, shown: VariationBatch | None) -> dict[str, Any]:
    """Context of characters/_batches.html."""
    audience = verbs_of(request.user, character.project)
    if character.trashed_at is not None:
        audience &= {Verb.SEE}
    measuring = measuring_of(request, character, shown)
    batch = None
    if shown is not None:
        shown.character = character
        made = queries.variations_of(shown)
        batch = fragments.batch(shown, made, audience, outdated=measuring["outdated"])
    slug = character.project.slug
    return {
        "batch": batch,
        "character": character,
        "compare_url": reverse("characters:compare", args=[slug]),
        "measure_url": measuring["measuring"]["measure_url"],
        "measuring": measuring["measuring"],
        "watched": shown,
        "can_review": Verb.CREATE in audience,
    } | _earlier(character, but=shown)


def _earlier(character: Character, *, after: str = "", but: VariationBatch | None = None) -> dict[str, Any]:
    try:
        found = queries.batches_of(character, after=after, but=but)
    except ValidationError:
        raise Http404 from None
    for row in found.batches:
        row.character = character
    here = reverse("characters:variations", args=[character.project.slug, character.pk])
    kept = {"batch": str(but.pk)} if but is not None else {}
    return {
        "earlier": [fragments.batch_card(row) for row in found.batches],
        "next_url": f"{here}?{urlencode(kept | {'after': found.next})}" if found.next else "",
    }


# -------------------------------------------------------------------------------------------------------- the form
def _new_form(request: AuthenticatedRequest, character: Character, shown: VariationBatch | None) -> OrderForm:
    settings = _settings_from(request, character)
    if settings is None and shown is not None:
        settings = fresh_seed(Settings.from_json(shown.settings))
    return _form(character, settings=settings)


def _form(character: Character, data: Any = None, settings: Settings | None = None) -> OrderForm:
    adapter = queries.active_adapter(character)
    return OrderForm(data, pack=catalog.default_pack(), settings=settings, has_adapter=adapter is not None)


def _settings_from(request: AuthenticatedRequest, character: Character) -> Settings | None:
    query = request.GET
    try:
        if preset := query.get("preset"):
            found = get_object_or_404(Preset.objects.present(), project=character.project, pk=int(preset))
            return Settings.from_json(found.settings)
        if batch := query.get("from"):
            settings = Settings.from_json(access_batch(request.user, UUID(batch)).settings)
            return settings if query.get("seed") == "same" else fresh_seed(settings)
        if variation := query.get("variation"):
            return orders.settings_of(access_variation(request.user, UUID(variation)))
        if reference := query.get("reference"):
            return _settings_in(access_reference(request.user, UUID(reference)))
    except ValueError:
        raise Http404 from None
    return None


def fresh_seed(settings: Settings) -> Settings:
    return Settings.from_json(settings.as_json() | {"seed": None})


def _settings_in(reference: Reference) -> Settings:
    """Those that the uploaded file told of itself, as far as they fit here."""
    found = reference.asset.settings_found
    if found is None:
        return Settings()
    guidance = found.cfg if found.cfg is not None and 1 <= found.cfg <= 30 else None
    return Settings(
        text=found.prompt[:1000],
        negative_prompt=found.negative_prompt[:1000] or None,
        steps=min(150, found.steps) if found.steps else None,
        guidance=guidance if guidance is None or math.isfinite(guidance) else None,
        seed=found.seed % SEEDS if found.seed is not None else None,
    )


def _form_context(request: AuthenticatedRequest, character: Character, form: OrderForm) -> dict[str, Any]:
    """Context of characters/_order.html."""
    args = [character.project.slug, character.pk]
    here = reverse("characters:variations", args=args)
    reference = request.GET.get("reference")
    return settings_context(character, form) | {
        "action": here,
        "estimate_url": reverse("characters:estimate", args=args),
        "estimate": estimate_of(character, form),
        "presets": [
            {"name": p.name, "url": f"{here}?preset={p.pk}#order", "trash_url": _preset_url("trash", p)}
            for p in queries.presets_of(character.project)
        ],
        "preset_url": reverse("characters:preset_save", args=args),
        "taken_from": reference,
    }


def settings_context(character: Character, form: OrderForm) -> dict[str, Any]:
    """What every form that orders pictures shows: context of characters/_settings.html."""
    adapter = queries.active_adapter(character)
    tiers = selection.tiers_explained(adapter=adapter, pack=form.pack, has_profile=queries.has_profile(character))
    chosen = form["tier"].value() or selection.AUTO
    if not form.is_bound and not next((t["available"] for t in tiers if t["tier"] == chosen), False):
        chosen = selection.AUTO
    return {
        "form": form,
        "character": character,
        "pack": form.pack,
        "adapter": adapter,
        "tiers": [t | {"checked": t["tier"] == chosen} for t in tiers],
    }


def _preset_url(what: str, preset: Preset) -> str:
    return reverse(f"characters:preset_{what}", args=[preset.project.slug, preset.pk])


def estimate_of(
    character: Character, form: OrderForm, propose: Callable[..., orders.Proposal] = orders.propose
) -> dict[str, Any]:
    """Context of characters/_estimate.html: how many, how long, why this tier, and words the model does not know.

    `propose`: what works the order out.
    """
    if form.is_bound:
        if not form.is_valid():
            return {"problems": [m for messages in form.errors.values() for m in messages]}
        settings = form.settings()
    else:
        settings = form.wanted
    try:
        proposal = propose(character=character, settings=settings)
    except ValidationError as error:
        return {"problems": error.messages}
    count = len(proposal.plan)
    return {
        "count": count,
        "words": f"{pictures(count)}, about {seconds(proposal.seconds)}",
        "reason": proposal.choice.reason,
        "unknown": proposal.unknown_words,
        "pack": proposal.choice.pack,
        "example": proposal.plan[0]["prompt"],
        "most": MOST,
    }


@require_safe
@login_required
def estimate(request: AuthenticatedRequest, project: str, pk: UUID) -> HttpResponse:
    """What the form as it is filled in now would make. Asked while it is being filled in."""
    character = find_character(request, project, pk, Verb.GENERATE)
    context = estimate_of(character, _form(character, request.GET))
    return render(request, "characters/_estimate.html", {"estimate": context})


def _order(request: AuthenticatedRequest, character: Character) -> HttpResponse:
    form = _form(character, request.POST)
    slug = character.project.slug
    here = reverse("characters:variations", args=[slug, character.pk])
    if form.is_valid():
        with refused_into(form):
            batch = orders.order_variations(character=character, settings=form.settings(), actor=request.user)
            address = f"{here}?batch={batch.pk}"
            if not request.htmx:
                return redirect(address)
            shown = access_batch(request.user, batch.pk)
            response = render(request, "characters/_batches.html", _region(request, character, shown), status=201)
            response["HX-Push-Url"] = address
            return response
    if request.htmx:
        response = render(request, "characters/_order.html", _form_context(request, character, form), status=422)
        response["HX-Retarget"], response["HX-Reswap"] = "#order", "outerHTML"
        return response
    context = frame(request, character, "variations")
    context |= _region(request, character, queries.latest_batch(character))
    context |= _form_context(request, character, form)
    return render(request, "characters/variations.html", context, status=422)


# --------------------------------------------------------------------------------------------------------- presets
@require_POST
@login_required
def preset_save(request: AuthenticatedRequest, project: str, pk: UUID) -> HttpResponse:
    """Keep what the form varies under a name."""
    character = find_character(request, project, pk, Verb.GENERATE)
    form = _form(character, request.POST)
    here = reverse("characters:variations", args=[project, pk])
    if form.is_valid():
        with refused_into(form):
            preset = orders.save_preset(
                project=character.project,
                name=request.POST.get("preset_name", ""),
                settings=form.settings(),
                actor=request.user,
            )
            return done(request, f"{here}?preset={preset.pk}#order", f"Preset {preset.name} saved.")
    problems = [m for errors in form.errors.values() for m in errors]
    if request.htmx:
        context = _form_context(request, character, form) | {"preset_problem": problems[0]}
        response = render(request, "characters/_order.html", context, status=422)
        response["HX-Retarget"], response["HX-Reswap"] = "#order", "outerHTML"
        return response
    messages.error(request, str(problems[0]))
    return go(request, here)


def _preset(request: AuthenticatedRequest, project: str, preset_id: int) -> Preset:
    film = access_project(request.user, project, verb=Verb.GENERATE)
    return get_object_or_404(Preset.objects.select_related("project"), project=film, pk=preset_id)


@require_POST
@login_required
def preset_trash(request: AuthenticatedRequest, project: str, preset_id: int) -> HttpResponse:
    preset = _preset(request, project, preset_id)
    orders.trash_preset(preset=preset, actor=request.user)
    back = request.headers.get("Referer", "")
    text, undo = f"Preset {preset.name} deleted.", _preset_url("restore", preset)
    if request.htmx:
        return with_toast(HttpResponse(), text, undo_url=undo)
    return done(request, _own(request, back, project), text, undo_url=undo)


@require_POST
@login_required
def preset_restore(request: AuthenticatedRequest, project: str, preset_id: int) -> HttpResponse:
    preset = _preset(request, project, preset_id)
    orders.restore_preset(preset=preset, actor=request.user)
    if request.htmx:
        return HttpResponse(headers={"HX-Refresh": "true"})
    return done(request, _own(request, request.headers.get("Referer", ""), project), f"Preset {preset.name} is back.")


def _own(request: AuthenticatedRequest, address: str, project: str) -> str:
    """Back to where the request came from, if that is a page of ours."""
    ours = request.build_absolute_uri("/")
    return address if address.startswith(ours) else reverse("characters:gallery", args=[project])


# ---------------------------------------------------------------------------------------------------- a batch
@require_safe
@login_required
def batch_progress(request: AuthenticatedRequest, project: str, batch_id: UUID) -> HttpResponse:
    """How far a batch is, and the pictures that are not among `?have=` (places, separated by commas) yet."""
    batch = find_batch(request, project, batch_id)
    return _progress(request, batch, request.GET.get("have", ""))


def _progress(request: AuthenticatedRequest, batch: VariationBatch, have: str) -> HttpResponse:
    made = queries.variations_of(batch)
    audience = verbs_of(request.user, batch.character.project)
    known = set(have.split(","))
    # Places that are still empty change with the state of the job: all of them come along when it ends.
    places = range(len(batch.plan)) if batch.job.has_ended or not have else sorted(made)
    context: dict[str, Any] = {
        "progress": fragments.batch_progress(batch, made, audience),
        "news": [fragments.cell(batch, k, made.get(k), audience) for k in places if str(k) not in known],
    }
    if batch.job.has_ended:  # another model may have been asked to measure what this one made
        context |= {"measuring": measuring_of(request, batch.character, batch)["measuring"], "watched": batch}
    return render(request, "characters/_batch_news.html", context)


def _after_job(request: AuthenticatedRequest, batch: VariationBatch) -> HttpResponse:
    if request.htmx:
        fresh = access_batch(request.user, batch.pk)
        made = ",".join(str(k) for k in queries.variations_of(fresh))
        return _progress(request, fresh, made)
    args = [batch.character.project.slug, batch.character_id]
    return redirect(reverse("characters:variations", args=args) + f"?batch={batch.pk}")


@require_POST
@login_required
def batch_cancel(request: AuthenticatedRequest, project: str, batch_id: UUID) -> HttpResponse:
    batch = find_batch(request, project, batch_id, Verb.GENERATE)
    orders.cancel_batch(batch=batch, actor=request.user)
    return _after_job(request, batch)


@require_POST
@login_required
def batch_retry(request: AuthenticatedRequest, project: str, batch_id: UUID) -> HttpResponse:
    """Make what is missing of a failed or cancelled batch."""
    batch = find_batch(request, project, batch_id, Verb.GENERATE)
    try:
        orders.retry_batch(batch=batch, actor=request.user)
    except jobs.NotNow as refusal:
        if request.htmx:
            return with_toast(_after_job(request, batch), refusal.messages[0], kind="attention")
        messages.error(request, refusal.messages[0])
    return _after_job(request, batch)


# -------------------------------------------------------------------------------------------------- one picture
@require_safe
@login_required
def variation(request: AuthenticatedRequest, project: str, variation_id: UUID) -> HttpResponse:
    """One picture, large, with everything that is known about how it was made."""
    found = find_variation(request, project, variation_id)
    found.batch.character = found.character
    audience = verbs_of(request.user, found.character.project)
    named = {*((found.provenance.get("image_prompt") or {}).get("references") or ()), *fragments.named_in(found)}
    rows = Reference.objects.filter(pk__in=named, asset__erased_at=None).select_related("asset")
    references = {str(r.pk): r for r in rows}
    measuring = measuring_of(request, found.character, found)
    before, after = queries.neighbours_of(found)
    bands = found.character.project.studio.bands
    reference = found.character.references.usable().order_by("added_at").first()
    args = [project, found.character_id]
    context = {
        "project": found.character.project,
        "character": found.character,
        "variation": found,
        "cell": fragments.cell(found.batch, found.index, found, audience),
        "picture": fragments.picture(found.asset, alt=found.prompt, size=1280),
        "small_original": found.asset.width is not None and found.asset.width <= 256,
        "annotate": surface_of(request, "variation", found.pk),
        "score": fragments.score(found, bands),
        "votes": votes_on(request, "variation", found.pk),
        "beside": fragments.beside(found, references, bands),
        "history": fragments.history(queries.measurements_of(found), bands),
        "measuring": measuring["measuring"],
        "measure_url": measuring["measuring"]["measure_url"] if found.trashed_at is None else "",
        "facts": fragments.facts(found, references),
        "caption": caption(found.axes),
        "is_reference": Reference.objects.present().filter(made_from=found).exists(),
        "batch_url": reverse("characters:variations", args=args) + f"?batch={found.batch_id}",
        "before_url": reverse("characters:variation", args=[project, before.pk]) if before else "",
        "after_url": reverse("characters:variation", args=[project, after.pk]) if after else "",
        "compare_url": reverse("characters:compare", args=[project]) + f"?selected={found.pk}&selected={reference.pk}"
        if reference
        else "",
    }
    return render(request, "characters/variation.html", context)


def _cell_or_page(request: AuthenticatedRequest, row: Variation, text: str, undo_url: str) -> HttpResponse:
    """The cell anew for htmx, where it is a cell that was clicked; else back to its batch, or its own page."""
    page = reverse("characters:variation", args=[row.character.project.slug, row.pk])
    is_cell = request.htmx and request.htmx.target == f"variation-{row.pk}"
    if not is_cell:
        from_page = request.headers.get("Referer", "").endswith(page)
        args = [row.character.project.slug, row.character_id]
        batch = reverse("characters:variations", args=args) + f"?batch={row.batch_id}"
        return done(request, page if from_page and row.trashed_at is None else batch, text, undo_url=undo_url)
    batch_row = access_batch(request.user, row.batch_id)
    audience = verbs_of(request.user, row.character.project)
    batch_row.character.refresh_from_db()
    is_in_batch = "/variations/" in (request.htmx.current_url_abs_path or "/variations/")
    context = frame(request, batch_row.character, "variations" if is_in_batch else "overview")
    context |= {"cell": fragments.cell(batch_row, row.index, row, audience), "can_select": is_in_batch}
    return with_toast(render(request, "characters/_cell_news.html", context), text, undo_url=undo_url)


@require_POST
@login_required
def pick(request: AuthenticatedRequest, project: str, variation_id: UUID) -> HttpResponse:
    row = find_variation(request, project, variation_id, Verb.EDIT)
    actions.pick_variation(variation=row, actor=request.user)
    undo = reverse("characters:variation_unpick", args=[project, variation_id])
    return _cell_or_page(request, row, f"Picked. It is {row.character.name}'s picture now.", undo)


@require_POST
@login_required
def unpick(request: AuthenticatedRequest, project: str, variation_id: UUID) -> HttpResponse:
    row = find_variation(request, project, variation_id, Verb.EDIT)
    actions.unpick_variation(variation=row, actor=request.user)
    undo = reverse("characters:variation_pick", args=[project, variation_id])
    return _cell_or_page(request, row, "The pick was taken back.", undo)


@require_POST
@login_required
def trash(request: AuthenticatedRequest, project: str, variation_id: UUID) -> HttpResponse:
    row = find_variation(request, project, variation_id, Verb.EDIT)
    actions.trash_variation(variation=row, actor=request.user)
    undo = reverse("characters:variation_restore", args=[project, variation_id])
    return _cell_or_page(request, row, "Moved to the trash.", undo)


@require_POST
@login_required
def restore(request: AuthenticatedRequest, project: str, variation_id: UUID) -> HttpResponse:
    row = find_variation(request, project, variation_id, Verb.EDIT)
    actions.restore_variation(variation=row, actor=request.user)
    return _cell_or_page(request, row, "Taken back from the trash.", "")
