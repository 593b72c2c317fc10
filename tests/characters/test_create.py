from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from characters import actions
from characters.models import Character
from collaboration.models import Event, Project, Revision, User
from tests.characters.conftest import picture

GOOD = {
    "name": "Mara Voss",
    "description": "Keeper of the light.",
    "noun": "woman",
    "age": "34",
    "traits": "red hair, scar",
    "tags": "lead, Harbour",
    "importance": "0.8",
    "tier": "high",
}


def url(project: Project) -> str:
    return reverse("characters:create", args=[project.slug])


def test_it_makes_a_character_with_revision_and_event(
    client_of: Callable[[User], Client], bob: User, project: Project
) -> None:
    response = client_of(bob).post(url(project), GOOD)
    mara = Character.objects.get()
    assert response.status_code == 302
    assert response["Location"] == reverse("characters:references", args=[project.slug, mara.pk])
    assert (mara.name, mara.importance, mara.tier, mara.created_by, mara.status) == (
        "Mara Voss",
        0.8,
        "high",
        bob,
        "draft",
    )
    assert [t.name for t in mara.tags.all()] == ["harbour", "lead"]
    revision = Revision.objects.get(subject_id=str(mara.pk))
    assert revision.number == 1
    assert revision.snapshot["traits"] == "red hair, scar"
    assert Event.objects.filter(kind="character.created", actor=bob).count() == 1


def test_htmx_is_sent_to_the_references(sign_in: Callable[..., Client], bob: User, project: Project) -> None:
    response = sign_in(bob, htmx=True).post(url(project), GOOD)
    assert response.status_code == 200
    assert response["HX-Redirect"].endswith("/references/")


def test_viewers_may_not_and_strangers_learn_nothing(
    client_of: Callable[[User], Client], vera: User, charlie: User, bob: User, project: Project
) -> None:
    for method in ("get", "post"):
        assert getattr(client_of(vera), method)(url(project), GOOD).status_code == 403
        assert getattr(client_of(charlie), method)(url(project), GOOD).status_code == 404
    assert client_of(bob).put(url(project)).status_code == 405
    assert not Character.objects.exists()


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("name", "", "Write the character&#x27;s name."),
        ("name", "x" * 10_000, "The name has 10,000 characters; at most 120 fit."),
        ("name", "a\u202eb", "invisible control characters"),
        ("importance", "nan", "The importance must be a number from 0 to 1."),
        ("importance", "1.5", "The importance must be a number from 0 to 1."),
        ("tier", "huge", "Select a valid choice"),
        ("description", "x" * 4001, "at most 4,000 fit"),
        ("tags", ",".join(f"t{n}" for n in range(21)), "a character has at most 20"),
    ],
)
@pytest.mark.parametrize("htmx", [False, True])
def test_what_is_refused_says_why_and_keeps_what_was_typed(
    sign_in: Callable[..., Client], bob: User, project: Project, field: str, value: str, sentence: str, htmx: bool
) -> None:
    response = sign_in(bob, htmx=htmx).post(url(project), GOOD | {field: value})
    page = response.content.decode()
    assert response.status_code == 422
    assert sentence in page
    assert "Keeper of the light." in page or field == "description"
    assert ("<html" in page) is not htmx
    assert not Character.objects.exists()


def test_a_name_is_taken_once_in_a_project_whatever_its_case(
    client_of: Callable[[User], Client], bob: User, project: Project, mara: Character
) -> None:
    response = client_of(bob).post(url(project), GOOD | {"name": " MARA "})
    assert response.status_code == 422
    assert "There is already a character called MARA" in response.content.decode()


def test_the_database_keeps_names_apart_when_two_come_at_once(
    project: Project, alice: User, mara: Character, monkeypatch: pytest.MonkeyPatch
) -> None:
    from characters.actions import characters

    monkeypatch.setattr(characters, "_refuse_taken", lambda *a, **k: None)
    with pytest.raises(actions.NameTaken):
        actions.create_character(project=project, actor=alice, name="mara")
    assert Character.objects.count() == 1


def test_an_empty_form_is_refused_and_not_shown_as_new(
    client_of: Callable[[User], Client], bob: User, project: Project
) -> None:
    response = client_of(bob).post(url(project))
    assert response.status_code == 422
    assert "Write the character" in response.content.decode()


def test_the_form_says_what_each_tier_needs(client_of: Callable[[User], Client], bob: User, project: Project) -> None:
    page = client_of(bob).get(url(project)).content.decode()
    for need in ("5 references", "10 references", "20 references"):
        assert need in page


def test_from_words_alone_it_goes_on_with_casting(
    client_of: Callable[[User], Client], bob: User, project: Project
) -> None:
    response = client_of(bob).post(url(project), GOOD | {"begin": "words"})
    mara = Character.objects.get()
    assert response["Location"] == reverse("characters:sheets", args=[project.slug, mara.pk])


def test_with_pictures_it_goes_on_with_the_sheet(
    client_of: Callable[[User], Client], bob: User, project: Project
) -> None:
    files = []
    for n in range(2):
        file = io.BytesIO(picture(n))
        file.name = f"{n}.png"
        files.append(file)
    response = client_of(bob).post(url(project), GOOD | {"files": files}, follow=True)
    mara = Character.objects.get()
    assert response.redirect_chain[0][0] == reverse("characters:sheets", args=[project.slug, mara.pk])
    assert mara.references.count() == 2
    assert "2 pictures are here and being checked." in response.content.decode()
    assert "The references are being looked at." in response.content.decode()


def test_a_file_that_is_no_picture_does_not_undo_the_character(
    client_of: Callable[[User], Client], bob: User, project: Project
) -> None:
    file = io.BytesIO(b"Dear Mara")
    file.name = "notes.txt"
    response = client_of(bob).post(url(project), GOOD | {"files": [file]}, follow=True)
    mara = Character.objects.get()
    assert response.redirect_chain[0][0] == reverse("characters:references", args=[project.slug, mara.pk])
    assert "notes.txt:" in response.content.decode()
