"""Open pages without browsers, over the real application, hub and database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.test import Client

from collaboration import events
from collaboration.live.hub import Hub
from collaboration.models import Project, Stream, User
from config.asgi import application

SECONDS = 10


class Tab:
    """One open page of one person: speaks the protocol of `collaboration.live.socket`."""

    def __init__(self, raw: WebsocketCommunicator, name: str) -> None:
        self.raw, self.name = raw, name
        self.waiting: list[dict[str, Any]] = []
        self.sent = 0

    async def say(self, **message: Any) -> None:
        await self.raw.send_to(text_data=json.dumps(message))

    async def hello(self, *streams: str, seq: int | None = None, pages: tuple[str, ...] = (), **more: Any) -> None:
        shown = [*pages, *streams]
        await self.say(
            **{"type": "hello", "streams": dict.fromkeys(streams, seq), "pages": shown, "tab": self.name} | more
        )

    async def message(self, kind: str, seconds: float = SECONDS) -> dict[str, Any]:
        """The next message of this type; the others are passed over, except that beats are answered."""
        async with asyncio.timeout(seconds):
            while True:
                output = await self.raw.receive_output(timeout=seconds)
                assert output["type"] == "websocket.send", output
                message: dict[str, Any] = json.loads(output["text"])
                if message["type"] == kind:
                    return message

    async def events(self, count: int) -> list[dict[str, Any]]:
        """The next `count` events, however they are framed."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            found += (await self.message("events"))["events"]
        assert len(found) == count, [e["seq"] for e in found]
        return found

    async def state(self, kind: str, fits: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        async with asyncio.timeout(SECONDS):
            while True:
                for state in (await self.message("states"))["states"]:
                    if state["type"] == kind and fits(state):
                        return state

    async def code(self, seconds: float = SECONDS) -> int:
        """With which code the server closes; what it still sends before is passed over."""
        async with asyncio.timeout(seconds):
            while True:
                output = await self.raw.receive_output(timeout=seconds)
                if output["type"] == "websocket.close":
                    return int(output["code"])

    async def no_event(self, seconds: float = 0.5) -> bool:
        try:
            await self.message("events", seconds)
        except TimeoutError:
            return True
        return False


@pytest.fixture
async def hub(transactional_db: None) -> AsyncIterator[Hub]:
    hub = Hub.here()
    yield hub
    await hub.close()


def _cookie(user: User) -> str:
    client = Client()
    client.force_login(user)
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


Connect = Callable[..., Any]


@pytest.fixture
async def connect(hub: Hub) -> AsyncIterator[Connect]:
    """`tab = await connect(bob)`: an accepted socket; further arguments replace headers."""
    opened: list[WebsocketCommunicator] = []

    async def open_one(user: User | None, **headers: str) -> Tab:
        cookie = await sync_to_async(_cookie)(user) if user else ""
        given = {"host": "testserver", "origin": "http://testserver", "cookie": cookie} | headers
        pairs = [(name.encode(), value.encode()) for name, value in given.items() if value]
        raw = WebsocketCommunicator(application, "/live/", headers=pairs)
        accepted, code = await raw.connect(timeout=SECONDS)
        if not accepted:
            raise ConnectionRefusedError(code)
        opened.append(raw)
        return Tab(raw, f"tab-{len(opened)}")

    yield open_one
    for raw in opened:
        await raw.disconnect(timeout=SECONDS)


@pytest.fixture
def stream(project: Project) -> str:
    return f"project:{project.pk}"


@pytest.fixture
def head(stream: str) -> Callable[[], Awaitable[int]]:
    def read() -> int:
        return Stream.objects.get(key=stream.partition(":")[2]).head

    return sync_to_async(read)


Write = Callable[..., Awaitable[Any]]


@pytest.fixture
def write(project: Project, alice: User) -> Write:
    """`await write("one", "two")`: one event each, in one transaction; the words are their tokens."""
    from django.db import transaction

    def record(*words: str) -> list[int]:
        with transaction.atomic():
            happenings = [events.ProjectChanged(project_id=project.pk, name=w, fields=[w]) for w in words]
            return [row.seq for row in events.record_all(project, happenings, actor=alice)]

    return sync_to_async(record)
