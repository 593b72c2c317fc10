"""The cast of every test: a studio, a project, one person of each role, and a stranger."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.conf import settings
from django.test import Client
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from collaboration import actions
from collaboration.models import Project, Studio, User
from collaboration.verbs import Role

# A busy machine draws slowly; that says nothing about the code. The same cases every time: a failure is found again.
hypothesis_settings.register_profile(
    "studio", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("studio")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On PostgreSQL, Redis and S3, run what may depend on them: what uses no database, and is not marked `services`,
    and what is marked `in_browser` runs once, on the embedded default."""
    if not settings.REDIS_URL:
        return
    once = [item for item in items if not item.get_closest_marker("services") and not _may_depend(item)]
    config.hook.pytest_deselected(items=once)
    items[:] = [item for item in items if item not in set(once)]


def _may_depend(item: pytest.Item) -> bool:
    if item.get_closest_marker("in_browser"):
        return False
    fixtures = set(getattr(item, "fixturenames", ()))
    return item.get_closest_marker("django_db") is not None or bool(
        fixtures & {"db", "transactional_db", "live_server"}
    )


@pytest.fixture
def make_user(db: None) -> Callable[..., User]:
    """`make_user("bob", **fields)`: a person who is nowhere a member."""

    def make(name: str, **fields: object) -> User:
        return User.objects.create_user(
            email=f"{name.lower()}@example.com", password="correct horse", **{"name": name.capitalize(), **fields}
        )

    return make


@pytest.fixture
def make_member(make_user: Callable[..., User]) -> Callable[..., User]:
    """`make_member("bob", Role.ARTIST, project)`: a new person with that role."""

    def make(name: str, role: Role, project: Project) -> User:
        user = make_user(name)
        actions.set_role(project=project, user=user, role=role, actor=user)
        return user

    return make


@pytest.fixture
def client_of() -> Callable[[User], Client]:
    """`client_of(bob)`: a browser in which the person is signed in."""

    def sign_in(user: User) -> Client:
        client = Client()
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def alice(make_user: Callable[..., User]) -> User:
    """Owner of `project` and administrator of `studio`."""
    return make_user("alice")


@pytest.fixture
def studio(alice: User) -> Studio:
    return actions.create_studio(name="Northlight", admin=alice)


@pytest.fixture
def project(studio: Studio, alice: User) -> Project:
    return actions.create_project(studio=studio, name="The Long Night", actor=alice)


@pytest.fixture
def leo(make_member: Callable[..., User], project: Project) -> User:
    return make_member("leo", Role.LEAD, project)


@pytest.fixture
def bob(make_member: Callable[..., User], project: Project) -> User:
    return make_member("bob", Role.ARTIST, project)


@pytest.fixture
def rita(make_member: Callable[..., User], project: Project) -> User:
    return make_member("rita", Role.REVIEWER, project)


@pytest.fixture
def vera(make_member: Callable[..., User], project: Project) -> User:
    return make_member("vera", Role.VIEWER, project)


@pytest.fixture
def charlie(make_user: Callable[..., User]) -> User:
    """A stranger: signed in, and a member of nothing."""
    return make_user("charlie")
