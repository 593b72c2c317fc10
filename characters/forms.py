"""Forms about characters. What a value must be is decided by the actions; forms only carry it there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict

from characters import sheets
from characters.models import REFERENCES_NEEDED, TIERS, Character
from characters.variations import AXES, Settings
from collaboration.merging import Conflict
from gpu_worker import selection
from gpu_worker.packs import Pack

TIER_HELP = {
    "low": "Image prompt only, no training.",
    "standard": "A trained adapter.",
    "high": "A trained adapter with more of everything, for leads in close-up.",
}


@contextmanager
def refused_into(form: forms.Form) -> Iterator[None]:
    """Show what an action refuses beside the fields it names, and the rest above all fields."""
    try:
        yield
    except ValidationError as error:
        named = error.message_dict if hasattr(error, "error_dict") else {"__all__": error.messages}
        for field, messages in named.items():
            form.add_error(field if field in form.fields else None, messages)


def _line(label: str, *, required: bool = False, limit: int = 120, **options: Any) -> forms.CharField:
    attrs = {"autocomplete": "off", "dir": "auto", "data-limit": str(limit), **options.pop("attrs", {})}
    return forms.CharField(label=label, required=required, widget=forms.TextInput(attrs=attrs), **options)


def split_words(text: str) -> list[str]:
    return [part.strip() for part in text.replace("\n", ",").split(",") if part.strip()]


FIELDS = ("name", "description", "noun", "age", "traits", "importance", "tier", "has_human_face")


def values_of(character: Character) -> dict[str, Any]:
    """What the form shows, field by field, JSON-safe: the base of a change."""
    values = {name: getattr(character, name) for name in FIELDS}
    return values | {"tags": sorted(t.name for t in character.tags.all())}


def _object(text: str) -> dict[str, Any]:
    """A JSON object; empty for anything else."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


class CharacterForm(forms.Form):
    name = _line("Name", required=True, error_messages={"required": "Write the character's name."})
    description = forms.CharField(
        label="Description",
        required=False,
        widget=forms.Textarea(attrs={"rows": 3, "dir": "auto", "data-limit": "4000"}),
        help_text="Who this is in the film. For people; only casting a face takes words from it.",
    )
    noun = _line(
        "Noun", limit=40, help_text="What a prompt calls them: woman, man, person, creature.", initial="person"
    )
    age = _line("Age", limit=40, help_text="In words or years: young, middle-aged, 34.")
    traits = _line(
        "Traits",
        limit=400,
        help_text="What always stays: hair, eyes, glasses, scars. Separate with commas.",
    )
    has_human_face = forms.BooleanField(
        label="Has a human face",
        required=False,
        initial=True,
        help_text="Off for animals, creatures and machines: their whole figure is measured instead of a face.",
    )
    tags = _line("Tags", limit=400, help_text="To find them again. Separate with commas.")
    importance = forms.FloatField(
        label="Importance",
        initial=0.5,
        widget=forms.NumberInput(attrs={"type": "range", "min": "0", "max": "1", "step": "0.05", "data-output": ""}),
        help_text="0 for an extra, 1 for the lead.",
        error_messages={"invalid": "The importance must be a number from 0 to 1."},
    )
    tier = forms.ChoiceField(label="Tier", choices=TIERS, initial="standard", widget=forms.RadioSelect)
    base = forms.CharField(required=False, widget=forms.HiddenInput(attrs={"data-base": ""}))
    """JSON: the values that whoever fills this in has seen, by field. Empty to create."""
    theirs = forms.CharField(required=False, widget=forms.HiddenInput(attrs={"data-theirs": ""}))
    """JSON: what somebody else made of fields meanwhile, as it was shown beside them."""

    @classmethod
    def for_character(cls, character: Character, conflicts: Sequence[Conflict] = ()) -> CharacterForm:
        """With `conflicts`, the fields in dispute keep what was typed and show what somebody else made of them."""
        now = values_of(character)
        mine = {c.field: c.mine for c in conflicts}
        form = cls(
            initial={
                **now,
                **mine,
                "tags": ", ".join(now["tags"]),
                "base": json.dumps({k: v for k, v in now.items() if k not in mine}),
                "theirs": json.dumps({c.field: c.theirs for c in conflicts}),
            }
        )
        form.conflicts = {c.field: c for c in conflicts}
        return form

    conflicts: Mapping[str, Conflict] = {}

    def values(self) -> dict[str, Any]:
        """The cleaned values as `actions.create_character` takes them; none for a description edited by itself."""
        values = {k: v for k, v in self.cleaned_data.items() if k not in ("base", "theirs")}
        if "description" not in self.data:
            values.pop("description")
        return values | {"tags": split_words(values["tags"]), "noun": values["noun"] or "person"}

    def seen(self, *, keep: str = "") -> dict[str, Any]:
        """The base, for `actions.merge_character`. What is not in it was never seen, so it is in dispute where it
        differs; of the field `keep` the other value was seen, and is overruled. Without any base all is overwritten."""
        if not self.cleaned_data["base"]:
            return {}
        seen = dict.fromkeys(FIELDS) | _object(self.cleaned_data["base"])
        theirs = _object(self.cleaned_data["theirs"])
        return seen | ({keep: theirs[keep]} if keep in theirs else {})

    @property
    def tier_choices(self) -> list[dict[str, Any]]:
        chosen = self["tier"].value()
        return [
            {
                "value": tier,
                "label": label,
                "checked": tier == chosen,
                "needs": f"{REFERENCES_NEEDED[tier]} references",
                "help": TIER_HELP[tier],
            }
            for tier, label in TIERS
        ]


class TagForm(forms.Form):
    tags = _line("Tags", required=True, error_messages={"required": "Write at least one tag."})


class BasePromptForm(forms.Form):
    prompt = forms.CharField(label="Base prompt", required=False, widget=forms.Textarea(attrs={"rows": 3}))


# ------------------------------------------------------------------------------------------------------ variations
AXIS_WORDS = {
    "expression": "Expression",
    "pose": "Pose",
    "outfit": "Outfit",
    "colour": "Outfit colour",
    "background": "Background",
    "light": "Light",
    "shot": "Shot",
    "drawing": "Drawing",
}
AXIS_HINTS = {
    "expression": "gentle smile, tears in the eyes",
    "pose": "three-quarter view, walking",
    "outfit": "red raincoat, dark suit",
    "colour": "olive, navy",
    "background": "rainy harbour, hospital corridor",
    "light": "golden hour, neon",
    "shot": "close-up, full shot",
    "drawing": "ink drawing, watercolour",
}
OFFERED_ONLY = ("colour", "shot", "drawing")
"""Axes that are shown where the pack has choices for them."""


def _number(label: str, low: float, high: float, step: str, *, whole: bool = False, **options: Any) -> forms.Field:
    attrs = {"min": f"{low:g}", "max": f"{high:g}", "step": step, **options.pop("attrs", {})}
    field = forms.IntegerField if whole else forms.FloatField
    messages = {"invalid": f"{label} must be a {'whole ' if whole else ''}number from {low:g} to {high:g}."}
    return field(label=label, required=False, widget=forms.NumberInput(attrs=attrs), error_messages=messages, **options)


class OrderForm(forms.Form):
    """What to vary and how. `settings()` gives what `orders` takes; bounds are checked there."""

    per_combination = _number("Pictures of each", 1, 24, "1", whole=True, initial=1)
    text = forms.CharField(
        label="More words",
        required=False,
        strip=True,
        widget=forms.Textarea(attrs={"rows": 2, "dir": "auto", "data-limit": "1000"}),
    )
    tier = forms.ChoiceField(
        label="Tier",
        required=False,
        choices=[(t, t) for t in (selection.AUTO, selection.LOW, selection.STANDARD, selection.HIGH)],
        error_messages={"invalid_choice": "The tier must be auto, low, standard or high."},
    )
    lora_strength = _number("LoRA strength", 0, 1.5, "0.05", attrs={"type": "range", "data-output": ""})
    image_prompt_strength = _number("Image prompt strength", 0, 1, "0.05", attrs={"type": "range", "data-output": ""})
    steps = _number("Steps", 1, 150, "1", whole=True)
    guidance = _number("Guidance (CFG)", 1, 30, "0.1")
    negative_prompt = forms.CharField(
        label="Negative prompt",
        required=False,
        widget=forms.Textarea(attrs={"rows": 2, "dir": "auto", "data-limit": "1000"}),
    )
    seed = _number("Seed", 0, 2**32 - 1, "1", whole=True, help_text="Empty: a new one each time.")

    def __init__(self, data: Any = None, *, pack: Pack, settings: Settings | None = None, has_adapter: bool = True):
        self.pack = pack
        self.wanted = settings or Settings()
        super().__init__(data, initial=self._initial())
        self.has_adapter = has_adapter

    def _initial(self) -> dict[str, Any]:
        wanted, defaults = self.wanted, self.pack.defaults
        return {
            "per_combination": wanted.per_combination,
            "text": wanted.text,
            "tier": wanted.tier,
            "lora_strength": wanted.lora_strength,
            "image_prompt_strength": wanted.image_prompt_strength,
            "steps": wanted.steps if wanted.steps is not None else defaults.get("steps", 25),
            "guidance": wanted.guidance if wanted.guidance is not None else defaults.get("guidance", 7),
            "negative_prompt": wanted.negative_prompt
            if wanted.negative_prompt is not None
            else defaults.get("negative_prompt", ""),
            "seed": wanted.seed,
        }

    @property
    def chosen(self) -> Mapping[str, tuple[str, ...]]:
        """Axis -> values, as ticked and typed."""
        if not self.is_bound:
            return self.wanted.axes
        data = cast("QueryDict", self.data)
        return {
            axis: tuple(dict.fromkeys([*data.getlist(axis), *split_words(data.get(f"{axis}_more", ""))]))
            for axis in AXES
        }

    @property
    def axes(self) -> list[dict[str, Any]]:
        """The axes to offer: each with the pack's choices, and what else was typed."""
        rows = []
        for axis in AXES:
            offered, chosen = self.offered(axis), self.chosen.get(axis, ())
            if axis in OFFERED_ONLY and not offered and not chosen:
                continue
            rows.append(
                {
                    "name": axis,
                    "label": AXIS_WORDS[axis],
                    "hint": AXIS_HINTS[axis],
                    "choices": [{"value": v, "checked": v in chosen} for v in offered],
                    "more": ", ".join(v for v in chosen if v not in offered),
                    "count": len(chosen),
                }
            )
        return rows

    def offered(self, axis: str) -> tuple[str, ...]:
        """The choices of an axis, without those that a person adds."""
        return tuple(self.pack.slots.get(axis, ()))

    def settings(self) -> Settings:
        """Call after `is_valid`. What was left empty takes the defaults."""
        values = self.cleaned_data
        standard = Settings()
        return Settings(
            axes={axis: values for axis, values in self.chosen.items() if values},
            text=values["text"],
            base_prompt=self.wanted.base_prompt,
            per_combination=_or(values["per_combination"], 1),
            tier=values["tier"] or selection.AUTO,
            lora_strength=_or(values["lora_strength"], standard.lora_strength),
            image_prompt_strength=_or(values["image_prompt_strength"], standard.image_prompt_strength),
            negative_prompt=values["negative_prompt"],
            steps=values["steps"],
            guidance=values["guidance"],
            seed=values["seed"],
        )


class SheetForm(OrderForm):
    """Angles and expressions to combine; of everything else one value for the whole sheet."""

    def offered(self, axis: str) -> tuple[str, ...]:
        grid = {sheets.ANGLE: sheets.angles_of, sheets.EXPRESSION: sheets.expressions_of}
        return grid[axis](self.pack) if axis in grid else super().offered(axis)

    @property
    def grid(self) -> list[dict[str, Any]]:
        """Rows, then columns."""
        found = {axis["name"]: axis for axis in self.axes}
        angle, expression = found[sheets.ANGLE], found[sheets.EXPRESSION]
        return [angle | {"label": "Angles"}, expression | {"label": "Expressions"}]

    @property
    def common(self) -> list[dict[str, Any]]:
        return [axis for axis in self.axes if axis["name"] not in (sheets.ANGLE, sheets.EXPRESSION)]


class CastingForm(forms.Form):
    """Who the face belongs to, in words. What they must be is decided by `actions.order_faces`."""

    noun = _line("Noun", limit=40, help_text="Woman, man, person, creature.")
    age = _line("Age", limit=40, help_text="In words or years.")
    traits = _line("Traits", limit=400, help_text="Hair, eyes, glasses, scars. Separate with commas.")
    count = _number("Faces", 1, 24, "1", whole=True, initial=sheets.FACES)

    @classmethod
    def for_character(cls, character: Character) -> CastingForm:
        """Filled with what the team wrote, and what the description says where they wrote nothing."""
        words = sheets.words_for_casting(character)
        return cls(initial={"noun": words.noun, "age": words.age, "traits": ", ".join(words.traits)})

    def values(self) -> dict[str, Any]:
        """As `actions.order_faces` takes them."""
        values = self.cleaned_data
        words = {"noun": values["noun"] or "person", "age": values["age"], "traits": values["traits"]}
        return words | {"count": _or(values["count"], sheets.FACES)}


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value
