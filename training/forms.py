"""The form of a new training. What a value must be is decided by `recipes`; the form only carries it there."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.core.exceptions import ValidationError

from characters.models import TIERS
from gpu_worker.models import Job
from gpu_worker.packs import Pack
from training import recipes
from training.recipes import Recipe

WHOLE = "Write a whole number."
NUMBER = "Write a number."


def _whole(label: str, help_text: str = "", low: int = 1) -> forms.IntegerField:
    return forms.IntegerField(
        label=label,
        help_text=help_text,
        error_messages={"invalid": WHOLE, "required": WHOLE},
        widget=forms.NumberInput(attrs={"min": low, "inputmode": "numeric"}),
    )


class _Number(forms.FloatField):
    """Takes `nan` and `inf` as they are written: the recipe refuses them with a sentence of its own."""

    def validate(self, value: Any) -> None:
        forms.Field.validate(self, value)


def _number(label: str, help_text: str = "") -> _Number:
    return _Number(
        label=label,
        help_text=help_text,
        error_messages={"invalid": NUMBER, "required": NUMBER},
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
    )


class RecipeForm(forms.Form):
    """Tier, references, priority, and every setting of the recipe."""

    tier = forms.ChoiceField(
        label="Recipe", choices=TIERS, error_messages={"required": "Choose a recipe."}, widget=forms.RadioSelect
    )
    preset_of = forms.CharField(required=False, widget=forms.HiddenInput)
    """The tier whose preset stands in the fields: another one in `tier` brings its own."""
    priority = forms.TypedChoiceField(label="Priority", coerce=int, choices=Job.PRIORITIES[:3], initial=1)

    steps = _whole("Steps", "How often the adapter is corrected.")
    learning_rate = _number("Learning rate", "The peak; it rises in the warm-up, then falls along a cosine.")
    rank = _whole("Rank", "How much the adapter can hold.")
    alpha = _number("Alpha", "How strongly it is applied: alpha over rank.")
    batch_size = _whole("Batch size", "Pictures in one step.")
    resolution = _whole("Resolution", "Pixels; every shape keeps its area.")
    warmup_steps = _whole("Warm-up steps", low=0)
    dropout = _number("Dropout", "0 to 0.9.")
    caption_dropout = _number("Caption dropout", "Share of pictures shown without words.")
    checkpoint_every = _whole("Checkpoint every", "Steps; a worker that dies loses at most these.")
    compare_checkpoints = _whole("Checkpoints to compare", "Evenly spaced; the best of them can be chosen later.")
    sample_every = _whole("Samples every", "Steps.")
    seed = _whole("Seed", low=0)
    targets = forms.CharField(
        label="Layers",
        help_text="Ends of layer names, separated by spaces.",
        error_messages={"required": "Name a layer."},
    )
    flip = forms.BooleanField(
        label="Mirror pictures at random",
        required=False,
        help_text="Not for asymmetric faces: scars, partings, patches.",
    )

    MAIN = ("steps", "learning_rate", "rank", "batch_size")
    SETTINGS = (
        "steps",
        "learning_rate",
        "rank",
        "alpha",
        "batch_size",
        "resolution",
        "warmup_steps",
        "dropout",
        "caption_dropout",
        "checkpoint_every",
        "compare_checkpoints",
        "sample_every",
        "seed",
    )

    def __init__(self, *args: Any, pack: Pack, may_hurry: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pack = pack
        if may_hurry:
            priority = cast("forms.TypedChoiceField", self.fields["priority"])
            priority.choices = Job.PRIORITIES

    def recipe(self) -> Recipe:
        """Raises ValidationError, keyed by field."""
        base = recipes.preset(self.cleaned_data["tier"], self.pack)
        if base is None:
            raise ValidationError({"tier": recipes.why_no_preset(self.cleaned_data["tier"], self.pack)})
        told = {name: self.cleaned_data[name] for name in (*self.SETTINGS, "flip")}
        told["targets"] = tuple(self.cleaned_data["targets"].replace(",", " ").split())
        return recipes.checked(Recipe.from_json(told, base=base), self.pack)


def initial_of(recipe: Recipe) -> dict[str, Any]:
    values = recipe.as_json()
    for name in ("learning_rate", "alpha", "dropout", "caption_dropout"):
        values[name] = f"{values[name]:g}"
    return values | {"targets": " ".join(recipe.targets)}
