from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse
from django.utils import timezone

from collaboration import actions
from collaboration.models import ApiToken, Event
from collaboration.permissions import verbs_of
from collaboration.tokens import user_for_token
from collaboration.verbs import Verb

URL = "/account/tokens/"


@pytest.fixture
def token(bob):
    return actions.create_token(user=bob, name="Render farm", scopes=[Verb.GENERATE])


def revoke_url(token):
    return reverse("collaboration:token_revoke", args=[token.pk])


# -------------------------------------------------------------------------------------------------------- signing in
def test_a_token_is_its_owner_within_its_scopes(token, bob, project):
    user = user_for_token(token[1])
    assert user == bob
    assert user.token_scopes == {Verb.SEE, Verb.GENERATE}
    assert verbs_of(user, project) == {Verb.SEE, Verb.GENERATE}
    assert Verb.TRAIN in verbs_of(bob, project)


def test_a_token_allows_no_more_than_its_owner_may(vera, project):
    _, secret = actions.create_token(user=vera, name="Everything", scopes=list(Verb))
    assert verbs_of(user_for_token(secret), project) == {Verb.SEE}


def test_only_the_hash_is_kept(token):
    row, secret = token
    assert len(secret) > 40
    assert secret.startswith("ps_")
    assert row.secret_hash == actions.hash_secret(secret)
    assert secret not in str(ApiToken.objects.values().get())
    assert secret not in str(list(Event.objects.values()))
    assert len(row.hint) < 10


@pytest.mark.parametrize("secret", ["", "ps_", "wrong", "x" * 10_000, "ps_\x00", "\ud800"])
def test_what_is_no_token(db, secret):
    assert user_for_token(secret) is None


def test_a_revoked_token(token):
    actions.revoke_token(token=token[0])
    actions.revoke_token(token=token[0])
    assert user_for_token(token[1]) is None
    assert Event.objects.filter(kind="token.revoked").count() == 1


def test_an_expired_token(token):
    assert token[0].expires_at > timezone.now() + timedelta(days=89)
    ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert user_for_token(token[1]) is None
    ApiToken.objects.update(expires_at=None)
    assert user_for_token(token[1]) is not None


def test_a_token_of_somebody_made_inactive(token, bob):
    bob.is_active = False
    bob.save()
    assert user_for_token(token[1]) is None


def test_the_last_use_is_noted_once_a_minute(token, django_assert_num_queries):
    row, secret = token
    user_for_token(secret)
    row.refresh_from_db()
    noted = row.last_used_at
    assert noted is not None
    with django_assert_num_queries(1):
        user_for_token(secret)
    ApiToken.objects.update(last_used_at=noted - timedelta(seconds=61))
    with django_assert_num_queries(2):
        user_for_token(secret)
    row.refresh_from_db()
    assert row.last_used_at >= noted


def test_a_scope_that_no_longer_exists_allows_nothing(token, project):
    ApiToken.objects.update(scopes=["see", "conjure"])
    assert user_for_token(token[1]).token_scopes == {Verb.SEE}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"name": " "}, "empty"),
        ({"name": "x" * 81}, "at most 80"),
        ({"scopes": []}, "at least one thing"),
        ({"scopes": ["conjure"]}, "conjure"),
        ({"days": 0}, "1 to 365 days"),
        ({"days": 366}, "1 to 365 days"),
    ],
)
def test_what_cannot_be_a_token(bob, fields, sentence):
    values = {"name": "Farm", "scopes": [Verb.SEE], "days": 30, **fields}
    with pytest.raises(ValidationError, match=sentence):
        actions.create_token(user=bob, **values)
    assert not ApiToken.objects.exists()


# --------------------------------------------------------------------------------------------------------- the page
def test_one_signs_in_first(client):
    assert client.get(URL).status_code == 302


def test_the_wrong_method(client_of, bob, token):
    assert client_of(bob).delete(URL).status_code == 405
    assert client_of(bob).get(revoke_url(token[0])).status_code == 405


def test_making_a_token(client_of, bob):
    browser = client_of(bob)
    answer = browser.post(URL, {"name": "<b>Farm</b>", "scopes": ["generate", "train"], "days": "30"})
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    secret = re.search(r"ps_[\w-]{43}", answer.text)[0]
    assert user_for_token(secret) == bob
    page = browser.get(URL).text
    assert secret not in page
    assert "&lt;b&gt;Farm&lt;/b&gt;" in page
    assert ApiToken.objects.get().scopes == ["see", "generate", "train"]


def test_a_token_that_does_not_expire(client_of, bob):
    client_of(bob).post(URL, {"name": "Farm", "scopes": ["see"], "days": ""})
    assert ApiToken.objects.get().expires_at is None


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"name": "", "scopes": ["see"], "days": "30"}, "Write what the token is for."),
        ({"name": "Farm", "scopes": [], "days": "30"}, "Choose at least one thing"),
        ({"name": "Farm", "scopes": ["conjure"], "days": "30"}, "conjure"),
        ({"name": "Farm", "scopes": ["see"], "days": "9999"}, "9999"),
    ],
)
def test_a_refused_form(client_of, bob, data, sentence):
    answer = client_of(bob).post(URL, data)
    assert answer.status_code == 422
    assert sentence in answer.text
    assert not ApiToken.objects.exists()


def test_revoking(client_of, bob, token):
    assert client_of(bob).post(revoke_url(token[0])).url == URL
    assert user_for_token(token[1]) is None
    assert "Revoked" in client_of(bob).get(URL).text


def test_somebody_elses_token(client_of, charlie, token):
    assert client_of(charlie).post(revoke_url(token[0])).status_code == 404
    assert "Render farm" not in client_of(charlie).get(URL).text
    assert user_for_token(token[1]) is not None
