"""How a prompt or a caption is said, from the choices that somebody made.

This module imports nothing but the standard library: both halves of `gpu_worker` use it, so what is measured is said
as the studio says it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from gpu_worker.packs import Pack

ORDER: Final = ("expression", "outfit", "colour", "background", "light", "pose", "shot", "drawing")
PHRASES: Final = {
    # Prompts of the field for one thing changed at a time.
    "expression": "{} expression",
    "pose": "{}, same outfit, same appearance",
    "outfit": "wearing {}",
    "colour": "wearing {}",
    "background": "standing in {}, same outfit",
    "light": "{}",
    "shot": "{}",
    "drawing": "{}",
}
CLOSED_PHRASES: Final = {
    # A pack with a closed vocabulary was trained on these words and knows no others.
    "expression": "{}",
    "pose": "{}",
    "outfit": "wearing a {}",
    "colour": "wearing {}",
    "background": "{} background",
    "light": "{}",
    "shot": "{}",
    "drawing": "{}",
}
PLACEHOLDER: Final = "sks"
"""A word without a meaning of its own that packs with a closed vocabulary keep for a LoRA to fill."""


def phrases(chosen: Mapping[str, str], pack: Pack) -> list[str]:
    """One phrase for each choice (axis -> value), in the order of a prompt. A colour goes before the outfit that it is
    of; axes that have no phrase are left out."""
    values = dict(chosen)
    if "outfit" in values:
        # `a red dress` and `red dress` mean the same.
        outfit = re.sub(r"^(an?|the)\s+", "", values["outfit"], flags=re.IGNORECASE)
        values["outfit"] = " ".join(filter(None, [values.pop("colour", ""), outfit]))
    said = CLOSED_PHRASES if pack.vocabulary is not None else PHRASES
    return [said[axis].format(values[axis]) for axis in ORDER if axis in values]


def base_prompt(*, noun: str, age: str = "", traits: Sequence[str] = ()) -> str:
    """The prompt that every picture of a character begins with. `age`: in words or in years."""
    age = age.strip()
    if age.isdigit():
        age = "young" if int(age) < 30 else "middle-aged" if int(age) < 60 else "old"
    who = " ".join(w for w in (age, noun.strip() or "person") if w)
    article = "an" if who[:1].lower() in "aeiou" else "a"
    return ", ".join([f"portrait of {article} {who}", *traits])[:600]


def opening(*, noun: str, trigger: str, pack: Pack) -> str:
    """How every caption of a training begins."""
    kind = "photo" if pack.vocabulary is None and pack.domain == "photograph" else "portrait"
    return f"{kind} of a {trigger} {' '.join(noun.split()) or 'person'}"


def with_trigger(prompt: str, trigger: str, noun: str) -> str:
    """Put the adapter's trigger word before the noun it was trained with, or at the front."""
    if not trigger or re.search(rf"\b{re.escape(trigger)}\b", prompt):
        return prompt
    for word in (noun, "woman", "man", "person"):
        if word and (found := re.search(rf"\b{re.escape(word)}\b", prompt, re.IGNORECASE)):
            return f"{prompt[: found.start()]}{trigger} {prompt[found.start() :]}"
    return f"{trigger}, {prompt}"
