from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from characters.variations import SEEDS, Settings, checked, expand, plan
from gpu_worker.packs import Pack
from gpu_worker.prompts import with_trigger


def planned(pack: Pack, settings: Settings, **more: Any) -> list[dict[str, Any]]:
    fields = {"base_prompt": "portrait of a woman", "noun": "woman", "trigger": ""} | more
    return plan(checked(settings, pack), pack=pack, **fields)


def test_every_combination_becomes_a_picture_with_a_seed_of_its_own(pack: Pack) -> None:
    settings = Settings(axes={"outfit": ("suit", "coat"), "expression": ("happy", "sad", "happy")}, seed=10)
    pictures = planned(pack, settings)
    assert [p["axes"] for p in pictures] == [
        {"expression": e, "outfit": o} for e in ("happy", "sad") for o in ("suit", "coat")
    ]
    assert [p["seed"] for p in pictures] == [10, 11, 12, 13]
    assert pictures[0]["prompt"] == "portrait of a woman, happy, wearing a suit"
    assert [p["index"] for p in pictures] == [0, 1, 2, 3]


def test_without_axes_it_is_the_base_prompt_as_often_as_wanted(pack: Pack) -> None:
    pictures = planned(pack, Settings(per_combination=3, seed=SEEDS - 1))
    assert {p["prompt"] for p in pictures} == {"portrait of a woman"}
    assert [p["seed"] for p in pictures] == [SEEDS - 1, 0, 1]


def test_an_open_pack_is_asked_in_the_words_of_the_field(pack: Pack) -> None:
    import dataclasses

    open_pack = dataclasses.replace(pack, vocabulary=None)
    settings = Settings(axes={"outfit": ("a red raincoat",), "background": ("a harbour",), "pose": ("from the side",)})
    assert planned(open_pack, settings)[0]["prompt"] == (
        "portrait of a woman, wearing red raincoat, standing in a harbour, same outfit, "
        "from the side, same outfit, same appearance"
    )


def test_a_colour_goes_before_the_outfit(pack: Pack) -> None:
    both = planned(pack, Settings(axes={"outfit": ("the suit",), "colour": ("red",)}))
    assert both[0]["prompt"] == "portrait of a woman, wearing a red suit"
    alone = planned(pack, Settings(axes={"colour": ("red",)}))
    assert alone[0]["prompt"] == "portrait of a woman, wearing red"


def test_what_was_left_open_is_filled_in(pack: Pack) -> None:
    filled = checked(Settings(), pack)
    assert (filled.steps, filled.guidance, filled.width, filled.height) == (10, 3.0, 64, 64)
    assert filled.lora_strength == 0.7
    assert filled.image_prompt_strength == 0.6
    assert filled.seed is not None
    assert filled.negative_prompt == ""
    assert Settings.from_json(filled.as_json()) == filled


@pytest.mark.parametrize(
    ("wanted", "field", "sentence"),
    [
        (Settings(per_combination=25), "per_combination", "This would be 25 pictures; a batch holds at most 24."),
        (Settings(per_combination=0), "per_combination", "at least one picture"),
        (Settings(axes={"expression": tuple("abcde"), "pose": tuple("vwxyz")}), "per_combination", "25 pictures"),
        (Settings(axes={"hat": ("x",)}), "axes", "Unknown axes: hat"),
        (Settings(axes={"pose": ("x" * 121,)}), "axes", "under 120 characters"),
        (Settings(steps=0), "steps", "Steps must be from 1 to 150; 0 is not."),
        (Settings(guidance=float("nan")), "guidance", "Guidance must be a number"),
        (Settings(lora_strength=2), "lora_strength", "from 0 to 1.5"),
        (Settings(image_prompt_strength=-0.1), "image_prompt_strength", "from 0 to 1"),
        (Settings(seed=SEEDS), "seed", "The seed must be from 0"),
        (Settings(tier="best"), "tier", "auto, low, standard or high"),
        (Settings(width=1000), "width", "Paper pack makes pictures of 64 × 64 px."),
        (Settings(text="x" * 1001), "text", "under 1,000 characters"),
    ],
)
def test_what_makes_no_sense_is_refused_by_field(pack: Pack, wanted: Settings, field: str, sentence: str) -> None:
    with pytest.raises(ValidationError) as refused:
        checked(wanted, pack)
    assert sentence in refused.value.message_dict[field][0]


def test_unknown_settings_are_refused() -> None:
    with pytest.raises(ValidationError, match="Unknown settings: hair"):
        Settings.from_json({"hair": "red"})


def test_a_prompt_says_shot_and_drawing_last(pack: Pack) -> None:
    wanted = Settings(axes={"drawing": ("ink drawing",), "shot": ("full shot",), "light": ("dim light",)}, seed=1)
    (one,) = planned(pack, wanted)
    assert one["prompt"].endswith("dim light, full shot, ink drawing")
    assert list(one["axes"]) == ["light", "shot", "drawing"]


# --------------------------------------------------------------------------------------------------------- wildcards
SLOTS = {"outfit": ("suit", "coat")}


def test_a_choice_is_made_by_the_seed_and_always_the_same() -> None:
    said = [expand("{red|blue} __outfit__", SLOTS, random.Random(n)) for n in range(40)]
    assert set(said) == {"red suit", "red coat", "blue suit", "blue coat"}
    assert said == [expand("{red|blue} __outfit__", SLOTS, random.Random(n)) for n in range(40)]


def test_choices_nest_and_empty_ones_are_allowed() -> None:
    said = {expand("a {very {big|small} | }ship", SLOTS, random.Random(n)) for n in range(60)}
    assert said == {"a very bigship", "a very smallship", "a ship"}


@pytest.mark.parametrize("text", ["{red|blue", "red}", "{}", "__nothing__", "{" * 500])
def test_broken_wildcards_end_and_say_something(text: str) -> None:
    assert isinstance(expand(text, SLOTS, random.Random(1)), str)


def test_each_picture_draws_its_own(pack: Pack) -> None:
    pictures = planned(pack, Settings(text="{red|blue}", per_combination=20, seed=1))
    assert {p["prompt"].rpartition(", ")[2] for p in pictures} == {"red", "blue"}


@pytest.mark.parametrize(
    ("prompt", "noun", "said"),
    [
        ("portrait of a woman, red coat", "woman", "portrait of a sks woman, red coat"),
        ("portrait of a creature", "woman", "sks, portrait of a creature"),
        ("portrait of a sks woman", "woman", "portrait of a sks woman"),
        ("portrait of a Man", "creature", "portrait of a sks Man"),
    ],
)
def test_the_trigger_stands_before_the_noun_once(prompt: str, noun: str, said: str) -> None:
    assert with_trigger(prompt, "sks", noun) == said


@pytest.mark.parametrize(("width", "height"), [(100_000, 64), (64, -8), (70, 64), (32, 32)])
def test_a_pack_without_sizes_of_its_own_has_bounds_all_the_same(pack: Pack, width: int, height: int) -> None:
    free = dataclasses.replace(pack, sizes=())
    with pytest.raises(ValidationError) as refused:
        checked(Settings(width=width, height=height), free)
    assert "multiples of 8 from 64 to 2,048 px" in refused.value.message_dict["width"][0]
    assert checked(Settings(width=512, height=768), free).height == 768
