"""Review sets: the list, making one, stepping through it, and its summary."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.text import slugify
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from collaboration.approvals.queries import waiting_for
from collaboration.forms import refused_into
from collaboration.pages import refused, undone
from collaboration.permissions import Verb, access_project, verbs_of
from collaboration.requests import AuthenticatedRequest
from collaboration.reviews import actions, exports, fragments, queries
from collaboration.reviews.forms import NewReviewForm, ReviewForm
from collaboration.reviews.models import Review
from collaboration.reviews.permissions import access_review
from collaboration.subjects import links

LISTED = 60


@require_safe
@login_required
def reviews(request: AuthenticatedRequest, project: str) -> HttpResponse:
    """The reviews of the project, and approvals that wait for the reader. `?trash`: those in the trash."""
    film = access_project(request.user, project)
    trashed = "trash" in request.GET
    rows = list(queries.reviews_of(film, trashed=trashed)[:LISTED])
    strips = queries.strips(rows)
    gates = [] if trashed else waiting_for(request.user, film)
    found = links((gate.subject_kind, gate.subject_id) for gate in gates)
    context = {
        "project": film,
        "rows": [{"review": row, "strip": strips[row.pk]} for row in rows],
        "waiting": [
            {"gate": gate, "link": link} for gate in gates if (link := found.get((gate.subject_kind, gate.subject_id)))
        ],
        "trashed": trashed,
        "can_create": Verb.CREATE in verbs_of(request.user, film),
    }
    return render(request, "reviews/reviews.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def new(request: AuthenticatedRequest, project: str) -> HttpResponse:
    """`selected`: ids of images, in their order. GET: the form with them; POST: make the review, or add to one."""
    film = access_project(request.user, project, verb=Verb.CREATE)
    data = request.POST if request.method == "POST" else request.GET
    images = queries.images_among(film, [id for id in data.getlist("selected") if _is_id(id)][: actions.MOST + 1])
    if not images:
        messages.warning(request, "Select the images to review first, on a page of variations or references.")
        return redirect("reviews:reviews", film.slug)
    form = NewReviewForm(data if request.method == "POST" else None, project=film)
    if form.is_bound and form.is_valid():
        values = form.cleaned_data
        with refused_into(form):
            if into := values.get("into"):
                target = form.open[into]
                count = actions.add_images(review=target, images=images, actor=request.user)
                messages.success(request, f"{count} added to {target.title}." if count else "All of them are in it.")
                return redirect(target)
            made = actions.create_review(
                project=film,
                images=images,
                actor=request.user,
                **{name: values[name] for name in ("title", "brief", "is_blind")},
            )
            return redirect(made)
    context = {
        "project": film,
        "form": form,
        "images": [{"id": image.id, "title": image.title, "picture": image.picture(320)} for image in images],
    }
    return render(request, "reviews/new.html", context, status=422 if form.errors else 200)


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


# ------------------------------------------------------------------------------------------------- stepping through
@require_safe
@login_required
def review(request: AuthenticatedRequest, project: str, review_id: UUID) -> HttpResponse:
    """`?at=`: number of the image, from 1; without it the first that is not decided."""
    found = access_review(request.user, review_id, slug=project)
    return _stage(request, found, request.GET.get("at", ""))


def _stage(request: AuthenticatedRequest, found: Review, at: str) -> HttpResponse:
    items = queries.items_of(found)
    if not items:
        return redirect("reviews:summary", found.project.slug, found.pk)
    place = int(at) - 1 if at.isascii() and at.isdigit() and len(at) < 6 else _first_open(items)
    place = max(0, min(place, len(items) - 1))
    verbs = verbs_of(request.user, found.project)
    context = fragments.stage(found, items, place, request.user, verbs) | _head(request, found)
    template = "reviews/_stage.html" if _wants_stage(request) else "reviews/review.html"
    return render(request, template, context)


def _wants_stage(request: AuthenticatedRequest) -> bool:
    return bool(request.htmx and not request.htmx.history_restore_request and request.htmx.target == "review-stage")


def _first_open(items: list[queries.Shown]) -> int:
    return next((shown.item.place for shown in items if not shown.item.decision), 0)


def _head(request: AuthenticatedRequest, found: Review) -> dict[str, Any]:
    verbs = verbs_of(request.user, found.project)
    return {
        "project": found.project,
        "review": found,
        "can_close": _may_run(request, found),
        "can_edit": Verb.CREATE in verbs and found.is_open,
        "summary_url": reverse("reviews:summary", args=[found.project.slug, found.pk]),
    }


def _may_run(request: AuthenticatedRequest, found: Review) -> bool:
    """Leads, and who made it."""
    verbs = verbs_of(request.user, found.project)
    return Verb.APPROVE in verbs or (found.created_by_id == request.user.pk and Verb.CREATE in verbs)


def _item(found: Review, item_id: int) -> queries.Shown:
    shown = next((one for one in queries.items_of(found) if one.item.pk == item_id), None)
    if shown is None:
        raise Http404
    return shown


@require_POST
@login_required
def decide(request: AuthenticatedRequest, project: str, review_id: UUID, item_id: int) -> HttpResponse:
    """`decision` (approved, rejected, held; what stands already is taken back) and `note`; then the next image."""
    found = access_review(request.user, review_id, verb=Verb.APPROVE, slug=project)
    shown = _item(found, item_id)
    wanted = request.POST.get("decision", "")
    note = request.POST.get("note", shown.item.note)
    taken_back = wanted == shown.item.decision and note.strip() == shown.item.note
    try:
        actions.decide(
            item=shown.item,
            decision="" if taken_back else wanted,
            note="" if taken_back else note,
            image=shown.title,
            actor=request.user,
        )
    except ValidationError as error:
        if request.htmx:
            return refused(error.messages[0])
        messages.error(request, error.messages[0])
        return redirect(fragments.at_url(found, shown.number))
    number = shown.number if taken_back else shown.number + 1
    if not request.htmx:
        return redirect(fragments.at_url(found, min(number, found.items.count())))
    response = _stage(request, found, str(number))
    response["HX-Push-Url"] = fragments.at_url(found, min(number, found.items.count()))
    return response


@require_POST
@login_required
def remove(request: AuthenticatedRequest, project: str, review_id: UUID, item_id: int) -> HttpResponse:
    found = access_review(request.user, review_id, verb=Verb.CREATE, slug=project)
    shown = _item(found, item_id)
    return _carried_out(
        request,
        found,
        lambda: actions.remove_image(item=shown.item, image=shown.title, actor=request.user),
        f"{shown.title} is out of the review.",
    )


def _carried_out(request: AuthenticatedRequest, found: Review, act: Any, text: str) -> HttpResponse:
    try:
        act()
        messages.success(request, text)
    except ValidationError as error:
        messages.error(request, error.messages[0])
    return redirect(found)


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def edit(request: AuthenticatedRequest, project: str, review_id: UUID) -> HttpResponse:
    found = access_review(request.user, review_id, verb=Verb.CREATE, slug=project)
    initial = {"title": found.title, "brief": found.brief, "is_blind": found.is_blind}
    form = ReviewForm(request.POST if request.method == "POST" else None, initial=initial)
    if form.is_bound and form.is_valid():
        with refused_into(form):
            actions.change_review(review=found, actor=request.user, **form.cleaned_data)
            messages.success(request, "Saved.")
            return redirect(found)
    context = _head(request, found) | {"form": form}
    return render(request, "reviews/edit.html", context, status=422 if form.errors else 200)


@require_POST
@login_required
def close(request: AuthenticatedRequest, project: str, review_id: UUID) -> HttpResponse:
    found = access_review(request.user, review_id, slug=project)
    _require_run(request, found)
    actions.close_review(review=found, actor=request.user)
    undo = reverse("reviews:reopen", args=[project, review_id])
    messages.success(request, f"{found.title} is closed.", extra_tags=f"undo:{undo}")
    return redirect("reviews:summary", project, review_id)


@require_POST
@login_required
def reopen(request: AuthenticatedRequest, project: str, review_id: UUID) -> HttpResponse:
    found = access_review(request.user, review_id, slug=project)
    _require_run(request, found)
    actions.reopen_review(review=found, actor=request.user)
    return undone(request, "reviews:review", project, review_id)


@require_POST
@login_required
def trash(request: AuthenticatedRequest, project: str, review_id: UUID) -> HttpResponse:
    found = access_review(request.user, review_id, slug=project)
    _require_run(request, found)
    actions.trash_review(review=found, actor=request.user)
    undo = reverse("reviews:restore", args=[project, review_id])
    messages.success(request, f"{found.title} moved to the trash.", extra_tags=f"undo:{undo}")
    return redirect("reviews:reviews", project)


@require_POST
@login_required
def restore(request: AuthenticatedRequest, project: str, review_id: UUID) -> HttpResponse:
    found = access_review(request.user, review_id, slug=project, trashed=True)
    _require_run(request, found)
    actions.restore_review(review=found, actor=request.user)
    return undone(request, "reviews:reviews", project)


def _require_run(request: AuthenticatedRequest, found: Review) -> None:
    if not _may_run(request, found):
        raise PermissionDenied("Only leads, and who made the review, can do this.")


# ---------------------------------------------------------------------------------------------------------- summary
@require_safe
@login_required
def summary(request: AuthenticatedRequest, project: str, review_id: UUID) -> HttpResponse:
    found = access_review(request.user, review_id, slug=project)
    items = queries.items_of(found)
    context = _head(request, found) | {
        "lines": [fragments.line(shown, request.user) | {"pk": shown.item.pk} for shown in items],
        "progress": fragments.progress(found, [shown.item for shown in items]),
    }
    return render(request, "reviews/summary.html", context)


@require_safe
@login_required
def summary_csv(request: AuthenticatedRequest, project: str, review_id: UUID) -> HttpResponse:
    found = access_review(request.user, review_id, slug=project)
    rows = exports.rows(found, queries.items_of(found), request.user, request.build_absolute_uri)
    response = HttpResponse(exports.as_csv(rows), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{_file(found)}.csv"'
    return response


@require_safe
@login_required
def summary_json(request: AuthenticatedRequest, project: str, review_id: UUID) -> HttpResponse:
    found = access_review(request.user, review_id, slug=project)
    rows = exports.rows(found, queries.items_of(found), request.user, request.build_absolute_uri)
    response = JsonResponse(exports.as_json(found, rows), json_dumps_params={"indent": 2, "ensure_ascii": False})
    response["Content-Disposition"] = f'attachment; filename="{_file(found)}.json"'
    return response


def _file(review: Review) -> str:
    return slugify(review.title)[:60] or "review"
