"""People and projects."""

from __future__ import annotations

import pytest

from collaboration import actions
from collaboration.models import Event, Project
from collaboration.verbs import Verb
from tests.api.conftest import ok, problem


def test_projects_are_those_one_can_see(api, bob, charlie, project):
    found = ok(api(bob).get("/projects"))
    assert [p["slug"] for p in found["items"]] == [project.slug]
    assert found["next"] is None
    assert found["items"][0]["role"] == "artist"
    assert "train" in found["items"][0]["verbs"]
    assert ok(api(charlie).get("/projects"))["items"] == []


def test_a_token_sees_itself_narrowed(api, bob, project):
    assert ok(api(bob, Verb.SEE).get(f"/projects/{project.slug}"))["verbs"] == ["see"]


def test_a_stranger_learns_nothing(api, charlie, project):
    problem(api(charlie).get(f"/projects/{project.slug}"), 404)
    problem(api(charlie).get("/projects/there-is-none"), 404)


def test_a_project_is_started_in_a_new_studio(api, charlie):
    body = {"name": "The Lighthouse", "studio_name": "Charlie & Co", "description": "Fog.", "is_commercial": False}
    made = ok(api(charlie).post("/projects", body), 201)
    assert (made["slug"], made["role"], made["description"]) == ("the-lighthouse", "owner", "Fog.")
    assert made["is_commercial"] is False
    assert ok(api(charlie).get("/projects/the-lighthouse")) == made


def test_a_project_is_started_in_a_studio_that_one_leads(api, alice, leo, project, studio):
    made = ok(api(leo).post("/projects", {"name": "Second", "studio": studio.slug}), 201)
    assert made["studio"] == studio.slug


@pytest.mark.parametrize(
    "body", [{"name": "X"}, {"name": "X", "studio": "northlight"}, {"name": "X", "studio": "none"}]
)
def test_a_project_needs_a_studio_in_which_one_may_start_it(api, charlie, studio, body):
    assert "studio" in problem(api(charlie).post("/projects", body), 422)["errors"]


def test_a_project_needs_a_name(api, charlie):
    refusal = problem(api(charlie).post("/projects", {"name": " ", "studio_name": "Mine"}), 422)
    assert "empty" in refusal["detail"]
    assert not Project.objects.exists()


def test_a_project_that_is_refused_is_not_started(api, charlie):
    body = {"name": "Fog", "studio_name": "Mine", "description": "x" * 5000}
    assert "5,000 characters" in problem(api(charlie).post("/projects", body), 422)["detail"]
    assert not Project.objects.exists()
    ok(api(charlie).post("/projects", body | {"description": "x"}), 201)
    assert not Event.objects.filter(kind="project.changed").exists()


def test_a_token_that_may_only_see_starts_no_project(api, alice):
    refusal = problem(api(alice, Verb.SEE).post("/projects", {"name": "X", "studio_name": "Y"}), 403)
    assert "create" in refusal["detail"]


def test_pages_of_projects_join_without_gaps(api, alice, studio):
    names = sorted(f"Film {n:02d}" for n in range(7))
    for name in reversed(names):
        actions.create_project(studio=studio, name=name, actor=alice)
    found, cursor, asking = [], "", api(alice)
    while cursor is not None:
        answer = ok(asking.get("/projects", limit=3, cursor=cursor))
        assert len(answer["items"]) <= 3
        found += [p["name"] for p in answer["items"]]
        cursor = answer["next"]
    assert found == names


def test_a_list_of_projects_takes_the_same_queries_however_long(api, alice, studio, count_queries):
    asking = api(alice)
    actions.create_project(studio=studio, name="One", actor=alice)
    ok(asking.get("/projects"))  # notes the token's use
    before = count_queries(lambda: ok(asking.get("/projects")))
    for n in range(5):
        actions.create_project(studio=studio, name=f"More {n}", actor=alice)
    assert count_queries(lambda: ok(asking.get("/projects"))) == before
