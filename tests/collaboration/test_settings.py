from __future__ import annotations

import pytest
from django.urls import reverse

from collaboration.models import Event, Project


@pytest.fixture
def page(project):
    return reverse("collaboration:settings", args=[project.slug])


def test_the_wrong_method(client_of, page, alice):
    assert client_of(alice).delete(page).status_code == 405


def test_who_may(client_of, page, leo, bob, charlie):
    assert client_of(leo).get(page).status_code == 200
    assert client_of(bob).get(page).status_code == 403
    assert client_of(charlie).get(page).status_code == 404
    assert client_of(bob).post(page, {"name": "Mine"}).status_code == 403
    assert Project.objects.get().name == "The Long Night"


def test_saving(client_of, page, project, leo):
    answer = client_of(leo).post(page, {"name": "Dawn", "description": "A film.\nAbout light.", "domain": "photograph"})
    assert answer.url == page
    project.refresh_from_db()
    assert (project.name, project.description, project.is_commercial) == ("Dawn", "A film.\nAbout light.", False)
    assert project.domain == "photograph"
    assert Event.objects.latest("pk").summary == "changed name, description, commercial use and domain of the project"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"name": ""}, "Write the name"),
        ({"name": "x" * 121}, "at most 120"),
        ({"name": "Dawn", "description": "x" * 4001}, "at most 4,000"),
        ({"name": "Dawn", "description": "a\u202eb"}, "invisible control"),
        ({"name": "Dawn", "domain": "puppets"}, "puppets is not one of the available choices"),
    ],
)
def test_what_is_refused(client_of, page, project, leo, data, sentence):
    answer = client_of(leo).post(page, {"domain": "auto"} | data)
    assert answer.status_code == 422
    assert sentence in answer.text
    project.refresh_from_db()
    assert (project.name, project.description) == ("The Long Night", "")


def test_the_place_in_the_rail_is_for_those_who_may(client_of, page, project, leo, bob):
    people = reverse("collaboration:people", args=[project.slug])
    assert f'href="{page}"' in client_of(leo).get(people).text
    assert f'href="{page}"' not in client_of(bob).get(people).text
