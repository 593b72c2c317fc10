"""The sample project: whole, made once, and gentle with what people did to it."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from characters import actions
from characters.models import Character, Reference
from collaboration.models import Event, Membership, Project, User
from collaboration.permissions import verbs_of
from collaboration.verbs import Role
from gpu_worker.minipack.renderer.words import vocabulary
from gpu_worker.models import Job
from library import sample


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    monkeypatch.setattr(sample, "PICTURE_SIZE", 128)


def make():
    out = StringIO()
    call_command("sample_project", stdout=out)
    return out.getvalue()


def test_it_has_people_of_every_role_and_a_stranger(db):
    told = make()
    project = Project.objects.get()
    roles = {m.user.email: m.role for m in Membership.objects.select_related("user")}
    assert set(roles.values()) == set(Role)
    stranger = User.objects.get(email="charlie@studio.example")
    assert stranger.email not in roles
    assert not verbs_of(stranger, project)
    for sign_in in sample.SIGN_INS:
        assert sign_in.email in told
        assert User.objects.get(email=sign_in.email).check_password(sample.PASSWORD)
    assert sample.PASSWORD in told


def test_its_sign_ins_open_the_studio(db):
    make()
    browser = Client()
    response = browser.post(
        reverse("account_login"), {"login": "bob@studio.example", "password": sample.PASSWORD}, follow=False
    )
    assert response.status_code == 302
    assert browser.get("/api/v1/me").json()["email"] == "bob@studio.example"


def test_its_cast_has_references_that_wait_to_be_looked_at(db):
    make()
    characters = list(Character.objects.all())
    assert len(characters) == len(sample.CAST) >= 6
    known = set(vocabulary())
    for character in characters:
        references = list(character.references.all())
        assert 6 <= len(references) <= 12
        assert {r.verdict for r in references} == {Reference.CHECKING}
        assert character.picture_id == references[0].asset_id
        assert character.description
        assert character.tags.count()
        words = set(f"{character.age} {character.noun} {character.traits}".replace(",", "").split())
        assert words <= known, words - known
    assert {c.tier for c in characters} == {"low", "standard", "high"}
    assert Job.objects.filter(kind="reference.look").count() == len(characters)
    assert Project.objects.get().scenes.count() >= 3


def test_making_it_again_changes_nothing(db):
    make()
    before = (Event.objects.count(), Reference.objects.count(), User.objects.count())
    make()
    assert (Event.objects.count(), Reference.objects.count(), User.objects.count()) == before


def test_what_people_did_to_it_stays(db):
    make()
    alice = User.objects.get(email="alice@studio.example")
    first, second = Character.objects.order_by("created_at")[:2]
    actions.change_character(character=first, actor=alice, name="Somebody else")
    actions.trash_character(character=second, actor=alice)
    project = Project.objects.get()
    Membership.objects.filter(user__email="bob@studio.example").update(role=Role.LEAD)
    make()
    assert Character.objects.count() == len(sample.CAST)
    assert Character.objects.get(pk=first.pk).name == "Somebody else"
    assert Character.objects.get(pk=second.pk).trashed_at is not None
    assert Membership.objects.get(project=project, user__email="bob@studio.example").role == Role.LEAD


def test_what_was_interrupted_is_completed(db, monkeypatch):
    def stop(**kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as interrupted:
        interrupted.setattr("characters.actions.add_references", stop)
        with pytest.raises(KeyboardInterrupt):
            make()
    assert Character.objects.count() == 1
    make()
    assert Character.objects.count() == len(sample.CAST)
    assert all(c.references.exists() for c in Character.objects.all())
