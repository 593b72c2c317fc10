"""A page that was open, with all that was pushed to it, is the page loaded anew: for every action that changes one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from characters import actions as characters
from characters.models import Character
from collaboration import actions, scenes
from collaboration.live import fragments, reading
from collaboration.models import Event, Project, Stream, User
from collaboration.permissions import forget_verbs, verbs_of
from collaboration.verbs import Role
from collaboration.wired import entries
from tests.characters.conftest import add, batch_of, looked, mara, pack, paper_packs, see, stored
from tests.live import dom

__all__ = ["add", "batch_of", "looked", "mara", "pack", "paper_packs", "see", "stored"]

pytestmark = pytest.mark.django_db

Verify = Callable[..., Any]


class Pages:
    """Pages of one person, open."""

    def __init__(self, client: Client, user: User, project: Project) -> None:
        self.client, self.user, self.project = client, user, project
        self.stream = f"project:{project.pk}"

    def load(self, url: str) -> dom.Node:
        answer = self.client.get(url)
        assert answer.status_code == 200, (url, answer.status_code)
        return dom.parse(answer.content.decode())

    def head(self) -> int:
        return reading.heads_of([self.stream])[self.stream]

    def states(self) -> dict[Any, Any]:
        sources = entries("LIVE_STATES", "progress")
        return reading.states_of([str(self.project.pk)], sources).get(str(self.project.pk), {})

    def news(self, head: int, states: dict[Any, Any]) -> list[Event]:
        rows = reading.events_of(self.stream, head, limit=1000)
        now = self.states()
        stream = Stream(kind="project", key=str(self.project.pk))
        changed = sorted(key for key in now.keys() | states.keys() if now.get(key) != states.get(key))
        return rows + [Event(stream=stream, seq=0, kind=k, subject_kind=s, subject_id=i) for k, s, i in changed]


def keys_of(page: dom.Node) -> set[str]:
    found: set[str] = set()
    for node in page.walk():
        if node.name == "body":
            found |= set(node.attributes["data-live-pages"].split())
            found.add(f"project:{node.attributes['data-live-project']}")
        found |= set(node.attributes.get("data-live-page", "").split())
    return found


@pytest.fixture
def verify(client_of: Callable[[User], Client], project: Project, monkeypatch: pytest.MonkeyPatch) -> Verify:
    """`with verify(bob, url, ...): do()`. Fails with the difference between each page and itself loaded anew."""

    def raised(message: str, *arguments: Any) -> None:
        raise AssertionError(message % arguments)

    monkeypatch.setattr(fragments.log, "exception", raised)

    @contextmanager
    def check(user: User, *urls: str) -> Iterator[None]:
        pages = Pages(client_of(user), user, project)
        open_pages = {url: pages.load(url) for url in urls}
        head, states = pages.head(), pages.states()
        yield
        rows = pages.news(head, states)
        assert rows, "Nothing has happened"
        forget_verbs(user)
        audience = frozenset(str(verb) for verb in verbs_of(user, project))
        for url, page in open_pages.items():
            keys = keys_of(page)
            rendered = fragments.render(rows, audience, keys)
            fresh = pages.load(url)
            for swap in [swap for page_key in sorted(rendered) for _, swap in rendered[page_key]]:
                dom.apply(page, swap, fresh)
            _compare(url, page, fresh)

    return check


def _compare(url: str, page: dom.Node, fresh: dom.Node) -> None:
    for one in (page, fresh):
        if (feed := one.find("feed")) is not None:
            _by_days(feed)
    now, then = [list(next(n for n in tree.walk() if n.name == "body").lines()) for tree in (page, fresh)]
    difference = "\n".join(difflib.unified_diff(now, then, "open", "anew", lineterm="", n=2))
    assert not difference, f"{url}\n{difference[:4000]}"


def _by_days(feed: dom.Node) -> None:
    """What days.js does: lines that came join the list of their day."""
    for link in [node for node in feed.walk() if node.attributes.get("class") == "link"]:
        link.replace(link.children)  # of an old line: where its subject is now, and what it is called
    for node in feed.walk():
        if texts := [child for child in node.children if isinstance(child, str) and child.strip()]:
            node.children = [*(c for c in node.children if isinstance(c, dom.Node)), " ".join("".join(texts).split())]
    lists = [n for n in feed.children if isinstance(n, dom.Node) and n.attributes.get("class") == "feed"]
    for one in lists[:-1]:
        lists[-1].children[:0] = one.children
        one.remove()


@pytest.fixture
def places(project: Project, mara: Character) -> list[str]:
    """The pages on which a character shows."""
    args = [project.slug, mara.pk]
    tabs = [reverse(f"characters:{name}", args=args) for name in ("detail", "references", "sheets", "variations")]
    gallery = reverse("characters:gallery", args=args[:1])
    activity = reverse("collaboration:activity", args=args[:1])
    return [gallery, gallery + "?sort=name", activity, reverse("training:queue", args=args[:1]), *tabs]


def test_creating_and_renaming(
    verify: Verify, places: list[str], project: Project, mara: Character, alice: User, bob: User, vera: User
) -> None:
    with verify(bob, *places):
        characters.create_character(project=project, actor=alice, name="Tom", tier="low")
    for reader in (bob, vera):
        with verify(reader, *places):
            characters.change_character(character=mara, actor=alice, name=f"Mara {reader.name}", tags=["lead", "red"])


def test_trash_and_back(
    verify: Verify, places: list[str], project: Project, mara: Character, alice: User, bob: User
) -> None:
    characters.create_character(project=project, actor=alice, name="Tom", tier="low")
    places = [*places, reverse("characters:trash", args=[project.slug])]
    with verify(bob, *places):
        characters.trash_character(character=mara, actor=alice)
    with verify(bob, *places):
        characters.restore_character(character=mara, actor=alice)


def test_references(
    verify: Verify,
    places: list[str],
    mara: Character,
    alice: User,
    bob: User,
    stored: Callable[..., Any],
    see: Callable[..., None],
) -> None:
    with verify(bob, *places):
        first, second = characters.add_references(
            character=mara, assets=[stored(mara, 1), stored(mara, 2)], actor=alice
        )
    with verify(bob, *places):
        see(first, looked(1))
    with verify(bob, *places):
        see(second, looked(2))
    with verify(bob, *places):
        characters.trash_reference(reference=first, actor=alice)
    with verify(bob, *places):
        characters.restore_reference(reference=first, actor=alice)
    with verify(bob, *places):
        characters.change_base_prompt(character=mara, prompt="portrait of a woman", actor=alice)


def test_variations(
    verify: Verify,
    places: list[str],
    project: Project,
    mara: Character,
    alice: User,
    bob: User,
    add: Callable[..., Any],
    batch_of: Callable[..., Any],
) -> None:
    add(mara, 5)
    batch_of(mara, count=2)
    with verify(bob, *places):
        batch = batch_of(mara, count=2)
    one, _ = batch.variations.order_by("index")
    places = [*places, reverse("characters:variation", args=[project.slug, one.pk])]
    with verify(bob, *places):
        characters.pick_variation(variation=one, actor=alice)
    with verify(bob, *places):
        characters.unpick_variation(variation=one, actor=alice)
    with verify(bob, *places):
        characters.trash_variation(variation=one, actor=alice)
    with verify(bob, *places):
        characters.restore_variation(variation=one, actor=alice)
    with verify(bob, *places):
        characters.order_measurement(character=mara, variations=[one], actor=alice)


def test_people_scenes_and_the_project(
    verify: Verify, project: Project, alice: User, bob: User, charlie: User, client_of: Callable[[User], Client]
) -> None:
    names = ("people", "settings", "activity")
    places = [reverse(f"collaboration:{name}", args=[project.slug]) for name in names]
    with verify(alice, *places):
        actions.set_role(project=project, user=charlie, role=Role.VIEWER, actor=bob)
    with verify(alice, *places):
        actions.set_role(project=project, user=charlie, role=Role.LEAD, actor=bob)
    with verify(alice, *places):
        actions.remove_member(project=project, user=charlie, actor=bob)
    with verify(alice, *places):
        scene = scenes.create_scene(project=project, code="SC010", name="Harbour", actor=bob)
    with verify(alice, *places):
        scenes.change_scene(scene=scene, code="SC020", name="Harbour at night", actor=bob)
    with verify(alice, *places):
        scenes.trash(row=scene, actor=bob)


def test_every_kind_of_event_is_wired(project: Project) -> None:
    """What the log can say, some page hears; what nobody shows is named here, with the reason."""
    from collaboration.events import KINDS
    from config.wiring import LIVE

    unheard = {
        kind
        for kind in KINDS
        # The streams of studios and persons: no page of a project shows them.
        if not re.match(r"studio|person|account|token|notification|webhook|project\.created|preset|asset\.erased", kind)
        and kind not in LIVE
    }
    assert unheard == set()
