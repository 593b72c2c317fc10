"""A studio's own page: its people see from which score on pictures are good, its administrators change it."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from collaboration.actions import create_studio
from collaboration.bands import Bands
from collaboration.models import Event, Studio


@pytest.fixture
def page(project):
    return reverse("collaboration:studio", args=[project.studio.slug])


def bands():
    found = Studio.objects.get()
    return found.good_from, found.excellent_from


@pytest.mark.parametrize(
    ("score", "band"),
    [(100, "excellent"), (85, "excellent"), (84.9, "good"), (70, "good"), (69.9, "review"), (0, "review")],
)
def test_the_bands_of_a_new_studio(studio, score, band):
    assert studio.bands.of(score) == band


@pytest.mark.parametrize(
    ("excellent", "good"),
    [(70, 85), (80, 80), (100, 70), (85, 0), (85, -1), (float("nan"), 70), (85, float("inf")), (True, 70)],
)
def test_bands_that_are_none(excellent, good):
    with pytest.raises(ValidationError):
        Bands(excellent=excellent, good=good)


def test_an_administrator_moves_them_and_it_is_told(client_of, page, alice):
    answer = client_of(alice).post(page, {"excellent": "90", "good": "72.5"})
    assert answer.url == page
    assert bands() == (72.5, 90)
    assert Event.objects.latest("pk").summary == "let scores be good from 72.5 and excellent from 90 in Northlight"
    before = Event.objects.count()
    client_of(alice).post(page, {"excellent": "90", "good": "72.5"})
    assert Event.objects.count() == before, "what is so already is no change"


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"excellent": "70", "good": "85"}, "must begin at a lower score than"),
        ({"excellent": "100", "good": "85"}, "above 0 and below 100"),
        ({"excellent": "85", "good": "0"}, "above 0 and below 100"),
        ({"excellent": "85", "good": "nan"}, "Write a score as a number."),
        ({"excellent": "", "good": "70"}, "Write a score from 0 to 100."),
    ],
)
def test_what_is_refused(client_of, page, alice, data, sentence):
    answer = client_of(alice).post(page, data)
    assert answer.status_code == 422
    assert sentence in answer.text
    assert bands() == (70, 85)


def test_people_of_the_studio_see_them_and_strangers_do_not(client_of, page, leo, vera, charlie):
    for person in (leo, vera):
        answer = client_of(person).get(page)
        assert answer.status_code == 200
        assert "<form" not in answer.text.split("<main")[1].split("</main>")[0]
        assert client_of(person).post(page, {"excellent": "90", "good": "60"}).status_code == 403
    assert client_of(charlie).get(page).status_code == 404
    assert client_of(charlie).post(page, {"excellent": "90", "good": "60"}).status_code == 404
    assert bands() == (70, 85)


def test_who_administers_another_studio_is_a_stranger(client_of, page, charlie):
    create_studio(name="Southlight", admin=charlie)
    assert client_of(charlie).get(page).status_code == 404


def test_signing_in_comes_first(client, page):
    assert "login" in client.get(page).url
