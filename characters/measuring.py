"""Everything that is measured of one picture: identity by its face and, beside it, what a face does not tell.

The numbers stay apart: a right face in a wrong coat is not half right. What cannot be measured has a reason.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from characters import palettes, scoring
from characters.scoring import Enrolment, Score
from gpu_worker import calibration, copies, faces, routing
from gpu_worker.contracts import Looked
from gpu_worker.packs import Pack
from gpu_worker.routing import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherFace:
    """A face in the picture that nobody was asked for."""

    box: tuple[float, float, float, float]
    """Pixels: left, top, right, bottom."""
    cosine: float | None
    """Mean cosine to the references."""
    is_like: bool
    """Whether it is like the character, too: above the floor of `faces.assign`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outfit:
    """Colours of the figure below the face, against those of the reference that is dressed most alike."""

    agreement: float | None = None
    """0-100; see `palettes.agreement`."""
    difference: float | None = None
    """CIEDE2000; see `palettes.difference`."""
    reference: str = ""
    """Id of that reference."""
    colours: tuple[tuple[str, float], ...] = ()
    reference_colours: tuple[tuple[str, float], ...] = ()
    reason: str = ""
    """Why it was not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """The whole picture, against those of the references the face is compared with; scored as a face is."""

    score: float | None = None
    cosine: float | None = None
    false_match_rate: float | None = None
    reason: str = ""
    """Why it was not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    box: tuple[float, float, float, float] | None
    """Of the face that was measured, pixels; None without one."""
    others: tuple[OtherFace, ...]
    """Largest first."""
    outfit: Outfit
    figure: Figure
    copy: copies.Copy | None
    """None where there is no reference to compare with."""

    def as_json(self) -> dict[str, Any]:
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), allow_nan=False))
        return plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    score: Score
    findings: Findings | None
    """None where the picture was not looked at."""


def measure(
    seen: Looked | None, enrolment: Enrolment, route: Route, *, known: Collection[str] = (), itself: str = ""
) -> Measured:
    """Measure a picture that was made to show one character.

    `seen` and `enrolment`: by the pack of the route. `known`, `itself`: see `Enrolment.truth`.
    """
    truth = enrolment.truth(encoder=route.encoder, known=known, itself=itself)
    score = scoring.score(seen, truth, route)
    if seen is None or route.pack is None:
        return Measured(score=score, findings=None)
    shown = [r for r in enrolment.references if r.asset.sha256 != itself or not itself]
    references = [
        copies.Shown(reference=str(r.pk), seen=look) for r in shown if (look := enrolment.seen.get(r.asset_id))
    ]
    face = seen.faces[score.face] if score.face is not None else None
    figure_truth = enrolment.truth(encoder=routing.FIGURE, known=known, itself=itself)
    return Measured(
        score=score,
        findings=Findings(
            box=face.box if face else None,
            others=_others(seen, score.face, truth, route.pack),
            outfit=_outfit(seen, score.face, references),
            figure=_figure(seen, figure_truth, route),
            copy=copies.nearest(seen, face, references, encoder=routing.FACE),
        ),
    )


def _others(seen: Looked, mine: int | None, truth: scoring.Truth, pack: Pack) -> tuple[OtherFace, ...]:
    if mine is None:
        return ()
    floor = calibration.threshold(faces.FLOOR_RATE, pack.quantiles(routing.FACE))
    found = []
    for place, face in enumerate(seen.faces):
        embedding = face.embeddings.get(routing.FACE)
        if place == mine:
            continue
        cosine = round(truth.compare(embedding).cosine, 4) if embedding and truth.embeddings else None
        found.append(OtherFace(box=face.box, cosine=cosine, is_like=cosine is not None and cosine >= floor))
    return tuple(found)


def _outfit(seen: Looked, mine: int | None, references: list[copies.Shown]) -> Outfit:
    if mine is None:
        return Outfit(reason="no face found")
    colours = seen.faces[mine].outfit
    if not colours:
        return Outfit(reason="too little of the figure shows")
    dressed = [(r.reference, f.outfit) for r in references if (f := next(iter(r.seen.faces), None)) and f.outfit]
    if not dressed:
        return Outfit(colours=colours, reason="no reference shows enough of the figure")
    apart, reference, theirs = min((palettes.difference(colours, theirs), pk, theirs) for pk, theirs in dressed)
    return Outfit(
        agreement=palettes.agreement(apart),
        difference=round(apart, 1),
        reference=reference,
        colours=colours,
        reference_colours=theirs,
    )


def _figure(seen: Looked, truth: scoring.Truth, route: Route) -> Figure:
    if route.encoder == routing.FIGURE:
        return Figure(reason="it is what the score above stands for")
    if route.pack is None or routing.FIGURE not in routing.scores_with(route.pack):
        return Figure(reason=f"{route.pack.name if route.pack else 'the model'} has no calibrated figure encoder")
    if not seen.figure:
        return Figure(reason="the figure was not looked at")
    if not truth.embeddings:
        return Figure(reason="no references to compare with")
    quantiles, cosine = route.pack.quantiles(routing.FIGURE), truth.compare(seen.figure).cosine
    return Figure(
        score=round(calibration.score(cosine, quantiles), 1),
        cosine=round(cosine, 4),
        false_match_rate=calibration.false_match_rate(cosine, quantiles),
    )
