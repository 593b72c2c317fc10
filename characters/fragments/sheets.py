"""The character sheet: its grid, what is decided in it, and the faces that were cast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from characters import sheets
from characters.fragments.batches import batch_progress, cell, pictures
from characters.fragments.parts import Audience, picture, score
from characters.models import CharacterSheet, Reference, SheetTake, Variation, VariationBatch
from characters.sheets import Cell, Filled
from collaboration.bands import Bands
from collaboration.verbs import Verb
from gpu_worker.models import Job

CELL_SIZES = "(max-width: 720px) 45vw, 200px"


# ------------------------------------------------------------------------------------------------------ the sheet
def sheet(filled: Filled, audience: Audience) -> dict[str, Any]:
    """Context of characters/_sheet.html."""
    row = filled.sheet
    args = [row.character.project.slug, row.pk]
    cells = {c.row.place: sheet_cell(filled, c, audience) for c in filled.cells}
    first = filled.batches[-1] if filled.batches else None
    here = reverse("characters:sheets", args=[args[0], row.character_id])
    by_place = {(c.row.angle, c.row.expression): cells[c.row.place] for c in filled.cells}
    return {
        "id": row.pk,
        "created_at": row.created_at,
        "created_by": row.created_by,
        "why": first.tier_reason if first else "",
        "matrix": {
            "corner": "Angle × expression",
            "columns": [_capital(e) for e in filled.expressions],
            "rows": [
                {"label": _capital(a), "cells": [by_place[a, e] for e in filled.expressions]} for a in filled.angles
            ],
        },
        "head": sheet_head(filled, audience),
        "progress": sheet_progress(filled, audience),
        "again_url": f"{here}?from={row.pk}" if Verb.GENERATE in audience else "",
        "can_decide": Verb.APPROVE in audience,
    }


def sheet_head(filled: Filled, audience: Audience) -> dict[str, Any]:
    """Context of characters/_sheet_head.html: how far it is, and what can be done with all of it."""
    row = filled.sheet
    args = [row.character.project.slug, row.pk]
    may = Verb.APPROVE in audience
    open_takes = [c.proposed for c in filled.cells if c.proposed is not None]
    bands = row.character.project.studio.bands
    good = [t for t in open_takes if t.variation.score is not None and bands.of(t.variation.score) != "review"]
    approved = sum(c.approved is not None for c in filled.cells)
    total = len(filled.cells)
    sentence = f"{approved} of {total} approved"
    if open_takes:
        sentence += f", {len(open_takes)} to decide"
    return {
        "id": row.pk,
        "state": filled.state,
        "sentence": sentence,
        "note": _note(filled),
        "approve_url": reverse("characters:sheet_approve", args=args) if may else "",
        "reject_url": reverse("characters:sheet_reject", args=args) if may else "",
        "all": [t.variation_id for t in open_takes],
        "good": [t.variation_id for t in good] if len(good) < len(open_takes) else [],
        "waits_for_lead": bool(open_takes) and not may,
        "picture_url": reverse("characters:sheet_picture", args=args) if any(c.shown for c in filled.cells) else "",
        "picture_name": f"{row.character.name} character sheet.png",
    }


def _note(filled: Filled) -> str:
    """Said once for the sheet, beside the scores: what they are worth."""
    against = [t.variation.measured_against for c in filled.cells for t in c.takes if t.variation.score is not None]
    if any(a.get("generated") for a in against):
        return "Scores are measured against generated pictures, as there are no uploaded references."
    return ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# ------------------------------------------------------------------------------------------------------- its cells
def sheet_cell(filled: Filled, found: Cell, audience: Audience) -> dict[str, Any]:
    """Context of characters/_sheet_cell.html: the approved picture, or the proposed one, or why there is none."""
    row = filled.sheet
    args = [row.character.project.slug, row.pk]
    may_decide = Verb.APPROVE in audience
    take = found.shown
    context: dict[str, Any] = {
        "place": found.row.place,
        "caption": f"{_capital(found.row.expression)}, {found.row.angle}",
        "again_url": reverse("characters:sheet_again", args=[*args, found.row.place])
        if Verb.GENERATE in audience and not found.is_awaited
        else "",
        "is_awaited": found.is_awaited,
        "takes": [_take(t, args, found, audience, row.character.project.studio.bands) for t in found.takes]
        if len(found.takes) > 1
        else [],
    }
    if take is None:
        return context | _empty(found)
    state, sentence = _decided(take)
    shown = picture(take.variation.asset, alt=context["caption"], sizes=CELL_SIZES)
    return context | {
        "state": state,
        "sentence": sentence,
        "id": take.variation_id,
        "url": reverse("characters:variation", args=[args[0], take.variation_id]),
        "picture": shown,
        "score": score(take.variation, row.character.project.studio.bands),
        "decided_by": take.decided_by,
        "decided_at": take.decided_at,
        "is_best": state == "proposed" and len(found.takes) > 1,
        "trouble": _trouble(take),
        "approve_url": reverse("characters:sheet_approve", args=args)
        if may_decide and shown and state in ("proposed", "rejected", "removed")
        else "",
        "reject_url": reverse("characters:sheet_reject", args=args) if may_decide and state == "proposed" else "",
        "reopen_url": reverse("characters:sheet_reopen", args=args)
        if may_decide and state in ("approved", "rejected", "removed")
        else "",
    }


def _decided(take: SheetTake) -> tuple[str, str]:
    if take.variation.asset.erased_at is not None:
        return "erased", "Erased for good"
    if take.verdict == SheetTake.APPROVED:
        reference = sheets.reference_of(take)
        if reference is None or reference.trashed_at is not None:
            return "removed", "Removed from the references"
        return "approved", "Approved"
    return ("rejected", "Rejected") if take.verdict == SheetTake.REJECTED else ("proposed", "")


def _trouble(take: SheetTake) -> str:
    """Why an approved picture does not count, from the checks of references."""
    reference = sheets.reference_of(take)
    if take.verdict != SheetTake.APPROVED or reference is None or reference.verdict != Reference.REJECT:
        return ""
    return next((c["sentence"] for c in reference.checks if c["verdict"] == "reject"), "It cannot be used.")


def _take(take: SheetTake, args: list[Any], found: Cell, audience: Audience, bands: Bands) -> dict[str, Any]:
    state, sentence = _decided(take)
    return {
        "id": take.variation_id,
        "url": reverse("characters:variation", args=[args[0], take.variation_id]),
        "picture": picture(take.variation.asset, size=160, alt=sentence or "Not decided"),
        "score": score(take.variation, bands),
        "sentence": sentence,
        "is_shown": take is found.shown,
        "approve_url": reverse("characters:sheet_approve", args=args)
        if Verb.APPROVE in audience and state in ("proposed", "rejected", "removed")
        else "",
    }


def _empty(found: Cell) -> dict[str, Any]:
    """A cell without a picture to decide on."""
    state, sentence = "failed", "Not made"
    if found.is_awaited and found.job is not None:
        state, sentence = ("working", "") if found.job.state == Job.RUNNING else ("waiting", "Waiting")
    elif found.job is not None and found.job.state == Job.CANCELLED:
        state = "cancelled"
    return {"state": state, "sentence": sentence, "id": "", "picture": None}


# ---------------------------------------------------------------------------------------------------- its progress
def sheet_progress(filled: Filled, audience: Audience) -> dict[str, Any]:
    """Context of characters/_batch_progress.html, of the order of the sheet that is worked on, else of the latest one;
    it asks for the sheet's news. Empty for a sheet without any order."""
    if not filled.batches:
        return {}
    row = filled.sheet
    under_way = [b for b in filled.batches if not b.job.has_ended]
    batch = next(
        (b for b in under_way if b.job.state == Job.RUNNING), under_way[-1] if under_way else filled.batches[0]
    )
    batch.character = row.character
    made = {t.variation.index: t.variation for c in filled.cells for t in c.takes if t.variation.batch_id == batch.pk}
    slug = row.character.project.slug
    news = f"{reverse('characters:sheet_progress', args=[slug, row.pk])}?{urlencode({'have': have(filled)})}"
    return _progress(
        batch_progress(batch, made, audience),
        news,
        reverse("characters:sheet_job", args=[slug, row.pk, "cancel"]),
        reverse("characters:sheet_job", args=[slug, row.pk, "retry"]),
    )


def _progress(context: dict[str, Any], news: str, cancel: str, retry: str) -> dict[str, Any]:
    return context | {
        "refresh_url": news if context["refresh_url"] else "",
        "cancel_url": cancel if context["cancel_url"] else "",
        "retry_url": retry if context["retry_url"] else "",
    }


def have(filled: Filled) -> str:
    """`place.takes` of every cell: what a page shows, so that only what is new is sent."""
    return ",".join(f"{c.row.place}.{len(c.takes)}" for c in filled.cells)


# ---------------------------------------------------------------------------------------------------------- faces
def faces(batch: VariationBatch, made: Mapping[int, Variation], audience: Audience) -> dict[str, Any]:
    """Context of characters/_faces.html: faces cast from words, to choose one from. `made`: place -> picture."""
    return {
        "id": batch.pk,
        "title": f"{pictures(len(batch.plan))[:1].upper()}{pictures(len(batch.plan))[1:]} from words alone",
        "prompt": batch.plan[0]["prompt"],
        "created_at": batch.created_at,
        "created_by": batch.created_by,
        "cells": [face(batch, index, made.get(index), audience) for index in range(len(batch.plan))],
        "progress": faces_progress(batch, made, audience),
    }


def face(batch: VariationBatch, index: int, made: Variation | None, audience: Audience) -> dict[str, Any]:
    """Context of characters/_face.html."""
    context = cell(batch, index, made, audience)
    may = made is not None and context["state"] == "done" and Verb.EDIT in audience
    url = reverse("characters:face_choose", args=[batch.character.project.slug, made.pk]) if made and may else ""
    return context | {"choose_url": url, "number": index + 1}


def faces_progress(batch: VariationBatch, made: Mapping[int, Variation], audience: Audience) -> dict[str, Any]:
    args = [batch.character.project.slug, batch.pk]
    known = ",".join(str(index) for index in sorted(made))
    return _progress(
        batch_progress(batch, made, audience),
        f"{reverse('characters:faces_progress', args=args)}?have={known}",
        reverse("characters:faces_job", args=[*args, "cancel"]),
        reverse("characters:faces_job", args=[*args, "retry"]),
    )


# ------------------------------------------------------------------------------------------------------ in a list
def sheet_card(filled: Filled) -> dict[str, Any]:
    """Context of characters/_sheet_card.html."""
    row: CharacterSheet = filled.sheet
    shown = [t for c in filled.cells if (t := c.shown) is not None]
    approved = sum(c.approved is not None for c in filled.cells)
    return {
        "url": row.get_absolute_url(),
        "title": f"{len(filled.angles)} × {len(filled.expressions)}",
        "count": f"{approved} of {len(filled.cells)} approved",
        "state": sheets.STATES[filled.state],
        "created_at": row.created_at,
        "created_by": row.created_by,
        "pictures": [picture(t.variation.asset, size=160) for t in shown[:4]],
    }
