"""Best of N: several candidates of each picture are made, and the one most like the person is kept.

The conditioning encoder chooses. Were it the scoring one, the score of what it chose would no longer measure anything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from gpu_worker.checks import CHOOSES
from gpu_worker.contracts import GenerateRequest, IdentityUse, Looked, PictureSpec

if TYPE_CHECKING:
    from PIL import Image

    from gpu_worker.scorers.look import Looker

    Made = tuple[PictureSpec, Image.Image, dict[str, Any]]

GOLDEN = 0x9E3779B97F4A7C15
"""Odd, and far from every small number: candidates of neighbouring seeds do not meet."""


def seed_of(seed: int, candidate: int) -> int:
    """The seed of a picture's k-th candidate; the first has the picture's own."""
    return (seed + candidate * GOLDEN) % 2**63


def expanded(request: GenerateRequest) -> GenerateRequest:
    """The request with every picture once per candidate, candidates of one picture side by side."""
    if request.best_of == 1:
        return request
    pictures = [
        dataclasses.replace(spec, seed=seed_of(spec.seed, k))
        for spec in request.pictures
        for k in range(request.best_of)
    ]
    return dataclasses.replace(request, pictures=tuple(pictures))


def looked_at(made: Iterable[Made], looker: Looker) -> Iterator[Made]:
    """Pictures with what was seen in them as `look` of what is known of them."""
    import numpy as np

    for spec, picture, meta in made:
        yield spec, picture, {**meta, "look": looker.look(np.asarray(picture))}


def best(made: Iterable[Made], request: GenerateRequest) -> Iterator[Made]:
    """Of the candidates of each picture, the one whose face is most like `request.identity`, with its `candidates`:
    `[{"seed", "cosine"}, ...]`, cosine None where no face was found. Without candidates, all as they are. A picture
    whose candidates were not all made is left out."""
    if request.best_of == 1 or request.identity is None:
        yield from made
        return
    specs, people = {spec.index: spec for spec in request.pictures}, [request.identity, *request.companions]
    for index, group in groupby(made, key=lambda one: one[0].index):
        found = list(group)
        if len(found) < request.best_of:
            return
        alike = [_likeness(meta["look"], people) for _, _, meta in found]
        chosen = max(range(len(found)), key=lambda k: -2.0 if (value := alike[k]) is None else value)
        _, picture, meta = found[chosen]
        tried = [
            {"seed": spec.seed, "cosine": None if cosine is None else round(cosine, 4)}
            for (spec, _, _), cosine in zip(found, alike, strict=True)
        ]
        yield specs[index], picture, {**meta, "candidates": tried, "chosen_seed": found[chosen][0].seed}


def only(look: Looked, encoders: Iterable[str]) -> Looked:
    """What was seen, with the embeddings of these encoders alone."""
    kept = frozenset(encoders)
    faces = tuple(
        dataclasses.replace(face, embeddings={name: e for name, e in face.embeddings.items() if name in kept})
        for face in look.faces
    )
    return dataclasses.replace(look, faces=faces)


def _likeness(look: Looked, people: Sequence[IdentityUse]) -> float | None:
    """Cosine of the largest face in each person's region to that person, the least of them; None where one has none."""
    found = [_cosine(look, person) for person in people]
    told = [cosine for cosine in found if cosine is not None]
    return min(told) if len(told) == len(people) else None


def _cosine(look: Looked, person: IdentityUse) -> float | None:
    left, top, right, bottom = person.region or (0.0, 0.0, 1.0, 1.0)
    for face in look.faces:
        x, y = (face.box[0] + face.box[2]) / 2 / look.width, (face.box[1] + face.box[3]) / 2 / look.height
        if left <= x < right and top <= y < bottom and CHOOSES in face.embeddings:
            return sum(a * b for a, b in zip(face.embeddings[CHOOSES], person.embedding, strict=True))
    return None
