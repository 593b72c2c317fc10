"""Sample persons for demonstrations and tests: reference pictures and descriptions of people the models never saw.

Imports neither torch nor any model. Their identities come from a range that no training, calibration or evaluation
split touches (`splits.FREE`).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image

from .renderer import Identity, Scene, identity, nuisance, render, traits_in_words
from .renderer.scene import BACKGROUNDS, COLOURS, EXPRESSIONS, OUTFITS
from .splits import FREE


def sample_person(seed: int) -> Identity:
    """The person with this number, 0 to 99,999. Raises ValueError outside."""
    if not 0 <= seed < FREE.identities:
        raise ValueError(f"There is no sample person {seed}; use a number from 0 to {FREE.identities - 1}.")
    return identity(FREE.first + seed)


def sample_scenes(*, seed: int, count: int) -> list[Scene]:
    """Close-ups, drawn alike as on a model sheet, that together vary expression, pose, outfit, place and light as
    widely as `count` allows."""
    plain = Scene()
    rng = np.random.default_rng((FREE.first, seed, count))
    turns = np.linspace(-24, 24, max(count, 2))[rng.permutation(max(count, 2))]
    places, clothes, tints = rng.permutation(BACKGROUNDS), rng.permutation(OUTFITS), rng.permutation(list(COLOURS))
    scenes = []
    for k in range(count):
        scene = dataclasses.replace(
            nuisance(rng, shot=plain.shot, drawing=plain.drawing),
            expression=EXPRESSIONS[k % len(EXPRESSIONS)],
            background=str(places[k % len(places)]),
            outfit=str(clothes[k % len(clothes)]),
            colour=str(tints[k % len(tints)]),
            yaw=float(turns[k]) if k else 0.0,
        )
        if k == 0:  # the first picture is the one people look at: frontal, calm, well lit
            scene = dataclasses.replace(scene, light="soft light", pitch=0.0, tilt=0.0)
        scenes.append(scene)
    return scenes


def write_references(directory: Path, *, seed: int, count: int, size: int = 512) -> list[Path]:
    """Paint `count` pictures of sample person `seed` into `directory`, in turn as PNG and JPEG.

    Every picture is a `size` x `size` RGB file painted at that resolution. The files are named `reference-01.png`,
    `reference-02.jpg`, ... and are the same on every call.
    """
    person, paths = sample_person(seed), []
    directory.mkdir(parents=True, exist_ok=True)
    for k, scene in enumerate(sample_scenes(seed=seed, count=count)):
        picture = Image.fromarray(render(person, scene, size, supersample=2))
        path = directory / f"reference-{k + 1:02d}.{'jpg' if k % 2 else 'png'}"
        if k % 2:
            picture.save(path, quality=92, subsampling=0)
        else:
            picture.save(path)
        paths.append(path)
    return paths


def describe(person: Identity) -> dict[str, str | list[str]]:
    """What the person looks like, in prompt words and without a name.

    Keys: `noun`, `age`, `hair`, `eyes`, `skin`, `traits` (the remaining traits, may be empty) and `prompt` (all of it
    as the beginning of a prompt).
    """
    words = traits_in_words(person)
    return {
        "noun": person.noun,
        "age": person.age,
        "hair": person.hair_words,
        "eyes": f"{person.eye_name} eyes",
        "skin": f"{person.skin_name} skin",
        "traits": words[3:],
        "prompt": f"portrait of a {person.age} {person.noun} with {', '.join(words)}",
    }
