"""Is a picture a copy of one reference instead of another picture of the same person?

A generator that pastes a reference scores high, and yet shows nothing of the character that was not there before. Two
signs, each enough: the whole picture is nearly the same; or its face is as good as that of one reference, far from
those of the others, and turned and drawn up the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gpu_worker import faces
from gpu_worker.contracts import Face, Looked

LIKENESS = 0.5
"""Copy-paste measure from which on a face may be a copy. On the mini pack: generated pictures have .13 in the median
and .27 at most, honest pictures of the same person .19 and .44; references that were compressed and scaled .72, 94 % of
them above .5."""
SAME_POSE = 0.03
"""Pose difference (`faces.pose_difference`) up to which two faces are held the same way."""
NEAR_DUPLICATE_BITS = 6
"""Hamming distance of the perceptual hashes up to which two whole pictures are nearly the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A reference to compare with."""

    reference: str
    """Its id."""
    seen: Looked


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """How near a picture is to the reference it is most like."""

    is_copy: bool
    reference: str
    """Id of that reference."""
    likeness: float | None
    """See `likeness`; None with fewer than two references, or where no face can be compared."""
    pose: float | None
    """Pose difference in eye distances, 0 and up."""
    bits: int
    """Hamming distance of the perceptual hashes, 0-64."""


def nearest(seen: Looked, face: Face | None, shown: Sequence[Shown], *, encoder: str) -> Copy | None:
    """Compare with the references, of which none may be the picture itself. None where there are none."""
    if not shown:
        return None
    bits = [_bits(seen.perceptual_hash, s.seen.perceptual_hash) for s in shown]
    whole = int(np.argmin(bits))
    if bits[whole] <= NEAR_DUPLICATE_BITS:
        found, of = _by_face(face, [shown[whole]], [s for k, s in enumerate(shown) if k != whole], encoder), whole
        return Copy(
            is_copy=True,
            reference=shown[of].reference,
            likeness=found[1] if found else None,
            pose=found[2] if found else None,
            bits=bits[of],
        )
    found = _by_face(face, shown, (), encoder)
    if found is None:
        return Copy(is_copy=False, reference=shown[whole].reference, likeness=None, pose=None, bits=bits[whole])
    of, alike, pose = found
    return Copy(
        is_copy=alike is not None and alike >= LIKENESS and pose <= SAME_POSE,
        reference=shown[of].reference,
        likeness=alike,
        pose=pose,
        bits=bits[of],
    )


def _by_face(
    face: Face | None, shown: Sequence[Shown], others: Sequence[Shown], encoder: str
) -> tuple[int, float | None, float] | None:
    """(place in `shown` of the reference whose face is nearest, likeness to it against all others, pose difference)."""
    mine = face.embeddings.get(encoder) if face else None
    known = [
        (k, s.seen.faces[0], e)
        for k, s in enumerate([*shown, *others])
        if s.seen.faces and (e := s.seen.faces[0].embeddings.get(encoder))
    ]
    near = [n for n in known if n[0] < len(shown)]
    if not mine or face is None or not near:
        return None
    of, reference, embedding = max(near, key=lambda n: float(np.dot(mine, n[2])))
    rest = [e for k, _, e in known if k != of]
    alike = likeness(mine, embedding, rest) if rest else None
    return of, alike, round(faces.pose_difference(face, reference), 4)


def likeness(made: Sequence[float], reference: Sequence[float], others: Sequence[Sequence[float]]) -> float:
    """Copy-paste measure of MultiID-Bench (Xu et al. 2025, arXiv 2510.14975): (t_mo - t_mr) / t_or with the angles
    between made, reference and another picture of the person, averaged over the others.

    1 where the picture is the reference, 0 where it is as near to the others as to it, below 0 where it is nearer to
    them.
    """
    to_reference = _angle(made, reference)
    ratios = [(_angle(made, o) - to_reference) / max(_angle(o, reference), 1e-6) for o in others]
    return round(float(np.clip(np.mean(ratios), -1, 1)), 3)


def _angle(one: Sequence[float], other: Sequence[float]) -> float:
    return float(np.arccos(np.clip(np.dot(one, other), -1, 1)))


def _bits(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()
