from __future__ import annotations

import pytest

from collaboration.models import Event, User

URL = "/account/profile/"


def test_one_signs_in_first(client):
    assert client.get(URL).status_code == 302


def test_the_wrong_method(client_of, bob):
    assert client_of(bob).put(URL).status_code == 405


def test_changing_ones_name(client_of, bob):
    assert client_of(bob).post(URL, {"name": " Bob  Marlowe "}).url == URL
    bob.refresh_from_db()
    assert bob.name == "Bob Marlowe"
    assert Event.objects.latest("pk").summary == "changed their name from Bob to Bob Marlowe"


@pytest.mark.parametrize("name", ["", "x" * 121, "a\u202eb"])
def test_names_that_are_refused(client_of, bob, name):
    answer = client_of(bob).post(URL, {"name": name})
    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text
    bob.refresh_from_db()
    assert bob.name == "Bob"


@pytest.mark.parametrize(
    ("name", "shown", "initials"),
    [
        ("", "mara.voss", "M"),
        ("Mara", "Mara", "M"),
        ("mara van der Voss", "mara van der Voss", "MV"),
        ("👩 🎬", "👩 🎬", "👩🎬"),
        ("<i>Mara</i> (Voss)", "<i>Mara</i> (Voss)", "IV"),
    ],
)
def test_how_a_person_is_shown(name, shown, initials):
    user = User(email="mara.voss@example.com", name=name)
    assert (user.display_name, user.initials) == (shown, initials)


def test_an_address_is_one_address_however_it_is_typed(make_user):
    bob = User.objects.create_user(email="Bob@Example.COM", password="correct horse")
    assert bob.email == "bob@example.com"
    assert User.objects.get_by_natural_key("BOB@example.com") == bob
