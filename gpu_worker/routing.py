"""Which installed pack, and which of its encoders, measures a character's pictures, and why.

Photographed faces go to face encoders trained on photographs (ArcFace-class: Deng et al. 2019, arXiv 1801.07698), drawn
faces to those trained on drawings, and characters without a human face to an encoder of the whole figure. A cosine
means nothing by itself, so an encoder that was not calibrated measures nothing. Where nothing installed fits there is
no score, and the route says why.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from collaboration.models import Project
from gpu_worker import calibration, catalog
from gpu_worker.contracts import DRAWING, PHOTOGRAPH
from gpu_worker.packs import Pack, PackError

FACE: Final = "scoring"
"""The face encoder that scores: its name in `Pack.encoders`, `Face.embeddings` and the calibration."""
FIGURE: Final = "figure"
"""The encoder of the whole figure, `Pack.figure` and `Looked.figure`: its name in the calibration."""

ENCODER_WORDS: Final = {FACE: "face encoder", FIGURE: "figure encoder"}
_SUBJECTS: Final = {
    (FACE, Project.ILLUSTRATION): "drawn faces",
    (FACE, Project.PHOTOGRAPH): "photographed faces",
    (FIGURE, Project.ILLUSTRATION): "whole figures in drawings",
    (FIGURE, Project.PHOTOGRAPH): "whole figures in photographs",
}
_PICTURES: Final = {Project.ILLUSTRATION: "drawings", Project.PHOTOGRAPH: "photographs"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What measures a character's pictures."""

    pack: Pack | None
    """None where nothing installed fits: then there are no scores."""
    encoder: str
    """`FACE` or `FIGURE`: whose embeddings are compared and whose quantiles apply."""
    reason: str
    """One sentence for a person, at most 200 characters: why this one, or why none and what to do."""

    def compares(self, pack: Pack) -> bool:
        """Whether what `pack` saw is what is compared here."""
        return self.pack is not None and (self.pack.name, self.pack.version) == (pack.name, pack.version)


def route(*, project: Project, domain: str, has_human_face: bool) -> Route:
    """Choose for one character. `domain`: what its references are (`domain_of`), empty while that is unclear."""
    encoder = FACE if has_human_face else FIGURE
    if project.domain != Project.AUTOMATIC:
        domain, why = project.domain, f"the project is set to {_PICTURES[project.domain]}"
    elif domain:
        why = f"the references are {_PICTURES[domain]}"
    else:
        default = catalog.default_pack()
        domain, why = default.domain, f"it is not known yet what the references are, and {default.name} makes such"
    subject = _SUBJECTS[encoder, domain]
    fitting = [p for p in catalog.installed().values() if p.domain == domain and encoder in scores_with(p)]
    allowed = [p for p in fitting if p.licence.commercial or not project.is_commercial]
    if allowed:
        default_name = catalog.default_pack().name
        pack = min(allowed, key=lambda p: (p.name != default_name, p.name))
        return Route(pack=pack, encoder=encoder, reason=_shortened(f"{pack.name} measures {subject}: {why}."))
    if fitting:
        refused = f"{fitting[0].name} measures {subject}, but may not be used in a commercial project."
        return Route(pack=None, encoder=encoder, reason=_shortened(refused))
    missing = f"No installed pack measures {subject}. Install one that does, or change the domain of the project."
    return Route(pack=None, encoder=encoder, reason=missing)


def _shortened(sentence: str) -> str:
    return sentence if len(sentence) <= 200 else f"{sentence[:199]}…"


def scores_with(pack: Pack) -> tuple[str, ...]:
    """The encoders of a pack that can score, `FACE` and `FIGURE`: those that are there and calibrated."""
    present = [name for name, there in ((FACE, FACE in pack.encoders), (FIGURE, pack.figure is not None)) if there]
    return tuple(name for name in present if _is_calibrated(pack, name))


def _is_calibrated(pack: Pack, encoder: str) -> bool:
    try:
        calibration.check(pack.quantiles(encoder))
    except (PackError, calibration.CalibrationError):
        return False
    return True


def measures(pack: Pack) -> list[str]:
    """What a pack scores, in words: `drawn faces`."""
    return [_SUBJECTS[encoder, pack.domain] for encoder in scores_with(pack)]


def domain_of(photographic: Sequence[float]) -> str:
    """`illustration` or `photograph` by the median of `Looked.photographic` (0-1) of several pictures; empty without
    any, and where they are too much in between to tell."""
    if not photographic:
        return ""
    typical = statistics.median(photographic)
    return Project.PHOTOGRAPH if typical >= PHOTOGRAPH else Project.ILLUSTRATION if typical < DRAWING else ""
