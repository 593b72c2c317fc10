"""Every refusal under /api/ is a problem document; the description and its page are whole."""

from __future__ import annotations

import json
import re

import pytest
from django.test import Client
from openapi_spec_validator import validate

from config.api import api as studio_api
from tests.api.conftest import ok, problem

UNKNOWN = "3fa85f64-5717-4562-b3fc-2c963f66afa6"


@pytest.mark.parametrize("path", ["/api/", "/api/v1/", "/api/v1/nothing", "/api/v2/me", "/api/v1/characters/not-an-id"])
@pytest.mark.parametrize("debug", [True, False])
def test_an_unknown_address_is_a_problem_document(client_of, bob, settings, path, debug):
    settings.DEBUG = debug
    problem(client_of(bob).get(path), 404)
    problem(Client().post(path), 404)


@pytest.mark.parametrize("kind", ["characters", "references", "variations", "variation-batches", "training-runs"])
def test_an_id_of_nothing_is_as_unknown_as_a_strangers(api, bob, kind):
    problem(api(bob).get(f"/{kind}/{UNKNOWN}"), 404)


def test_a_wrong_method_says_which_ones_there_are(api, bob):
    response = api(bob).request("put", "/me", {})
    problem(response, 405)
    assert "GET" in response["Allow"]


def test_our_mistakes_tell_nothing_of_themselves(api, bob, monkeypatch, project, settings):
    settings.DEBUG = True

    def fail(*args, **kwargs):
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr("collaboration.api.projects_shown", fail)
    response = api(bob).get("/projects")
    problem(response, 500)
    assert b"swordfish" not in response.content
    assert b"Traceback" not in response.content


def test_a_database_that_does_not_answer_is_busy(api, bob, monkeypatch):
    from django.db import OperationalError

    def fail(*args, **kwargs):
        raise OperationalError("database is locked")

    monkeypatch.setattr("collaboration.api.projects_shown", fail)
    response = api(bob).get("/projects")
    problem(response, 503)
    assert response["Retry-After"]


def test_a_nul_in_a_query_is_refused(api, bob, project):
    problem(api(bob).get(f"/projects/{project.slug}/characters", search="a\0b"), 400)


def test_lone_surrogates_are_refused(api, bob, project):
    address = f"/projects/{project.slug}/characters"
    problem(api(bob).post(address, '{"name": "a\\ud800"}'), 422)
    problem(api(bob).post(address, '{"name": "Mara", "traits": "\\ud800"}'), 422)
    problem(api(bob).post(address, '{"name": "Mara", "\\ud800": 1}'), 422)


def test_pages_outside_the_api_are_left_alone(client):
    response = client.get("/there-is-nothing-here/")
    assert response.status_code == 404
    assert response["Content-Type"].startswith("text/html")


# ------------------------------------------------------------------------------------------------------ description
@pytest.fixture
def description(client, db):
    response = client.get("/api/v1/openapi.json")
    assert response.status_code == 200
    return response.json()


def test_the_description_is_valid_and_whole(description):
    validate(description)
    text = json.dumps(description)
    for reference in set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', text)):
        assert reference in description["components"]["schemas"]
    ids = [o["operationId"] for p in description["paths"].values() for o in p.values()]
    assert len(ids) == len(set(ids))


def test_every_operation_is_described_and_guarded(description):
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            where = f"{method} {path}"
            assert operation["summary"], where
            assert operation["security"] == [{"Token": []}, {"Session": []}], where
            assert "default" in operation["responses"], where
            if method != "get":
                assert "Idempotency-Key" in {p["name"] for p in operation["parameters"]}, where


def test_every_operation_refuses_a_person_who_is_not_signed_in(description, db):
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            numbers = [p["name"] for p in operation["parameters"] if p["schema"].get("type") == "integer"]
            filled = {"project": "x", **dict.fromkeys(numbers, "1")}
            address = re.sub(r"\{(\w+)\}", lambda found, filled=filled: filled.get(found[1], UNKNOWN), path)
            problem(getattr(Client(), method)(address), 401)


def test_the_reference_shows_every_operation_and_runs_no_script_of_its_own(client, client_of, bob, description):
    for browser in (client, client_of(bob)):
        response = browser.get("/api/v1/docs")
        assert response.status_code == 200
        page = response.content.decode()
        for path, operations in description["paths"].items():
            assert path in page
            for operation in operations.values():
                assert f'id="{operation["operationId"]}"' in page
        assert not re.findall(r"<script(?![^>]*\bsrc=)", page)
        assert not re.findall(r"<style|\sstyle=|\son\w+=|javascript:|hx-on", page)
        for address in re.findall(r'(?:src|href)="([^"#]+)"', page):
            assert address.startswith("/"), address
        assert "script-src 'self'" in response["Content-Security-Policy"]


def test_the_reference_names_every_kind_of_problem(client, db):
    page = client.get("/api/v1/docs").content.decode()
    for kind in ("token-expired", "too-large", "conflict"):
        assert f'id="problem-{kind}"' in page


def test_the_description_of_one_instance_is_that_of_the_code(description):
    assert len(description["paths"]) == len(studio_api.get_openapi_schema()["paths"])


def test_an_empty_key_is_no_key(api, bob, project):
    address = f"/projects/{project.slug}/characters"
    ok(api(bob).post(address, {"name": "One"}, headers={"Idempotency-Key": ""}), 201)
    ok(api(bob).post(address, {"name": "Two"}, headers={"Idempotency-Key": ""}), 201)


def test_refusals_about_a_key_are_problems_like_all_others(api, bob, project):
    address, program = f"/projects/{project.slug}/characters", api(bob)
    for key, words in (("x" * 101, "101 characters"), ("one\x00two", "control characters")):
        refusal = problem(program.post(address, {"name": "One"}, headers={"Idempotency-Key": key}), 422)
        assert refusal["type"].endswith("#problem-invalid")
        assert words in refusal["detail"]
    ok(program.post(address, {"name": "One"}, headers={"Idempotency-Key": "one"}), 201)
    refusal = problem(program.post(address, {"name": "Two"}, headers={"Idempotency-Key": "one"}), 422)
    assert "used for another request" in refusal["detail"]
