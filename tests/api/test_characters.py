"""Characters: list, create, change, trash; and their profile."""

from __future__ import annotations

import pytest

from characters import actions
from characters.models import Character
from collaboration.models import Event
from collaboration.verbs import Verb
from tests.api.conftest import ok, problem


@pytest.fixture
def address(project):
    return f"/projects/{project.slug}/characters"


def test_a_character_is_created(api, bob, address, project):
    body = {
        "name": "Mara",
        "description": "Keeper of the light.",
        "noun": "woman",
        "age": "young",
        "traits": "brown hair",
        "tags": ["Lead", "night"],
        "importance": 0.9,
        "tier": "high",
    }
    made = ok(api(bob).post(address, body), 201)
    assert {k: made[k] for k in body} == body | {"tags": ["lead", "night"]}
    assert (made["status"], made["references_needed"], made["references_missing"]) == ("draft", 20, 20)
    assert made["project"] == project.slug
    assert made["picture"] is None
    assert ok(api(bob).get(f"/characters/{made['id']}")) == made
    assert Event.objects.filter(kind="character.created", actor=bob).count() == 1


def test_what_is_left_out_has_its_default(api, bob, address):
    made = ok(api(bob).post(address, {"name": "Mara"}), 201)
    assert (made["noun"], made["importance"], made["tier"]) == ("person", 0.5, "standard")


@pytest.mark.parametrize(
    ("body", "field", "words"),
    [
        ({}, "name", "missing"),
        ({"name": ""}, "name", "empty"),
        ({"name": "x" * 10_000}, "name", "10,000 characters"),
        ({"name": "Mara\u202ecod.exe"}, "name", "invisible control characters"),
        ({"name": "Mara\u0007"}, "name", "invisible control characters"),
        ({"name": "M", "description": "x" * 5000}, "description", "5,000 characters"),
        ({"name": "M", "importance": 1.5}, "importance", "from 0 to 1"),
        ({"name": "M", "importance": "much"}, "importance", "number"),
        ({"name": "M", "tier": "ultra"}, "tier", "'low', 'standard' or 'high'"),
        ({"name": "M", "tags": ["x" * 41]}, "tags", "41 characters"),
        ({"name": "M", "tags": "lead"}, "tags", "list"),
        ({"name": "M", "colour": "red"}, "colour", "not known here"),
        ({"name": 7}, "name", "string"),
    ],
)
def test_what_is_wrong_is_said_by_field(api, bob, address, body, field, words):
    refusal = problem(api(bob).post(address, body), 422)
    assert words in " ".join(refusal["errors"][field])
    assert words in refusal["detail"]
    assert not Character.objects.exists()


def test_names_of_every_script_and_shape_are_kept_as_they_are(api, bob, address):
    for name in ("Zoë 🌊", "../../etc/passwd", "<b>Mara</b>", "مارا", "李娜"):
        assert ok(api(bob).post(address, {"name": name}), 201)["name"] == name


def test_a_name_is_given_once_in_a_project(api, bob, address, mara):
    assert "already a character called mara" in problem(api(bob).post(address, {"name": "mara"}), 422)["detail"]


def test_only_what_is_named_changes(api, bob, mara):
    changed = ok(api(bob).patch(f"/characters/{mara.pk}", {"age": "old", "tags": ["storm"]}))
    assert (changed["age"], changed["tags"], changed["noun"], changed["importance"]) == ("old", ["storm"], "woman", 0.9)
    assert Event.objects.filter(kind="character.changed").count() == 1


def test_an_empty_change_is_no_change(api, bob, mara):
    before = ok(api(bob).get(f"/characters/{mara.pk}"))
    assert ok(api(bob).patch(f"/characters/{mara.pk}", {})) == before


def test_a_name_cannot_be_taken_away(api, bob, mara):
    assert "empty" in problem(api(bob).patch(f"/characters/{mara.pk}", {"name": " "}), 422)["detail"]
    problem(api(bob).patch(f"/characters/{mara.pk}", {"name": None}), 422)


def test_to_the_trash_and_back(api, bob, mara, address):
    asking = api(bob)
    assert ok(asking.delete(f"/characters/{mara.pk}"))["trashed_at"]
    assert ok(asking.get(address))["items"] == []
    assert [c["name"] for c in ok(asking.get(address, trashed=True))["items"]] == ["Mara"]
    refusal = problem(asking.patch(f"/characters/{mara.pk}", {"age": "old"}), 409)
    assert "in the trash" in refusal["detail"]
    assert ok(asking.post(f"/characters/{mara.pk}/restore"))["trashed_at"] is None
    assert [c["name"] for c in ok(asking.get(address))["items"]] == ["Mara"]


def test_strangers_learn_nothing(api, charlie, mara, address):
    asking = api(charlie)
    for method, path, body in [
        ("get", address, None),
        ("post", address, {"name": "X"}),
        ("get", f"/characters/{mara.pk}", None),
        ("patch", f"/characters/{mara.pk}", {"name": "X"}),
        ("delete", f"/characters/{mara.pk}", None),
        ("post", f"/characters/{mara.pk}/restore", None),
        ("get", f"/characters/{mara.pk}/profile", None),
        ("patch", f"/characters/{mara.pk}/profile", {"base_prompt": "x"}),
    ]:
        refusal = problem(asking.request(method, path, body), 404)
        assert "Mara" not in str(refusal)


def test_a_viewer_sees_and_changes_nothing(api, vera, mara, address):
    asking = api(vera)
    assert ok(asking.get(f"/characters/{mara.pk}"))["name"] == "Mara"
    for method, path, body in [
        ("post", address, {"name": "X"}),
        ("patch", f"/characters/{mara.pk}", {"name": "X"}),
        ("delete", f"/characters/{mara.pk}", None),
        ("patch", f"/characters/{mara.pk}/profile", {"base_prompt": "x"}),
    ]:
        problem(asking.request(method, path, body), 403)
    assert list(Character.objects.values_list("name", flat=True)) == ["Mara"]


def test_a_token_does_only_what_it_was_made_for(api, bob, mara):
    asking = api(bob, Verb.EDIT)
    ok(asking.patch(f"/characters/{mara.pk}", {"age": "old"}))
    refusal = problem(asking.post(f"/characters/{mara.pk}/variation-batches", {}), 403)
    assert "scopes edit, see" in refusal["detail"]


# ------------------------------------------------------------------------------------------------------------ lists
@pytest.fixture
def cast(project, bob):
    def make(name, **fields):
        return actions.create_character(project=project, actor=bob, name=name, **fields)

    make("Ada", tier="low", tags=["lead"], importance=0.2)
    make("Ben", tags=["lead", "night"], importance=0.9, description="A fisherman")
    make("Cleo", tier="high", importance=0.5, traits="red hair, freckles")


def names(answer):
    return [c["name"] for c in ok(answer)["items"]]


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, ["Cleo", "Ben", "Ada"]),
        ({"sort": "name"}, ["Ada", "Ben", "Cleo"]),
        ({"sort": "-importance"}, ["Ben", "Cleo", "Ada"]),
        ({"search": "FISHER"}, ["Ben"]),
        ({"search": "red freckles"}, ["Cleo"]),
        ({"search": "nobody"}, []),
        ({"tier": "low"}, ["Ada"]),
        ({"tag": "lead", "sort": "name"}, ["Ada", "Ben"]),
        ({"tag": ["lead", "night"]}, ["Ben"]),
        ({"status": "trained"}, []),
    ],
)
def test_characters_are_searched_filtered_and_sorted(api, bob, address, cast, parameters, expected):
    assert names(api(bob).get(address, **parameters)) == expected


@pytest.mark.parametrize("sort", ["name", "-name", "importance", "-importance", "updated", "-updated"])
def test_pages_join_without_gaps(api, bob, address, project, sort):
    for n in range(11):
        actions.create_character(project=project, actor=bob, name=f"Extra {n:02d}", importance=n % 3 / 2)
    asking, found, cursor = api(bob), [], ""
    while cursor is not None:
        answer = ok(asking.get(address, sort=sort, limit=4, cursor=cursor))
        found += [c["name"] for c in answer["items"]]
        cursor = answer["next"]
    assert len(found) == len(set(found)) == 11
    assert found == names(asking.get(address, sort=sort, limit=200))


def test_who_comes_between_two_pages_shifts_nothing(api, bob, address, project, cast):
    asking = api(bob)
    first = ok(asking.get(address, sort="name", limit=2))
    actions.create_character(project=project, actor=bob, name="Aaron")
    rest = ok(asking.get(address, sort="name", limit=2, cursor=first["next"]))
    assert [c["name"] for c in rest["items"]] == ["Cleo"]


@pytest.mark.parametrize("cursor", ["nonsense", "eyJhIjoxfQ:1:2", "x" * 1999])
def test_a_cursor_that_is_not_ours_is_refused(api, bob, address, cursor):
    assert "cursor" in problem(api(bob).get(address, cursor=cursor), 422)["errors"]


def test_a_cursor_of_another_order_is_refused(api, bob, address, cast):
    cursor = ok(api(bob).get(address, sort="name", limit=1))["next"]
    assert "this order" in problem(api(bob).get(address, sort="-name", cursor=cursor), 422)["detail"]


@pytest.mark.parametrize("limit", ["0", "-1", "201", "many", "1e9"])
def test_a_page_has_1_to_200_entries(api, bob, address, limit):
    assert "limit" in problem(api(bob).get(address, limit=limit), 422)["errors"]


def test_a_list_takes_the_same_queries_however_long(api, bob, address, project, mara, with_references, count_queries):
    with_references(mara, 1)
    asking = api(bob)
    ok(asking.get(address))
    before = count_queries(lambda: ok(asking.get(address)))
    for n in range(6):
        other = actions.create_character(project=project, actor=bob, name=f"Extra {n}", tags=[f"tag {n}"])
        with_references(other, 1, looked=False)
    assert count_queries(lambda: ok(asking.get(address))) == before


# ---------------------------------------------------------------------------------------------------------- profile
def test_there_is_no_profile_before_the_first_reference(api, bob, mara):
    assert "no identity profile yet" in problem(api(bob).get(f"/characters/{mara.pk}/profile"), 404)["detail"]


def test_the_profile_tells_what_was_learnt_and_no_embedding(api, bob, mara, with_references):
    references = with_references(mara, 8)
    profile = ok(api(bob).get(f"/characters/{mara.pk}/profile"))
    held_out = {str(r.pk) for r in references if r.is_held_out}
    assert len(held_out) == 2
    assert set(profile["learnt_from"]) == {str(r.pk) for r in references} - held_out
    assert profile["base_prompt"] == "portrait of a young woman, brown hair"
    assert profile["colours"][0]["colour"].startswith("#")
    assert 0 <= profile["spread"] < 0.2
    assert "centroid" not in str(profile)


def test_the_base_prompt_is_edited_and_given_back(api, bob, mara, with_references):
    with_references(mara, 3)
    asking, path = api(bob), f"/characters/{mara.pk}/profile"
    edited = ok(asking.patch(path, {"base_prompt": "portrait of a woman"}))
    assert (edited["base_prompt"], edited["is_prompt_edited"]) == ("portrait of a woman", True)
    again = ok(asking.patch(path, {"base_prompt": ""}))
    assert (again["base_prompt"], again["is_prompt_edited"]) == ("portrait of a young woman, brown hair", False)
    assert "700 characters" in problem(asking.patch(path, {"base_prompt": "x" * 700}), 422)["detail"]


# ------------------------------------------------------------------------------------------------- several at once
def test_a_change_on_what_was_read_is_merged_and_a_disputed_field_is_refused_with_both_values(api, alice, bob, mara):
    here = f"/characters/{mara.pk}"
    read = api(bob).get(here)
    tag = read.headers["ETag"]
    actions.change_character(character=mara, actor=alice, age="35", tags=["lead", "night"])
    merged = api(bob).request("patch", here, {"noun": "queen", "tags": ["lead", "ship"]}, headers={"If-Match": tag})
    assert (ok(merged)["noun"], ok(merged)["age"], ok(merged)["tags"]) == ("queen", "35", ["lead", "night", "ship"])
    assert merged.headers["ETag"] != tag
    refusal = problem(api(bob).request("patch", here, {"age": "36", "noun": "king"}, headers={"If-Match": tag}), 409)
    assert "Alice has changed it" in refusal["errors"]["age"][0]
    assert {"'35'", "'36'"} <= {word.strip(".") for word in refusal["errors"]["age"][0].split()}
    mara.refresh_from_db()
    assert (mara.age, mara.noun) == ("35", "queen")


@pytest.mark.parametrize("tag", ['"99"', "x", '"-1"', '"0"'])
def test_an_etag_that_is_none_is_refused(api, bob, mara, tag):
    problem(api(bob).request("patch", f"/characters/{mara.pk}", {"age": "36"}, headers={"If-Match": tag}), 409)
