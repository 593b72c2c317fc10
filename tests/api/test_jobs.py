"""Jobs, the catalogue and files."""

from __future__ import annotations

import pytest

from collaboration.models import Event
from gpu_worker.models import Job
from tests.api.conftest import fetched, ok, problem


@pytest.fixture
def path(project):
    return f"/projects/{project.slug}/jobs"


@pytest.fixture
def three(api, bob, mara):
    return [ok(api(bob).post(f"/characters/{mara.pk}/variation-batches", {"seed": k}), 201)["job"] for k in range(3)]


def test_jobs_are_listed_with_their_places(api, bob, path, three, mara):
    found = ok(api(bob).get(path))["items"]
    assert [j["id"] for j in found] == [j["id"] for j in reversed(three)]
    assert sorted(j["position"] for j in found) == [1, 2, 3]
    assert found[0]["subject"] == {"kind": "character", "id": str(mara.pk)}
    assert found[0]["created_by"]["name"] == "Bob"


def test_jobs_are_filtered(api, bob, path, three):
    ok(api(bob).post(f"/jobs/{three[0]['id']}/cancel"))
    asking = api(bob)
    assert len(ok(asking.get(path, state="waiting"))["items"]) == 2
    assert len(ok(asking.get(path, state=["waiting", "cancelled"]))["items"]) == 3
    assert len(ok(asking.get(path, kind="training.train"))["items"]) == 0
    assert "state" in str(problem(asking.get(path, state="asleep"), 422)["errors"])


def test_a_running_job_tells_how_far_it_is(api, bob, three):
    Job.objects.filter(pk=three[0]["id"]).update(state="running", step=4, total=12, note="Step 4 of 12")
    job = ok(api(bob).get(f"/jobs/{three[0]['id']}"))
    assert (job["state"], job["step"], job["total"], job["position"]) == ("running", 4, 12, None)
    assert job["seconds_left"] > 0


def test_a_failed_job_says_why(api, bob, three):
    Job.objects.filter(pk=three[0]["id"]).update(
        state="failed",
        error="The model ran out of memory. Choose fewer at once.",
        error_detail="Traceback: secret/path",
    )
    answer = api(bob).get(f"/jobs/{three[0]['id']}")
    assert ok(answer)["error"].startswith("The model ran out")
    assert b"Traceback" not in answer.content


def test_cancelling_twice_is_cancelling_once(api, bob, three):
    for _ in range(2):
        assert ok(api(bob).post(f"/jobs/{three[0]['id']}/cancel"))["state"] == "cancelled"


def test_who_cancels_a_batch_is_told(api, bob, three):
    for _ in "ab":
        ok(api(bob).post(f"/jobs/{three[0]['id']}/cancel"))
    assert [e.actor for e in Event.objects.filter(kind="variation.cancelled")] == [bob]


def test_strangers_and_viewers(api, charlie, vera, path, three):
    problem(api(charlie).get(path), 404)
    problem(api(charlie).get(f"/jobs/{three[0]['id']}"), 404)
    problem(api(charlie).post(f"/jobs/{three[0]['id']}/cancel"), 404)
    problem(api(vera).post(f"/jobs/{three[0]['id']}/cancel"), 403)
    assert ok(api(vera).get(f"/jobs/{three[0]['id']}"))["state"] == "waiting"


def test_a_list_of_jobs_takes_the_same_queries_however_long(api, bob, path, mara, three, count_queries):
    asking = api(bob)
    ok(asking.get(path))  # notes the token's use
    before = count_queries(lambda: ok(asking.get(path)))
    for k in range(4):
        ok(asking.post(f"/characters/{mara.pk}/variation-batches", {"seed": k}), 201)
    assert count_queries(lambda: ok(asking.get(path))) == before


def test_the_catalogue_tells_packs_words_and_tiers(api, bob):
    catalogue = ok(api(bob).get("/catalogue"))
    pack = catalogue["packs"][0]
    assert (pack["name"], pack["is_default"], pack["is_commercial"]) == ("paper", True, True)
    assert "happy" in pack["slots"]["expression"]
    assert pack["recipes"]["low"] is None
    assert {t["tier"]: t["available"] for t in catalogue["tiers"]}["high"] is False


# ------------------------------------------------------------------------------------------------------------ files
@pytest.fixture
def asset(mara, with_references):
    return with_references(mara, 1)[0].asset


def test_a_file_is_described_and_downloaded(api, bob, asset):
    told = ok(api(bob).get(f"/assets/{asset.pk}"))
    assert (told["kind"], told["width"], told["mime"], told["erased"]) == ("picture", 320, "image/png", False)
    assert len(told["sha256"]) == 64
    response = api(bob).client.get(told["file"], headers=api(bob).headers)
    assert len(fetched(response)[1]) == told["bytes"]
    assert fetched(api(bob).get(f"/assets/{asset.pk}/file", size=160))[0] == "image/webp"


@pytest.mark.parametrize("size", ["161", "0", "-1", "99999"])
def test_there_are_thumbnails_of_certain_sizes_only(api, bob, asset, size):
    problem(api(bob).get(f"/assets/{asset.pk}/file", size=size), 404)


def test_a_file_belongs_to_members(api, charlie, vera, asset):
    problem(api(charlie).get(f"/assets/{asset.pk}"), 404)
    problem(api(charlie).get(f"/assets/{asset.pk}/file"), 404)
    assert fetched(api(vera).get(f"/assets/{asset.pk}/file"))[0] == "image/png"
