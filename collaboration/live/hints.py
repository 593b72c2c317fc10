"""Hints: "this stream has reached number n". They carry no truth: one that is lost costs time, never data."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from channels.layers import get_channel_layer
from django.conf import settings
from django.db import transaction

log = logging.getLogger(__name__)

listeners: set[Callable[[str, int], None]] = set()
"""The hubs of this process; called with (stream, head) from any thread."""


_written: ContextVar[dict[str, int] | None] = ContextVar("written", default=None)


@contextmanager
def collected() -> Iterator[dict[str, int]]:
    """Stream -> number of the last event that is written meanwhile."""
    found: dict[str, int] = {}
    token = _written.set(found)
    try:
        yield found
    finally:
        _written.reset(token)


def group_of(stream: str) -> str:
    """Name of the channel layer's group of a stream: `project:<id>` -> `live.project.<id>`."""
    return "live." + stream.replace(":", ".")


def announce_on_commit(kind: str, key: str, head: int) -> None:
    """Wake whoever shows this stream, once its events are there to be read."""
    transaction.on_commit(lambda: announce(f"{kind}:{key}", head))


def announce(stream: str, head: int) -> None:
    if (written := _written.get()) is not None:
        written[stream] = max(head, written.get(stream, 0))
    for listener in tuple(listeners):
        listener(stream, head)
    if settings.REDIS_URL:
        _publisher().put(stream, head)


class _Publisher:
    """Sends hints from a thread of its own with one event loop and one connection: a request never waits for Redis."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.waiting: dict[str, int] = {}
        self.loop = asyncio.new_event_loop()
        self.is_sending = False
        self.lock = threading.Lock()
        threading.Thread(target=self.loop.run_forever, name="live-hints", daemon=True).start()

    def put(self, stream: str, head: int) -> None:
        with self.lock:
            self.waiting[stream] = max(head, self.waiting.get(stream, 0))
            if self.is_sending:
                return
            self.is_sending = True
        asyncio.run_coroutine_threadsafe(self._send(), self.loop)

    async def _send(self) -> None:
        layer = get_channel_layer()
        while True:
            with self.lock:
                taken, self.waiting = self.waiting, {}
                if not taken:
                    self.is_sending = False
                    return
            for stream, head in taken.items():
                try:
                    message = {"type": "hint", "stream": stream, "head": head}
                    await asyncio.wait_for(layer.group_send(group_of(stream), message), 5)
                except Exception as error:
                    # Redis is away: the hubs find the event when they look at the heads.
                    log.info("A hint for %s was lost: %s", stream, error)


_current: _Publisher | None = None
_lock = threading.Lock()


def _publisher() -> _Publisher:
    global _current
    with _lock:
        # After a fork the thread of the parent is not there.
        if _current is None or _current.pid != os.getpid():
            _current = _Publisher()
        return _current
