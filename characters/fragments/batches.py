"""Batches of variations: the matrix that fills, its progress, and one picture with everything known about it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils.dateparse import parse_datetime

from characters.forms import AXIS_WORDS
from characters.fragments.parts import Audience, marks, picture, score
from characters.models import Reference, Variation, VariationBatch
from characters.variations import in_order
from collaboration.verbs import Verb
from collaboration.votes import queries as votes
from collaboration.votes.fragments import mark
from gpu_worker import queries as jobs
from gpu_worker.models import Job

CELL_SIZES = "(max-width: 720px) 45vw, 240px"
WIDEST = 6
"""Columns of a matrix beside the form."""
REFRESH_SECONDS = 1


def seconds(value: float) -> str:
    """`8 s`, `2 min`, `1 h 20 min`."""
    if value < 90:
        return f"{max(1, round(value))} s"
    minutes = round(value / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"


# ------------------------------------------------------------------------------------------------------- the batch
def batch(
    row: VariationBatch, made: Mapping[int, Variation], audience: Audience, *, outdated: Collection[UUID] = ()
) -> dict[str, Any]:
    """Context of characters/_batch.html: the whole order, made or not. `made`: place -> picture; `outdated`: ids of
    those whose score should be measured again."""
    cells = [cell(row, index, made.get(index), audience, outdated=outdated) for index in range(len(row.plan))]
    slug = row.character.project.slug
    variations_url = reverse("characters:variations", args=[slug, row.character_id])
    return {
        "id": row.pk,
        "title": title(row),
        "chip": how(row),
        "why": row.tier_reason,
        "created_at": row.created_at,
        "created_by": row.created_by,
        "matrix": _matrix(row, cells),
        "cells": cells,
        "progress": batch_progress(row, made, audience),
        "again_url": f"{variations_url}?from={row.pk}" if Verb.GENERATE in audience else "",
        "same_seed_url": f"{variations_url}?from={row.pk}&seed=same" if Verb.GENERATE in audience else "",
        "sheet_url": f"{reverse('characters:sheets', args=[slug, row.character_id])}?sheet={row.sheet_id}"
        if row.sheet_id
        else "",
        "can_select": True,
    }


def title(row: VariationBatch) -> str:
    """`Expression × outfit`, or the values where nothing is varied against anything."""
    axes = row.settings["axes"]
    if row.is_casting:
        return "Faces to cast from"
    if words := [AXIS_WORDS.get(axis, axis) for axis in varied(row)]:
        return " × ".join([words[0], *(word.lower() for word in words[1:])])
    said = ", ".join(value for _, values in in_order(axes) for value in values)
    return said[:1].upper() + said[1:] if said else row.settings["text"][:80] or "As they are"


def varied(row: VariationBatch) -> list[str]:
    """The axes with several values: what tells the pictures of the batch apart."""
    return [axis for axis, values in in_order(row.settings["axes"]) if len(values) > 1]


def how(row: VariationBatch) -> str:
    """`Standard · adapter v3 + image prompt`."""
    parts = []
    if row.adapter is not None:
        parts.append(f"adapter v{row.adapter.version}")
    if row.job.arguments.get("identity_from") or (
        row.settings["image_prompt_strength"] > 0 and "words alone" not in row.tier_reason
    ):
        parts.append("image prompt")
    return f"{row.get_tier_display()} · {' + '.join(parts) or 'words alone'}"


def _matrix(row: VariationBatch, cells: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Context of components/matrix.html where exactly two axes have several values, one picture of each combination."""
    axes: dict[str, list[str]] = row.settings["axes"]
    if len(varied(row)) != 2 or row.settings["per_combination"] != 1:
        return None
    down, across = sorted(varied(row), key=lambda axis: len(axes[axis]) if len(axes[axis]) <= WIDEST else -1)
    by_place = {(entry["axes"][down], entry["axes"][across]): cells[k] for k, entry in enumerate(row.plan)}
    return {
        "corner": title(row),
        "columns": [_capital(value) for value in axes[across]],
        "rows": [{"label": _capital(y), "cells": [by_place[y, x] for x in axes[across]]} for y in axes[down]],
    }


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


# ---------------------------------------------------------------------------------------------------- its progress
def batch_progress(row: VariationBatch, made: Mapping[int, Variation], audience: Audience) -> dict[str, Any]:
    """Context of characters/_batch_progress.html. While work goes on it asks for itself again, and new pictures come
    along with it."""
    job, total = row.job, len(row.plan)
    args = [row.character.project.slug, row.pk]
    sentence, left, value = _state(job, len(made), total)
    may = Verb.GENERATE in audience
    is_live = not job.has_ended
    have = ",".join(str(index) for index in sorted(made))
    return {
        "id": row.pk,
        "state": "working" if job.state == Job.RUNNING else job.state,
        "sentence": sentence,
        "left": left,
        "value": value,
        "error": job.error if job.state == Job.FAILED else "",
        "detail": job.error_detail if job.state == Job.FAILED else "",
        "notices": [n for n in job.notices if n.get("sentence")],
        "refresh_url": f"{reverse('characters:batch_progress', args=args)}?have={have}" if is_live else "",
        "refresh_seconds": REFRESH_SECONDS if job.state == Job.RUNNING else 2 * REFRESH_SECONDS,
        "cancel_url": reverse("characters:batch_cancel", args=args) if is_live and may else "",
        "retry_url": reverse("characters:batch_retry", args=args)
        if may and job.state in (Job.FAILED, Job.CANCELLED) and len(made) < total
        else "",
    }


def _state(job: Job, made: int, total: int) -> tuple[str, str, float | None]:
    """Return (how far it is, time left, share done or None while nobody knows)."""
    if job.state == Job.RUNNING:
        share = job.step / job.total if job.total else made / total
        note = "Stopping" if job.wanted == Job.CANCEL else f"{made} of {total}"
        return note, f"about {seconds(jobs.seconds_left(job))} left", max(share, made / total)
    if job.state in (Job.WAITING, Job.PAUSED):
        return waiting(job), "", made / total if made else None
    if job.state == Job.DONE:
        return f"{pictures(made)} in {seconds(job.busy_seconds)}", "", None
    if job.state == Job.CANCELLED:
        return f"Stopped after {made} of {total}", "", None
    return f"Failed after {made} of {total}", "", None


def waiting(job: Job) -> str:
    if job.state == Job.PAUSED:
        return "Paused"
    if not any(job.queue in worker.queues for worker in jobs.live_workers()):
        return "Waiting: no worker takes this kind of work at the moment. It starts as soon as one is there"
    place = jobs.forecast().get(job.pk)
    if place is None:
        return job.note or "Waiting"
    position, start = place
    when = f"starts in about {seconds(start)}" if start >= 2 else "starts now"
    return f"Next in the queue, {when}" if position == 1 else f"Position {position} in the queue, {when}"


# -------------------------------------------------------------------------------------------------------- one cell
def cell(
    row: VariationBatch,
    index: int,
    variation: Variation | None,
    audience: Audience,
    *,
    outdated: Collection[UUID] = (),
) -> dict[str, Any]:
    """Context of characters/_cell.html: one place of a batch, made, waiting, failed or emptied."""
    plan = row.plan[index]
    context: dict[str, Any] = {
        "place": f"{row.pk}-{index}",
        "caption": caption({axis: plan["axes"][axis] for axis in varied(row) if axis in plan["axes"]}),
        "prompt": plan["prompt"],
        "seed": plan["seed"],
    }
    if variation is None:
        return context | {"id": f"{row.pk}-{index}"} | _not_made(row.job)
    slug = row.character.project.slug
    args = [slug, variation.pk]
    may_edit = Verb.EDIT in audience
    if variation.trashed_at is not None:
        return context | {
            "id": variation.pk,
            "state": "trashed",
            "sentence": "In the trash",
            "restore_url": reverse("characters:variation_restore", args=args) if may_edit else "",
        }
    if variation.asset.erased_at is not None:
        return context | {"id": variation.pk, "state": "failed", "sentence": "Erased for good"}
    name = f"{row.character.name} {index + 1}"
    verb = "unpick" if variation.picked_at else "pick"
    again = reverse("characters:variations", args=[slug, row.character_id])
    return context | {
        "id": variation.pk,
        "state": "done",
        "url": reverse("characters:variation", args=args),
        "name": name,
        "picture": picture(variation.asset, alt=f"{name}: {caption(plan['axes'])}", sizes=CELL_SIZES),
        "score": score(variation, row.character.project.studio.bands) | {"stale": variation.pk in outdated},
        "marks": marks(variation),
        "tier": row.get_tier_display(),
        "model": how(row),
        "why": row.tier_reason,
        "picked": variation.picked_at is not None,
        "votes": _votes(row, variation, audience),
        "pick_url": reverse(f"characters:variation_{verb}", args=args) if may_edit else "",
        "trash_url": reverse("characters:variation_trash", args=args) if may_edit else "",
        "again_url": f"{again}?variation={variation.pk}" if Verb.GENERATE in audience else "",
        "download_url": variation.asset.url(),
        "download_name": f"{name}.png",
    }


def _votes(row: VariationBatch, variation: Variation, audience: Audience) -> dict[str, Any]:
    project = row.character.project
    if not hasattr(variation, "tally"):
        votes.attach(project, "variation", [variation])
    return mark(project, "variation", variation.pk, variation.tally, may_vote=Verb.VOTE in audience)  # type: ignore[attr-defined]


def _not_made(job: Job) -> dict[str, Any]:
    words = {
        Job.RUNNING: ("working", ""),
        Job.WAITING: ("waiting", "Waiting"),
        Job.PAUSED: ("waiting", "Paused"),
        Job.FAILED: ("failed", "Not made"),
        Job.CANCELLED: ("cancelled", "Not made"),
        Job.DONE: ("failed", "Not made"),
    }
    state, sentence = words[job.state]
    return {"state": state, "sentence": sentence, "value": None}


def caption(axes: Mapping[str, str]) -> str:
    return _capital(", ".join(value for _, value in in_order(axes)))


# ------------------------------------------------------------------------------------------------------ in a list
def batch_card(row: VariationBatch) -> dict[str, Any]:
    """Context of characters/_batch_card.html; `row` from `queries.batches_of`."""
    slug = row.character.project.slug
    best = next((v.score for v in row.shown if v.score is not None), None)  # type: ignore[attr-defined]
    return {
        "url": reverse("characters:variations", args=[slug, row.character_id]) + f"?batch={row.pk}",
        "title": title(row),
        "count": pictures(row.made),  # type: ignore[attr-defined]
        "chip": how(row),
        "created_at": row.created_at,
        "created_by": row.created_by,
        "state": "" if row.job.state == Job.DONE else "working" if row.job.state == Job.RUNNING else row.job.state,
        "pictures": [picture(v.asset, size=160) for v in row.shown],  # type: ignore[attr-defined]
        "best": {"value": best, "band": row.character.project.studio.bands.of(best), "detail": "the best of the batch"}
        if best is not None
        else None,
    }


# ------------------------------------------------------------------------------------- everything about a picture
def facts(variation: Variation, references: Mapping[str, Reference]) -> list[dict[str, Any]]:
    """The provenance in words: groups of {title, rows: [{name, value, is_code}]}. `references`: id -> reference."""
    p = variation.provenance
    adapter, image_prompt = p.get("adapter"), p.get("image_prompt")
    made_at = parse_datetime(str(p.get("made_at", ""))) or variation.made_at
    asked = [
        ("Prompt", p.get("prompt", variation.prompt), False),
        ("Negative prompt", p.get("negative_prompt") or "None", False),
        ("Seed", str(p.get("seed", variation.seed)), True),
        ("Steps", str(p.get("steps", "")), False),
        ("Guidance (CFG)", f"{p['guidance']:g}" if p.get("guidance") is not None else "", False),
        ("Size", f"{variation.asset.width} × {variation.asset.height} px" if variation.asset.width else "", False),
        ("Sampler", str(p.get("sampler", "")), False),
    ]
    model = [
        ("Model", str(p.get("model_title") or variation.batch.pack), False),
        ("Version", str(p.get("model_version", "")), False),
        ("Model hash", str(p.get("model_sha256", "")), True),
        ("Tier", variation.batch.get_tier_display(), False),
        ("Why this model", str(p.get("why_this_model", "")), False),
        ("Licence", str(p.get("licence", "")), False),
    ]
    identity = []
    if adapter:
        identity += [
            ("Adapter", f"v{adapter['version']} at {adapter['strength']:g}, word “{adapter['trigger']}”", False),
            ("Adapter hash", str(adapter["sha256"]), True),
        ]
    if image_prompt:
        count = len(image_prompt["references"])
        known = [references[pk].asset.original_name for pk in image_prompt["references"] if pk in references]
        said = f"{image_prompt['strength']:g}, from {count} reference{'' if count == 1 else 's'}"
        identity += [("Image prompt", said, False), ("References", ", ".join(known) or "All removed since", False)]
    made = [
        ("Ordered by", str(p.get("ordered_by", "")), False),
        ("Made", f"{made_at:%d %b %Y, %H:%M:%S} UTC", False),
        ("Worker", str(p.get("worker", "")), False),
        ("Device", str(p.get("device", "")), False),
        ("Time", f"{p['seconds']:.1f} s" if isinstance(p.get("seconds"), int | float) else "", False),
        ("File hash", variation.asset.sha256, True),
    ]
    groups = [("Asked for", asked), ("Model", model), ("Identity", identity), ("Made", made)]
    return [
        {"title": name, "rows": [{"name": n, "value": v, "is_code": c} for n, v, c in rows if v]}
        for name, rows in groups
        if any(v for _, v, _ in rows)
    ]


def compared(items: list[Variation | Reference]) -> list[dict[str, Any]]:
    """What differs between the compared: rows of {name, values, differs}; a reference has none of the settings."""
    names = [
        ("Prompt", lambda v: v.prompt),
        ("Seed", lambda v: str(v.seed)),
        ("Model", how_of),
        ("Adapter strength", lambda v: _strength(v.provenance.get("adapter"))),
        ("Image prompt strength", lambda v: _strength(v.provenance.get("image_prompt"))),
        ("Steps", lambda v: str(v.provenance.get("steps", ""))),
        ("Guidance (CFG)", lambda v: f"{v.provenance.get('guidance', 0):g}"),
        ("Negative prompt", lambda v: v.provenance.get("negative_prompt", "") or "None"),
        ("Size", lambda v: f"{v.asset.width} × {v.asset.height} px"),
        ("Cosine", lambda v: f"{v.cosine:.3f}" if v.cosine is not None else "–"),
    ]
    rows = []
    for name, value in names:
        values = [value(v) if isinstance(v, Variation) else "" for v in items]
        said = {v for v, item in zip(values, items, strict=True) if isinstance(item, Variation)}
        rows.append({"name": name, "values": values, "differs": len(said) > 1})
    return rows if any(isinstance(item, Variation) for item in items) else []


def how_of(variation: Variation) -> str:
    return how(variation.batch)


def _strength(used: Mapping[str, Any] | None) -> str:
    return f"{used['strength']:g}" if used else "Not used"
