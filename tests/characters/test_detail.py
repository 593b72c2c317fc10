from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.test import Client
from django.urls import reverse

from characters import actions
from characters.models import Character, Reference, VariationBatch
from collaboration.models import User
from collaboration.wired import entries


def url(character: Character, name: str = "detail", *more: str) -> str:
    return reverse(f"characters:{name}", args=[character.project.slug, character.pk, *more])


def test_it_shows_who_this_is_and_how_far(
    client_of: Callable[[User], Client],
    vera: User,
    mara: Character,
    add: Callable[..., list[Reference]],
    batch_of: Callable[..., VariationBatch],
) -> None:
    add(mara, 3)
    batch_of(mara)
    response = client_of(vera).get(url(mara))
    page = response.content.decode()
    assert [s["label"] for s in response.context["steps"]] == ["3 of 5 references", "Identity learnt", "Adapter"]
    assert [s["state"] for s in response.context["steps"]] == ["now", "done", "todo"]
    for words in ("Mara", "woman · 34 · red coat", "Learnt from 3 references", 'fill="#aa3344"', "Latest batch"):
        assert words in page
    assert "style=" not in page
    assert ">Edit<" not in page


def test_strangers_learn_nothing_and_it_is_only_read(
    client_of: Callable[[User], Client], vera: User, charlie: User, mara: Character
) -> None:
    assert client_of(charlie).get(url(mara)).status_code == 404
    assert client_of(charlie).get(url(mara, "tab", "training")).status_code == 404
    assert client_of(vera).post(url(mara)).status_code == 405


def test_an_address_under_another_project_is_not_found(
    client_of: Callable[[User], Client], alice: User, mara: Character
) -> None:
    from collaboration import actions as people

    elsewhere = people.create_project(studio=mara.project.studio, name="Elsewhere", actor=alice)
    assert client_of(alice).get(reverse("characters:detail", args=[elsewhere.slug, mara.pk])).status_code == 404


def test_tabs_of_the_apps_above_are_shown_and_open(
    client_of: Callable[[User], Client], vera: User, mara: Character
) -> None:
    response = client_of(vera).get(url(mara))
    labels = [t["label"] for t in response.context["tabs"]]
    slots = entries("SLOTS", "character.tabs")
    assert labels == ["Overview", "References", "Sheet", "Variations", *(s.label for s in slots), "History"]
    for slot in slots:
        assert client_of(vera).get(url(mara, "tab", slot.name)).status_code == 200
    assert client_of(vera).get(url(mara, "tab", "nonsense")).status_code == 404


def test_the_hero_says_where_it_comes_from(
    client_of: Callable[[User], Client], bob: User, mara: Character, batch_of: Callable[..., VariationBatch]
) -> None:
    actions.pick_variation(variation=batch_of(mara).variations.get(index=0), actor=bob)
    assert client_of(bob).get(url(mara)).context["hero"]["words"] == "Generated, picked by Bob"


def test_the_queries_do_not_grow_with_what_was_picked(
    client_of: Callable[[User], Client],
    bob: User,
    mara: Character,
    batch_of: Callable[..., VariationBatch],
    django_assert_max_num_queries: Any,
) -> None:
    actions.pick_variation(variation=batch_of(mara, count=1).variations.get(), actor=bob)
    client = client_of(bob)
    client.get(url(mara))
    with django_assert_max_num_queries(60) as before:
        client.get(url(mara))
    for _ in range(4):
        actions.pick_variation(variation=batch_of(mara, count=1).variations.get(), actor=bob)
    with django_assert_max_num_queries(len(before)):
        assert len(client.get(url(mara)).context["picked"]) == 5
