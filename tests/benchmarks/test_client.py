"""The benchmark's program and browser, against a real server."""

from __future__ import annotations

import pytest

from benchmarks.client import Browser, Program, Refused
from benchmarks.main_job import Loads, paint_here
from collaboration.actions import create_token
from collaboration.models import User
from collaboration.verbs import Verb
from tests.api.conftest import pack  # noqa: F401 - a pack on paper

PASSWORD = "correct horse battery"


@pytest.fixture
def person(transactional_db):
    return User.objects.create_user("owner@example.com", PASSWORD, name="Olga")


@pytest.fixture
def program(live_server, person):
    return Program(live_server.url, create_token(user=person, name="Test", scopes=list(Verb))[1])


@pytest.fixture
def project(program):
    return program.post("/projects", {"name": "Benchmark", "studio_name": "Benchmark"})["slug"]


def test_the_way_from_files_to_a_gallery_that_shows_them(live_server, program, project, tmp_path):
    files = paint_here(tmp_path / "files", seed=5, count=2, size=128)
    path = f"/projects/{project}/characters"
    for number in range(3):
        character = program.post(path, {"name": f"Extra {number}"})
        answer = program.upload(f"/characters/{character['id']}/references", files)
        assert len(answer["added"]) == 2
    assert len(program.all(path, sort="name")) == 3
    browser = Browser(live_server.url)
    with pytest.raises(Refused):
        browser.load(f"{path}/")  # not signed in: led to the form
    browser.sign_in("owner@example.com", PASSWORD)
    took, page = browser.load(f"{path}/")
    assert took > 0
    assert page.count("<img") >= 3
    assert "Extra 2" in page


def test_a_wrong_password_is_refused(live_server, person):
    with pytest.raises(Refused, match="Signing in"):
        Browser(live_server.url).sign_in("owner@example.com", "wrong")


def test_a_refusal_says_what_the_server_said(program, project):
    with pytest.raises(Refused, match="The name is empty"):
        program.post(f"/projects/{project}/characters", {"name": " "})


def test_a_list_is_read_over_all_its_pages(program, project, monkeypatch):
    path = f"/projects/{project}/characters"
    for number in range(5):
        program.post(path, {"name": f"Extra {number}"})
    asked = []
    get = program.get
    monkeypatch.setattr(program, "get", lambda p, **q: asked.append(1) or get(p, **{**q, "limit": 2}))
    assert len(program.all(path)) == 5
    assert len(asked) == 3


def test_loads_go_on_one_at_a_time_until_they_are_told_to_stop():
    import threading

    over = threading.Event()

    class Fake:
        def __init__(self):
            self.loads = 0

        def load(self, path):
            self.loads += 1
            if self.loads == 3:
                over.set()
            return 10.0 * self.loads, ""

    loads = Loads(Fake(), "/x", over)
    loads.PAUSE = 0
    loads.start()
    loads.join(10)
    assert loads.milliseconds == [10.0, 20.0, 30.0]
    assert loads.failed is None
