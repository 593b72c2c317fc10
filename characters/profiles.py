"""The identity profile: who the references show, in numbers and in words."""

from __future__ import annotations

import colorsys
from collections import Counter, defaultdict
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from characters.checks import angle_of, main_face
from characters.models import HOLD_OUT_FROM, HOLD_OUT_LEAST, HOLD_OUT_SHARE, Character, Reference
from gpu_worker import prompts
from gpu_worker.contracts import Looked


def how_many_to_hold_out(usable: int) -> int:
    """From 8 uploaded references on, 20 %, at least 2, are kept to measure with."""
    return 0 if usable < HOLD_OUT_FROM else max(HOLD_OUT_LEAST, round(usable * HOLD_OUT_SHARE))


def choose_held_out(
    references: Sequence[tuple[Reference, Looked | None]],
    *,
    trained_with: Collection[str] = (),
    has_human_face: bool = True,
) -> set[Any]:
    """Return the ids of the references to hold out, of those usable. Only uploaded ones are counted and taken: what a
    model made is no truth to measure a model with.

    `trained_with`: ids of those that an adapter has learnt from; they are taken last, for nothing made with it can be
    measured against them. Who was held out stays so; new ones are taken by the hash of the picture, which nobody chose.
    Profile views are not taken, for identity cannot be measured on them; without a human face the angle is not known.
    """
    real = [(r, seen) for r, seen in references if not r.is_generated]
    count = how_many_to_hold_out(len(real))
    fit = [r for r, seen in real if seen and (not has_human_face or _shows_its_face(seen))]
    ordered = sorted(fit, key=lambda r: (str(r.pk) in trained_with, not r.is_held_out, r.asset.sha256))
    return {r.pk for r in ordered[:count]}


def _shows_its_face(seen: Looked) -> bool:
    face = main_face(seen)
    return face is not None and angle_of(face) != "profile"


def telling(references: Sequence[Reference]) -> list[Reference]:
    """Of references, those that tell who the character is: the uploaded ones; where there are none, the face that was
    cast; else all. What was made of them can neither teach nor judge it without repeating its own errors."""
    for origin in (Reference.UPLOADED, Reference.CAST):
        if found := [r for r in references if r.origin == origin]:
            return found
    return list(references)


def centroid_and_spread(embeddings: Sequence[Sequence[float]]) -> tuple[list[float], float]:
    """Return the renormalised mean [512] and 1 - mean cosine to it, 0-2."""
    e = np.asarray(embeddings, dtype=np.float64)
    mean = e.mean(0)
    mean /= np.linalg.norm(mean) or 1.0
    return [round(float(x), 6) for x in mean], round(float(1 - (e @ mean).mean()), 4)


def merge_colours(seen: Sequence[Looked], most: int = 6) -> list[list[Any]]:
    """Dominant colours over several pictures: near ones joined, weighted by share."""
    bins: dict[tuple[int, ...], list[tuple[np.ndarray, float]]] = defaultdict(list)
    for look in seen:
        for colour, share in look.colours:
            rgb = np.array([int(colour[k : k + 2], 16) for k in (1, 3, 5)], dtype=float)
            bins[tuple(int(v // 48) for v in rgb)].append((rgb, share / len(seen)))
    merged: list[list[Any]] = []
    for members in bins.values():
        weight = sum(share for _, share in members)
        rgb = sum((rgb * share for rgb, share in members), np.zeros(3)) / weight
        merged.append(["#" + "".join(f"{round(v):02x}" for v in rgb), round(weight, 3)])
    return sorted(merged, key=lambda m: -m[1])[:most]


def colour_word(colour: str) -> str:
    """A plain English name for `#rrggbb`."""
    r, g, b = (int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5))
    hue, light, saturation = colorsys.rgb_to_hls(r, g, b)
    if light < 0.13:
        return "black"
    if light > 0.9:
        return "white"
    if saturation < 0.14:
        return "dark grey" if light < 0.35 else "grey" if light < 0.7 else "light grey"
    degrees = hue * 360
    names = [(15, "red"), (42, "orange"), (66, "yellow"), (165, "green"), (195, "teal"), (255, "blue"), (290, "purple")]
    name = next((n for limit, n in names if degrees < limit), "pink" if degrees < 345 else "red")
    if name in ("orange", "red", "yellow") and light < 0.45 and saturation < 0.75:
        name = "brown"
    return f"dark {name}" if light < 0.25 and name != "brown" else name


def facets(character: Character, seen: Sequence[Looked], colours: list[list[Any]]) -> list[dict[str, str]]:
    """What can be said in words: what the team wrote, and what was measured in the pictures."""
    rows = []
    if character.age:
        rows.append({"name": "Age", "words": character.age})
    if character.traits:
        rows.append({"name": "Always", "words": ", ".join(split_traits(character.traits))})
    angles = Counter(angle_of(f) for s in seen if (f := main_face(s)))
    if angles:
        order = [("front", "front"), ("left", "left"), ("right", "right"), ("profile", "profile")]
        rows.append({"name": "Angles", "words": ", ".join(f"{n} {word}" for k, word in order if (n := angles[k]))})
    if colours:
        words = list(dict.fromkeys(colour_word(c) for c, _ in colours))
        rows.append({"name": "Colours", "words": ", ".join(words[:4])})
    if seen:
        light = float(np.mean([s.brightness for s in seen]))
        rows.append({"name": "Light", "words": "low key" if light < 0.33 else "high key" if light > 0.66 else "even"})
    return rows


def split_traits(traits: str) -> list[str]:
    return [t.strip() for t in traits.replace("\n", ",").split(",") if t.strip()]


def base_prompt(character: Character) -> str:
    """The prompt every picture of the character begins with, from what the team wrote of them."""
    return prompts.base_prompt(noun=character.noun, age=character.age, traits=split_traits(character.traits))
