"""What the model is asked for while it is trained: the same prompts at every step, so that pictures can be compared."""

from __future__ import annotations

from typing import Any

from characters.models import Character
from gpu_worker.packs import Pack
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
