"""The calibration page: a studio's own distributions, and what each threshold would flag."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from characters import actions, distributions, flagged
from characters.fragments import calibration as shown
from characters.models import Character, Reference, Variation, VariationBatch
from collaboration.models import Project, Studio, User
from tests.characters.conftest import face

Add = Callable[..., list[Reference]]
SignIn = Callable[..., Client]


@pytest.fixture
def page(studio: Studio) -> str:
    return reverse("characters:calibration", args=[studio.slug])


@pytest.fixture
def cast(project: Project, alice: User, mara: Character, add: Add) -> list[Character]:
    """Three people with three references each."""
    others = [actions.create_character(project=project, actor=alice, name=n, tier="low") for n in ("Noor", "Ivo")]
    add(mara, 3)
    for k, one in enumerate(others, 2):
        for n in range(3):
            add(one, 1, first=20 * k + n, faces=(face(20 * k + n, identity=k),))
    return [mara, *others]


@pytest.fixture
def scored(cast: list[Character], batch_of: Callable[..., VariationBatch]) -> None:
    batch = batch_of(cast[0], count=4)
    for index, score in enumerate((95.0, 80.0, 60.0, None)):
        Variation.objects.filter(batch=batch, index=index).update(score=score)


def test_pairs_of_one_person_and_of_two(studio: Studio, cast: list[Character]) -> None:
    measured = distributions.measure(studio)
    found = measured.distributions[0]
    assert (measured.characters, measured.sampled, found.characters) == (3, 3, 3)
    assert len(found.same) == 3 * 3
    assert len(found.impostor) == 3 * 9
    assert found.same.min() > 0.8 > 0.35 > np.abs(found.impostor).max()
    assert (found.strangers_at(70).count, found.same_at(70).value) == (0, 1.0)
    edges, same, impostor = found.histogram()
    assert (same.sum(), impostor.sum()) == (pytest.approx(1), pytest.approx(1))
    assert edges[-1] == 1


def test_a_rate_is_counted_at_the_cosine_of_its_score(studio: Studio, cast: list[Character]) -> None:
    found = distributions.measure(studio).distributions[0]
    known = distributions.Distribution(
        pack=found.pack,
        encoder=found.encoder,
        characters=2,
        same=np.array([0.5]),
        impostor=np.sort(np.r_[np.zeros(96), 0.36, 0.36, 0.51, 0.51]),
    )
    assert known.cosine_of(70) == pytest.approx(0.35), "one stranger in a hundred, by the paper pack"
    assert known.stated(70) == pytest.approx(0.01)
    assert (known.strangers_at(70).count, known.strangers_at(70).of) == (4, 100)
    assert known.strangers_at(85).value == 0.02
    low, high = known.strangers_at(70).interval
    assert 0.01 < low < 0.04 < high < 0.11


def test_the_page_says_whether_the_rate_of_the_pack_holds(studio: Studio, cast: list[Character]) -> None:
    found = distributions.measure(studio).distributions[0]

    def verdict(*, matching: int, of: int) -> str:
        cosines = np.sort(np.r_[np.zeros(of - matching), np.full(matching, 0.4)])
        return shown.verdict(dataclasses.replace(found, impostor=cosines), 70)

    assert "Too few pairs" in verdict(matching=0, of=100)
    assert "holds within a factor of two" in verdict(matching=10, of=1000)
    assert "more than twice as many" in verdict(matching=60, of=1000)
    assert "more than twice as many" in verdict(matching=12, of=100)
    assert "less than half as many" in verdict(matching=1, of=2000)


def test_the_page_tells_what_each_line_flags(page: str, scored: None, sign_in: SignIn, alice: User) -> None:
    text = " ".join(sign_in(alice).get(page).text.split())
    assert "Of 4 variations made so far, <b>1</b> is excellent, <b>1</b> good, <b>1</b> needs review" in text
    assert "1 could not be measured" in text
    assert "Too few pairs of different characters" in text
    assert 'class="impostor"' in text
    tried = " ".join(sign_in(alice).get(page, {"excellent": "90", "good": "82"}).text.split())
    assert "<b>1</b> is excellent, <b>0</b> good, <b>2</b> need review" in tried
    assert "Adopt good from 82, excellent from 90" in tried


def test_bands_are_adopted(page: str, studio: Studio, scored: None, sign_in: SignIn, alice: User) -> None:
    answer = sign_in(alice).post(page, {"excellent": "90", "good": "82"})
    assert answer.url == page
    studio.refresh_from_db()
    assert (studio.good_from, studio.excellent_from) == (82, 90)


@pytest.mark.parametrize("method", ["get", "post"])
def test_bands_that_are_none_are_refused(
    page: str, studio: Studio, sign_in: SignIn, alice: User, mara: Character, method: str
) -> None:
    answer = getattr(sign_in(alice), method)(page, {"excellent": "60", "good": "82"})
    assert answer.status_code == 422
    assert "must begin at a lower score" in answer.text
    studio.refresh_from_db()
    assert studio.good_from == 70


def test_without_characters_there_is_a_next_step(page: str, sign_in: SignIn, alice: User) -> None:
    assert "No characters yet" in sign_in(alice).get(page).text


def test_characters_that_nothing_measures_are_named(
    page: str, mara: Character, add: Add, sign_in: SignIn, alice: User
) -> None:
    add(mara, 2, photographic=0.9)
    text = sign_in(alice).get(page).text
    assert "1 character not measured: No installed pack measures photographed faces." in text
    assert "Nothing to compare yet" in text


def test_the_number_of_queries_does_not_grow(
    page: str, cast: list[Character], project: Project, alice: User, add: Add, sign_in: SignIn
) -> None:
    client = sign_in(alice)

    def count() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get(page).status_code == 200
        return len(captured)

    before = count()
    for k in range(4):
        more = actions.create_character(project=project, actor=alice, name=f"More {k}", tier="low")
        add(more, 2, first=200 + 10 * k, faces=(face(200 + k, identity=9 + k),))
    assert count() == before


def test_a_large_studio_is_sampled_and_it_says_so(
    page: str, cast: list[Character], sign_in: SignIn, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributions, "MOST_CHARACTERS", 2)
    assert "A sample: 2 of 3 characters" in sign_in(alice).get(page).text


def test_it_is_for_those_who_administer_the_studio(
    page: str, sign_in: SignIn, leo: User, charlie: User, client: Client, studio: Studio
) -> None:
    assert sign_in(leo).get(page).status_code == 403
    assert sign_in(leo).post(page, {"excellent": "90", "good": "80"}).status_code == 403
    assert sign_in(charlie).get(page).status_code == 404
    assert "login" in client.get(page).url
    settings = reverse("collaboration:studio", args=[studio.slug])
    assert page not in sign_in(leo).get(settings).text


def test_by_api(studio: Studio, scored: None, alice: User, leo: User) -> None:
    from collaboration.actions import create_token
    from collaboration.verbs import Verb
    from tests.api.conftest import Api, ok, problem

    def api(user: User) -> Any:
        return Api(create_token(user=user, name="Test", scopes=list(Verb))[1])

    path = f"/studios/{studio.slug}/calibration"
    told = ok(api(alice).get(path, good=82, excellent=90))
    assert told["variations"] == {"excellent": 1, "good": 0, "review": 2, "unmeasured": 1}
    assert told["below"]["85"] == 2
    assert told["by_character"][0]["review"] == 2
    found = told["distributions"][0]
    assert (found["pack"], found["encoder"], found["characters"]) == ("paper", "scoring", 3)
    row = next(t for t in found["thresholds"] if t["score"] == 70)
    assert (row["cosine"], row["stated_false_match_rate"]) == (0.35, pytest.approx(0.01))
    assert row["strangers"]["of"] == 27
    problem(api(alice).get(path, good=95, excellent=90), 422)
    problem(api(leo).get(path), 403)


def test_flags_count_only_what_is_there(studio: Studio, scored: None) -> None:
    Variation.objects.filter(score=95).update(trashed_at="2026-01-01T00:00Z")
    flags = flagged.in_all(studio, studio.bands, [85.0])
    assert (flags.excellent, flags.total, flags.below) == (0, 3, {85.0: 2})
