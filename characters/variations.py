"""From what a person sets to the pictures that will be made: axes, wildcards, prompts and seeds."""

from __future__ import annotations

import itertools
import math
import random
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from django.core.exceptions import ValidationError

from collaboration.names import clean_text
from gpu_worker import prompts, selection
from gpu_worker.packs import Pack

AXES = ("expression", "pose", "outfit", "colour", "background", "light", "shot", "drawing")
MOST = 24
LORA_STRENGTH, IMAGE_PROMPT_STRENGTH = 0.7, 0.6
NEGATIVE = "several people, different person, inconsistent face, deformed"
SEEDS = 2**32

LONGEST_VALUE = 120
TEXTS = {
    "text": (1000, "free text"),
    "base_prompt": (600, "base prompt"),
    "negative_prompt": (1000, "negative prompt"),
}
"""Setting -> (most characters, what to call it)."""
SIDES = (64, 2048)
"""Pixels, where a pack names no sizes of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a person can set for a batch, kept with it as it was."""

    axes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Axis -> values; the batch holds every combination."""
    text: str = ""
    """Free words for every picture, with wildcards: `{red|blue}` and `__outfit__`."""
    base_prompt: str = ""
    """Empty: the one of the profile."""
    per_combination: int = 1
    tier: str = selection.AUTO
    lora_strength: float = LORA_STRENGTH
    image_prompt_strength: float = IMAGE_PROMPT_STRENGTH
    negative_prompt: str | None = None
    """None: the pack's own."""
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None
    width: int | None = None
    height: int | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"axes": {k: list(v) for k, v in self.axes.items()}}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Settings:
        """Raises ValidationError for names it does not know."""
        known = {f.name for f in fields(cls)}
        if unknown := set(data) - known:
            raise ValidationError(f"Unknown settings: {', '.join(sorted(unknown))}.")
        values = dict(data)
        values["axes"] = {str(k): tuple(map(str, v)) for k, v in dict(values.get("axes") or {}).items()}
        return cls(**values)


def checked(settings: Settings, pack: Pack) -> Settings:
    """Fill in what was left open and check the rest. Raises ValidationError, keyed by field."""
    errors: dict[str, str] = {}
    filled = asdict(settings)
    filled["axes"] = {
        axis: tuple(dict.fromkeys(v.strip() for v in values if v.strip())) for axis, values in settings.axes.items()
    }
    if unknown := set(filled["axes"]) - set(AXES):
        errors["axes"] = f"Unknown axes: {', '.join(sorted(unknown))}. There are {', '.join(AXES)}."
    filled["axes"] = {axis: filled["axes"][axis] for axis in AXES if filled["axes"].get(axis)}
    if any(len(v) > LONGEST_VALUE for values in filled["axes"].values() for v in values):
        errors["axes"] = f"Keep each value under {LONGEST_VALUE} characters; longer words belong in the free text."
    for name, (limit, what) in TEXTS.items():
        try:
            filled[name] = clean_text(filled[name], limit=limit, what=what) if filled[name] is not None else None
        except ValidationError as error:
            too_long = f"Keep the {what} under {limit:,} characters; it has {len(filled[name]):,}."
            errors[name] = too_long if len(filled[name]) > limit else error.messages[0]
    try:
        clean_text("\n".join(v for values in filled["axes"].values() for v in values), limit=10**9, what="choice")
    except ValidationError as error:
        errors.setdefault("axes", error.messages[0])
    filled["steps"] = settings.steps if settings.steps is not None else int(pack.defaults.get("steps", 25))
    filled["guidance"] = settings.guidance if settings.guidance is not None else float(pack.defaults.get("guidance", 7))
    if settings.negative_prompt is None:
        default = "" if pack.vocabulary is not None else NEGATIVE
        filled["negative_prompt"] = str(pack.defaults.get("negative_prompt", default))
    filled["seed"] = secrets.randbelow(SEEDS) if settings.seed is None else settings.seed
    width, height = pack.sizes[0] if pack.sizes else (pack.resolution, pack.resolution)
    filled["width"], filled["height"] = settings.width or width, settings.height or height

    bounds = {"lora_strength": (0, 1.5), "image_prompt_strength": (0, 1), "steps": (1, 150), "guidance": (1, 30)}
    names = {
        "lora_strength": "LoRA strength",
        "image_prompt_strength": "Image prompt strength",
        "steps": "Steps",
        "guidance": "Guidance",
    }
    for name, (low, high) in bounds.items():
        value = filled[name]
        if not _is_finite(value):
            errors[name] = f"{names[name]} must be a number from {low} to {high}."
        elif not low <= value <= high:
            errors[name] = f"{names[name]} must be from {low} to {high}; {value:g} is not."
    if not isinstance(filled["seed"], int) or not 0 <= filled["seed"] < SEEDS:
        errors["seed"] = f"The seed must be from 0 to {SEEDS - 1}."
    if pack.sizes and (filled["width"], filled["height"]) not in pack.sizes:
        good = ", ".join(f"{w} × {h}" for w, h in pack.sizes)
        errors["width"] = f"{pack.title} makes pictures of {good} px."
    elif not all(SIDES[0] <= side <= SIDES[1] and side % 8 == 0 for side in (filled["width"], filled["height"])):
        errors["width"] = f"Width and height must be multiples of 8 from {SIDES[0]} to {SIDES[1]:,} px."
    if settings.tier not in (selection.AUTO, selection.LOW, selection.STANDARD, selection.HIGH):
        errors["tier"] = "The tier must be auto, low, standard or high."
    count = combinations(filled["axes"]) * settings.per_combination
    if settings.per_combination < 1:
        errors["per_combination"] = "Ask for at least one picture of each combination."
    elif count > MOST:
        told = f"{count:,}" if count < 10**9 else "far too many"
        errors["per_combination"] = (
            f"This would be {told} pictures; a batch holds at most {MOST}. Choose fewer values or fewer of each."
        )
    if errors:
        raise ValidationError(errors)
    return Settings(**filled)


def _is_finite(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of 400 digits
        return False


def in_order(axes: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """(axis, value) in the order of AXES: an object kept as jsonb comes back in another one."""
    return [(axis, axes[axis]) for axis in AXES if axis in axes]


def combinations(axes: Mapping[str, Iterable[str]]) -> int:
    return math.prod(len(list(v)) for v in axes.values()) if axes else 1


def plan(settings: Settings, *, base_prompt: str, noun: str, trigger: str, pack: Pack) -> list[dict[str, Any]]:
    """Return one {index, prompt, seed, axes} for each picture. `settings` must be `checked`."""
    first = settings.seed or 0
    base = prompts.with_trigger(settings.base_prompt or base_prompt, trigger, noun)
    names = list(settings.axes)
    pictures: list[dict[str, Any]] = []
    for values in itertools.product(*(settings.axes[n] for n in names)):
        chosen = dict(zip(names, values, strict=True))
        for _ in range(settings.per_combination):
            seed = (first + len(pictures)) % SEEDS
            said = prompts.phrases(chosen, pack)
            text = expand(settings.text, pack.slots, random.Random(seed))  # noqa: S311 - the seed of the picture decides
            prompt = ", ".join(p for p in [base, *said, text.strip(" ,")] if p)
            pictures.append({"index": len(pictures), "prompt": prompt, "seed": seed, "axes": chosen})
    return pictures


def expand(text: str, slots: Mapping[str, Iterable[str]], rng: random.Random) -> str:
    """Resolve wildcards: `{a|b|c}` takes one of them, `__slot__` one of the pack's choices; nesting is allowed."""
    for _ in range(20):
        resolved = re.sub(r"\{([^{}]*)\}", lambda m: rng.choice(m[1].split("|")).strip(), text)
        if resolved == text:
            break
        text = resolved

    def from_slot(match: re.Match[str]) -> str:
        choices = list(slots.get(match[1].lower(), ()))
        return rng.choice(choices) if choices else match[0].strip("_")

    return re.sub(r"__([A-Za-z]+)__", from_slot, text)
