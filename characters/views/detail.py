"""One character: the frame of its page, the overview, editing, and the tabs of the apps above."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from characters import actions, fragments, queries
from characters.forms import FIELDS, BasePromptForm, CharacterForm, refused_into, values_of
from characters.models import Character, IdentityProfile, Reference
from characters.permissions import access_character
from characters.subjects import CHARACTER
from characters.views.answers import done, find_character, go
from collaboration import revisions
from collaboration.approvals import fragments as approvals
from collaboration.permissions import Verb, verbs_of
from collaboration.requests import AuthenticatedRequest
from collaboration.subjects import Target
from collaboration.votes import queries as votes
from collaboration.wired import entries
from gpu_worker.models import Adapter


def frame(request: AuthenticatedRequest, character: Character, tab: str) -> dict[str, Any]:
    """Context of characters/detail.html: the head of the page, its tabs, and what the reader may do."""
    args = [character.project.slug, character.pk]
    # What is in the trash is looked at, and taken back, but not changed.
    audience = verbs_of(request.user, character.project)
    if character.trashed_at is not None:
        audience &= {Verb.SEE}
    counts = queries.counts_of(character)
    adapter = queries.active_adapter(character)
    profile = IdentityProfile.objects.filter(character=character).first()
    tabs: list[dict[str, Any]] = [
        {"label": "Overview", "url": reverse("characters:detail", args=args), "name": "overview", "count": None},
        {
            "label": "References",
            "url": reverse("characters:references", args=args),
            "name": "references",
            "count": counts.references,
        },
        {"label": "Sheet", "url": reverse("characters:sheets", args=args), "name": "sheets", "count": None},
        {
            "label": "Variations",
            "url": reverse("characters:variations", args=args),
            "name": "variations",
            "count": counts.variations,
        },
    ]
    history = {"label": "History", "url": reverse("characters:history", args=args), "name": "history", "count": None}
    slots = entries("SLOTS", "character.tabs")
    tabs += [{"label": s.label, "url": s.url(character), "name": s.name, "count": None} for s in slots]
    tabs.append(history)
    training = next((t["url"] for t in tabs if t["name"] == "training"), "")
    return {
        "project": character.project,
        "character": character,
        "audience": audience,
        "tabs": [t | {"current": t["name"] == tab} for t in tabs],
        "tab": tab,
        "hero": _hero(character),
        "line": _line(character),
        "steps": fragments.readiness(character, adapter, profile),
        "adapter": adapter,
        "profile_row": profile,
        "counts": counts,
        "look_alikes": fragments.look_alikes(character, queries.look_alikes_of(character), audience),
        "train_url": training if Verb.TRAIN in audience else "",
        "train_verb": _train_verb(character, adapter),
        "can_edit": Verb.EDIT in audience,
        "can_upload": Verb.UPLOAD in audience,
        "can_generate": Verb.GENERATE in audience,
        "can_review": Verb.CREATE in audience,
        "can_restore": character.trashed_at is not None and Verb.EDIT in verbs_of(request.user, character.project),
    }


def _train_verb(character: Character, adapter: Adapter | None) -> str:
    if character.status == Character.TRAINING:
        return "Show training"
    return "Train again" if adapter else "Train"


def _hero(character: Character) -> dict[str, Any]:
    """The picture of the head, and where it comes from."""
    asset = character.picture
    if asset is None or asset.erased_at is not None:
        return {"picture": None, "words": ""}
    made = character.variations.filter(asset=asset).select_related("picked_by").first()
    if made is None:
        words = "A reference"
    elif Reference.objects.present().filter(made_from=made).exists():
        words = "A generated reference"
    elif made.picked_by is not None:
        words = f"Generated, picked by {made.picked_by.display_name}"
    else:
        words = "Generated"
    return {
        "picture": fragments.picture(asset, alt=character.name, size=640),
        "words": words,
        "score": fragments.score(made, character.project.studio.bands) if made else None,
        "url": reverse("characters:variation", args=[character.project.slug, made.pk]) if made else asset.url(),
    }


def _line(character: Character) -> str:
    noun = "" if character.noun == "person" else character.noun
    return " · ".join(word for word in (noun, character.age, character.traits) if word)


@require_safe
@login_required
def overview(request: AuthenticatedRequest, project: str, pk: UUID) -> HttpResponse:
    return _overview(request, find_character(request, project, pk))


def _overview(
    request: AuthenticatedRequest,
    character: Character,
    *,
    form: CharacterForm | None = None,
    profile: dict[str, Any] | None = None,
    status: int = 200,
) -> HttpResponse:
    context = frame(request, character, "overview")
    picked = queries.picked_of(character)
    votes.attach(character.project, "variation", picked)
    latest = queries.latest_batch(character)
    audience = context["audience"]
    subject = Target("character", str(character.pk), CHARACTER, character, character.project)
    context |= {
        "approvals": approvals.gates(subject),
        "mine_approvals": approvals.mine(subject, request.user),
        "profile": profile or fragments.profile(character, context["profile_row"], audience),
        "picked": [fragments.cell(v.batch, v.index, v, audience) for v in _same(character, picked)],
        "latest": fragments.batch(latest, queries.variations_of(latest), ()) if latest else None,
        "form": form,
    }
    if form is not None:
        context |= form_context(character, form)
    return render(request, "characters/overview.html", context, status=status)


def _same(character: Character, variations: list[Any]) -> list[Any]:
    """The rows share the character that is there already, so that nothing is fetched again for each."""
    for variation in variations:
        variation.batch.character = character
    return variations


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def edit(request: AuthenticatedRequest, project: str, pk: UUID) -> HttpResponse:
    """The form in the inspector: by itself for htmx, else on the overview.

    What somebody else changed meanwhile is merged. Where both changed one field it stays open with both values, and the
    buttons `keep` and `take` (the field) decide for one's own or for theirs.
    """
    character = find_character(request, project, pk, Verb.EDIT)
    form = CharacterForm(request.POST) if request.method == "POST" else CharacterForm.for_character(character)
    if form.is_bound and form.is_valid():
        with refused_into(form):
            values = form.values()
            values.pop(request.POST.get("take", ""), None)
            seen = form.seen(keep=request.POST.get("keep", ""))
            merged = actions.merge_character(character=character, actor=request.user, base=seen, **values)
            if not merged.conflicts:
                return _saved(request, character, merged)
            form = CharacterForm.for_character(character, merged.conflicts)
    status = 422 if form.is_bound or form.conflicts else 200
    if not request.htmx:
        return _overview(request, character, form=form, status=status)
    template = "characters/_inspector.html" if status == 200 else "characters/_form.html"
    return render(request, template, form_context(character, form), status=status)


def form_context(character: Character, form: CharacterForm) -> dict[str, Any]:
    """Context of characters/_form.html, to change a character."""
    args = [character.project.slug, character.pk]
    shared = {
        "data-shared": reverse("characters:description", args=args),
        "data-shared-page": f"character:{character.pk}",
    }
    if "description" not in form.conflicts:
        form.fields["description"].widget.attrs |= shared
    return {
        "form": form,
        "character": character,
        "action": reverse("characters:edit", args=args),
        "values_url": reverse("characters:values", args=args),
        "revision": revisions.head("character", character.pk),
        "close_url": character.get_absolute_url(),
    }


def _saved(request: AuthenticatedRequest, character: Character, merged: actions.Merged) -> HttpResponse:
    undo = ""
    if merged.changed:
        undo = reverse("characters:revision_undo", args=[character.project.slug, character.pk, merged.revision])
    return done(request, character.get_absolute_url(), f"{character.name} saved.", undo_url=undo)


@require_safe
@login_required
def values(request: AuthenticatedRequest, project: str, pk: UUID) -> HttpResponse:
    """What an open form asks for: {revision, values, changed: {field: {by, at}}} with what changed since `?since=`."""
    character = find_character(request, project, pk, Verb.EDIT)
    text = request.GET.get("since", "")
    since = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    latest = revisions.last_changes("character", pk, [*FIELDS, "tags"])
    changed = {
        key: {"by": revision.author.display_name if revision.author else "Somebody", "at": revision.at}
        for key, revision in latest.items()
        if revision.number > since
    }
    found = {"revision": revisions.head("character", pk), "values": values_of(character), "changed": changed}
    return JsonResponse(found)


@require_POST
@login_required
def trash(request: AuthenticatedRequest, project: str, pk: UUID) -> HttpResponse:
    character = find_character(request, project, pk, Verb.EDIT)
    actions.trash_character(character=character, actor=request.user)
    undo = reverse("characters:character_restore", args=[project, pk])
    gallery = reverse("characters:gallery", args=[project])
    return done(request, gallery, f"{character.name} moved to the trash.", undo_url=undo)


@require_POST
@login_required
def restore(request: AuthenticatedRequest, project: str, pk: UUID) -> HttpResponse:
    character = access_character(request.user, pk, verb=Verb.EDIT)
    if character.project.slug != project:
        raise Http404
    actions.restore_character(character=character, actor=request.user)
    return done(request, character.get_absolute_url(), f"{character.name} is back.")


@require_POST
@login_required
def base_prompt(request: AuthenticatedRequest, project: str, pk: UUID) -> HttpResponse:
    """Change the base prompt; empty, or with the button that resets it, back to the automatic one."""
    character = find_character(request, project, pk, Verb.EDIT)
    form = BasePromptForm(request.POST)
    status = 200
    if form.is_valid():
        prompt = "" if "reset" in request.POST else form.cleaned_data["prompt"]
        try:
            actions.change_base_prompt(character=character, prompt=prompt, actor=request.user)
        except ValidationError as error:
            form.add_error("prompt", error)
            status = 422
    if status == 200 and not request.htmx:
        return go(request, character.get_absolute_url())
    profile = IdentityProfile.objects.filter(character=character).first()
    context = fragments.profile(character, profile, verbs_of(request.user, character.project))
    if status == 422:
        context |= {"prompt": request.POST.get("prompt", ""), "errors": form.errors["prompt"]}
    if not request.htmx:
        return _overview(request, character, profile=context, status=status)
    return render(request, "characters/_profile.html", context, status=status)


@require_safe
@login_required
def tab(request: AuthenticatedRequest, project: str, pk: UUID, name: str) -> HttpResponse:
    """A tab of an app above: the slot `character.tabs`, objects with `label`, `name`, `url(character)` and
    `render(request, character)`, which returns the HTML of the tab."""
    character = find_character(request, project, pk)
    slot = next((s for s in entries("SLOTS", "character.tabs") if s.name == name), None)
    if slot is None:
        raise Http404
    context = frame(request, character, name) | {"body": slot.render(request, character), "title": slot.label}
    return render(request, "characters/tab.html", context)
