"""Two of a cast who look alike are warned about, until a person says why that is no trouble."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from characters import actions
from characters.models import Character, LookAlike, Reference, ScoringMean
from collaboration.models import Event, Project, User
from tests.characters.conftest import face

Add = Callable[..., list[Reference]]
SignIn = Callable[..., Client]


@pytest.fixture
def noor(project: Project, alice: User) -> Character:
    return actions.create_character(project=project, actor=alice, name="Noor", tier="low")


@pytest.fixture
def alike(mara: Character, noor: Character, add: Add) -> LookAlike:
    """Mara and Noor with the same face."""
    add(mara, 3)
    add(noor, 3, first=20)
    return LookAlike.objects.get()


def gallery(client: Client, project: Project) -> str:
    return client.get(reverse("characters:gallery", args=[project.slug])).text


def post(client: Client, character: Character, row: LookAlike, act: str, **data: str) -> Any:
    url = reverse(f"characters:look_alike_{act}", args=[character.project.slug, character.pk, row.pk])
    return client.post(url, data, follow=True)


def test_the_same_face_twice_is_warned_of_on_both_pages_and_in_the_gallery(
    mara: Character, noor: Character, alike: LookAlike, sign_in: SignIn, vera: User
) -> None:
    assert alike.cosine > 0.5
    page = sign_in(vera).get(mara.get_absolute_url()).text
    assert "Looks like somebody else in the cast" in page
    assert "One pair of strangers in 10,000 is this alike." in page
    assert noor.get_absolute_url() in page
    assert mara.get_absolute_url() in sign_in(vera).get(noor.get_absolute_url()).text
    cards = gallery(sign_in(vera), mara.project)
    assert "Looks like Noor" in cards
    assert "Looks like Mara" in cards


def test_different_faces_are_not(mara: Character, noor: Character, add: Add, sign_in: SignIn, vera: User) -> None:
    add(mara, 3)
    add(noor, 3, first=20, faces=(face(20, identity=2),))
    assert not LookAlike.objects.exists()
    assert "Looks like" not in gallery(sign_in(vera), mara.project)


def test_another_project_is_another_cast(mara: Character, add: Add, alice: User, studio: Any) -> None:
    from collaboration.actions import create_project

    other = create_project(studio=studio, name="Elsewhere", actor=alice)
    twin = actions.create_character(project=other, actor=alice, name="Noor", tier="low")
    add(mara, 3)
    add(twin, 3, first=20)
    assert not LookAlike.objects.exists()


def test_it_goes_when_the_references_no_longer_look_alike(
    mara: Character, noor: Character, alike: LookAlike, add: Add, alice: User
) -> None:
    for reference in list(noor.references.all()):
        actions.trash_reference(reference=reference, actor=alice)
    assert not LookAlike.objects.exists()
    assert not ScoringMean.objects.filter(character=noor).exists(), "nothing that was measured stays"
    add(noor, 3, first=40, faces=(face(40, identity=2),))
    assert not LookAlike.objects.exists()


def test_it_is_dismissed_with_a_reason_and_comes_back_when_references_change(
    mara: Character, noor: Character, alike: LookAlike, add: Add, sign_in: SignIn, bob: User
) -> None:
    client = sign_in(bob)
    assert "Write why this is no trouble" in post(client, mara, alike, "dismiss", reason=" ").text
    page = post(client, mara, alike, "dismiss", reason="They are twins.").text
    assert "They are twins." in page
    assert "Looks like Noor" not in gallery(client, mara.project)
    assert Event.objects.latest("pk").summary == "dismissed that Mara looks like Noor"
    actions.check_again(character=mara, actor=bob)
    assert LookAlike.objects.get().dismissed_at is not None, "nothing has changed"
    add(noor, 1, first=30)
    assert LookAlike.objects.get().dismissed_at is None
    assert "Looks like Noor" in gallery(client, mara.project)


def test_a_dismissal_is_undone(mara: Character, alike: LookAlike, sign_in: SignIn, bob: User) -> None:
    post(sign_in(bob), mara, alike, "dismiss", reason="Twins")
    post(sign_in(bob), mara, alike, "restore")
    assert LookAlike.objects.get().dismissed_at is None


def test_who_is_in_the_trash_is_not_in_the_cast(
    mara: Character, noor: Character, alike: LookAlike, sign_in: SignIn, alice: User
) -> None:
    actions.trash_character(character=noor, actor=alice)
    assert "Looks like" not in gallery(sign_in(alice), mara.project)
    actions.restore_character(character=noor, actor=alice)
    assert "Looks like Noor" in gallery(sign_in(alice), mara.project)


def test_the_activity_tells_once(mara: Character, alike: LookAlike) -> None:
    actions.note_look_alikes(character=mara)
    actions.note_look_alikes(character=mara)
    told = Event.objects.filter(kind="look_alike.found").values_list("summary", flat=True)
    assert list(told) == ["found that Mara looks like Noor"]


def test_who_may_not_dismiss(
    mara: Character, alike: LookAlike, sign_in: SignIn, vera: User, charlie: User, project: Project, alice: User
) -> None:
    url = reverse("characters:look_alike_dismiss", args=[project.slug, mara.pk, alike.pk])
    assert sign_in(vera).post(url, {"reason": "x"}).status_code == 403
    assert sign_in(charlie).post(url, {"reason": "x"}).status_code == 404
    assert sign_in(alice).get(url).status_code == 405
    third = actions.create_character(project=project, actor=alice, name="Third", tier="low")
    elsewhere = reverse("characters:look_alike_dismiss", args=[project.slug, third.pk, alike.pk])
    assert sign_in(alice).post(elsewhere, {"reason": "x"}).status_code == 404
    assert LookAlike.objects.get().dismissed_at is None


def test_by_api(mara: Character, noor: Character, alike: LookAlike, bob: User, vera: User) -> None:
    from tests.api.conftest import Api, ok, problem

    def api(user: User) -> Api:
        from collaboration.actions import create_token
        from collaboration.verbs import Verb

        return Api(create_token(user=user, name="Test", scopes=list(Verb))[1])

    listed = ok(api(vera).get(f"/characters/{noor.pk}/look-alikes"))
    assert [(row["name"], row["dismissed_at"]) for row in listed] == [("Mara", None)]
    assert listed[0]["sentence"] == "One pair of strangers in 10,000 is this alike."
    path = f"/look-alikes/{alike.pk}"
    problem(api(vera).post(f"{path}/dismiss", {"reason": "Twins"}), 403)
    problem(api(bob).post(f"{path}/dismiss", {"reason": ""}), 422)
    assert ok(api(bob).post(f"{path}/dismiss", {"reason": "Twins"}))["dismissed_reason"] == "Twins"
    assert ok(api(bob).post(f"{path}/restore"))["dismissed_at"] is None
