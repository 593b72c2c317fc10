"""Whoever means harm, or has lost their place here, gets nothing and hinders nobody."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from collaboration import actions
from collaboration.models import Project, Studio, User
from tests.live.conftest import Connect, Write

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://testserver.evil.example"},
        {"origin": "http://testserver:8080"},
        {"origin": "null"},
        {"origin": ""},
        {"host": "evil.example", "origin": "http://evil.example"},
    ],
)
async def test_a_foreign_page_cannot_open_a_socket(connect: Connect, bob: User, headers: dict[str, str]) -> None:
    with pytest.raises(ConnectionRefusedError):
        await connect(bob, **headers)


async def test_nobody_signed_in_is_told_so(connect: Connect) -> None:
    assert await (await connect(None)).code() == 4401


async def test_a_stranger_hears_nothing_and_cannot_tell_whether_it_exists(
    connect: Connect, stream: str, charlie: User
) -> None:
    for wanted in (stream, "project:00000000-0000-4000-8000-000000000000"):
        tab = await connect(charlie)
        await tab.hello(wanted, seq=0)
        assert await tab.code() == 4403


async def test_another_persons_stream_is_closed(connect: Connect, alice: User, bob: User) -> None:
    tab = await connect(bob)
    await tab.hello(f"person:{alice.pk}", seq=0)
    assert await tab.code() == 4403


@pytest.fixture
def foreign(charlie: User) -> Project:
    """A project of a stranger."""
    studio: Studio = actions.create_studio(name="Elsewhere", admin=charlie)
    return actions.create_project(studio=studio, name="Secret", actor=charlie)


async def test_a_foreign_project_is_refused_in_every_command(
    connect: Connect, stream: str, bob: User, foreign: Project
) -> None:
    theirs = f"project:{foreign.pk}"
    commands: list[dict[str, Any]] = [
        {"type": "hello", "streams": {theirs: None}, "pages": [], "tab": "x"},
        {"type": "hello", "streams": {stream: None, theirs: 0}, "pages": [], "tab": "x"},
        {"type": "say", "stream": theirs, "page": theirs, "name": "cursor", "data": {}},
    ]
    for command in commands:
        tab = await connect(bob)
        await tab.hello(stream)
        await tab.message("welcome")
        await tab.say(**command)
        assert await tab.code() == 4403


async def test_pages_of_a_foreign_project_bring_nothing(
    connect: Connect, stream: str, bob: User, charlie: User, foreign: Project
) -> None:
    from characters import actions as characters

    tab = await connect(bob)
    await tab.hello(stream, pages=(f"project:{foreign.pk}:gallery", f"project:{foreign.pk}"))
    await tab.message("welcome")
    await sync_to_async(characters.create_character)(project=foreign, actor=charlie, name="Nobody's business")
    assert await tab.no_event(0.7)


async def test_a_removed_member_is_cut_off_within_a_second_and_gets_no_replay(
    connect: Connect, project: Project, stream: str, alice: User, bob: User, write: Write, head: Any
) -> None:
    tab, owner = await connect(bob), await connect(alice)
    for one in (tab, owner):
        await one.hello(stream)
        await one.message("welcome")
    seq = await head()
    began = time.monotonic()
    await sync_to_async(actions.remove_member)(project=project, user=bob, actor=alice)
    removed = time.monotonic()
    heard = []
    while (output := await tab.raw.receive_output(timeout=5))["type"] == "websocket.send":
        heard.append(json.loads(output["text"])["type"])
    assert output["code"] == 4403
    assert time.monotonic() - removed < 1, f"removing took {removed - began:.1f} s"
    assert "events" not in heard
    await write("after")
    again = await connect(bob)
    await again.hello(stream, seq=seq - 1)
    assert await again.code() == 4403
    assert [e["kind"] for e in await owner.events(2)] == ["member.left", "project.changed"]


async def test_a_deactivated_person_is_cut_off(
    connect: Connect, stream: str, bob: User, hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tab = await connect(bob)
    await tab.hello(stream)
    await tab.message("welcome")
    bob.is_active = False
    await sync_to_async(bob.save)(update_fields=["is_active"])
    await hub.recheck(hub.rooms[stream])
    assert await tab.code() == 4403


# --------------------------------------------------------------------------------------------------------- too much
async def test_ten_thousand_messages_close_their_sender_and_hinder_nobody(
    connect: Connect, stream: str, bob: User, vera: User, write: Write
) -> None:
    attacker, other = await connect(bob), await connect(vera)
    for tab in (attacker, other):
        await tab.hello(stream)
        await tab.message("welcome")
    for n in range(10_000):
        await attacker.say(type="say", stream=stream, page=stream, name="cursor", key=str(n), data={"x": n})
    assert await attacker.code() == 1008
    began = time.monotonic()
    await write("still")
    await other.events(1)
    assert time.monotonic() - began < 3


async def test_a_message_of_ten_megabytes_is_refused(connect: Connect, stream: str, bob: User) -> None:
    tab = await connect(bob)
    await tab.hello(stream)
    await tab.message("welcome")
    await tab.raw.send_to(text_data=json.dumps({"type": "say", "data": "x" * 10_000_000}))
    assert await tab.code() == 1009


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "[]",
        "{",
        "[" * 60_000,
        '{"type": "nothing"}',
        '{"type": ["hello"]}',
        '{"type": "hello"}',
        '{"type": "hello", "streams": {"project:1": -1}, "pages": [], "tab": "x"}',
        '{"type": "hello", "streams": {"studio:x": null}, "pages": [], "tab": "x"}',
        '{"type": "hello", "streams": {}, "pages": ["<script>"], "tab": "x"}',
        '{"type": "hello", "streams": {}, "pages": [], "tab": "<script>"}',
        '{"type": "hello", "streams": {}, "pages": [], "tab": "x", "attention": {"following": "me"}}',
        '{"type": "attention", "attention": {"tab": 7}}',
        '{"type": "confirm", "count": true}',
        '{"type": "beat", "count": 1e99}',
    ],
)
async def test_what_no_page_says_closes_the_socket(connect: Connect, bob: User, text: str) -> None:
    tab = await connect(bob)
    await tab.raw.send_to(text_data=text)
    assert await tab.code() == 1008


async def test_bytes_are_refused(connect: Connect, bob: User) -> None:
    tab = await connect(bob)
    await tab.raw.send_to(bytes_data=b"\0" * 10)
    assert await tab.code() == 1008


async def test_an_address_outside_the_studio_is_not_passed_on_to_followers(
    connect: Connect, stream: str, bob: User, vera: User
) -> None:
    driver, follower = await connect(bob), await connect(vera)
    for url in ("https://evil.example/", "//evil.example", "javascript:alert(1)", "/accounts/logout/"):
        await driver.hello(stream, attention={"url": url, "tab": url})
        await follower.hello(stream)
        here = await follower.state(
            "presence", lambda s, url=url: any(p["user"] == bob.pk and p["tab"] == url for p in s["people"])
        )
        assert next(p for p in here["people"] if p["user"] == bob.pk)["url"] == ""
    await asyncio.sleep(0)
