"""Captions in the fixed vocabulary of the mini pack."""

from __future__ import annotations

from .identity import AGES, BEARDS, EYES, GLASSES, HAIR, SKIN, STYLES, Identity, traits_in_words
from .scene import BACKGROUNDS, COLOURS, DRAWINGS, EXPRESSIONS, LIGHTS, OUTFITS, POSES, SHOTS, Scene

PLACEHOLDER = "sks"
"""A word without a meaning of its own, for a LoRA to fill: "portrait of a sks woman"."""
SYNONYMS = {"happy": "smiling", "sad": "frowning", "neutral": "calm"}
_GRAMMAR = (
    "portrait picture of a an the and with in person man woman wearing background skin eyes hair head bald glasses "
    "freckles earrings scar"
)


def caption(person: Identity, scene: Scene, full: bool = True) -> str:
    """Describe a picture; `full` names the person's traits too, otherwise only what the scene adds."""
    head = f"portrait of {with_article(f'{person.age} {person.noun}' if full else person.noun)}"
    parts = [head, *(traits_in_words(person) if full else [])]
    if full:
        parts = [f"{parts[0]} with {parts[1]}", *parts[2:]]
    return ", ".join(parts + scene_words(scene))


def with_article(phrase: str) -> str:
    """`old man` -> `an old man`."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def scene_words(scene: Scene) -> list[str]:
    """The parts of a caption that a scene gives, in their usual order."""
    parts = [
        scene.expression,
        f"wearing {with_article(f'{scene.colour} {scene.outfit}')}",
        f"{scene.background} background",
        scene.light,
    ]
    return [*parts, *([scene.pose] if scene.pose else []), scene.shot, f"{scene.drawing} drawing"]


def slots() -> dict[str, list[str]]:
    """The choices an interface offers for each part of a prompt."""
    return {
        "expression": list(EXPRESSIONS),
        "outfit": list(OUTFITS),
        "colour": list(COLOURS),
        "background": list(BACKGROUNDS),
        "light": list(LIGHTS),
        "pose": list(POSES),
        "shot": list(SHOTS),
        "drawing": [f"{drawing} drawing" for drawing in DRAWINGS],
    }


def vocabulary() -> list[str]:
    """Every word a prompt may use, sorted."""
    phrases = [_GRAMMAR, PLACEHOLDER, *SYNONYMS.values(), *AGES, *SKIN, *HAIR, *EYES, *STYLES, *GLASSES, *BEARDS]
    for options in slots().values():
        phrases += options
    return sorted({word for phrase in phrases for word in phrase.split()} - {"none"})
