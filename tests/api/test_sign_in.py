"""Who may ask: tokens, sessions, and every way in which a token opens nothing."""

from __future__ import annotations

import secrets
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from collaboration import actions
from collaboration.models import ApiToken
from collaboration.verbs import Verb
from tests.api.conftest import ok, problem


def test_a_token_is_its_owner(api, bob, project):
    me = ok(api(bob, Verb.GENERATE).get("/me"))
    assert (me["email"], me["name"]) == (bob.email, "Bob")
    assert me["scopes"] == ["see", "generate"]


def test_a_signed_in_browser_is_its_person(client_of, bob, project):
    me = ok(client_of(bob).get("/api/v1/me"))
    assert me["email"] == bob.email
    assert me["scopes"] is None


def test_nobody_is_told_how_to_sign_in(api):
    response = api().get("/me")
    assert "Bearer ps_" in problem(response, 401)["detail"]
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_an_expired_token_says_so(api, bob):
    asking = api(bob)
    ApiToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    refusal = problem(asking.get("/me"), 401)
    assert refusal["type"].endswith("token-expired")
    assert "expired" in refusal["detail"]


def test_a_revoked_token_says_so(api, bob):
    asking = api(bob)
    actions.revoke_token(token=ApiToken.objects.get())
    assert "revoked" in problem(asking.get("/me"), 401)["detail"]


def test_the_token_of_a_person_who_left_opens_nothing(api, bob):
    asking = api(bob)
    bob.is_active = False
    bob.save(update_fields=["is_active"])
    problem(asking.get("/me"), 401)


@pytest.mark.parametrize(
    "header", ["Bearer ps_nothing", "Bearer ", "Basic Ym9iOnB3", "ps_nothing", "Bearer " + "x" * 9000]
)
def test_what_is_no_token_opens_nothing(db, header):
    response = Client().get("/api/v1/me", headers={"Authorization": header})
    assert problem(response, 401)["type"].endswith("token-unknown")


def test_a_bad_token_is_not_carried_out_by_the_session_beside_it(client_of, alice, project):
    response = client_of(alice).get("/api/v1/me", headers={"Authorization": "Bearer ps_nothing"})
    problem(response, 401)


def test_a_session_writes_with_its_csrf_token_only(bob, project):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(bob)
    address, body = f"/api/v1/projects/{project.slug}/characters", {"name": "Mara"}
    refusal = problem(browser.post(address, body, content_type="application/json"), 403)
    assert "X-CSRFToken" in refusal["detail"]
    browser.get("/accounts/password/change/")
    token = browser.cookies["csrftoken"].value
    headers = {"X-CSRFToken": token}
    ok(browser.post(address, body, content_type="application/json", headers=headers), 201)


def test_a_token_needs_no_csrf_token(bob, project, api):
    asking = api(bob)
    asking.client = Client(enforce_csrf_checks=True)
    ok(asking.post(f"/projects/{project.slug}/characters", {"name": "Mara"}), 201)


def test_an_anonymous_write_is_told_to_sign_in(project):
    browser = Client(enforce_csrf_checks=True)
    problem(browser.post(f"/api/v1/projects/{project.slug}/characters", {}, content_type="application/json"), 401)


def test_a_revoked_token_is_not_given_a_kept_answer(api, bob, project):
    asking = api(bob)
    key = {"Idempotency-Key": "one"}
    ok(asking.post(f"/projects/{project.slug}/characters", {"name": "Mara"}, headers=key), 201)
    actions.revoke_token(token=ApiToken.objects.get())
    problem(asking.post(f"/projects/{project.slug}/characters", {"name": "Mara"}, headers=key), 401)


def test_answers_are_not_for_shared_caches(api, bob):
    response = api(bob).get("/me")
    assert "private" in response["Cache-Control"]
    assert "Authorization" in response["Vary"]


@pytest.fixture
def newcomer(make_user):
    """Somebody whose requests nobody has counted yet, also where test processes share one cache."""
    return lambda name: make_user(name, pk=10**6 + secrets.randbelow(10**9))


def test_too_many_requests_are_told_when_to_go_on(api, newcomer, settings):
    settings.API_REQUESTS_PER_MINUTE = 3
    asking = api(newcomer("zoe"))
    answers = [asking.get("/me") for _ in range(8)]
    assert [a.status_code for a in answers[:3]] == [200, 200, 200]
    refused = next(a for a in answers if a.status_code == 429)
    problem(refused, 429)
    assert 0 < int(refused["Retry-After"]) <= 60


def test_one_person_does_not_use_up_another_ones_requests(api, newcomer, settings):
    settings.API_REQUESTS_PER_MINUTE = 1
    hers, his = api(newcomer("zoe")), api(newcomer("yan"))
    for _ in range(4):
        his.get("/me")
    assert hers.get("/me").status_code == 200
