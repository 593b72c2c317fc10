"""The gallery of a project's characters, its trash, and what is done with several at once."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from characters import actions, fragments, queries
from characters.forms import CharacterForm, TagForm, refused_into
from characters.models import TIERS, Character
from characters.queries import SORTS, Filter
from characters.views.answers import done, go
from characters.views.references import take_pictures, tell_taken
from collaboration.models import Project
from collaboration.permissions import Verb, access_project, require, verbs_of
from collaboration.requests import AuthenticatedRequest
from collaboration.wired import entries


@require_safe
@login_required
def gallery(request: AuthenticatedRequest, project: str) -> HttpResponse:
    """`?q=`, `?tag=`, `?tier=`, `?status=` narrow it, `?sort=` orders it, `?after=` and `?before=` are where a page
    begins or ends. With scripts the first page grows into one grid of all: see `segments`."""
    film = access_project(request.user, project)
    wanted = Filter.of(request.GET)
    after, before = request.GET.get("after", ""), request.GET.get("before", "")
    try:
        page = queries.gallery(film, wanted, after=after, before=before)
    except ValidationError:
        raise Http404 from None
    audience = verbs_of(request.user, film)
    counts = queries.facets(film)
    context: dict[str, Any] = {
        "project": film,
        "cards": _cards(page, film, audience),
        "next_url": _url(film, wanted, after=page.next) if page.next else "",
        "previous_url": _url(film, wanted, before=page.previous) if page.previous else "",
        "first_url": _url(film, wanted),
        "segments_url": "" if after or before else _url(film, wanted, "segments"),
        "eager": 6,
        "wanted": wanted,
        "facets": _facets(film, wanted, counts),
        "total": counts.total,
        "sorts": [
            {"label": sort.label, "url": _url(film, wanted, sort=key), "current": key == wanted.sort}
            for key, sort in SORTS.items()
        ],
        "sort_label": SORTS[wanted.sort].label,
        "clear_url": _url(film, Filter(sort=wanted.sort)),
        "can_create": Verb.CREATE in audience,
        "can_edit": Verb.EDIT in audience,
        "can_train": Verb.TRAIN in audience and bool(_training_tab()),
    }
    return render(request, "characters/gallery.html", context)


@require_safe
@login_required
def segments(request: AuthenticatedRequest, project: str) -> JsonResponse:
    """How the grid is cut: {total, size, cards (the address of `segment`), cursors}. The filter is that of the page."""
    film = access_project(request.user, project)
    wanted = Filter.of(request.GET)
    found = queries.segments(film, wanted)
    return JsonResponse(
        {
            "total": found.total,
            "size": found.size,
            "cards": _url(film, wanted, "segment"),
            "cursors": list(found.cursors),
        }
    )


@require_safe
@login_required
def segment(request: AuthenticatedRequest, project: str) -> HttpResponse:
    """The cards behind `?after=` up to and with `?until=`; without it, as many as a segment has."""
    film = access_project(request.user, project)
    wanted, after, until = Filter.of(request.GET), request.GET.get("after", ""), request.GET.get("until", "")
    try:
        page = queries.gallery(film, wanted, after=after, until=until, limit=0 if until else 2 * queries.SEGMENT)
    except ValidationError:
        raise Http404 from None
    cards = _cards(page, film, verbs_of(request.user, film))
    return render(request, "characters/_cards.html", {"cards": cards, "eager": 0})


def _cards(page: queries.Page, project: Project, audience: fragments.Audience) -> list[dict[str, Any]]:
    return [
        fragments.card(
            c,
            audience,
            project=project,
            training=page.trainings.get(str(c.pk)),
            alike=page.look_alikes.get(c.pk, ()),
        )
        for c in page.characters
    ]


def _url(project: Project, wanted: Filter, name: str = "gallery", **changed: str) -> str:
    values = {
        "q": wanted.search,
        "tag": wanted.tag,
        "tier": wanted.tier,
        "status": wanted.status,
        "sort": "" if wanted.sort == "updated" else wanted.sort,
    } | changed
    query = urlencode({k: v for k, v in values.items() if v and (k, v) != ("sort", "updated")})
    here = reverse(f"characters:{name}", args=[project.slug])
    return f"{here}?{query}" if query else here


def _facets(project: Project, wanted: Filter, counts: queries.Facets) -> list[dict[str, Any]]:
    """Chips that turn a filter on, and off when it is on."""

    def chip(key: str, value: str, label: str, count: int) -> dict[str, Any]:
        is_on = getattr(wanted, key) == value
        url = _url(project, wanted, **{key: "" if is_on else value})
        return {"label": label, "url": url, "current": is_on, "count": count}

    everything = {
        "label": "All",
        "url": _url(project, Filter(sort=wanted.sort)),
        "current": wanted.is_empty,
        "count": counts.total,
    }
    statuses = [chip("status", s, label, n) for s, label in Character.STATUSES if (n := counts.statuses.get(s))]
    tiers = [chip("tier", t, label, n) for t, label in TIERS if (n := counts.tiers.get(t))]
    tags = [chip("tag", t, t, n) for t, n in counts.tags.items()]
    if wanted.tag and wanted.tag not in counts.tags:
        tags.append(chip("tag", wanted.tag, wanted.tag, 0))
    return [everything, *statuses, *tiers, *tags]


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def create(request: AuthenticatedRequest, project: str) -> HttpResponse:
    film = access_project(request.user, project, verb=Verb.CREATE)
    form = CharacterForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        with refused_into(form):
            character = actions.create_character(project=film, actor=request.user, **form.values())
            return _begin(request, character)
    context = {"project": film, "form": form, "action": reverse("characters:create", args=[film.slug])}
    status = 422 if form.is_bound else 200
    template = "characters/_form.html" if request.htmx and form.is_bound else "characters/create.html"
    return render(request, template, context, status=status)


def _begin(request: AuthenticatedRequest, character: Character) -> HttpResponse:
    """To what comes next: the sheet, with pictures that came along or from words alone (`begin=words`), else the
    references."""
    args = [character.project.slug, character.pk]
    if request.FILES:
        require(request.user, Verb.UPLOAD, character.project)
        taken, refused = take_pictures(request, character)
        tell_taken(request, taken, refused)
        return go(request, reverse("characters:sheets" if taken else "characters:references", args=args))
    if request.POST.get("begin") == "words":
        messages.success(request, f"{character.name} is here. Next: a face, cast from your words.")
        return go(request, reverse("characters:sheets", args=args))
    messages.success(request, f"{character.name} is here. Next: pictures that show who it is.")
    return go(request, reverse("characters:references", args=args))


# ----------------------------------------------------------------------------------------------------------- trash
@require_safe
@login_required
def trash(request: AuthenticatedRequest, project: str) -> HttpResponse:
    film = access_project(request.user, project)
    audience = verbs_of(request.user, film)
    rows = queries.trash(film)
    context = {
        "project": film,
        "rows": [{"card": fragments.card(c, audience, project=film), "trashed_at": c.trashed_at} for c in rows],
        "can_edit": Verb.EDIT in audience,
    }
    return render(request, "characters/trash.html", context)


@require_POST
@login_required
def trash_selected(request: AuthenticatedRequest, project: str) -> HttpResponse:
    film = access_project(request.user, project, verb=Verb.EDIT)
    chosen = queries.selected(film, request.POST.getlist("selected"))
    trashed = actions.trash_characters(characters=chosen, actor=request.user)
    here = reverse("characters:gallery", args=[film.slug])
    if not trashed:
        messages.warning(request, "Select at least one character first.")
        return go(request, here)
    query = urlencode([("selected", c.pk) for c in trashed])
    undo = reverse("characters:restore_selected", args=[film.slug]) + f"?{query}"
    return done(request, here, f"{_names(trashed)} moved to the trash.", undo_url=undo)


@require_POST
@login_required
def restore_selected(request: AuthenticatedRequest, project: str) -> HttpResponse:
    """The ids stand in the form or, for an undo, in the address."""
    film = access_project(request.user, project, verb=Verb.EDIT)
    ids = request.POST.getlist("selected") or request.GET.getlist("selected")
    chosen = [c for c in queries.selected(film, ids) if c.trashed_at is not None]
    for character in chosen:
        actions.restore_character(character=character, actor=request.user)
    here = reverse("characters:gallery", args=[film.slug])
    if not chosen:
        messages.warning(request, "Select at least one character first.")
        return go(request, here)
    return done(request, here, f"{_names(chosen)} taken back from the trash.")


def _names(characters: list[Character]) -> str:
    return characters[0].name if len(characters) == 1 else f"{len(characters)} characters"


# ------------------------------------------------------------------------------------------------------- selection
@require_POST
@login_required
def tag_selected(request: AuthenticatedRequest, project: str) -> HttpResponse:
    film = access_project(request.user, project, verb=Verb.EDIT)
    chosen = [c for c in queries.selected(film, request.POST.getlist("selected")) if c.trashed_at is None]
    form = TagForm(request.POST)
    here = reverse("characters:gallery", args=[film.slug])
    if form.is_valid() and chosen:
        with refused_into(form):
            tags = form.cleaned_data["tags"].split(",")
            changed = actions.tag_characters(characters=chosen, tags=tags, actor=request.user)
            words = f"{_names(changed)} tagged." if changed else "They had these tags already."
            return done(request, here, words)
    problems = [m for errors in form.errors.values() for m in errors] or ["Select at least one character first."]
    messages.error(request, str(problems[0]))
    return go(request, here)


@require_safe
@login_required
def train_selected(request: AuthenticatedRequest, project: str) -> HttpResponse:
    """To the training of one character; of several, to a list of them with how far each is."""
    film = access_project(request.user, project, verb=Verb.TRAIN)
    chosen = [c for c in queries.selected(film, request.GET.getlist("selected")) if c.trashed_at is None]
    tab = _training_tab()
    if tab is None:
        raise Http404
    if len(chosen) == 1:
        return redirect(tab.url(chosen[0]))
    rows = [{"character": c, "line": fragments.card_line(c), "url": tab.url(c)} for c in chosen]
    for row in rows:
        row["picture"] = fragments.picture(row["character"].picture, size=160)
    return render(request, "characters/train.html", {"project": film, "rows": rows})


def _training_tab() -> Any | None:
    return next((tab for tab in entries("SLOTS", "character.tabs") if tab.name == "training"), None)
