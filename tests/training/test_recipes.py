"""What a recipe may hold, and the presets of packs."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from gpu_worker.packs import Pack, read_pack
from training import recipes
from training.recipes import Recipe


@pytest.fixture
def tiny(packs: Path) -> Pack:
    return read_pack(packs / "tiny")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("learning_rate", math.nan),
        ("learning_rate", math.inf),
        ("learning_rate", 0),
        ("learning_rate", -1e-4),
        ("learning_rate", 1.5),
        ("learning_rate", "fast"),
        ("steps", 0),
        ("steps", 20_001),
        ("steps", 10.5),
        ("steps", True),
        ("rank", 0),
        ("rank", 257),
        ("alpha", 0),
        ("alpha", math.nan),
        ("batch_size", 0),
        ("batch_size", 65),
        ("dropout", -0.1),
        ("dropout", 0.95),
        ("caption_dropout", math.nan),
        ("warmup_steps", 1000),
        ("resolution", 100),
        ("resolution", 16),
        ("checkpoint_every", 0),
        ("sample_every", 0),
        ("seed", -1),
        ("seed", 2**32),
        ("targets", ()),
        ("targets", ("to_q; rm",)),
        ("flip", "yes"),
    ],
)
def test_what_makes_no_sense_is_refused_by_field_with_a_sentence(tiny: Pack, field: str, value: Any) -> None:
    recipe = dataclasses.replace(Recipe(), **{field: value})
    with pytest.raises(ValidationError) as refused:
        recipes.checked(recipe, tiny)
    assert list(refused.value.message_dict) == [field]
    assert refused.value.message_dict[field][0].endswith(".")


def test_all_mistakes_are_told_at_once(tiny: Pack) -> None:
    with pytest.raises(ValidationError) as refused:
        recipes.checked(Recipe(learning_rate=math.nan, rank=0, steps=-5), tiny)
    assert set(refused.value.message_dict) == {"learning_rate", "rank", "steps"}


def test_numbers_get_their_types(tiny: Pack) -> None:
    checked = recipes.checked(Recipe(steps=8.0, alpha=4, dropout=0), tiny)  # type: ignore[arg-type]
    assert (type(checked.steps), type(checked.alpha), type(checked.dropout)) == (int, float, float)


def test_json_and_back(tiny: Pack) -> None:
    recipe = recipes.checked(Recipe(targets=("to_q", "to_out.0"), seed=2**32 - 1), tiny)
    assert Recipe.from_json(recipe.as_json()) == recipe


def test_an_unknown_setting_is_named() -> None:
    with pytest.raises(ValidationError) as refused:
        Recipe.from_json({"optimiser": "adam"})
    assert list(refused.value.message_dict) == ["optimiser"]


def test_a_pack_brings_its_own_presets(tiny: Pack) -> None:
    found = recipes.presets(tiny)
    assert set(found) == {"standard"}
    assert (found["standard"].rank, found["standard"].steps, found["standard"].resolution) == (4, 4, 32)
    assert "nothing to train" in recipes.why_no_preset("low", tiny)
    assert "high" in recipes.why_no_preset("high", tiny)


def test_every_preset_passes_its_own_checks(tiny: Pack) -> None:
    real = dataclasses.replace(tiny, recipes={}, resolution=512)
    for pack in (tiny, real):
        for recipe in recipes.presets(pack).values():
            assert recipes.checked(recipe, pack) == recipe


def test_a_pack_without_presets_gets_the_recipe_of_its_family(tiny: Pack) -> None:
    found = recipes.preset("standard", dataclasses.replace(tiny, recipes={}, resolution=512))
    assert found is not None
    assert (found.rank, found.alpha, found.dropout, found.learning_rate) == (32, 32.0, 0.1, 1e-4)
    assert (found.steps, found.batch_size, found.resolution, found.warmup_steps, found.flip) == (
        2000,
        1,
        768,
        100,
        True,
    )
    assert found.checkpoint_every <= 50, "a worker that dies must not lose more"


def test_a_step_is_guessed_by_how_large_its_pictures_are_for_the_pack(tiny: Pack) -> None:
    own = Recipe(resolution=tiny.resolution, batch_size=2)
    larger = dataclasses.replace(own, resolution=2 * tiny.resolution)
    assert recipes.seconds_per_step(own, tiny) == 2 * recipes.SECONDS_PER_PICTURE
    assert recipes.seconds_per_step(larger, tiny) == 8 * recipes.SECONDS_PER_PICTURE
