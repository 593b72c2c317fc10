"""Is it still the same person? Measured by an encoder the generator was not conditioned on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from characters import profiles
from characters.checks import main_face
from characters.models import Character, Reference, VariationBatch
from collaboration.wired import entries
from gpu_worker import calibration, faces, routing
from gpu_worker.contracts import Face, Looked
from gpu_worker.models import Reading
from gpu_worker.packs import Pack
from gpu_worker.routing import Route

ENCODER = routing.FACE
HELD_OUT, LEAVE_ONE_OUT, ONLY_ONE = "held_out", "leave_one_out", "only_one"
"""How a picture was compared; see `Truth.compare`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    value: float | None
    """0-100."""
    cosine: float | None
    reason: str
    """Why there is no value; empty when there is one."""
    against: dict[str, Any]
    """As `Variation.measured_against`."""
    face: int | None = None
    """Place of the face that was measured, or would have been; None where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    cosine: float
    method: str
    """HELD_OUT, LEAVE_ONE_OUT or ONLY_ONE."""
    references: int
    """How many the cosine is the mean of."""
    left_out: str = ""
    """Id of the reference that was left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What a character's pictures are measured against."""

    embeddings: Sequence[Sequence[float]]
    is_held_out: bool
    references: Sequence[str] = ()
    """Their ids."""
    is_generated: bool = False
    """There are no uploaded references: a model made all of these."""
    pool: Sequence[str] = ()
    """Ids of all that could serve, those that show nothing to measure too: while it is the same, so is the truth."""

    def compare(self, embedding: Sequence[float]) -> Comparison:
        """Mean cosine to the references. They must not be empty.

        Those held out are unknown to what made the picture, so all of them count. Without any, what is measured may
        repeat one of them: of the means that leave one reference out the lowest counts, which leaves out the nearest.
        """
        cosines = np.asarray(self.embeddings) @ np.asarray(embedding)
        if self.is_held_out or len(cosines) == 1:
            method = HELD_OUT if self.is_held_out else ONLY_ONE
            return Comparison(cosine=float(cosines.mean()), method=method, references=len(cosines))
        nearest = int(cosines.argmax())
        return Comparison(
            cosine=float(np.delete(cosines, nearest).mean()),
            method=LEAVE_ONE_OUT,
            references=len(cosines) - 1,
            left_out=self.references[nearest] if self.references else "",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """The usable references of a character, and what a pack saw in them."""

    references: Sequence[Reference]
    """In the order in which they were added."""
    seen: Mapping[Any, Looked]
    """Asset id -> reading, for those that the pack looked at."""

    def truth(self, *, encoder: str, known: Collection[str] = (), itself: str = "") -> Truth:
        """The held-out references; where there are none, all that tell who the character is, and it says so:
        generated ones only where nothing was uploaded.

        `known`: ids of references that what is measured was conditioned on or trained with. Whatever they are by now,
        for it they are not held out. `itself`: digest of the picture that is measured; where it is a reference, it is
        left out. Profile views are left out, too: identity cannot be measured on a face seen so.
        """
        telling = profiles.telling(self.references)
        others = [r for r in telling if not itself or r.asset.sha256 != itself]
        held_out = [r for r in others if r.is_held_out and str(r.pk) not in known]
        pool = held_out or others
        found = [(r, e) for r in pool if (s := self.seen.get(r.asset_id)) and (e := embedding_of(s, encoder))]
        return Truth(
            embeddings=[e for _, e in found],
            is_held_out=bool(held_out),
            references=[str(r.pk) for r, _ in found],
            pool=sorted(str(r.pk) for r in pool),
            is_generated=any(r.is_generated for r in telling),
        )


def enrolment_of(character: Character, pack: Pack | None) -> Enrolment:
    usable = list(character.references.usable().select_related("asset").order_by("added_at", "id"))
    return Enrolment(references=usable, seen=readings([r.asset_id for r in usable], pack) if pack else {})


def route_of(character: Character) -> Route:
    """Which pack and which of its encoders measures the character's pictures. Reads `project`."""
    return routing.route(project=character.project, domain=character.domain, has_human_face=character.has_human_face)


def truth_of(character: Character, route: Route, *, known: Collection[str] = ()) -> Truth:
    """See `Enrolment.truth`."""
    return enrolment_of(character, route.pack).truth(encoder=route.encoder, known=known)


def embedding_of(seen: Looked, encoder: str) -> tuple[float, ...]:
    """Of the whole figure or of the largest face, as the encoder wants it; empty where that cannot be measured."""
    if encoder == routing.FIGURE:
        return seen.figure
    face = main_face(seen)
    return face.embeddings.get(encoder, ()) if face and abs(face.yaw) <= faces.PROFILE_DEGREES else ()


def trained_with(adapter_ids: Sequence[Any]) -> set[str]:
    """Ids of the references that any of the adapters has learnt from.

    The apps above know it: callables (adapter ids) -> ids of references, through the slot `adapter.references`.
    """
    wanted = [pk for pk in adapter_ids if pk is not None]
    return {str(pk) for ask in entries("SLOTS", "adapter.references") for pk in ask(wanted)} if wanted else set()


def known_to(batches: Iterable[VariationBatch]) -> dict[Any, set[str]]:
    """Batch id -> ids of the references that its pictures were conditioned on, or whose adapter was trained with. Reads
    `job`."""
    batches = list(batches)
    trained = {pk: trained_with([pk]) for pk in {batch.adapter_id for batch in batches}}
    return {b.pk: {*(b.job.arguments.get("identity_from") or ()), *trained[b.adapter_id]} for b in batches}


def readings(asset_ids: Sequence[Any], pack: Pack) -> dict[Any, Looked]:
    """What the pack saw in pictures: asset id -> reading, for those that were looked at."""
    rows = Reading.objects.filter(asset_id__in=asset_ids, pack=pack.name, pack_version=pack.version)
    return {asset: looked(seen) for asset, seen in rows.values_list("asset_id", "seen")}


def looked(seen: dict[str, Any]) -> Looked:
    """A reading was checked when it was written: thousands of numbers are not checked again at each page."""
    return Looked(**{**seen, "faces": tuple(Face(**face) for face in seen["faces"])})


def score(seen: Looked | None, truth: Truth, route: Route) -> Score:
    """Score the character's face in a picture or, of a character without one, the whole figure. Without what can be
    measured there is a reason instead of a number: a missing face is not a low score.

    `seen`: by the pack of the route. Of several faces it is the one that is most like the character; where none is like
    them at all, the largest: the picture was made to show them.
    """
    if route.pack is None:
        return Score(value=None, cosine=None, reason=route.reason, against={"encoder": route.encoder})
    against = {
        "held_out": truth.is_held_out,
        "generated": truth.is_generated,
        "references": len(truth.embeddings),
        "reference_ids": list(truth.references),
        "pool": list(truth.pool),
        "encoder": route.encoder,
        "pack": route.pack.name,
        "pack_version": route.pack.version,
        "why": route.reason,
    }
    quantiles = route.pack.quantiles(route.encoder)
    place = face_of(seen, truth, route) if seen else None
    reason = _why_not(seen, place, truth, route)
    if reason or seen is None:
        return Score(value=None, cosine=None, reason=reason, against=against, face=place)
    mine = seen.figure if place is None else seen.faces[place].embeddings[route.encoder]
    found = truth.compare(mine)
    against |= {
        "method": found.method,
        "references": found.references,
        "left_out": found.left_out,
        "false_match_rate": calibration.false_match_rate(found.cosine, quantiles),
    }
    value = round(calibration.score(found.cosine, quantiles), 1)
    return Score(value=value, cosine=round(found.cosine, 4), reason="", against=against, face=place)


def face_of(seen: Looked, truth: Truth, route: Route) -> int | None:
    """The place of the face that is meant to be the character; None without a face, or where the figure is measured."""
    if route.encoder == routing.FIGURE or route.pack is None or not seen.faces:
        return None
    floor = calibration.threshold(faces.FLOOR_RATE, route.pack.quantiles(route.encoder))
    wanted = faces.Expected(key="", embeddings=truth.embeddings, floor=floor)
    found = faces.assign(seen.faces, [wanted], encoder=route.encoder).face_of("") if len(seen.faces) > 1 else None
    return found if found is not None else 0


def _why_not(seen: Looked | None, place: int | None, truth: Truth, route: Route) -> str:
    if not truth.embeddings:
        return "no references to compare with"
    if seen is None or route.pack is None:
        return f"not looked at by {route.pack.name}" if route.pack else "not looked at"
    if route.encoder == routing.FIGURE:
        return "" if seen.figure else "the figure was not measured"
    if place is None:
        return "no face found"
    face = seen.faces[place]
    if reason := faces.why_not(face, seen, sure_from=route.pack.detection_threshold):
        return reason
    return "" if face.embeddings.get(route.encoder) else "the face could not be read"
