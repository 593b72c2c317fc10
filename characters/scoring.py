"""Is it still the same person? Measured by an encoder the generator was not conditioned on."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from characters.checks import PROFILE_DEGREES, angle_of, main_face
from characters.models import Character
from collaboration.wired import entries
from gpu_worker import calibration, routing
from gpu_worker.contracts import Face, Looked
from gpu_worker.models import Reading
from gpu_worker.packs import Pack
from gpu_worker.routing import Route

ENCODER = routing.FACE
SMALLEST_FACE = 20
"""Pixels on the short side of a face below which a score would say more about the scaling than about the person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    value: float | None
    """0-100."""
    cosine: float | None
    reason: str
    """Why there is no value; empty when there is one."""
    against: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What a character's pictures are measured against."""

    embeddings: Sequence[Sequence[float]]
    is_held_out: bool
    references: Sequence[str] = ()
    """Their ids."""


def route_of(character: Character) -> Route:
    """Which pack and which of its encoders measures the character's pictures. Reads `project`."""
    return routing.route(project=character.project, domain=character.domain, has_human_face=character.has_human_face)


def truth_of(character: Character, route: Route, *, known: Collection[str] = ()) -> Truth:
    """The held-out references; where there are none, all usable ones, and it says so.

    `known`: ids of references that what is measured was conditioned on or trained with. Whatever they are by now, for
    it they are not held out. Profile views are left out: identity cannot be measured on a face seen so.
    """
    usable = list(character.references.usable().select_related("asset").order_by("added_at"))
    held_out = [r for r in usable if r.is_held_out and str(r.pk) not in known]
    seen = readings([r.asset_id for r in held_out or usable], route.pack) if route.pack else {}
    found = [(r, e) for r in held_out or usable if (s := seen.get(r.asset_id)) and (e := embedding_of(s, route))]
    return Truth(embeddings=[e for _, e in found], is_held_out=bool(held_out), references=[str(r.pk) for r, _ in found])


def embedding_of(seen: Looked, route: Route) -> tuple[float, ...]:
    """Of the whole figure or of the largest face, as the route says; empty where that cannot be measured."""
    if route.encoder == routing.FIGURE:
        return seen.figure
    face = main_face(seen)
    return face.embeddings.get(route.encoder, ()) if face and angle_of(face) != "profile" else ()


def trained_with(adapter_ids: Sequence[Any]) -> set[str]:
    """Ids of the references that any of the adapters has learnt from.

    The apps above know it: callables (adapter ids) -> ids of references, through the slot `adapter.references`.
    """
    wanted = [pk for pk in adapter_ids if pk is not None]
    return {str(pk) for ask in entries("SLOTS", "adapter.references") for pk in ask(wanted)} if wanted else set()


def readings(asset_ids: Sequence[Any], pack: Pack) -> dict[Any, Looked]:
    """What the pack saw in pictures: asset id -> reading, for those that were looked at."""
    rows = Reading.objects.filter(asset_id__in=asset_ids, pack=pack.name, pack_version=pack.version)
    return {asset: looked(seen) for asset, seen in rows.values_list("asset_id", "seen")}


def looked(seen: dict[str, Any]) -> Looked:
    """A reading was checked when it was written: thousands of numbers are not checked again at each page."""
    return Looked(**{**seen, "faces": tuple(Face(**face) for face in seen["faces"])})


def score(seen: Looked | None, truth: Truth, route: Route) -> Score:
    """Score the largest face of a picture or, of a character without one, the whole figure. Without what can be
    measured there is a reason instead of a number: a missing face is not a low score.

    `seen`: by the pack of the route.
    """
    if route.pack is None:
        return Score(value=None, cosine=None, reason=route.reason, against={"encoder": route.encoder})
    against = {
        "held_out": truth.is_held_out,
        "references": len(truth.embeddings),
        "reference_ids": list(truth.references),
        "encoder": route.encoder,
        "pack": route.pack.name,
        "pack_version": route.pack.version,
        "why": route.reason,
    }
    reason = _why_not(seen, truth, route)
    if reason or seen is None:
        return Score(value=None, cosine=None, reason=reason, against=against)
    mine = np.array(embedding_of(seen, route))
    cosine = float(np.mean(np.array(truth.embeddings) @ mine))
    quantiles = route.pack.quantiles(route.encoder)
    against["false_match_rate"] = calibration.false_match_rate(cosine, quantiles)
    return Score(
        value=round(calibration.score(cosine, quantiles), 1), cosine=round(cosine, 4), reason="", against=against
    )


def _why_not(seen: Looked | None, truth: Truth, route: Route) -> str:
    if not truth.embeddings:
        return "no references to compare with"
    if seen is None:
        return f"not looked at by {route.pack.name}" if route.pack else "not looked at"
    if route.encoder == routing.FIGURE:
        return "" if seen.figure else "the figure was not measured"
    face = main_face(seen)
    if face is None:
        return "no face found"
    if abs(face.yaw) > PROFILE_DEGREES:
        return "profile view"
    left, top, right, bottom = face.box
    if min(right - left, bottom - top) < SMALLEST_FACE:
        return "face too small"
    return ""
