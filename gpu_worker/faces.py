"""Whose face is whose in a picture, and which faces can be measured at all.

Nothing here reads the database: characters are known by the embeddings they are compared with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpu_worker.contracts import Face, Looked

PROFILE_DEGREES = 45.0
SMALLEST_FACE = 20
"""Pixels on the short side of a face below which a score would say more about the scaling than about the person."""
LEAST_IN_PICTURE = 0.75
"""Share of what the encoder sees of a face that must lie inside the picture. On renders of the mini pack, 15 % of the
face cut off leaves 0.78 of it and a median cosine of .62 instead of .76; 30 % cut off leaves 0.70 and .49."""
MOST_COVERED = 0.35
"""Share of a face's box that the box of a larger face may cover: what is in front hides what is behind."""
BARELY_A_FACE = 0.04
"""How far a detector's confidence must be above its own threshold. Of clean renders none lies below that; of those with
the eyes or the lower half covered, a half is not found at all and a quarter of the rest lies below."""
FLOOR_RATE = 0.1
"""False-match rate of the cosine under which a face is nobody's: looser than any band, so that a poor likeness is
still given to whom it was meant for, and is scored low."""

ARCFACE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
"""Where eyes, nose and corners of the mouth lie in the crop of 112 x 112 pixels that encoders see (insightface)."""
CROP = 112


# ------------------------------------------------------------------------------------------- what can be measured
def why_not(face: Face, seen: Looked, *, sure_from: float) -> str:
    """Why identity cannot be measured on a face, in words that follow "No score:"; empty where it can.

    `sure_from`: the detector's own threshold, 0-1.
    """
    left, top, right, bottom = face.box
    if min(right - left, bottom - top) < SMALLEST_FACE:
        return "face too small"
    if abs(face.yaw) > PROFILE_DEGREES:
        return "profile view"
    if share_in_picture(face, seen.width, seen.height) < LEAST_IN_PICTURE:
        return "face cut off by the edge of the picture"
    if any(_covered(face, other) > MOST_COVERED for other in seen.faces if _area(other) > _area(face)):
        return "face hidden behind another"
    if face.confidence < sure_from + BARELY_A_FACE:
        return "face partly covered"
    return ""


def share_in_picture(face: Face, width: int, height: int) -> float:
    """Share of the encoder's crop of a face that lies inside the picture, 0-1."""
    turn, shift, _ = _similarity(ARCFACE, np.asarray(face.keypoints, np.float64))
    steps = np.arange(0.5, CROP, 4)
    x, y = np.meshgrid(steps, steps)
    at = (x + 1j * y) * turn + shift
    inside = (at.real >= 0) & (at.real < width) & (at.imag >= 0) & (at.imag < height)
    return float(inside.mean())


def pose_difference(one: Face, other: Face) -> float:
    """How differently two faces are turned and drawn up: the RMS distance of their keypoints in eye distances, after
    moving, scaling and rolling one onto the other (Umeyama 1991). 0 for the same; a turn of 10 degrees is about .04."""
    a, b = (np.asarray(f.keypoints, np.float64) for f in (one, other))
    _, _, residual = _similarity(a, b)
    return float(residual / (np.hypot(*(b[1] - b[0])) or 1.0))


def _similarity(source: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[complex, complex, float]:
    """(rotation and scale, shift, RMS residual) of the best map source -> target; points are complex numbers."""
    a, b = source @ [1, 1j], target @ [1, 1j]
    da, db = a - a.mean(), b - b.mean()
    turn = complex(np.vdot(da, db) / (np.vdot(da, da) or 1.0))
    residual = float(np.sqrt((np.abs(db - turn * da) ** 2).mean()))
    return turn, complex(b.mean() - turn * a.mean()), residual


def _area(face: Face) -> float:
    left, top, right, bottom = face.box
    return max(right - left, 0.0) * max(bottom - top, 0.0)


def _covered(face: Face, by: Face) -> float:
    across = min(face.box[2], by.box[2]) - max(face.box[0], by.box[0])
    down = min(face.box[3], by.box[3]) - max(face.box[1], by.box[1])
    return max(across, 0.0) * max(down, 0.0) / (_area(face) or 1.0)


# ----------------------------------------------------------------------------------------------- who is who
@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Somebody a picture should show."""

    key: str
    """Names them in the answer: the character's id."""
    embeddings: Sequence[Sequence[float]]
    """What their face is compared with, unit length, by the same encoder as the faces. Without any nobody is found."""
    floor: float
    """The cosine under which a face is not theirs: of their pack at `FLOOR_RATE`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    key: str
    face: int
    """Its place in `Looked.faces`."""
    cosine: float
    """Mean cosine to what they are compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Who is in a picture."""

    found: tuple[Found, ...]
    """In the order in which they were expected; each has a face of their own."""
    missing: tuple[str, ...]
    """Keys of those whose face is not there."""
    unknown: tuple[int, ...]
    """Places of the faces nobody was expected for, largest first."""

    def face_of(self, key: str) -> int | None:
        return next((f.face for f in self.found if f.key == key), None)


def assign(faces: Sequence[Face], expected: Sequence[Expected], *, encoder: str) -> Cast:
    """Give each character the face that is theirs, together as well as possible.

    Optimal assignment (Kuhn 1955; Crouse 2016 in scipy) on how far each cosine is above its character's floor: no
    character takes a face that another needs more, and nobody takes one under their floor.
    """
    cosines = np.array([[_cosine(face, who, encoder) for face in faces] for who in expected]).reshape(
        len(expected), len(faces)
    )
    above = np.maximum(cosines - np.array([[who.floor] for who in expected]).reshape(-1, 1), 0)
    found = []
    if above.size and above.any():
        from scipy.optimize import linear_sum_assignment  # only where models run: web hosts have no scipy

        pairs = zip(*linear_sum_assignment(above, maximize=True), strict=True)
        found = [
            Found(key=expected[k].key, face=int(face), cosine=round(float(cosines[k, face]), 4))
            for k, face in pairs
            if above[k, face] > 0
        ]
    taken, there = {f.face for f in found}, {f.key for f in found}
    return Cast(
        found=tuple(found),
        missing=tuple(who.key for who in expected if who.key not in there),
        unknown=tuple(k for k in range(len(faces)) if k not in taken),
    )


def _cosine(face: Face, who: Expected, encoder: str) -> float:
    mine = face.embeddings.get(encoder)
    if not mine or not who.embeddings:
        return -1.0
    return float(np.mean(np.asarray(who.embeddings) @ np.asarray(mine)))
