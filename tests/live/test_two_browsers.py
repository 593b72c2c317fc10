"""Two people in two real browsers, against a web server of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect

from characters import actions as characters
from characters.models import Character
from collaboration import actions
from collaboration.models import Project, User
from tests.interface.conftest import chromium
from tests.live.server import Server

__all__ = ["chromium"]

SECONDS = 60_000
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def server(django_db_setup: None, django_db_blocker: Any) -> Iterator[Server]:
    with django_db_blocker.unblock():
        server = Server()
        server.start()
    yield server
    server.stop()


@pytest.fixture
def open_as(chromium: Browser, server: Server, transactional_db: None) -> Iterator[Callable[..., Page]]:
    """`open_as(bob, path)`: a browser of the person's own, on that page, with its socket open."""
    contexts, complaints = [], list[str]()

    def start(user: User, path: str) -> Page:
        client = Client()
        client.force_login(user)
        context = chromium.new_context(base_url=server.url, viewport={"width": 1440, "height": 900})
        contexts.append(context)
        name = settings.SESSION_COOKIE_NAME
        context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": server.url}])
        page = context.new_page()
        page.set_default_timeout(SECONDS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(path)
        is_live(page)
        return page

    yield start
    for context in contexts:
        context.close()
    assert complaints == []


def is_live(page: Page) -> None:
    expect(page.locator("body[data-live-state=open]")).to_have_count(1, timeout=SECONDS)


@pytest.fixture
def mara(project: Project, alice: User) -> Character:
    return characters.create_character(project=project, actor=alice, name="Mara", tier="low")


def gallery(project: Project) -> str:
    return reverse("characters:gallery", args=[project.slug])


def test_what_one_does_the_other_sees_also_after_the_server_died(
    open_as: Callable[..., Page], server: Server, project: Project, mara: Character, alice: User, bob: User
) -> None:
    page = open_as(bob, gallery(project))
    card = page.locator(f"#character-{mara.pk}")
    card.locator("[data-pick]").check()
    page.evaluate("window.stayed = true")
    characters.change_character(character=mara, actor=alice, name="Mara <b>Voss</b>")
    expect(card).to_contain_text("Mara <b>Voss</b>", timeout=SECONDS)
    expect(card.locator("[data-pick]")).to_be_checked()
    expect(card.locator("b")).to_have_count(0)
    server.kill()
    expect(page.locator("body[data-live-state=closed]")).to_have_count(1, timeout=SECONDS)
    characters.change_character(character=mara, actor=alice, name="Meanwhile")
    tom = characters.create_character(project=project, actor=alice, name="Tom", tier="low")
    server.start()
    expect(card).to_contain_text("Meanwhile", timeout=SECONDS)
    expect(page.locator(f"#character-{tom.pk}")).to_be_visible(timeout=SECONDS)
    assert page.evaluate("window.stayed")
    characters.trash_character(character=tom, actor=alice)
    expect(page.locator(f"#character-{tom.pk}")).to_have_count(0, timeout=SECONDS)


def test_who_is_here_edits_and_leads(
    open_as: Callable[..., Page], project: Project, mara: Character, alice: User, bob: User
) -> None:
    edit = reverse("characters:edit", args=[project.slug, mara.pk])
    driver, other = open_as(alice, edit), open_as(bob, gallery(project))
    expect(other.locator(f"#character-{mara.pk} .live-people .person")).to_have_attribute(
        "title", "Alice", timeout=SECONDS
    )
    other.goto(edit)
    is_live(other)
    driver.locator("input[name=name]").focus()
    expect(other.locator(".editing-note")).to_contain_text("Alice is editing this", timeout=SECONDS)
    # What the other has typed survives what the first saves.
    other.locator("#here > summary").click()
    other.locator("[data-follow]").click()
    expect(driver.locator("[data-follow-bar]")).to_be_hidden()
    driver.goto(reverse("characters:references", args=[project.slug, mara.pk]))
    other.wait_for_url("**/references/", wait_until="commit", timeout=SECONDS)
    is_live(other)
    bar = other.locator("[data-follow-bar]")
    expect(bar).to_contain_text("You follow Alice", timeout=SECONDS)
    other.mouse.wheel(0, 50)
    expect(bar).to_contain_text("You look around", timeout=SECONDS)
    driver.goto(gallery(project))
    is_live(driver)
    assert other.url.endswith("/references/")
    bar.get_by_role("button", name="Back to Alice").click()
    other.wait_for_url(f"**{gallery(project)}", wait_until="commit", timeout=SECONDS)
    is_live(other)
    bar.get_by_role("button", name="Stop following").click()
    expect(bar).to_be_hidden()


def test_a_removed_member_is_led_away(
    open_as: Callable[..., Page], project: Project, mara: Character, alice: User, bob: User
) -> None:
    page = open_as(bob, gallery(project))
    actions.remove_member(project=project, user=bob, actor=alice)
    page.wait_for_url("**/projects/", timeout=SECONDS)
