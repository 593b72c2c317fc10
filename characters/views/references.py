"""The references of a character: uploading, what the checks found, removing and erasing."""

from __future__ import annotations

from typing import IO, Any, cast
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from assets import actions as assets
from assets.errors import IntakeError
from assets.folders import character_folder
from assets.names import clean_name
from characters import actions, derivations, fragments, queries
from characters.models import Character, Reference
from characters.views.annotating import surface_of
from characters.views.answers import done, find_character, find_reference, go, votes_on, with_toast
from characters.views.detail import frame
from collaboration.permissions import Verb, require, verbs_of
from collaboration.requests import AuthenticatedRequest


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def references(request: AuthenticatedRequest, project: str, pk: UUID) -> HttpResponse:
    """GET: the tab. POST: take pictures in, from the field `files`.

    For htmx the answer holds the row of each file: 201 when one was taken, 422 when none was.
    """
    if request.method == "POST":
        return _upload(request, find_character(request, project, pk, Verb.UPLOAD))
    character = find_character(request, project, pk)
    context = frame(request, character, "references")
    rows, audience = queries.references_of(character), context["audience"]
    context |= {
        "rows": [fragments.reference(r, audience, slug=project) for r in rows],
        "removed": [fragments.reference(r, audience, slug=project) for r in queries.trashed_references_of(character)],
        "notices": fragments.references_notices(character, rows[::-1], audience),
        "summary": fragments.references_summary(character, rows, audience),
        "upload_url": reverse("characters:references", args=[project, pk]),
    }
    return render(request, "characters/references.html", context)


def _upload(request: AuthenticatedRequest, character: Character) -> HttpResponse:
    taken, refused = take_pictures(request, character)
    project = character.project
    if not taken and not refused:
        refused.append({"name": "", "sentence": "No file arrived. Choose one or more pictures."})
    if request.htmx:
        audience = verbs_of(request.user, project)
        context = {
            "rows": [fragments.reference(r, audience, slug=project.slug) for r in taken],
            "refused": refused,
        }
        return render(request, "characters/_uploaded.html", context, status=201 if taken else 422)
    tell_taken(request, taken, refused)
    return go(request, reverse("characters:references", args=[project.slug, character.pk]))


def take_pictures(request: AuthenticatedRequest, character: Character) -> tuple[list[Reference], list[dict[str, str]]]:
    """Take in the pictures of the field `files`: (references, [{name, sentence}] of those that were refused)."""
    project = character.project
    taken: list[Reference] = []
    refused = []
    for file in request.FILES.getlist("files"):
        name = clean_name(file.name or "")
        try:
            prepared = assets.prepare_picture(
                project=project,
                file=cast("IO[Any]", file.file),
                name=name,
                folder=character_folder(character.name, "references"),
            )
        except IntakeError as error:
            refused.append({"name": name, "sentence": error.sentence})
            continue
        with transaction.atomic():  # no picture of a person without the reference by which it is seen and erased
            asset = assets.record(prepared, actor=request.user)
            taken += actions.add_references(character=character, assets=[asset], actor=request.user)
    return taken, refused


def tell_taken(request: AuthenticatedRequest, taken: list[Reference], refused: list[dict[str, str]]) -> None:
    """Say on the page that follows what became of the files."""
    for row in refused:
        messages.error(request, f"{row['name'] or 'Upload'}: {row['sentence']}")
    if taken:
        count = "One picture is" if len(taken) == 1 else f"{len(taken)} pictures are"
        messages.success(request, f"{count} here and being checked.")


@require_safe
@login_required
def reference(request: AuthenticatedRequest, project: str, pk: UUID, reference_id: UUID) -> HttpResponse:
    """One picture, large, with what its checks found and what people say about it."""
    found = find_reference(request, project, pk, reference_id, Verb.SEE)
    character = found.character
    audience = verbs_of(request.user, character.project)
    if character.trashed_at is not None or found.trashed_at is not None:
        audience &= {Verb.SEE}
    before, after = queries.neighbours_of_reference(found)
    tab = reverse("characters:references", args=[project, pk])
    context: dict[str, Any] = {
        "project": character.project,
        "character": character,
        "reference": found,
        "row": fragments.reference(found, audience, slug=project),
        "picture": fragments.picture(found.asset, alt=found.asset.original_name, size=1280),
        "annotate": surface_of(request, "reference", found.pk),
        "votes": votes_on(request, "reference", found.pk),
        "tab_url": tab,
        "before_url": before.get_absolute_url() if before else "",
        "after_url": after.get_absolute_url() if after else "",
    }
    return render(request, "characters/reference.html", context)


@require_safe
@login_required
def summary(request: AuthenticatedRequest, project: str, pk: UUID) -> HttpResponse:
    """The summary, and with it the rows named in `?watched=` that have their answer by now."""
    character = find_character(request, project, pk)
    audience = verbs_of(request.user, character.project)
    rows = queries.references_of(character)
    watched = set(filter(None, request.GET.get("watched", "").split(",")))
    answered = [r for r in rows if str(r.pk) in watched and r.verdict != Reference.CHECKING]
    # One answer may change what is said of the others: who is held out, who is a duplicate or somebody else.
    changed = rows if answered else []
    context = {
        "summary": fragments.references_summary(character, rows, audience),
        "changed": [fragments.reference(r, audience, slug=project) for r in changed],
    }
    if changed or not watched:
        context["notices"] = fragments.references_notices(character, rows[::-1], audience)
        context |= frame(request, character, "references") | {"head": True}
    return render(request, "characters/_references_news.html", context)


@require_POST
@login_required
def check(request: AuthenticatedRequest, project: str, pk: UUID) -> HttpResponse:
    character = find_character(request, project, pk, Verb.UPLOAD)
    count = actions.check_again(character=character, actor=request.user)
    words = f"{count} being checked again." if count else "All references were judged anew."
    return done(request, reverse("characters:references", args=[project, pk]), words)


# ------------------------------------------------------------------------------------------------ another person
@require_POST
@login_required
def separate(request: AuthenticatedRequest, project: str, pk: UUID) -> HttpResponse:
    """Take the `selected` pictures, which show another person, out: `to` the trash, or into a new character."""
    into_character = request.POST.get("to") == "character"
    character = find_character(request, project, pk, Verb.EDIT)
    if into_character:
        require(request.user, Verb.CREATE, character.project)
    here = reverse("characters:references", args=[project, pk])
    chosen = queries.references_by_id(character, request.POST.getlist("selected"))
    try:
        other = actions.separate_references(
            character=character, references=chosen, actor=request.user, into_character=into_character
        )
    except ValidationError as refusal:
        messages.error(request, refusal.messages[0])
        return go(request, here)
    query = urlencode([("selected", r.pk) for r in chosen])
    undo = reverse("characters:references_rejoin", args=[project, pk]) + f"?{query}"
    count = "1 picture" if len(chosen) == 1 else f"{len(chosen)} pictures"
    if other is None:
        return done(request, here, f"{count} moved to the trash.", undo_url=undo)
    to = reverse("characters:references", args=[project, other.pk])
    return done(request, to, f"{count} moved into {other.name}. Give them a name.", undo_url=undo)


@require_POST
@login_required
def rejoin(request: AuthenticatedRequest, project: str, pk: UUID) -> HttpResponse:
    """Undo `separate`; the ids stand in the address."""
    character = find_character(request, project, pk, Verb.EDIT)
    chosen = queries.references_in(character.project, request.GET.getlist("selected"))
    count = actions.rejoin_references(character=character, references=chosen, actor=request.user)
    here = reverse("characters:references", args=[project, pk])
    return done(request, here, f"{count} taken back." if count else "They are all there.")


# ----------------------------------------------------------------------------------------- removing and erasing
def _after(request: AuthenticatedRequest, reference: Reference, text: str, undo_url: str = "") -> HttpResponse:
    """The row is gone for htmx, which is told that counts have changed; else the tab, anew."""
    tab = reverse("characters:references", args=[reference.character.project.slug, reference.character_id])
    if not request.htmx or request.htmx.target != f"reference-{reference.pk}":
        return done(request, tab, text, undo_url=undo_url)
    response = with_toast(HttpResponse(), text, undo_url=undo_url)
    response["HX-Trigger-After-Swap"] = "references:changed"
    return response


@require_POST
@login_required
def trash(request: AuthenticatedRequest, project: str, pk: UUID, reference_id: UUID) -> HttpResponse:
    reference = find_reference(request, project, pk, reference_id, Verb.EDIT)
    actions.trash_reference(reference=reference, actor=request.user)
    undo = reverse("characters:reference_restore", args=[project, pk, reference_id])
    return _after(request, reference, f"{reference.asset.original_name} removed.", undo)


@require_POST
@login_required
def restore(request: AuthenticatedRequest, project: str, pk: UUID, reference_id: UUID) -> HttpResponse:
    reference = find_reference(request, project, pk, reference_id, Verb.EDIT)
    actions.restore_reference(reference=reference, actor=request.user)
    tab = reverse("characters:references", args=[project, pk])
    if reference.trashed_at is not None:
        messages.error(request, actions.why_not_back(reference))
        return go(request, tab)
    return done(request, tab, f"{reference.asset.original_name} is back.")


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def erase(request: AuthenticatedRequest, project: str, pk: UUID, reference_id: UUID) -> HttpResponse:
    """GET: what was made from it and what becomes of that. POST: erase; the one act here that cannot be undone."""
    reference = find_reference(request, project, pk, reference_id, Verb.DELETE)
    tab = reverse("characters:references", args=[project, pk])
    if request.method == "POST":
        name = reference.asset.original_name
        actions.erase_reference(reference=reference, actor=request.user)
        return done(request, tab, f"{name} was erased for good.")
    context: dict[str, Any] = {
        "project": reference.character.project,
        "character": reference.character,
        "row": fragments.reference(reference, {Verb.SEE}, slug=project),
        "picture": fragments.picture(reference.asset, size=640, alt=reference.asset.original_name),
        "derived": derivations.of(reference),
        "back_url": tab,
        "action": reverse("characters:reference_erase", args=[project, pk, reference_id]),
    }
    return render(request, "characters/erase.html", context)


@require_POST
@login_required
def erase_generated(request: AuthenticatedRequest, project: str, pk: UUID, reference_id: UUID) -> HttpResponse:
    """Erase for good the generated references that were made from this one; leads back to its page."""
    reference = find_reference(request, project, pk, reference_id, Verb.DELETE)
    count = actions.erase_generated_from(reference=reference, actor=request.user)
    words = "One generated reference was" if count == 1 else f"{count} generated references were"
    return done(request, reverse("characters:reference_erase", args=[project, pk, reference_id]), f"{words} erased.")
