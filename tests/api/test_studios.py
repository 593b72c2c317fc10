"""Studios: their bands."""

from __future__ import annotations

import pytest

from characters.models import Variation
from collaboration.verbs import Verb
from tests.api.conftest import ok, problem
from tests.api.test_batches import make_pictures


@pytest.fixture
def path(studio):
    return f"/studios/{studio.slug}"


def test_the_bands_are_shown_to_its_people(api, bob, charlie, path):
    shown = ok(api(bob).get(path))
    assert (shown["name"], shown["bands"], shown["is_admin"]) == ("Northlight", {"excellent": 85, "good": 70}, False)
    problem(api(charlie).get(path), 404)


def test_an_administrator_sets_them_and_every_score_follows(api, alice, bob, mara, path):
    mine = api(alice)
    batch = ok(mine.post(f"/characters/{mara.pk}/variation-batches", {"per_combination": 2}), 201)
    make_pictures(batch["id"], 2)
    Variation.objects.filter(index=0).update(score=80)
    Variation.objects.filter(index=1).update(score=None)
    assert [v["band"] for v in ok(mine.get(f"/variation-batches/{batch['id']}"))["variations"]] == ["good", None]
    assert ok(mine.request("put", f"{path}/bands", {"excellent": 79, "good": 60}))["bands"]["excellent"] == 79
    assert ok(mine.get(f"/variation-batches/{batch['id']}"))["variations"][0]["band"] == "excellent"
    listed = ok(api(bob).get(f"/characters/{mara.pk}/variations"))["items"]
    assert {v["band"] for v in listed} == {"excellent", None}


def test_who_may_not(api, alice, leo, path):
    body = {"excellent": 90, "good": 60}
    problem(api(leo).request("put", f"{path}/bands", body), 403)
    problem(api(alice, Verb.SEE).request("put", f"{path}/bands", body), 403)


@pytest.mark.parametrize("body", [{"excellent": 60, "good": 70}, {"excellent": 100, "good": 70}, {"good": 70}])
def test_what_is_refused(api, alice, path, body):
    problem(api(alice).request("put", f"{path}/bands", body), 422)
