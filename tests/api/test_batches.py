"""Variation batches, variations, scores."""

from __future__ import annotations

import pytest

from assets.actions import store_generated
from assets.folders import character_folder
from assets.metadata import GenerationSettings
from characters.models import Variation, VariationBatch
from collaboration.verbs import Verb
from gpu_worker.models import Job
from tests.api.conftest import fetched, ok, problem


@pytest.fixture
def path(mara):
    return f"/characters/{mara.pk}/variation-batches"


def make_pictures(batch_id, count, *, cosines=None):
    """What a worker would have brought, put where its results go."""
    from PIL import Image

    batch = VariationBatch.objects.select_related("character__project").get(pk=batch_id)
    made = []
    for entry in batch.plan[:count]:
        index = entry["index"]
        settings = GenerationSettings(source="persona", prompt=entry["prompt"], seed=entry["seed"])
        asset = store_generated(
            project=batch.character.project,
            image=Image.new("RGB", (128, 128), (index * 9, 90, 120)),
            settings=settings,
            provenance={"seed": entry["seed"]},
            name=f"{index}.png",
            folder=character_folder(batch.character.name, "variations"),
            actor=batch.created_by,
        )
        cosine = (cosines or {}).get(index, 0.6)
        made.append(
            Variation.objects.create(
                batch=batch,
                character=batch.character,
                index=index,
                asset=asset,
                prompt=entry["prompt"],
                seed=entry["seed"],
                axes=entry["axes"],
                score=None if cosine is None else cosine * 100,
                cosine=cosine,
                no_score_reason="no face found" if cosine is None else "",
                measured_against={"held_out": True, "references": 2, "encoder": "scoring", "false_match_rate": 0.001},
                provenance={"model": "Paper pack", "seed": entry["seed"], "steps": 20},
            )
        )
    return made


def test_a_batch_holds_every_combination_in_order_of_its_seeds(api, bob, path, mara, with_references):
    with_references(mara, 8)
    body = {"axes": {"expression": ["happy", "sad"], "background": ["beach", "studio"]}, "seed": 100, "steps": 10}
    batch = ok(api(bob).post(path, body), 201)
    assert (batch["count"], batch["tier"], batch["job"]["state"], batch["job"]["total"]) == (4, "low", "waiting", 4)
    assert batch["job"]["position"] == 1
    assert batch["job"]["starts_in_seconds"] >= 0
    assert batch["job"]["seconds_left"] >= batch["job"]["starts_in_seconds"]
    assert "no adapter has been trained yet" in batch["tier_reason"]
    assert (batch["settings"]["seed"], batch["settings"]["steps"], batch["settings"]["lora_strength"]) == (100, 10, 0.7)
    assert batch["variations"] == []
    assert batch["summary"]["mean_cosine"] is None
    plan = VariationBatch.objects.get(pk=batch["id"]).plan
    assert [p["seed"] for p in plan] == [100, 101, 102, 103]
    assert "happy" in plan[0]["prompt"]
    assert ok(api(bob).get(f"/variation-batches/{batch['id']}"))["id"] == batch["id"]


def test_pictures_appear_with_their_scores(api, bob, path):
    batch = ok(api(bob).post(path, {"per_combination": 3, "seed": 5}), 201)
    make_pictures(batch["id"], 3, cosines={0: 0.5, 1: 0.7, 2: None})
    shown = ok(api(bob).get(f"/variation-batches/{batch['id']}"))
    assert [v["cosine"] for v in shown["variations"]] == [0.5, 0.7, None]
    assert shown["variations"][2]["no_score_reason"] == "no face found"
    assert shown["summary"] == {
        "made": 3,
        "scored": 2,
        "mean_cosine": 0.6,
        "median_score": 60.0,
        "measured_on_held_out": True,
    }
    first = shown["variations"][0]
    assert first["model"] == "Paper pack"
    picture = api(bob).client.get(first["picture"]["file"], headers=api(bob).headers)
    assert fetched(picture)[0] == "image/png"


def test_scores_carry_what_they_were_made_with(api, bob, path, mara):
    low = ok(api(bob).post(path, {"image_prompt_strength": 0, "lora_strength": 0, "seed": 1}), 201)
    other = ok(api(bob).post(path, {"seed": 2}), 201)
    make_pictures(low["id"], 1)
    make_pictures(other["id"], 1)
    found = ok(api(bob).get(f"/characters/{mara.pk}/scores", batch=low["id"]))["items"]
    assert len(found) == 1
    assert (found[0]["image_prompt_strength"], found[0]["cosine"], found[0]["held_out"]) == (0, 0.6, True)
    assert len(ok(api(bob).get(f"/characters/{mara.pk}/scores"))["items"]) == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"per_combination": 25}, "per_combination"),
        ({"per_combination": 0}, "per_combination"),
        ({"axes": {"weather": ["rain"]}}, "axes"),
        ({"axes": {"expression": "happy"}}, "axes.expression"),
        ({"axes": {"expression": ["x" * 500]}}, "axes"),
        ({"steps": 0}, "steps"),
        ({"steps": 151}, "steps"),
        ({"steps": 10**17}, "steps"),
        ({"steps": 2.5}, "steps"),
        ({"guidance": 31}, "guidance"),
        ({"lora_strength": 2}, "lora_strength"),
        ({"image_prompt_strength": -0.1}, "image_prompt_strength"),
        ({"seed": 2**32}, "seed"),
        ({"seed": -1}, "seed"),
        ({"width": 4096, "height": 4096}, "width"),
        ({"tier": "ultra"}, "tier"),
        ({"text": "x" * 2000}, "text"),
        ({"strength": 1}, "strength"),
    ],
)
def test_what_is_wrong_is_said_by_field(api, bob, path, body, field):
    assert field in problem(api(bob).post(path, body), 422)["errors"]
    assert not Job.objects.exists()


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_is_none_is_refused(api, bob, path, value):
    refusal = problem(api(bob).post(path, f'{{"guidance": {value}}}'), 422)
    assert "finite" in refusal["errors"]["guidance"][0]


def test_a_number_without_end_is_refused(api, bob, path):
    assert "400 digits" in problem(api(bob).post(path, f'{{"steps": {"9" * 400}}}'), 400)["detail"]


def test_urgent_work_needs_the_right_to_it(api, bob, leo, path):
    problem(api(bob).post(path, {"priority": 3}), 403)
    assert ok(api(leo).post(path, {"priority": 3}), 201)["job"]["priority"] == 3


def test_picking_makes_the_characters_picture(api, bob, path, mara):
    batch = ok(api(bob).post(path, {"per_combination": 2}), 201)
    first, second = make_pictures(batch["id"], 2)
    asking = api(bob)
    picked = ok(asking.post(f"/variations/{second.pk}/pick"))
    assert picked["picked_at"]
    assert ok(asking.get(f"/characters/{mara.pk}"))["picture"]["asset"] == str(second.asset_id)
    assert [v["id"] for v in ok(asking.get(f"/characters/{mara.pk}/variations", picked=True))["items"]] == [
        str(second.pk)
    ]
    assert ok(asking.post(f"/variations/{second.pk}/unpick"))["picked_at"] is None
    assert len(ok(asking.get(f"/characters/{mara.pk}/variations", picked=False))["items"]) == 2
    assert first.pk != second.pk


def test_provenance_tells_how_a_picture_was_made(api, bob, path):
    batch = ok(api(bob).post(path, {"seed": 77}), 201)
    variation = make_pictures(batch["id"], 1)[0]
    told = ok(api(bob).get(f"/variations/{variation.pk}/provenance"))
    assert told["provenance"]["seed"] == 77
    assert ok(api(bob).get(f"/variations/{variation.pk}"))["seed"] == 77


def test_strangers_and_viewers(api, bob, charlie, vera, path, mara):
    batch = ok(api(bob).post(path, {}), 201)
    variation = make_pictures(batch["id"], 1)[0]
    asking = api(charlie)
    for method, address in [
        ("get", path),
        ("post", path),
        ("get", f"/variation-batches/{batch['id']}"),
        ("get", f"/variations/{variation.pk}"),
        ("get", f"/variations/{variation.pk}/provenance"),
        ("post", f"/variations/{variation.pk}/pick"),
        ("get", f"/characters/{mara.pk}/scores"),
        ("get", f"/characters/{mara.pk}/variations"),
    ]:
        problem(asking.request(method, address, {} if method == "post" else None), 404)
    asking = api(vera)
    ok(asking.get(f"/variation-batches/{batch['id']}"))
    problem(asking.post(path, {}), 403)
    problem(asking.post(f"/variations/{variation.pk}/pick"), 403)
    assert VariationBatch.objects.count() == 1


def test_a_token_needs_the_scope_to_generate(api, bob, path):
    problem(api(bob, Verb.TRAIN).post(path, {}), 403)


def test_nothing_is_made_of_a_character_in_the_trash(api, bob, path, mara):
    batch = ok(api(bob).post(path, {}), 201)
    variation = make_pictures(batch["id"], 1)[0]
    ok(api(bob).delete(f"/characters/{mara.pk}"))
    problem(api(bob).post(path, {}), 409)
    problem(api(bob).post(f"/variations/{variation.pk}/pick"), 409)


def test_a_repeated_order_is_one_order(api, bob, path):
    key = {"Idempotency-Key": "batch-1"}
    first = ok(api(bob).post(path, {"seed": 3}, headers=key), 201)
    assert ok(api(bob).post(path, {"seed": 3}, headers=key), 201)["id"] == first["id"]
    assert problem(api(bob).post(path, {"seed": 4}, headers=key), 422)["detail"].startswith("This idempotency key")
    assert VariationBatch.objects.count() == 1


def test_lists_take_the_same_queries_however_long(api, bob, path, mara, count_queries):
    asking = api(bob)
    for _ in range(2):
        make_pictures(ok(asking.post(path, {"per_combination": 2}), 201)["id"], 1)
    lists = [path, f"/characters/{mara.pk}/variations", f"/characters/{mara.pk}/scores"]
    before = [count_queries(lambda a=a: ok(asking.get(a))) for a in lists]
    for _ in range(3):
        make_pictures(ok(asking.post(path, {"per_combination": 2}), 201)["id"], 2)
    assert [count_queries(lambda a=a: ok(asking.get(a))) for a in lists] == before
