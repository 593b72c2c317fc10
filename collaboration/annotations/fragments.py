"""The only builders of what templates/annotations shows: for the page, the answer to a form, and live."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from django.template.loader import render_to_string
from django.urls import reverse

from collaboration.annotations import mentions, queries, shapes
from collaboration.annotations.models import Annotation
from collaboration.live.fragments import Swap
from collaboration.models import Event, User
from collaboration.permissions import verbs_of
from collaboration.subjects import Target, target
from collaboration.verbs import Verb

ICONS = {Annotation.NOTE: "message-square", Annotation.SUGGESTION: "wand-sparkles", Annotation.APPROVAL: "check"}
HINTS = {
    Annotation.NOTE: "Something to know or to talk about.",
    Annotation.SUGGESTION: "Something to make different. It can be ordered as a new picture with one click.",
    Annotation.APPROVAL: "This is right as it is.",
}
TOOLS = (
    ("pin", "map-pin", "Pin", "p"),
    ("rectangle", "square", "Rectangle", "r"),
    ("ellipse", "circle", "Ellipse", "o"),
    ("arrow", "move-up-right", "Arrow", "a"),
    ("freehand", "pen-line", "Freehand", "f"),
    ("text", "type", "Text", "t"),
)
"""(shape, icon, name, key)."""

Audience = Collection[Verb]


def _percent(share: float) -> str:
    return f"{100 * share:.3f}%"


def shape(row: Annotation, names: dict[int, str]) -> dict[str, Any]:
    """One shape of annotations/_shapes.html. Places are percentages, which SVG scales without squeezing strokes."""
    place, words = row.geometry, mentions.plain(row.text, names)
    at = shapes.anchor(row.shape, place)
    drawn: dict[str, Any] = {
        "id": row.pk,
        "number": row.number,
        "kind": row.kind,
        "shape": row.shape,
        "classes": row.kind + (" resolved" if row.resolved_at else "") + (" carried" if row.carried_from_id else ""),
        "words": f"{row.get_kind_display()} {row.number} {words}"[:200],
        "text": words[:80],
        "x": _percent(at[0]) if at else "",
        "y": _percent(at[1]) if at else "",
    }
    match row.shape:
        case "rectangle":
            drawn |= {"width": _percent(place["w"]), "height": _percent(place["h"])}
        case "ellipse":
            drawn |= {
                "cx": _percent(place["x"] + place["w"] / 2),
                "cy": _percent(place["y"] + place["h"] / 2),
                "rx": _percent(place["w"] / 2),
                "ry": _percent(place["h"] / 2),
            }
        case "arrow":
            drawn |= {"x2": _percent(place["x2"]), "y2": _percent(place["y2"])}
        case "freehand":
            drawn["points"] = " ".join(f"{x:g},{y:g}" for x, y in place["points"])
    return drawn


def thread(row: Annotation, names: dict[int, str], audience: Audience, here: str) -> dict[str, Any]:
    """One entry of annotations/_threads.html. `here`: the page of the image."""
    slug = row.project.slug

    def url(what: str) -> str:
        return reverse("annotations:act", args=[slug, row.pk, what])

    may, may_order = Verb.ANNOTATE in audience, Verb.GENERATE in audience
    is_suggestion = row.kind == Annotation.SUGGESTION
    return {
        "id": row.pk,
        "number": row.number,
        "kind": row.kind,
        "kind_words": row.get_kind_display(),
        "icon": ICONS[row.kind],
        "where": shapes.in_words(row.shape, row.geometry),
        "shape": row.shape,
        "geometry": json.dumps(row.geometry),
        "html": mentions.html(row.text, names),
        "plain": mentions.plain(row.text, names),
        "author": row.author,
        "created_at": row.created_at,
        "changed_at": row.changed_at,
        "resolved_at": row.resolved_at,
        "resolved_by": row.resolved_by,
        "carried": _carried(row),
        "ordered_url": row.became_url,
        "replies": [
            {
                "id": answer.pk,
                "html": mentions.html(answer.text, names),
                "author": answer.author,
                "created_at": answer.created_at,
                "remove_url": reverse("annotations:reply_remove", args=[slug, answer.pk])
                if Verb.COMMENT in audience
                else "",
                "only_for": "" if Verb.ROLL_BACK in audience else answer.author_id,
            }
            for answer in row.answers  # type: ignore[attr-defined]
        ],
        "reply_url": url("reply") if Verb.COMMENT in audience else "",
        "reply_page": f"{here}?reply={row.pk}#compose" if Verb.COMMENT in audience else "",
        "resolve_url": url("resolve") if may and row.resolved_at is None else "",
        "reopen_url": url("reopen") if may and row.resolved_at is not None else "",
        "order_url": url("order") if may_order and is_suggestion and not row.became_id else "",
        "edit_url": url("change") if may else "",
        "edit_page": f"{here}?edit={row.pk}#compose" if may else "",
        "remove_url": url("remove") if may else "",
        "only_for": "" if Verb.ROLL_BACK in audience else row.author_id,
    }


def _carried(row: Annotation) -> dict[str, Any] | None:
    """Where a carried annotation comes from, and how much was said there."""
    before = row.carried_from
    if before is None:
        return None
    count: int = row.answers_before  # type: ignore[attr-defined]
    answers = "" if not count else "1 answer there" if count == 1 else f"{count} answers there"
    found = target(before.subject_kind, before.subject_id)
    url = f"{found.url}#annotation-{before.pk}" if found is not None else ""
    return {"url": url, "answers": answers, "number": before.number}


def _names(rows: Sequence[Annotation]) -> dict[int, str]:
    return mentions.names_in(
        [row.text for row in rows] + [a.text for row in rows for a in row.answers]  # type: ignore[attr-defined]
    )


def audience_of(user: User, on: Target) -> frozenset[Verb]:
    """What is in the trash is only looked at."""
    verbs = verbs_of(user, on.project)
    return verbs if on.is_open else verbs & {Verb.SEE}


def lists(on: Target, audience: Audience) -> dict[str, Any]:
    """Context of annotations/_shapes.html and annotations/_threads.html: the same for everybody of an audience."""
    if not on.is_open:
        audience = frozenset(audience) & {Verb.SEE}
    rows = queries.annotations_on(on)
    for row in rows:
        row.project = on.project
    names = _names(rows)
    return {
        "picture_id": f"{on.kind}-{on.id}",
        "shapes": [shape(row, names) for row in rows if row.shape != shapes.PICTURE],
        "threads": [thread(row, names, audience, on.url) for row in rows],
        "open_count": sum(row.resolved_at is None for row in rows),
    }


def surface(on: Target, user: User, *, reply: str = "", edit: str = "") -> dict[str, Any]:
    """Context of annotations/_surface.html and annotations/_panel.html: `lists`, and the reader's own form.

    `reply`, `edit`: id of an annotation, from the address of the page, that the form is about.
    """
    audience = audience_of(user, on)
    context = lists(on, audience)
    may = Verb.ANNOTATE in audience and on.version is not None
    return context | {
        "page": f"{on.kind}:{on.id}",
        "can_annotate": may,
        "tools": [{"shape": s, "icon": i, "label": label, "key": key} for s, i, label, key in TOOLS],
        "compose": compose(on, user, audience, context["threads"], reply=reply, edit=edit)
        if may or Verb.COMMENT in audience
        else None,
    }


def compose(
    on: Target,
    user: User,
    audience: Audience,
    threads: Sequence[dict[str, Any]],
    *,
    reply: str = "",
    edit: str = "",
    typed: dict[str, Any] | None = None,
    problem: str = "",
) -> dict[str, Any]:
    """Context of annotations/_compose.html: a form for a new annotation, an answer, or a change of one's own.

    `typed`: what stood in the form that was refused with the sentence `problem`.
    """
    by_id = {str(thread["id"]): thread for thread in threads}
    answered, changed = by_id.get(reply), by_id.get(edit)
    if changed is not None and changed["author"] != user:
        changed = None
    about = changed or {}
    people = mentions.people_of(on.project)
    called = mentions.handles(people)
    kinds = [k for k in Annotation.KINDS if k[0] != Annotation.APPROVAL or Verb.APPROVE in audience]
    chosen = (typed or {}).get("kind") or about.get("kind") or Annotation.NOTE
    create = reverse("annotations:create", args=[on.project.slug, on.kind, on.id])
    return {
        "picture_id": f"{on.kind}-{on.id}",
        "create_url": create,
        "action": answered["reply_url"] if answered else changed["edit_url"] if changed else create,
        "answered": answered,
        "changed": changed,
        "version": on.version,
        "shape": (typed or {}).get("shape") or about.get("shape") or shapes.PICTURE,
        "geometry": (typed or {}).get("geometry") or about.get("geometry") or "{}",
        "text": (typed or {}).get("text", about.get("plain", "")),
        "kinds": [
            {"value": value, "label": label, "icon": ICONS[value], "hint": HINTS[value], "checked": value == chosen}
            for value, label in kinds
        ],
        "people": [{"id": p.pk, "name": p.display_name, "handle": called[p.pk], "person": p} for p in people],
        "problem": problem,
        "page_url": on.url,
    }


# ------------------------------------------------------------------------------------------------------------ live
def on_image(event: Event, audience: frozenset[str]) -> list[Swap]:
    """An annotation event changes the shapes on the image and the threads beside it."""
    kind, id = event.subject_kind, event.subject_id
    page, name = f"{kind}:{id}", f"{kind}-{id}"
    verbs = frozenset(map(Verb, audience))
    return [
        Swap(target=f"shapes-{name}", html=lambda: rendered("shapes", kind, id, verbs), page=page),
        Swap(target=f"threads-{name}", html=lambda: rendered("threads", kind, id, verbs), page=page),
    ]


def rendered(which: str, kind: str, id: str, audience: Audience) -> str:
    """`which`: `shapes` or `threads`. Empty for an image that is gone."""
    on = target(kind, id)
    if on is None:
        return ""
    return render_to_string(f"annotations/_{which}.html", {"annotate": lists(on, audience)})
