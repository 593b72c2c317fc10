"""What a person is about to train: read from the request, checked, estimated, and started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.urls import reverse

from characters.models import REFERENCES_NEEDED, TIERS, Character
from collaboration.models import User
from collaboration.permissions import Verb, verbs_of
from collaboration.requests import AuthenticatedRequest
from gpu_worker import actions as jobs
from gpu_worker import queries as work
from gpu_worker import selection
from gpu_worker.packs import Pack
from training import actions, dataset, parts, recipes
from training.durations import about
from training.forms import RecipeForm, initial_of
from training.models import TrainingRun

CAPTION = "caption-"
"""Before the id of a reference: the form's field for what is said of it."""


@dataclass(slots=True)
class Order:
    """A training that may be started: the form, the chosen references and what the checks say of them."""

    character: Character
    user: User
    pack: Pack
    tier: str
    form: RecipeForm
    chosen: list[str] | None
    """Ids of references; None for all."""
    captions: dict[str, str]
    """Id of a reference -> what the person says of it."""

    @classmethod
    def read(cls, request: AuthenticatedRequest, character: Character) -> Order:
        """POST and a changed form bring their own values; otherwise the preset of the character's tier is offered.

        Raises NoModel where nothing can be trained at all.
        """
        data = request.POST if request.method == "POST" else request.GET
        pack = selection.pack_for(character.project)
        presets = recipes.presets(pack)
        if not presets:
            raise selection.NoModel(f"{pack.title} has no recipes, so it cannot be trained.")
        usual = character.tier if character.tier in presets else next(iter(presets))
        tier = data["tier"] if data.get("tier") in dict(TIERS) else usual
        chosen = data.getlist("reference") if "chosen" in data else None
        captions = {key.removeprefix(CAPTION): str(data[key]) for key in data if key.startswith(CAPTION)}
        may_hurry = Verb.URGENT in verbs_of(request.user, character.project)
        form = RecipeForm(pack=pack, may_hurry=may_hurry, initial=cls._initial(tier, presets))
        if "steps" in data and data.get("preset_of") == tier:
            form = RecipeForm(data, pack=pack, may_hurry=may_hurry)
        elif request.method == "POST":  # an order that leaves the recipe to the preset
            filled = cls._initial(tier, presets) | data.dict()
            if data.get("preset_of"):  # what stands in the fields is the preset of another tier
                filled |= cls._initial(tier, presets) | {"priority": data.get("priority", 1)}
            form = RecipeForm(filled, pack=pack, may_hurry=may_hurry)
        return cls(character, request.user, pack, tier, form, chosen, captions)

    @staticmethod
    def _initial(tier: str, presets: dict[str, recipes.Recipe]) -> dict[str, Any]:
        recipe = presets.get(tier) or next(iter(presets.values()))
        return initial_of(recipe) | {"tier": tier, "preset_of": tier, "priority": 1}

    def start(self, actor: User) -> TrainingRun | None:
        """None when something is refused; the form and `refusal` then say what."""
        if not self.form.is_valid():
            return None
        try:
            recipe = self.form.recipe()
            return actions.start_training(
                character=self.character,
                tier=self.tier,
                recipe=recipe,
                reference_ids=self.chosen,
                captions=self.captions,
                actor=actor,
                priority=self.form.cleaned_data["priority"],
            )
        except ValidationError as error:
            self._refuse(error)
            return None

    def _refuse(self, error: ValidationError) -> None:
        keyed = error.message_dict if hasattr(error, "error_dict") else {NON_FIELD_ERRORS: error.messages}
        for name, sentences in keyed.items():
            # What is wrong with the references stands with the checks, which are shown anyway.
            if name != "references":
                self.form.add_error(name if name in self.form.fields else None, sentences)

    # ------------------------------------------------------------------------------------------------------- to show
    def context(self) -> dict[str, Any]:
        """Context of `training/new.html`."""
        character, pack, form = self.character, self.pack, self.form
        data = dataset.examine(character, tier=self.tier, pack=pack, reference_ids=self.chosen, captions=self.captions)
        everything = dataset.examine(character, tier=self.tier, pack=pack, captions=self.captions)
        picked = {p.reference.pk for p in data.pictures}
        opened = actions.open_run(character)
        estimate = self._estimate()
        return heading(character) | {
            "form": form,
            "pack": pack,
            "open_run": opened,
            "tier": self.tier,
            "tiers": self._tiers(),
            "pictures": [self._picture(p, p.reference.pk in picked) for p in everything.pictures],
            "held_out": [parts.picture(r.asset, alt="", sizes="96px") for r in data.held_out],
            "checks": [{"state": f.verdict, "word": f.word, "sentence": f.sentence} for f in data.findings],
            "may_start": not data.refused and opened is None,
            "trigger": data.trigger,
            "opening": dataset.opening(character, data.trigger, pack),
            "estimate": estimate,
            "main": [form[name] for name in RecipeForm.MAIN],
            "rest": [form[n] for n in (*RecipeForm.SETTINGS, "targets") if n not in RecipeForm.MAIN],
            "is_rest_open": any(
                n in form.errors for n in (*RecipeForm.SETTINGS, "targets") if n not in RecipeForm.MAIN
            ),
        }

    def _tiers(self) -> list[dict[str, Any]]:
        found = recipes.presets(self.pack)
        return [
            {
                "value": tier,
                "label": label,
                "current": tier == self.tier,
                "available": tier in found,
                "note": f"{found[tier].steps:,} steps · {REFERENCES_NEEDED[tier]} references"
                if tier in found
                else recipes.why_no_preset(tier, self.pack),
            }
            for tier, label in TIERS
        ]

    def _picture(self, picture: dataset.Picture, is_chosen: bool) -> dict[str, Any]:
        reference = picture.reference
        warnings = [c["word"] for c in reference.checks if c["verdict"] == "warn"]
        return {
            "id": reference.pk,
            "picture": parts.picture(reference.asset, alt=reference.asset.original_name, sizes="120px"),
            "name": reference.asset.original_name,
            "said": picture.said,
            "field": f"{CAPTION}{reference.pk}",
            "is_chosen": is_chosen,
            "is_generated": reference.is_generated,
            "warnings": warnings,
        }

    def _estimate(self) -> dict[str, str]:
        """How long it takes and when it would start, for the recipe as it stands in the form."""
        recipe = recipes.preset(self.tier, self.pack)
        if self.form.is_bound and self.form.is_valid():
            try:
                recipe = self.form.recipe()
            except ValidationError as error:
                self._refuse(error)
        if recipe is None:
            return {}
        queue = actions.TRAIN_QUEUE[self.tier]
        seconds = jobs.estimate_seconds(actions.KIND, queue, recipe.steps, recipes.seconds_per_step(recipe, self.pack))
        start = work.start_of_another(queue, self.character.project, self.user, seconds)
        if start is None:
            when = "No worker for it is running; it starts as soon as one does."
        else:
            when = "Starts at once." if start < 8 else f"Starts in {about(start)}."
        return {"takes": about(seconds).replace("about ", ""), "when": when}


def heading(character: Character) -> dict[str, Any]:
    """What the page shows even where nothing can be trained."""
    project = character.project
    return {
        "character": character,
        "project": project,
        "url": reverse("training:new", args=[project.slug, character.pk]),
        "picture": parts.picture(character.picture, alt=character.name, sizes="88px"),
    }
