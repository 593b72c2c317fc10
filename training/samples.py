"""What the model is asked for while it is trained: the same prompts at every step, so that pictures can be compared."""

from __future__ import annotations

from typing import Any

from characters import variations
from characters.models import Character
from gpu_worker.packs import Pack
from gpu_worker.prompts import phrases
from training.dataset import opening
from training.recipes import SEEDS

_OPEN = (
    "{head}, neutral expression, plain background",
    "{head}, smiling, wearing a suit, standing in a city street",
    "{head}, outdoors, evening light, looking to the side",
)


def samples_wanted(character: Character, trigger: str, seed: int, pack: Pack) -> list[dict[str, Any]]:
    """Return three {prompt, seed} that differ in expression, clothes and place, in words that the pack knows."""
    head = opening(character, trigger, pack)
    if pack.slots:
        prompts = [_from_slots(head, pack, place) for place in range(3)]
    else:
        prompts = [prompt.format(head=head) for prompt in _OPEN]
    return [{"prompt": prompt, "seed": (seed + place) % SEEDS} for place, prompt in enumerate(prompts)]


def _from_slots(head: str, pack: Pack, place: int) -> str:
    # Spread over the choices, so that the prompts have nothing in common but the character.
    chosen = {
        slot: choices[place * max(1, len(choices) // 3) % len(choices)]
        for slot, choices in pack.slots.items()
        if choices
    }
    said = [chosen.get("expression", "")]
    if "outfit" in chosen:
        said.append(" ".join(w for w in ("wearing a", chosen.get("colour", ""), chosen["outfit"]) if w))
    if "background" in chosen:
        said.append(f"{chosen['background']} background")
    return ", ".join(part for part in [head, *said] if part)


COMPARED = 4
"""Prompts on which checkpoints are compared: about a minute of the mini pack on a processor for four checkpoints."""
_OPEN_COMPARED = (
    "{head}, neutral expression, plain background, facing forward",
    "{head}, smiling, wearing a red jacket, on a beach, warm light, looking left",
    "{head}, sad, wearing a black suit, in a city at night, looking right",
    "{head}, surprised, wearing a green hoodie, in a forest, soft light",
)


def comparison_plan(character: Character, trigger: str, seed: int, pack: Pack) -> list[dict[str, Any]]:
    """Return one {prompt, seed, asked} for each place: all that can be varied differs between them but the shot, since
    faces are compared in one size.

    `asked`: axis -> word, where the pack names the words that it knows; empty otherwise.
    """
    head = opening(character, trigger, pack)
    seeds = [(seed + 1000 + place) % SEEDS for place in range(COMPARED)]  # not those of the samples
    if not any(pack.slots.get(axis) for axis in variations.AXES):
        said = [prompt.format(head=head) for prompt in _OPEN_COMPARED]
        return [{"prompt": prompt, "seed": s, "asked": {}} for prompt, s in zip(said, seeds, strict=True)]
    plan = []
    for place, own_seed in enumerate(seeds):
        asked = {
            axis: choices[0 if axis == "shot" else place * len(choices) // COMPARED]
            for axis in variations.AXES
            if (choices := pack.slots.get(axis))
        }
        plan.append({"prompt": ", ".join([head, *phrases(asked, pack)]), "seed": own_seed, "asked": asked})
    return plan
