from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse

from characters import actions
from characters.models import Character
from collaboration.models import Event, Project, User

DEEDS = ["trash_selected", "restore_selected", "tag_selected"]


@pytest.fixture
def pair(project: Project, alice: User) -> list[Character]:
    return [actions.create_character(project=project, actor=alice, name=n, tags=["old"]) for n in ("Ada", "Bela")]


def url(name: str, project: Project) -> str:
    return reverse(f"characters:{name}", args=[project.slug])


@pytest.mark.parametrize("name", DEEDS)
def test_viewers_may_not_and_strangers_learn_nothing(
    client_of: Callable[[User], Client], vera: User, charlie: User, project: Project, pair: list[Character], name: str
) -> None:
    data = {"selected": [str(c.pk) for c in pair], "tags": "x"}
    assert client_of(vera).post(url(name, project), data).status_code == 403
    assert client_of(charlie).post(url(name, project), data).status_code == 404
    assert client_of(charlie).get(url(name, project)).status_code == 405


def test_several_are_trashed_and_the_undo_takes_them_back(
    client_of: Callable[[User], Client], bob: User, project: Project, pair: list[Character]
) -> None:
    client = client_of(bob)
    response = client.post(url("trash_selected", project), {"selected": [str(c.pk) for c in pair]})
    assert response.status_code == 302
    assert Character.objects.present().count() == 0
    message = next(iter(get_messages(response.wsgi_request)))
    assert message.extra_tags.startswith("undo:")
    client.post(message.extra_tags.removeprefix("undo:"))
    assert Character.objects.present().count() == 2
    kinds = list(Event.objects.filter(kind__startswith="character.").values_list("kind", flat=True).order_by("seq"))
    assert kinds[-4:] == ["character.trashed"] * 2 + ["character.restored"] * 2


def test_nothing_selected_is_said(client_of: Callable[[User], Client], bob: User, project: Project) -> None:
    for name in DEEDS:
        response = client_of(bob).post(url(name, project), {"tags": "x", "selected": ["nonsense"]}, follow=True)
        assert "Select at least one character first." in response.content.decode()


def test_those_of_another_project_are_not_reached(
    client_of: Callable[[User], Client], bob: User, project: Project, pair: list[Character], alice: User
) -> None:
    from collaboration import actions as people

    elsewhere = people.create_project(studio=project.studio, name="Elsewhere", actor=alice)
    theirs = actions.create_character(project=elsewhere, actor=alice, name="Theirs")
    client_of(bob).post(url("trash_selected", project), {"selected": [str(theirs.pk)]})
    theirs.refresh_from_db()
    assert theirs.trashed_at is None


def test_tags_are_added_to_those_there_are(
    client_of: Callable[[User], Client], bob: User, project: Project, pair: list[Character]
) -> None:
    client_of(bob).post(url("tag_selected", project), {"selected": [str(pair[0].pk)], "tags": "Night shoot, old,"})
    assert [t.name for t in pair[0].tags.all()] == ["night shoot", "old"]
    assert [t.name for t in pair[1].tags.all()] == ["old"]


def test_a_bad_tag_is_refused_with_a_sentence(
    client_of: Callable[[User], Client], bob: User, project: Project, pair: list[Character]
) -> None:
    data = {"selected": [str(pair[0].pk)], "tags": "x" * 41}
    response = client_of(bob).post(url("tag_selected", project), data, follow=True)
    assert "at most 40 fit" in response.content.decode()
    assert [t.name for t in pair[0].tags.all()] == ["old"]


def test_train_leads_to_the_training_of_one_and_lists_several(
    client_of: Callable[[User], Client], bob: User, vera: User, project: Project, pair: list[Character]
) -> None:
    where = url("train_selected", project)
    one = client_of(bob).get(where, {"selected": str(pair[0].pk)})
    assert one.status_code == 302
    assert str(pair[0].pk) in one["Location"]
    several = client_of(bob).get(where, {"selected": [str(c.pk) for c in pair]}).content.decode()
    assert "Train Ada" in several
    assert "0 of 10 references" in several
    assert client_of(vera).get(where, {"selected": str(pair[0].pk)}).status_code == 403
    assert client_of(bob).post(where).status_code == 405
