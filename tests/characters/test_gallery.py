from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from characters import actions, queries
from characters.models import Character, Reference
from collaboration.models import Project, User


def url(project: Project, query: str = "") -> str:
    return reverse("characters:gallery", args=[project.slug]) + query


def names(response: Any) -> list[str]:
    """Of the cards, in their order."""
    return re.findall(r'<span class="name"><span class="text">([^<]*)</span>', response.content.decode())


@pytest.fixture
def cast(project: Project, alice: User) -> list[Character]:
    rows = [("Ada", "low", 0.9, ["ship"]), ("bela", "standard", 0.1, ["ship", "police"]), ("Cyd", "high", 0.5, [])]
    return [
        actions.create_character(
            project=project, actor=alice, name=name, tier=tier, importance=importance, tags=tags, description=f"{name}!"
        )
        for name, tier, importance, tags in rows
    ]


def test_everybody_in_the_project_sees_all(
    client_of: Callable[[User], Client], vera: User, project: Project, cast: Any
) -> None:
    response = client_of(vera).get(url(project))
    assert names(response) == ["Cyd", "bela", "Ada"]
    assert "New character" not in response.content.decode()
    assert 'name="selected"' not in response.content.decode()


def test_a_stranger_learns_nothing(client_of: Callable[[User], Client], charlie: User, project: Project) -> None:
    assert client_of(charlie).get(url(project)).status_code == 404


def test_it_is_only_read(client_of: Callable[[User], Client], alice: User, project: Project) -> None:
    assert client_of(alice).post(url(project)).status_code == 405


def test_without_characters_it_says_what_comes_next(
    client_of: Callable[[User], Client], alice: User, vera: User, project: Project
) -> None:
    assert "New character" in client_of(alice).get(url(project)).content.decode()
    assert "can create them" in client_of(vera).get(url(project)).content.decode()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("?q=BEL", ["bela"]),
        ("?q=police", ["bela"]),
        ("?q=ada!", ["Ada"]),
        ("?tag=ship", ["bela", "Ada"]),
        ("?tier=high", ["Cyd"]),
        ("?tag=ship&tier=low", ["Ada"]),
        ("?status=trained", []),
        ("?status=nonsense", ["Cyd", "bela", "Ada"]),
        ("?sort=name", ["Ada", "bela", "Cyd"]),
        ("?sort=importance", ["Ada", "Cyd", "bela"]),
    ],
)
def test_it_is_searched_narrowed_and_sorted(
    client_of: Callable[[User], Client], alice: User, project: Project, cast: Any, query: str, expected: list[str]
) -> None:
    assert names(client_of(alice).get(url(project, query))) == expected


def test_no_score_comes_after_every_score(
    client_of: Callable[[User], Client], alice: User, project: Project, cast: Any
) -> None:
    Character.objects.filter(name="bela").update(score=0.0)
    Character.objects.filter(name="Cyd").update(score=80.0)
    assert names(client_of(alice).get(url(project, "?sort=score"))) == ["Cyd", "bela", "Ada"]


def test_a_chip_turns_its_filter_off_again(
    client_of: Callable[[User], Client], alice: User, project: Project, cast: Any
) -> None:
    page = client_of(alice).get(url(project, "?tag=ship&sort=name")).content.decode()
    chip = re.search(r'<a class="chip" href="([^"]*)"[^>]*aria-current="true"><span>ship</span>', page)
    assert chip
    assert chip[1] == url(project, "?sort=name")


def test_what_is_trashed_is_not_there(
    client_of: Callable[[User], Client], alice: User, project: Project, cast: Any
) -> None:
    actions.trash_character(character=cast[0], actor=alice)
    assert names(client_of(alice).get(url(project))) == ["Cyd", "bela"]


@pytest.mark.parametrize("sort", list(queries.SORTS))
def test_pages_are_complete_and_without_duplicates(
    client_of: Callable[[User], Client], alice: User, project: Project, sort: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "PAGE", 4)
    for n in range(11):
        made = actions.create_character(project=project, actor=alice, name=f"N{n:02}", importance=(n % 3) / 4)
        Character.objects.filter(pk=made.pk).update(score=None if n % 4 == 0 else float(n % 3))
    client = client_of(alice)
    seen: list[str] = []
    pages: list[list[str]] = []
    next_url: str | None = url(project, f"?sort={sort}")
    while next_url:
        page = client.get(next_url)
        pages.append(names(page))
        seen += pages[-1]
        next_url = link(page, "next")
    assert sorted(seen) == [f"N{n:02}" for n in range(11)]
    # Backwards, the same pages in the opposite order.
    back = link(page, "prev")
    for expected in reversed(pages[:-1]):
        assert back
        page = client.get(back)
        assert names(page) == expected
        back = link(page, "prev")
    assert back is None
    monkeypatch.setattr(queries, "PAGE", 100)
    whole = queries.gallery(project, queries.Filter(sort=sort))
    assert seen == [c.name for c in whole.characters]


def link(response: Any, rel: str) -> str | None:
    found = re.search(rf'href="([^"]*)" rel="{rel}"', response.content.decode())
    return found[1].replace("&amp;", "&") if found else None


@pytest.mark.parametrize("sort", list(queries.SORTS))
@pytest.mark.parametrize("count", [11, 12])
def test_segments_hold_everybody_once(
    client_of: Callable[[User], Client],
    alice: User,
    project: Project,
    sort: str,
    count: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(queries, "SEGMENT", 4)
    monkeypatch.setattr(queries, "PAGE", 3)
    Character.objects.bulk_create(
        Character(project=project, name=f"N{n:02}", importance=(n % 3) / 4, score=None if n % 4 == 0 else float(n % 3))
        for n in range(count)
    )
    client = client_of(alice)
    page = client.get(url(project, f"?sort={sort}")).content.decode()
    grid = re.search(r'data-grid="([^"]*)"', page)
    assert grid
    listing = client.get(grid[1].replace("&amp;", "&")).json()
    assert (listing["total"], listing["size"], len(listing["cursors"])) == (count, 4, 3)
    cards = []
    for after, until in zip(listing["cursors"], [*listing["cursors"][1:], ""], strict=True):
        part = {"sort": sort} | {k: v for k, v in (("after", after), ("until", until)) if v}
        cards.append(names(client.get(listing["cards"], part)))
    assert [len(part) for part in cards] == [4, 4, count - 8]
    everybody = [name for part in cards for name in part]
    monkeypatch.setattr(queries, "PAGE", 100)
    assert everybody == [c.name for c in queries.gallery(project, queries.Filter(sort=sort)).characters]


def test_segments_follow_the_filter_and_are_closed_to_strangers(
    client_of: Callable[[User], Client], alice: User, charlie: User, project: Project, cast: Any
) -> None:
    here = reverse("characters:segments", args=[project.slug])
    listing = client_of(alice).get(here, {"tag": "ship", "sort": "name"}).json()
    assert listing["total"] == 2
    assert names(client_of(alice).get(listing["cards"])) == ["Ada", "bela"]
    for name in ("segments", "segment"):
        assert client_of(charlie).get(reverse(f"characters:{name}", args=[project.slug])).status_code == 404
        assert client_of(alice).post(reverse(f"characters:{name}", args=[project.slug])).status_code == 405
    assert client_of(alice).get(reverse("characters:segment", args=[project.slug]), {"until": "x"}).status_code == 404


@pytest.mark.parametrize("after", ["nonsense", "W10", "WyJuYW1lIiwgMywgIngiXQ", "%00"])
def test_a_broken_cursor_is_not_found(
    client_of: Callable[[User], Client], alice: User, project: Project, after: str
) -> None:
    assert client_of(alice).get(url(project, f"?after={after}")).status_code == 404


def test_three_cost_as_many_queries_as_forty(
    client_of: Callable[[User], Client],
    alice: User,
    project: Project,
    cast: list[Character],
    add: Callable[..., list[Reference]],
) -> None:
    client = client_of(alice)

    def count() -> int:
        with CaptureQueriesContext(
            connection,
        ) as found:
            assert client.get(url(project)).status_code == 200
        return len(found)

    add(cast[0], 2)
    client.get(url(project))
    few = count()
    made = Character.objects.bulk_create(Character(project=project, name=f"N{n}") for n in range(57))
    for n, character in enumerate(made[:3]):
        actions.change_character(character=character, actor=alice, tags=[f"t{n}"])
        add(character, 3, first=10 * n)
    client.get(url(project))
    assert count() == few


def test_names_are_shown_as_they_are_and_never_as_markup(
    client_of: Callable[[User], Client], alice: User, project: Project
) -> None:
    actions.create_character(project=project, actor=alice, name="<b>Ünïcode 🎬</b>", tags=["<i>"])
    page = client_of(alice).get(url(project)).content.decode()
    assert "&lt;b&gt;Ünïcode 🎬&lt;/b&gt;" in page
    assert "<b>Ünïcode" not in page
    assert "<i>" not in page


def cursor(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


ID = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("sort", "after"),
    [
        ("updated", cursor("updated", "2026-13-45T00:00:00+00:00", ID)),
        ("updated", cursor("updated", "2026-01-01T00:00:00", ID)),
        ("updated", cursor("updated", "0001-01-01T00:00:00+14:00", ID)),
        ("updated", cursor("updated", 5, ID)),
        ("importance", cursor("importance", 10**400, ID)),
        ("importance", cursor("importance", math.nan, ID)),
        ("importance", cursor("importance", "1", ID)),
        ("name", cursor("name", "a\0b", ID)),
        ("name", cursor("importance", 1, ID)),
        ("name", base64.urlsafe_b64encode(b"[" * 20_000).decode()),
        ("name", "é"),
    ],
)
def test_a_cursor_that_is_none_is_not_found(
    client_of: Callable[[User], Client], vera: User, project: Project, cast: Any, sort: str, after: str
) -> None:
    response = client_of(vera).get(url(project), {"sort": sort, "after": after})
    assert response.status_code == 404


def test_what_no_database_can_compare_is_left_out_of_the_search(
    client_of: Callable[[User], Client], vera: User, project: Project, cast: Any
) -> None:
    assert names(client_of(vera).get(url(project), {"q": "Cy\0d", "tag": "\0"})) == ["Cyd"]
