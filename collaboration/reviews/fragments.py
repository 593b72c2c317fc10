"""A review as its pages show it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import urlencode

from django.template.loader import render_to_string
from django.urls import reverse

from collaboration.live.fragments import Swap
from collaboration.models import Event, User
from collaboration.reviews import queries
from collaboration.reviews.models import Review, ReviewItem
from collaboration.reviews.queries import Shown
from collaboration.verbs import Verb
from collaboration.votes import fragments as votes

ICONS = {ReviewItem.APPROVED: "circle-check", ReviewItem.REJECTED: "circle-x", ReviewItem.HELD: "pause", "": ""}


def at_url(review: Review, number: int) -> str:
    return f"{review.get_absolute_url()}?{urlencode({'at': number})}"


def progress(review: Review, items: Collection[ReviewItem]) -> dict[str, Any]:
    """Context of reviews/_progress.html."""
    said = [item.decision for item in items]
    return {
        "id": review.pk,
        "images": len(said),
        "decided": sum(bool(decision) for decision in said),
        "approved": said.count(ReviewItem.APPROVED),
        "rejected": said.count(ReviewItem.REJECTED),
        "held": said.count(ReviewItem.HELD),
        "is_open": review.is_open,
    }


def thumb(review: Review, shown: Shown) -> dict[str, Any]:
    """Context of reviews/_thumb.html."""
    item = shown.item
    return {
        "id": item.pk,
        "number": shown.number,
        "title": shown.title,
        "url": at_url(review, shown.number),
        "picture": shown.picture(160),
        "decision": item.decision,
        "words": item.get_decision_display() if item.decision else "",
        "icon": ICONS[item.decision],
        "votes": votes.shown(item.subject_kind, item.subject_id, shown.tally, is_open=not shown.tally.is_blind),
    }


def decision(review: Review, item: ReviewItem, verbs: Collection[str]) -> dict[str, Any]:
    """Context of reviews/_decision.html: neutral, for readers with these verbs."""
    return {
        "id": item.pk,
        "decision": item.decision,
        "words": item.get_decision_display() if item.decision else "Not decided",
        "icon": ICONS[item.decision] or "circle-dashed",
        "note": item.note,
        "by": item.decided_by,
        "at": item.decided_at,
        "may_decide": review.is_open and Verb.APPROVE in verbs,
        "url": reverse("reviews:decide", args=[review.project.slug, review.pk, item.pk]),
        "choices": [
            {"value": "approved", "label": "Approve", "icon": "check", "key": "y"},
            {"value": "rejected", "label": "Reject", "icon": "x", "key": "n"},
            {"value": "held", "label": "Hold", "icon": "pause", "key": "h"},
        ],
    }


def stage(review: Review, items: list[Shown], at: int, user: User, verbs: Collection[Verb]) -> dict[str, Any]:
    """Context of reviews/_stage.html. `at`: place of the image, from 0."""
    shown = items[at]
    item = shown.item
    return {
        "review": review,
        "number": shown.number,
        "count": len(items),
        "item": item,
        "title": shown.title,
        "url": shown.url,
        "picture": shown.picture(1280),
        "thumbs": [thumb(review, one) | {"current": one.item.pk == item.pk} for one in items],
        "before_url": at_url(review, at) if at > 0 else "",
        "after_url": at_url(review, at + 2) if at + 1 < len(items) else "",
        "votes": votes.panel_of(
            review.project,
            item.subject_kind,
            item.subject_id,
            shown.tally,
            user,
            may_vote=Verb.VOTE in verbs and shown.is_open,
            back=at_url(review, shown.number),
        )
        if shown.row is not None
        else None,
        "decision": decision(review, item, verbs),
        "progress": progress(review, [one.item for one in items]),
        "remove_url": reverse("reviews:remove", args=[review.project.slug, review.pk, item.pk])
        if review.is_open and Verb.CREATE in verbs and len(items) > 1
        else "",
    }


def line(shown: Shown, user: User) -> dict[str, Any]:
    """One row of the summary, as far as the person may see its votes."""
    tally, item = shown.tally, shown.item
    is_open = tally.is_open_to(user)
    return {
        "number": shown.number,
        "kind": item.subject_kind,
        "id": item.subject_id,
        "title": shown.title,
        "url": shown.url,
        "picture": shown.picture(320),
        "votes": votes.shown(item.subject_kind, item.subject_id, tally, is_open=is_open),
        "tally": tally if is_open else None,
        "voters": tally.voters,
        "decision": item.decision,
        "words": item.get_decision_display() if item.decision else "Not decided",
        "icon": ICONS[item.decision] or "circle-dashed",
        "note": item.note,
        "decided_by": item.decided_by,
        "decided_at": item.decided_at,
    }


# ------------------------------------------------------------------------------------------------------------- live
def on_decision(event: Event, audience: frozenset[str]) -> list[Swap]:
    """The image in the strip, what was decided about it, and how far the review is."""
    item_id, review_id = event.payload["item_id"], event.payload["review_id"]
    page = f"review:{review_id}"

    def find() -> tuple[Review, list[Shown], Shown] | None:
        review = Review.objects.select_related("project").filter(pk=review_id).first()
        items = queries.items_of(review) if review else []
        shown = next((one for one in items if one.item.pk == item_id), None)
        return (review, items, shown) if review and shown else None

    def mark() -> str:
        found = find()
        return render_to_string("reviews/_mark.html", {"thumb": thumb(found[0], found[2])}) if found else ""

    def decided() -> str:
        found = find()
        if not found:
            return ""
        return render_to_string("reviews/_decision.html", {"decision": decision(found[0], found[2].item, audience)})

    def how_far() -> str:
        found = find()
        if not found:
            return ""
        return render_to_string(
            "reviews/_progress.html", {"progress": progress(found[0], [one.item for one in found[1]])}
        )

    return [
        Swap(f"review-mark-{item_id}", mark, page=page),
        Swap(f"decision-{item_id}", decided, page=page),
        Swap(f"review-progress-{review_id}", how_far, page=page),
        Swap(f"review-line-{item_id}", how="refetch", page=page),
    ]


def on_review(event: Event, audience: frozenset[str]) -> list[Swap]:
    """The whole stage, the summary, and the list of reviews, anew."""
    review_id = event.payload["review_id"]
    page = f"review:{review_id}"
    here = [Swap(id, how="refetch", page=page) for id in ("review-head", "review-stage", "review-summary")]
    return [*here, Swap("reviews", how="refetch", page=f"{event.stream.kind}:{event.stream.key}:reviews")]
