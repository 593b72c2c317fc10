from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from characters import actions
from characters.models import Character, Reference, VariationBatch
from collaboration.models import Project, User


def url(project: Project, *ids: object) -> str:
    return reverse("characters:compare", args=[project.slug]) + "?" + "&".join(f"selected={id}" for id in ids)


@pytest.fixture
def four(mara: Character, batch_of: Callable[..., VariationBatch]) -> list[object]:
    batch = batch_of(mara, count=2, axes={"expression": ("happy", "sad")})
    return [v.pk for v in batch.variations.order_by("index")]


@pytest.mark.parametrize("count", [2, 3, 4])
def test_two_to_four_stand_side_by_side(
    client_of: Callable[[User], Client], vera: User, project: Project, four: list[object], count: int
) -> None:
    page = client_of(vera).get(url(project, *four[:count])).content.decode()
    assert re.findall(r'data-pane="(\w)"', page) == list("abcd")[:count]


def test_what_differs_is_marked(
    client_of: Callable[[User], Client], vera: User, project: Project, four: list[object]
) -> None:
    rows = {r["name"]: r["differs"] for r in client_of(vera).get(url(project, four[0], four[2])).context["rows"]}
    assert rows["Prompt"]
    assert rows["Seed"]
    assert not rows["Steps"]
    same = {r["name"]: r["differs"] for r in client_of(vera).get(url(project, four[0], four[1])).context["rows"]}
    assert not same["Prompt"]


def test_a_picture_is_held_against_a_reference(
    client_of: Callable[[User], Client],
    vera: User,
    project: Project,
    four: list[object],
    mara: Character,
    add: Callable[..., list[Reference]],
) -> None:
    reference = add(mara, 1)[0]
    response = client_of(vera).get(url(project, reference.pk, four[0]))
    assert [i["title"] for i in response.context["items"]] == ["look 0.png", "Mara 1"]
    assert [i["letter"] for i in response.context["items"]] == ["A", "B"]


def test_one_is_sent_back_with_a_sentence(
    client_of: Callable[[User], Client], vera: User, project: Project, four: list[object]
) -> None:
    response = client_of(vera).get(url(project, four[0]), follow=True)
    assert "Select two or more pictures to compare." in response.content.decode()


def test_more_than_four_are_a_contact_sheet_of_at_most_24(
    client_of: Callable[[User], Client],
    vera: User,
    project: Project,
    four: list[object],
    mara: Character,
    add: Callable[..., list[Reference]],
) -> None:
    references = [r.pk for r in add(mara, 21)]
    page = client_of(vera).get(url(project, *four, references[0])).content.decode()
    assert 'data-mode="sheet"' in page
    assert page.count("data-pane=") == 5
    page = client_of(vera).get(url(project, *four, *references)).content.decode()
    assert "The first 24 of 25 are compared." in page
    assert page.count("data-pane=") == 24


def test_strangers_and_other_projects_learn_nothing(
    client_of: Callable[[User], Client], alice: User, charlie: User, project: Project, four: list[object]
) -> None:
    from collaboration import actions as people

    assert client_of(charlie).get(url(project, *four[:2])).status_code == 404
    elsewhere = people.create_project(studio=project.studio, name="Elsewhere", actor=alice)
    assert client_of(alice).get(url(elsewhere, *four[:2])).status_code == 404
    assert client_of(alice).get(url(project, "x", "")).status_code == 404
    assert client_of(alice).post(url(project, *four[:2])).status_code == 405


def test_an_erased_picture_is_not_compared(
    client_of: Callable[[User], Client],
    alice: User,
    project: Project,
    four: list[object],
    mara: Character,
    add: Callable[..., list[Reference]],
) -> None:
    reference = add(mara, 1)[0]
    actions.erase_reference(reference=reference, actor=alice)
    page = client_of(alice).get(url(project, *four[:2], reference.pk)).content.decode()
    assert page.count("data-pane=") == 2
