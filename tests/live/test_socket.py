"""What one page hears: every event once and in order, with the HTML that its page needs, also after it was away."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from characters import actions as characters
from collaboration import actions
from collaboration.live import hints, outbox
from collaboration.live import hub as hub_module
from collaboration.models import Project, User
from collaboration.verbs import Role
from tests.live.conftest import Connect, Write

pytestmark = pytest.mark.django_db(transaction=True)


async def test_a_change_comes_with_its_card_to_the_pages_that_show_it(
    connect: Connect, project: Project, stream: str, bob: User, vera: User
) -> None:
    gallery = f"{stream}:gallery"
    artist, viewer, elsewhere = await connect(bob), await connect(vera), await connect(vera)
    await artist.hello(stream, pages=(gallery,))
    await viewer.hello(stream, pages=(gallery,))
    await elsewhere.hello(stream, pages=("character:1",))
    for tab in (artist, viewer, elsewhere):
        await tab.message("welcome")
    create = sync_to_async(characters.create_character)
    mara = await create(project=project, actor=bob, name="Mara <script>alert(1)</script>")
    (seen,), (plain,), (bare,) = [await tab.events(1) for tab in (artist, viewer, elsewhere)]
    assert seen["kind"] == bare["kind"] == "character.created"
    assert seen["by"] == "Bob"
    assert bare["swaps"] == []
    card = next(swap for swap in seen["swaps"] if swap["target"] == "cards")
    assert card["how"] == "afterbegin"
    assert f'id="character-{mara.pk}"' in card["html"]
    assert "<script>" not in card["html"]
    assert "csrfmiddlewaretoken" not in card["html"]
    assert "data-pick" in card["html"]
    assert "data-pick" not in next(swap for swap in plain["swaps"] if swap["target"] == "cards")["html"]


async def test_who_comes_back_gets_what_was_missed_and_nothing_twice(
    connect: Connect, stream: str, bob: User, write: Write
) -> None:
    tab = await connect(bob)
    await tab.hello(stream)
    before = (await tab.message("welcome"))["head"]
    await write("one")
    assert [e["seq"] for e in await tab.events(1)] == [before + 1]
    await tab.raw.disconnect()
    await write("two", "three")
    await write("four")
    again = await connect(bob)
    await again.hello(stream, seq=before + 1)
    await write("five")
    assert [e["seq"] for e in await again.events(4)] == [before + n for n in (2, 3, 4, 5)]
    assert await again.no_event()


async def test_joining_while_others_write_leaves_no_gap(
    connect: Connect, stream: str, bob: User, write: Write, head: Any
) -> None:
    first = await head()
    writing = asyncio.create_task(_many(write, 12))
    tabs = []
    for _ in range(4):
        tab = await connect(bob)
        await tab.hello(stream, seq=first)
        tabs.append(tab)
    await writing
    for tab in tabs:
        assert [e["seq"] for e in await tab.events(12)] == list(range(first + 1, first + 13))


async def _many(write: Write, count: int) -> None:
    for n in range(count):
        await write(f"w{n}")


async def test_an_event_without_a_hint_is_found_by_looking(
    connect: Connect, stream: str, bob: User, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hints, "announce", lambda *_: None)
    tab = await connect(bob)
    await tab.hello(stream)
    await tab.message("welcome")
    await write("quietly")
    async with asyncio.timeout(3):
        assert len(await tab.events(1)) == 1


async def test_who_missed_too_much_is_told_to_load_the_page_anew(
    connect: Connect, stream: str, bob: User, write: Write, head: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "REPLAYED", 3)
    first = await head()
    await write("a", "b", "c", "d")
    tab = await connect(bob)
    await tab.hello(stream, seq=first)
    assert (await tab.message("reset"))["head"] == first + 4
    await write("e")
    assert [e["seq"] for e in await tab.events(1)] == [first + 5]


async def test_a_page_that_knows_more_than_the_log_starts_anew(
    connect: Connect, stream: str, bob: User, head: Any
) -> None:
    tab = await connect(bob)
    await tab.hello(stream, seq=10_000)
    assert (await tab.message("reset"))["head"] == await head()


async def test_a_page_that_takes_nothing_in_is_bounded_and_catches_up(
    connect: Connect, stream: str, bob: User, write: Write, head: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "WINDOW", 2)
    monkeypatch.setattr(outbox, "LONGEST", 3)
    tab, quick = await connect(bob), await connect(bob)
    first = await head()
    for one in (tab, quick):
        await one.hello(stream, seq=first)
        await one.message("welcome")
    got: list[int] = []
    for n in range(8):
        await write(f"w{n}")
        # The quick one confirms, and waits for nobody.
        (event,) = await quick.events(1)
        got.append(event["seq"])
        await quick.say(type="confirm", count=n + 1)
    assert got == list(range(first + 1, first + 9))
    seen = [e["seq"] for e in await tab.events(2)]
    await tab.message("resync")
    await tab.hello(stream, seq=seen[-1])
    seen += [e["seq"] for e in await tab.events(6)]
    assert seen == got


async def test_a_beat_never_speaks_of_events_that_still_wait(
    connect: Connect, hub: Any, stream: str, bob: User, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab = await connect(bob)
    await tab.hello(stream)
    head = (await tab.message("welcome"))["head"]
    (socket,) = hub.sockets
    socket.beat(hub.loop.time())
    assert (await tab.message("beat"))["heads"] == {stream: head}
    monkeypatch.setattr(outbox, "WINDOW", 0)
    await write("waits")
    while socket.seqs[stream] == head:
        await asyncio.sleep(0.02)
    socket.beat(hub.loop.time())
    assert (await tab.message("beat"))["heads"] == {}
    monkeypatch.setattr(outbox, "WINDOW", 8)
    await tab.say(type="confirm", count=0)
    assert [e["seq"] for e in await tab.events(1)] == [head + 1]


async def test_another_role_gets_other_cards_at_once(
    connect: Connect, project: Project, stream: str, alice: User, vera: User
) -> None:
    tab = await connect(vera)
    await tab.hello(stream, pages=(f"{stream}:gallery",))
    await tab.message("welcome")
    await sync_to_async(actions.set_role)(project=project, user=vera, role=Role.ARTIST, actor=alice)
    await tab.message("rights")
    await sync_to_async(characters.create_character)(project=project, actor=alice, name="Ada")
    html = ""
    while "character-" not in html:
        html = "".join(swap["html"] for swap in (await tab.message("events"))["events"][-1]["swaps"])
    assert "data-pick" in html


# -------------------------------------------------------------------------------------------------- passing things
async def test_everybody_sees_who_is_here_and_where_they_look(
    connect: Connect, stream: str, bob: User, vera: User
) -> None:
    one, two = await connect(bob), await connect(vera)
    await one.hello(stream, attention={"page": "character:1", "tab": "References", "url": "/projects/x/"})
    await two.hello(stream)
    here = await one.state("presence", lambda s: s["count"] == 2)
    assert {p["name"] for p in here["people"]} == {"Bob", "Vera"}
    assert next(p for p in here["people"] if p["name"] == "Bob")["tab"] == "References"
    await two.say(type="attention", attention={"image": "variation:7", "editing": "prompt-1/prompt"})
    here = await one.state("presence", lambda s: any(p["image"] for p in s["people"]))
    assert next(p for p in here["people"] if p["name"] == "Vera")["editing"] == "prompt-1/prompt"
    await two.raw.disconnect()
    here = await one.state("presence", lambda s: s["count"] == 1)
    assert [p["name"] for p in here["people"]] == ["Bob"]


async def test_two_tabs_of_a_person_are_one_person(connect: Connect, stream: str, bob: User, vera: User) -> None:
    first, second, other = await connect(bob), await connect(bob), await connect(vera)
    for tab in (first, second, other):
        await tab.hello(stream)
    assert len((await other.state("presence", lambda s: s["count"] == 2))["people"]) == 2


async def test_a_cursor_reaches_who_looks_at_the_same_picture_and_only_its_last_place(
    connect: Connect, stream: str, bob: User, vera: User, rita: User
) -> None:
    one, same, other = await connect(bob), await connect(vera), await connect(rita)
    await one.hello(stream, pages=("variation:7",))
    await same.hello(stream, pages=("variation:7",))
    await other.hello(stream, pages=("variation:8",))
    for tab in (one, same, other):
        await tab.message("welcome")
    for n in range(40):
        await one.say(type="say", stream=stream, page="variation:7", name="cursor", data={"x": n})
    places = [await same.state("say")]
    while places[-1]["data"]["x"] != 39:
        places.append(await same.state("say"))
    assert len(places) < 10
    assert places[-1]["from"]["name"] == "Bob"
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(other.state("say"), 0.5)
