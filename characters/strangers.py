"""Do the references show one person? They are put into groups of one face each; the largest group is the character."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEAST = 4
"""Faces needed before one of them can stand out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    groups: tuple[tuple[int, ...], ...]
    """Places of the faces that show one person each: the character's group first, then by size."""
    to_character: tuple[float, ...]
    """Median cosine of each face to those of the character's group, itself left out."""

    @property
    def is_clear(self) -> bool:
        """Whether more pictures show the character than any other person."""
        sizes = [len(g) for g in self.groups]
        return len(sizes) == 1 or sizes[0] > sizes[1]

    def group_of(self, place: int) -> int:
        return next(k for k, group in enumerate(self.groups) if place in group)


def groups(embeddings: Sequence[Sequence[float]], *, same_from: float) -> Groups | None:
    """Group faces, unit length [N, 512], in the order in which the pictures were added. None for fewer than `LEAST`.

    Agglomerative clustering with average linkage (Sokal and Michener 1958): groups are joined while the mean cosine
    between them is at least `same_from`. Of two groups of one size the one with the first picture is the character's.
    """
    if len(embeddings) < LEAST:
        return None
    e = np.asarray(embeddings, np.float64)
    cosines = e @ e.T
    members = [[k] for k in range(len(e))]
    between = cosines.copy()
    np.fill_diagonal(between, -2)
    while len(members) > 1:
        a, b = sorted(int(v) for v in np.unravel_index(int(between.argmax()), between.shape))
        if between[a, b] < same_from:
            break
        # The mean over all pairs of the joined group, from the means of its two parts.
        joined = (len(members[a]) * between[a] + len(members[b]) * between[b]) / (len(members[a]) + len(members[b]))
        between[a], between[:, a] = joined, joined
        between[a, a] = -2
        between = np.delete(np.delete(between, b, 0), b, 1)
        members[a] += members.pop(b)
    ordered = sorted((sorted(m) for m in members), key=lambda m: (-len(m), m[0]))
    character = ordered[0]
    typical = []
    for k in range(len(e)):
        others = [j for j in character if j != k] or [j for j in range(len(e)) if j != k]
        typical.append(round(float(np.median(cosines[k, others])), 4))
    return Groups(groups=tuple(tuple(m) for m in ordered), to_character=tuple(typical))
