"""The history of a character over the API."""

from __future__ import annotations

from characters import actions
from tests.api.conftest import ok, problem


def test_revisions_are_listed_and_rolled_back(api, alice, bob, leo, charlie, mara):
    here = f"/characters/{mara.pk}/revisions"
    number = ok(api(bob).get(here))["items"][0]["number"]
    actions.change_character(character=mara, actor=alice, age="35", traits="blue coat")
    items = ok(api(bob).get(here))["items"]
    assert [item["number"] for item in items] == list(range(number + 1, 0, -1))
    assert (items[0]["author"]["name"], items[0]["snapshot"]["age"]) == ("Alice", "35")
    assert ok(api(bob).get(f"{here}/{number + 1}")) == items[0]
    refusal = problem(api(bob).post(f"{here}/{number}/roll-back", {"field": "age"}), 403)
    assert "Age was changed by Alice since" in refusal["detail"]
    went = ok(api(leo).post(f"{here}/{number}/roll-back", {"field": "age"}))
    assert (went["changed"], went["kept"], went["revision"]) == (["age"], [], number + 2)
    mara.refresh_from_db()
    assert mara.traits == "blue coat"
    problem(api(leo).get(f"{here}/99"), 404)
    problem(api(leo).post(f"{here}/{number}/roll-back", {"field": "trashed"}), 422)
    for path in (here, f"{here}/1"):
        problem(api(charlie).get(path), 404)
    problem(api(charlie).post(f"{here}/1/undo", {}), 404)


def test_an_undo_names_what_it_kept_and_whose_it_is(api, alice, bob, mara):
    here = f"/characters/{mara.pk}/revisions"
    actions.change_character(character=mara, actor=bob, age="35", traits="blue coat")
    number = ok(api(bob).get(here))["items"][0]["number"]
    actions.change_character(character=mara, actor=alice, age="36")
    went = ok(api(bob).post(f"{here}/{number}/undo", {}))
    assert went["changed"] == ["traits"]
    assert [(kept["field"], kept["by"]["name"]) for kept in went["kept"]] == [("age", "Alice")]
    problem(api(bob).post(f"{here}/{number + 1}/undo", {}), 403)
