from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from characters import actions
from characters.forms import CharacterForm
from characters.models import Character, IdentityProfile, Reference
from collaboration.models import Event, Project, Revision, User


def url(character: Character, name: str = "edit") -> str:
    return reverse(f"characters:{name}", args=[character.project.slug, character.pk])


def fields(character: Character, **changes: str) -> dict[str, str]:
    return {k: str(v) for k, v in CharacterForm.for_character(character).initial.items()} | changes


def test_the_form_comes_in_the_inspector(sign_in: Callable[..., Client], bob: User, mara: Character) -> None:
    partial = sign_in(bob, htmx=True).get(url(mara)).content.decode()
    assert partial.lstrip().startswith("<aside") or 'id="inspector"' in partial.split("<form")[0]
    assert "<html" not in partial
    page = sign_in(bob).get(url(mara)).content.decode()
    assert 'id="inspector"' in page
    assert "<html" in page


def test_a_change_makes_one_revision_and_one_event_that_names_the_fields(
    client_of: Callable[[User], Client], bob: User, mara: Character
) -> None:
    revisions, events = Revision.objects.count(), Event.objects.count()
    response = client_of(bob).post(url(mara), fields(mara, name="Mara Voss", tags="lead, ship"))
    assert response.status_code == 302
    mara.refresh_from_db()
    assert mara.name == "Mara Voss"
    assert (Revision.objects.count(), Event.objects.count()) == (revisions + 1, events + 1)
    assert Event.objects.latest("seq").payload["fields"] == ["name", "tags"]


def test_what_is_equal_is_no_change(client_of: Callable[[User], Client], bob: User, mara: Character) -> None:
    before = Revision.objects.count()
    client_of(bob).post(url(mara), fields(mara))
    assert Revision.objects.count() == before


@pytest.mark.parametrize("htmx", [False, True])
def test_a_refusal_changes_nothing(sign_in: Callable[..., Client], bob: User, mara: Character, htmx: bool) -> None:
    response = sign_in(bob, htmx=htmx).post(url(mara), fields(mara, name="", age="99"))
    assert response.status_code == 422
    assert 'value="99"' in response.content.decode()
    mara.refresh_from_db()
    assert mara.age == "34"


def test_viewers_may_not_and_strangers_learn_nothing(
    client_of: Callable[[User], Client], vera: User, charlie: User, mara: Character
) -> None:
    for name in ("edit", "character_trash", "character_restore", "base_prompt"):
        assert client_of(vera).post(url(mara, name), {"name": "x"}).status_code == 403
        assert client_of(charlie).post(url(mara, name), {"name": "x"}).status_code == 404
    assert client_of(vera).get(url(mara)).status_code == 403
    mara.refresh_from_db()
    assert (mara.name, mara.trashed_at) == ("Mara", None)


def test_new_traits_come_into_the_prompt_unless_a_person_wrote_it(
    alice: User, mara: Character, add: Callable[..., list[Reference]]
) -> None:
    add(mara, 1)
    actions.change_character(character=mara, actor=alice, traits="blue coat")
    assert IdentityProfile.objects.get().base_prompt == "portrait of a middle-aged woman, blue coat"
    actions.change_base_prompt(character=mara, prompt="a woman", actor=alice)
    actions.change_character(character=mara, actor=alice, traits="green coat")
    profile = IdentityProfile.objects.get()
    assert profile.base_prompt == "a woman"
    assert {"name": "Always", "words": "green coat"} in profile.facets


# ------------------------------------------------------------------------------------------------------------ trash
def test_the_trash_and_back(client_of: Callable[[User], Client], bob: User, mara: Character) -> None:
    client = client_of(bob)
    response = client.post(url(mara, "character_trash"), follow=True)
    assert "Mara moved to the trash." in response.content.decode()
    page = client.get(url(mara, "detail")).content.decode()
    assert "is in the trash" in page
    trash = client.get(reverse("characters:trash", args=[mara.project.slug])).content.decode()
    assert "Mara" in trash
    assert client.post(url(mara), fields(mara, name="Other")).status_code == 403
    client.post(url(mara, "character_restore"))
    mara.refresh_from_db()
    assert mara.trashed_at is None


def test_a_name_that_was_taken_meanwhile_gets_a_number(
    client_of: Callable[[User], Client], bob: User, mara: Character, project: Project
) -> None:
    actions.trash_character(character=mara, actor=bob)
    actions.create_character(project=project, actor=bob, name="mara")
    client_of(bob).post(url(mara, "character_restore"))
    mara.refresh_from_db()
    assert mara.name == "Mara 2"


def test_deeds_are_posts(client_of: Callable[[User], Client], bob: User, mara: Character) -> None:
    for name in ("character_trash", "character_restore", "base_prompt"):
        assert client_of(bob).get(url(mara, name)).status_code == 405


# ----------------------------------------------------------------------------------------------------- base prompt
def test_a_base_prompt_is_written_and_made_automatic_again(
    client_of: Callable[[User], Client], bob: User, mara: Character, add: Callable[..., list[Reference]]
) -> None:
    add(mara, 1)
    client_of(bob).post(url(mara, "base_prompt"), {"prompt": "  portrait of\n a queen "})
    profile = IdentityProfile.objects.get()
    assert (profile.base_prompt, profile.is_prompt_edited) == ("portrait of a queen", True)
    client_of(bob).post(url(mara, "base_prompt"), {"prompt": "x", "reset": "1"})
    profile.refresh_from_db()
    assert (profile.base_prompt, profile.is_prompt_edited) == ("portrait of a middle-aged woman, red coat", False)


def test_a_base_prompt_names_words_the_model_does_not_know(
    sign_in: Callable[..., Client], bob: User, mara: Character
) -> None:
    partial = sign_in(bob, htmx=True).post(url(mara, "base_prompt"), {"prompt": "portrait of a queen"}).content.decode()
    assert "Paper pack does not know: <b>queen</b>" in partial
    assert "<html" not in partial


def test_too_long_a_base_prompt_is_refused(sign_in: Callable[..., Client], bob: User, mara: Character) -> None:
    for htmx in (True, False):
        response = sign_in(bob, htmx=htmx).post(url(mara, "base_prompt"), {"prompt": "x" * 601})
        assert response.status_code == 422
        assert "at most 600 fit" in response.content.decode()
    assert not IdentityProfile.objects.filter(is_prompt_edited=True).exists()
