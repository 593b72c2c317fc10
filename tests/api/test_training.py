"""Training runs and adapters."""

from __future__ import annotations

import uuid

import pytest

from assets.models import Asset
from collaboration.verbs import Verb
from gpu_worker import actions as jobs
from gpu_worker.models import Job
from tests.api.conftest import fetched, ok, problem
from training.models import CheckpointComparison, ComparisonPicture, TrainingCheckpoint, TrainingRun, TrainingSample


@pytest.fixture
def path(mara):
    return f"/characters/{mara.pk}/training-runs"


@pytest.fixture
def ready(mara, with_references):
    return with_references(mara, 10)


def test_a_training_answers_with_job_position_and_estimate(api, bob, path, mara, ready):
    run = ok(api(bob).post(path, {"tier": "standard", "recipe": {"steps": 60}}), 201)
    assert (run["references"], run["held_out"], run["tier"], run["trigger"]) == (8, 2, "standard", "sks")
    assert (run["recipe"]["steps"], run["recipe"]["rank"]) == (60, 8)
    job = run["job"]
    assert (job["state"], job["position"], job["total"], job["queue"]) == ("waiting", 1, 60, "gpu_standard")
    assert job["estimated_seconds"] > 0
    assert job["seconds_left"] >= job["estimated_seconds"]
    assert ok(api(bob).get(f"/characters/{mara.pk}"))["status"] == "training"
    assert ok(api(bob).get(path))["items"][0]["id"] == run["id"]
    assert ok(api(bob).get(f"/training-runs/{run['id']}"))["loss"] == []


def test_the_tier_of_the_character_and_its_preset_are_the_default(api, bob, path, ready):
    run = ok(api(bob).post(path, {}), 201)
    assert (run["tier"], run["recipe"]["steps"]) == ("standard", 100)


def test_too_few_references_says_how_many_are_missing(api, bob, path, mara, with_references):
    with_references(mara, 4)
    refusal = problem(api(bob).post(path, {"tier": "standard"}), 422)
    assert "4 of the 10 references" in refusal["detail"]
    assert not TrainingRun.objects.exists()


@pytest.mark.parametrize(
    ("recipe", "field", "words"),
    [
        ('{"learning_rate": NaN}', "recipe.learning_rate", "finite"),
        ('{"learning_rate": Infinity}', "recipe.learning_rate", "finite"),
        ('{"learning_rate": 0}', "learning_rate", "above 0"),
        ('{"learning_rate": "fast"}', "recipe.learning_rate", "number"),
        ('{"steps": 0}', "steps", "from 1"),
        ('{"steps": 100000}', "steps", "20,000"),
        ('{"rank": 1000}', "rank", "256"),
        ('{"resolution": 100}', "resolution", "multiple of 8"),
        ('{"targets": []}', "targets", "at least one"),
        ('{"targets": ["../x"]}', "targets", "no name of a layer"),
        ('{"speed": 1}', "recipe.speed", "not known here"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(api, bob, path, ready, recipe, field, words):
    refusal = problem(api(bob).post(path, f'{{"recipe": {recipe}}}'), 422)
    assert words in refusal["errors"][field][0]
    assert not TrainingRun.objects.exists()


@pytest.mark.parametrize("tier", ["ultra", "", 3])
def test_an_unknown_tier_is_refused(api, bob, path, ready, tier):
    assert "tier" in problem(api(bob).post(path, {"tier": tier}), 422)["errors"]


def test_the_low_tier_trains_nothing(api, bob, path, ready):
    assert "nothing to train" in problem(api(bob).post(path, {"tier": "low"}), 422)["detail"]


def test_a_reference_of_another_character_is_refused(api, bob, path, ready):
    stranger = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
    assert stranger in problem(api(bob).post(path, {"references": [stranger]}), 422)["detail"]


def test_a_character_is_trained_once_at_a_time(api, bob, path, ready):
    ok(api(bob).post(path, {}), 201)
    assert "being trained already" in problem(api(bob).post(path, {}), 422)["detail"]


def test_pause_resume_cancel_retry(api, bob, path, ready):
    asking = api(bob)
    run = ok(asking.post(path, {}), 201)
    address = f"/training-runs/{run['id']}"
    assert ok(asking.post(f"{address}/pause"))["job"]["state"] == "paused"
    assert ok(asking.post(f"{address}/resume"))["job"]["state"] == "waiting"
    assert ok(asking.post(f"{address}/cancel"))["job"]["state"] == "cancelled"
    assert "ended already" in problem(asking.post(f"{address}/pause"), 409)["detail"]
    assert "ended already" in problem(asking.post(f"{address}/cancel"), 409)["detail"]
    assert ok(asking.post(f"{address}/retry"))["job"]["state"] == "waiting"
    problem(asking.post(f"{address}/retry"), 409)


def test_a_training_is_cancelled_by_its_job_too(api, bob, path, ready):
    run = ok(api(bob).post(path, {}), 201)
    assert ok(api(bob).post(f"/jobs/{run['job']['id']}/cancel"))["state"] == "cancelled"
    assert TrainingRun.objects.get().cancelled_by == bob


def test_loss_and_samples_are_told(api, bob, path, ready):
    run = ok(api(bob).post(path, {}), 201)
    Job.objects.update(measured={"loss": [[10, 0.3], [20, 0.2]], "learning_rate": [[10, 0.001]]}, step=20)
    asset = ready[0].asset
    TrainingSample.objects.create(
        run_id=run["id"], step=20, place=0, asset=asset, prompt="portrait", seed=4, score=71.0, cosine=0.6
    )
    shown = ok(api(bob).get(f"/training-runs/{run['id']}"))
    assert shown["loss"] == [[10, 0.3], [20, 0.2]]
    assert set(shown["measured"]) == {"loss", "learning_rate"}
    assert (shown["samples"][0]["step"], shown["samples"][0]["score"]) == (20, 71.0)
    assert shown["samples"][0]["picture"]["asset"] == str(asset.pk)


def test_strangers_and_viewers(api, bob, charlie, vera, path, ready):
    run = ok(api(bob).post(path, {}), 201)
    address = f"/training-runs/{run['id']}"
    for method, where in [("get", path), ("post", path), ("get", address), ("post", f"{address}/cancel")]:
        problem(api(charlie).request(method, where, {} if method == "post" else None), 404)
    problem(api(charlie).post(f"/jobs/{run['job']['id']}/cancel"), 404)
    ok(api(vera).get(address))
    problem(api(vera).post(path, {}), 403)
    problem(api(vera).post(f"{address}/cancel"), 403)
    problem(api(vera).post(f"/jobs/{run['job']['id']}/cancel"), 403)
    problem(api(bob, Verb.GENERATE).post(f"/jobs/{run['job']['id']}/cancel"), 403)
    assert Job.objects.get(kind="training.train").state == "waiting"


def test_urgent_training_needs_the_right_to_it(api, bob, leo, path, ready):
    problem(api(bob).post(path, {"priority": 3}), 403)
    assert ok(api(leo).post(path, {"priority": 3}), 201)["job"]["priority"] == 3


# --------------------------------------------------------------------------------------------------------- adapters
@pytest.fixture
def adapters(project, mara, bob, ready):
    def make(active):
        return jobs.create_adapter(
            project=project,
            subject=("character", mara.pk),
            activate=active,
            file=ready[0].asset,
            sha256="a" * 64,
            pack="paper",
            pack_version="1",
            architecture="stable-diffusion-v1",
            trigger="sks",
            rank=8,
            licence={"name": "CC0"},
            created_by=bob,
        )

    return [make(True), make(False)]


def test_adapters_are_listed_and_one_is_activated(api, bob, mara, adapters):
    asking, path = api(bob), f"/characters/{mara.pk}/adapters"
    found = ok(asking.get(path))["items"]
    assert [(a["version"], a["is_active"]) for a in found] == [(2, False), (1, True)]
    assert ok(asking.post(f"/adapters/{adapters[1].pk}/activate"))["is_active"] is True
    assert [(a["version"], a["is_active"]) for a in ok(asking.get(path))["items"]] == [(2, True), (1, False)]
    assert ok(asking.get(f"/characters/{mara.pk}"))["adapter_version"] == 2


def test_an_adapter_is_downloaded(api, bob, charlie, adapters):
    response = api(bob).get(f"/adapters/{adapters[0].pk}/file")
    assert fetched(response)[1].startswith(b"\x89PNG")
    problem(api(charlie).get(f"/adapters/{adapters[0].pk}/file"), 404)


def test_an_adapter_belongs_to_members(api, charlie, vera, adapters):
    problem(api(charlie).get(f"/adapters/{adapters[0].pk}"), 404)
    problem(api(charlie).post(f"/adapters/{adapters[1].pk}/activate"), 404)
    problem(api(vera).post(f"/adapters/{adapters[1].pk}/activate"), 403)
    assert ok(api(vera).get(f"/adapters/{adapters[0].pk}"))["is_active"] is True


def test_an_active_adapter_makes_the_standard_tier(api, bob, mara, adapters):
    batch = ok(api(bob).post(f"/characters/{mara.pk}/variation-batches", {}), 201)
    assert (batch["tier"], batch["adapter"]["version"]) == ("standard", 1)
    without = ok(api(bob).post(f"/characters/{mara.pk}/variation-batches", {"lora_strength": 0}), 201)
    assert without["adapter"] is None


# ------------------------------------------------------------------------------------------------------ checkpoints
@pytest.fixture
def trained(api, bob, path, ready):
    """A run that has ended with three checkpoints; the files are pictures, since none is read here."""
    run = TrainingRun.objects.get(pk=ok(api(bob).post(path, {"recipe": {"steps": 60}}), 201)["id"])
    for step, reference in zip((20, 40, 60), ready, strict=False):
        file = Asset.objects.get(pk=reference.asset_id)
        file.pk, file._state.adding = uuid.uuid4(), True
        file.save()
        TrainingCheckpoint.objects.create(run=run, step=step, rank=8, sha256="b" * 64, file=file)
    Job.objects.filter(pk=run.job_id).update(state=Job.DONE)
    return run


def test_checkpoints_are_listed_compared_and_one_is_used(api, bob, vera, mara, trained):
    asking, run = api(bob), f"/training-runs/{trained.pk}"
    listed = ok(api(vera).get(f"{run}/checkpoints"))
    assert [(c["step"], c["is_there"], c["adapter"]) for c in listed] == [(s, True, None) for s in (20, 40, 60)]
    comparison = ok(asking.post(f"{run}/comparisons"), 201)
    assert (comparison["steps"], comparison["job"]["total"], comparison["proposed_step"]) == ([20, 40, 60], 12, None)
    assert comparison["job"]["kind"] == "training.compare"
    assert "being compared already" in problem(asking.post(f"{run}/comparisons"), 409)["detail"]
    where = f"/comparisons/{comparison['id']}"
    assert ok(api(vera).get(where))["pictures"] == []
    problem(api(vera).post(f"{where}/cancel"), 403)
    assert ok(asking.post(f"{where}/cancel"))["job"]["state"] == "cancelled"
    assert ok(asking.post(f"{where}/retry"))["job"]["state"] == "waiting"
    assert [c["id"] for c in ok(asking.get(f"{run}/comparisons"))["items"]] == [comparison["id"]]

    used = ok(asking.post(f"{run}/checkpoints/40/use"))
    assert (used["is_active"], used["came_of"]) == (True, {"training_run": str(trained.pk), "step": 40})
    assert ok(asking.post(f"{run}/checkpoints/40/use"))["id"] == used["id"]
    assert [a["version"] for a in ok(asking.get(f"/characters/{mara.pk}/adapters"))["items"]] == [1]
    assert "No checkpoint of step 41" in problem(asking.post(f"{run}/checkpoints/41/use"), 422)["detail"]


def test_a_comparison_tells_its_figures_and_pictures(api, vera, bob, trained, ready):
    made = ok(api(bob).post(f"/training-runs/{trained.pk}/comparisons"), 201)
    row = CheckpointComparison.objects.get()
    figures = {"pictures": 1, "scored": 1, "identity": 81.5, "adherence": None, "diversity": None, "distance": ""}
    row.results, row.proposed_step, row.reason = [figures | {"step": 20}], 20, "Step 20 is proposed."
    row.save()
    asset = ready[0].asset
    ComparisonPicture.objects.create(
        comparison=row, step=20, place=1, asset=asset, score=81.5, cosine=0.6, measured_against={"held_out": True}
    )
    shown = ok(api(vera).get(f"/comparisons/{made['id']}"))
    assert (shown["proposed_step"], shown["measured"][0]["identity"]) == (20, 81.5)
    (picture,) = shown["pictures"]
    assert (picture["step"], picture["place"], picture["held_out"]) == (20, 1, True)
    assert picture["prompt"] == row.plan[1]["prompt"]
    assert picture["picture"]["asset"] == str(asset.pk)


def test_checkpoints_belong_to_members_and_erasing_to_owners(api, alice, bob, charlie, vera, trained):
    run = f"/training-runs/{trained.pk}"
    for method, where in [
        ("get", f"{run}/checkpoints"),
        ("get", f"{run}/comparisons"),
        ("post", f"{run}/comparisons"),
        ("post", f"{run}/checkpoints/40/use"),
        ("post", f"{run}/checkpoints/erase"),
    ]:
        problem(api(charlie).request(method, where, {} if method == "post" else None), 404)
        if method == "post":
            problem(api(vera).post(where), 403)
    problem(api(bob).post(f"{run}/checkpoints/erase"), 403)
    assert [c["is_there"] for c in ok(api(alice).post(f"{run}/checkpoints/erase"))] == [False] * 3
    assert "Fewer than two" in problem(api(bob).post(f"{run}/comparisons"), 409)["detail"]
