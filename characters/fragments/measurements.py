"""What was measured of pictures beside their score, when it was measured, and measuring them again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone

from characters.fragments.batches import seconds, waiting
from characters.fragments.parts import Audience, colour_bar, one_in, picture, score, unknown_faces
from characters.models import Character, Measurement, Reference, Variation, VariationBatch
from characters.queries import Outdated
from collaboration.bands import Bands
from collaboration.verbs import Verb
from gpu_worker import queries as running
from gpu_worker.models import Job

REFRESH_SECONDS = 1


def beside(variation: Variation, references: Mapping[str, Reference], bands: Bands) -> dict[str, Any]:
    """Context of characters/_beside.html: what was measured beside the score. `references`: id -> reference."""
    findings = variation.findings
    return {
        "rows": [_outfit(variation, references), _figure(findings.get("figure"), bands)] if findings else [],
        "copy": _copy(findings.get("copy"), references),
        "others": _others(findings),
    }


def named_in(variation: Variation) -> set[str]:
    """Ids of the references that its findings name."""
    parts = [variation.findings.get("copy") or {}, variation.findings.get("outfit") or {}]
    return {part["reference"] for part in parts if part.get("reference")}


def _outfit(variation: Variation, references: Mapping[str, Reference]) -> dict[str, Any]:
    found = variation.findings["outfit"]
    row: dict[str, Any] = {"name": "Outfit", "reason": found["reason"]}
    if found["agreement"] is None:
        return row
    nearest = references.get(found["reference"])
    asked = [variation.axes[axis] for axis in ("colour", "outfit") if axis in variation.axes]
    notes = [f"Colours differ by {found['difference']:.0f} (CIEDE2000) from the reference dressed most alike"]
    if asked:
        notes.append(f"another outfit was asked for: {' '.join(asked)}")
    return row | {
        "value": found["agreement"],
        "word": _alike(found["agreement"]),
        "note": "; ".join(notes) + ".",
        "bars": [
            {"name": "This picture", "swatches": colour_bar(found["colours"])},
            {
                "name": nearest.asset.original_name if nearest else "A reference removed since",
                "swatches": colour_bar(found["reference_colours"]),
            },
        ],
    }


def _alike(agreement: float) -> str:
    return "much the same" if agreement >= 80 else "similar" if agreement >= 60 else "different"


def _figure(found: Mapping[str, Any] | None, bands: Bands) -> dict[str, Any]:
    row: dict[str, Any] = {"name": "Whole figure", "reason": (found or {}).get("reason", "not looked at")}
    if not found or found["score"] is None:
        return row
    words = {"excellent": "alike", "good": "similar", "review": "different"}
    rate = found["false_match_rate"]
    return row | {
        "value": found["score"],
        "word": words[bands.of(found["score"])],
        "note": f"Cosine {found['cosine']:.2f}; {one_in(rate)} other figures would match as well.",
    }


def _copy(found: Mapping[str, Any] | None, references: Mapping[str, Reference]) -> dict[str, Any] | None:
    if not found or not found["is_copy"]:
        return None
    reference = references.get(found["reference"])
    name = reference.asset.original_name if reference else "a reference that was removed since"
    return {
        "sentence": f"Face, pose and expression repeat {name}: it shows nothing of the character that was not there "
        "before. Another seed, pose or a lower strength of the image prompt gives another picture.",
        "likeness": f"{found['likeness']:.2f}" if found["likeness"] is not None else "",
        "picture": picture(reference.asset, size=160, alt=name) if reference else None,
        "url": reference.asset.url() if reference else "",
    }


def _others(findings: Mapping[str, Any]) -> str:
    others = findings.get("others") or []
    if not others:
        return ""
    like = sum(bool(o["is_like"]) for o in others)
    sentence = f"{unknown_faces(len(others))}. The face most like the character is measured."
    if like:
        sentence += " One of them is like the character, too." if like == 1 else f" {like} are like the character, too."
    return sentence


def history(measurements: Sequence[Measurement], bands: Bands) -> list[dict[str, Any]]:
    """What was measured when, and by what; the newest first."""
    return [
        {
            "at": row.measured_at,
            "by": row.asked_by,
            "score": score(row, bands),
            "model": " ".join(str(row.measured_against.get(k) or "") for k in ("pack", "pack_version")).strip(),
        }
        for row in measurements
    ]


# ----------------------------------------------------------------------------------------------------- again
def measuring(
    character: Character,
    jobs: Sequence[Job],
    last: Job | None,
    outdated: Outdated,
    audience: Audience,
    *,
    watched: VariationBatch | Variation | None = None,
) -> dict[str, Any]:
    """Context of characters/_measuring.html: measuring under way, what went wrong with it, or what should be measured
    again.

    `jobs`: those that have not ended; `last`: the one that ended last; `watched`: what the page shows, of which the
    answers to come bring news.
    """
    args = [character.project.slug, character.pk]
    may = Verb.GENERATE in audience
    context: dict[str, Any] = {"state": "", "measure_url": reverse("characters:measure", args=args) if may else ""}
    if jobs:
        kind = "variation" if isinstance(watched, Variation) else "batch"
        query = {"since": timezone.now().isoformat()} | ({kind: str(watched.pk)} if watched else {})
        return (
            context
            | _under_way(jobs)
            | {
                "refresh_url": f"{reverse('characters:measuring', args=args)}?{urlencode(query)}",
                "refresh_seconds": REFRESH_SECONDS,
                "stop_url": reverse("characters:measuring_stop", args=args) if may else "",
            }
        )
    if last is not None and last.state == Job.FAILED:
        return context | {"state": "failed", "error": last.error, "ids": last.arguments["variations"]}
    if outdated.all and may:
        return context | {"state": "outdated", "sentence": _why(outdated), "count": len(outdated.all)}
    return context


def _under_way(jobs: Sequence[Job]) -> dict[str, Any]:
    now = next((job for job in jobs if job.state == Job.RUNNING), jobs[0])
    done, total = sum(job.step for job in jobs), sum(job.total for job in jobs)
    if now.state != Job.RUNNING:
        return {"state": "waiting", "sentence": waiting(now), "value": None}
    return {
        "state": "working",
        "sentence": f"{done} of {total}",
        "left": f"about {seconds(running.seconds_left(now))} left",
        "value": done / total if total else None,
    }


def _why(outdated: Outdated) -> str:
    parts: list[tuple[Collection[Any], str]] = [
        (outdated.by_references, "against older references"),
        (outdated.by_model, "by another model than the one that measures now"),
    ]
    said = []
    for ids, how in parts:
        if ids:
            said.append(f"{len(ids)} picture{' was' if len(ids) == 1 else 's were'} measured {how}")
    return "; ".join(said) + "."
