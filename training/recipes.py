"""Recipes: every setting of a training, presets for the tiers, and what is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from django.core.exceptions import ValidationError

from characters.models import HIGH, LOW, STANDARD, TIERS
from gpu_worker.packs import Pack

SEEDS = 2**32
MOST_COMPARED = 8
"""LoRA files of one training that are kept at most."""
SECONDS_PER_PICTURE = 0.09
"""First guess for one picture of the pack's own resolution in one step, before the installation has its own
experience."""
_LAYER = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All settings of a LoRA training. `contracts.TrainRequest` says what each one means."""

    rank: int = 16
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    learning_rate: float = 1e-4
    warmup_steps: int = 0
    steps: int = 1000
    batch_size: int = 1
    resolution: int = 512
    flip: bool = False
    caption_dropout: float = 0.05
    checkpoint_every: int = 25
    keep_checkpoints: int = 2
    compare_checkpoints: int = 4
    """How many LoRA files are kept to compare and choose from, evenly spaced, the last step's among them."""
    sample_every: int = 50
    seed: int = 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"targets": list(self.targets)}

    @property
    def steps_to_compare(self) -> tuple[int, ...]:
        """In order; the last one is that of the finished training."""
        count = self.compare_checkpoints
        return tuple(sorted({max(1, round(self.steps * k / count)) for k in range(1, count + 1)}))

    @classmethod
    def from_json(cls, data: Mapping[str, Any], base: Recipe | None = None) -> Recipe:
        """Fill what `data` leaves out from `base`. Raises ValidationError, keyed by name, for unknown settings."""
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(data) - known):
            raise ValidationError(
                {name: f"A recipe has no setting {name}. There are {', '.join(sorted(known))}." for name in unknown}
            )
        values = dict(data)
        if isinstance(values.get("targets"), list | tuple):
            values["targets"] = tuple(values["targets"])
        return replace(base or cls(), **values)


# Rank and alpha 32, dropout .1, 1e-4 with a warm-up of 100 steps and a cosine, 768 px, one picture a step, mirrored.
_SD15 = Recipe(
    rank=32,
    alpha=32.0,
    dropout=0.1,
    learning_rate=1e-4,
    warmup_steps=100,
    steps=2000,
    batch_size=1,
    resolution=768,
    flip=True,
    checkpoint_every=50,
    sample_every=500,
)
_FAMILY: dict[str, dict[str, Recipe | None]] = {
    "sd": {LOW: None, STANDARD: _SD15, HIGH: replace(_SD15, rank=64, alpha=64.0, steps=3000)},
}


def preset(tier: str, pack: Pack) -> Recipe | None:
    """The pack's own recipe for the tier, else that of its family; None for a tier that trains nothing."""
    own = pack.recipes.get(tier) if tier in pack.recipes else None
    if own is not None:
        return Recipe.from_json(own, base=Recipe(resolution=pack.resolution))
    if pack.recipes:
        return None
    return _FAMILY.get(pack.family, {}).get(tier)


def presets(pack: Pack) -> dict[str, Recipe]:
    """Tier -> recipe, for the tiers that train something."""
    return {tier: recipe for tier, _ in TIERS if (recipe := preset(tier, pack)) is not None}


def why_no_preset(tier: str, pack: Pack) -> str:
    if tier == LOW:
        return "The low tier works from the references at once, so there is nothing to train."
    return f"{pack.title} has no recipe for the {tier} tier."


NAMES = {
    "rank": "The rank",
    "alpha": "Alpha",
    "dropout": "The dropout",
    "targets": "The layers",
    "learning_rate": "The learning rate",
    "warmup_steps": "The warm-up",
    "steps": "The number of steps",
    "batch_size": "The batch size",
    "resolution": "The resolution",
    "flip": "Mirroring",
    "caption_dropout": "The caption dropout",
    "checkpoint_every": "The distance between checkpoints",
    "keep_checkpoints": "The number of checkpoints kept",
    "compare_checkpoints": "The number of checkpoints to compare",
    "sample_every": "The distance between samples",
    "seed": "The seed",
}
_WHOLE: dict[str, tuple[int, int]] = {
    "rank": (1, 256),
    "warmup_steps": (0, 20_000),
    "steps": (1, 20_000),
    "batch_size": (1, 64),
    "resolution": (32, 2048),
    "checkpoint_every": (1, 500),
    "keep_checkpoints": (1, 20),
    "compare_checkpoints": (1, MOST_COMPARED),
    "sample_every": (1, 20_000),
    "seed": (0, SEEDS - 1),
}
_RATIONAL: dict[str, tuple[float, float]] = {"dropout": (0, 0.9), "caption_dropout": (0, 0.9)}


def checked(recipe: Recipe, pack: Pack) -> Recipe:
    """Return the recipe with whole numbers as int and others as float. Raises ValidationError, keyed by field."""
    values: dict[str, Any] = asdict(recipe)
    errors: dict[str, str] = {}
    for name, (low, high) in _WHOLE.items():
        value = _number(values[name])
        if value is None or value != int(value):
            errors[name] = f"{NAMES[name]} must be a whole number from {low:,} to {high:,}."
        elif not low <= value <= high:
            errors[name] = f"{NAMES[name]} must be from {low:,} to {high:,}; {value:,.0f} is not."
        else:
            values[name] = int(value)
    for name, (least, most) in _RATIONAL.items():
        value = _number(values[name])
        if value is None or not least <= value <= most:
            errors[name] = f"{NAMES[name]} must be a number from {least:g} to {most:g}."
        else:
            values[name] = float(value)
    rate = _number(values["learning_rate"])
    if rate is None or not 0 < rate <= 1:
        errors["learning_rate"] = "The learning rate must be a number above 0 and at most 1, for example 0.0001."
    else:
        values["learning_rate"] = float(rate)
    alpha = _number(values["alpha"])
    if alpha is None or not 0 < alpha <= 1024:
        errors["alpha"] = "Alpha must be a number above 0 and at most 1,024. Equal to the rank is a good start."
    else:
        values["alpha"] = float(alpha)
    if not isinstance(values["flip"], bool):
        errors["flip"] = "Mirroring is either on or off."
    targets = values["targets"]
    if not isinstance(targets, tuple) or not targets:
        errors["targets"] = "Name at least one kind of layer, for example to_q."
    elif wrong := [t for t in targets if not isinstance(t, str) or not _LAYER.fullmatch(t)]:
        errors["targets"] = f"{wrong[0]!r} is no name of a layer. Common ones are to_q, to_k, to_v and to_out.0."
    if "resolution" not in errors and values["resolution"] % 8:
        errors["resolution"] = "The resolution must be a multiple of 8 pixels."
    if not {"steps", "warmup_steps"} & set(errors) and values["warmup_steps"] >= values["steps"]:
        errors["warmup_steps"] = f"The warm-up must be shorter than the training of {values['steps']:,} steps."
    if errors:
        raise ValidationError(errors)
    return Recipe(**values)


def _number(value: Any) -> float | None:
    """None for what is no finite number; True is not 1."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return value if math.isfinite(value) else None
    except OverflowError:  # a whole number of 400 digits
        return None


def seconds_per_step(recipe: Recipe, pack: Pack) -> float:
    """First guess; samples in between are counted in."""
    return SECONDS_PER_PICTURE * recipe.batch_size * (recipe.resolution / pack.resolution) ** 2
