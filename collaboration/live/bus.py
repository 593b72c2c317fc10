"""From process to process over the channel layer, where there is Redis. What it carries may be lost."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from channels.layers import get_channel_layer
from django.conf import settings

from collaboration.live.hints import group_of

if TYPE_CHECKING:
    from collaboration.live.hub import Hub

log = logging.getLogger(__name__)

PING_SECONDS = 5.0
LONGEST = 1_000
"""Messages that wait for Redis at most; the oldest go first."""


class Bus:
    """One channel for the process, in the group of every stream that it shows.

    The layer says nothing when Redis has dropped the subscriber (channels_redis issue 406), so the bus sends itself
    messages, and subscribes anew when they do not arrive.
    """

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.is_on = bool(settings.REDIS_URL)
        self.streams: set[str] = set()
        self.channel = ""
        self.queue: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue(LONGEST)
        self.heard_at = 0.0
        self.starting: asyncio.Task[None] | None = None
        self.listener: asyncio.Task[None] | None = None

    @property
    def own_group(self) -> str:
        return f"live.process.{self.hub.process}"

    async def join(self, stream: str) -> None:
        if not self.is_on:
            return
        self.streams.add(stream)
        if self.starting is None:
            self.starting = self.hub.spawn(self._run())
            self.hub.spawn(self._send_all())
        elif self.channel:
            await self._quietly(get_channel_layer().group_add(group_of(stream), self.channel))

    async def part(self, stream: str) -> None:
        if self.is_on and stream in self.streams and stream not in self.hub.rooms:
            self.streams.discard(stream)
            if self.channel:
                await self._quietly(get_channel_layer().group_discard(group_of(stream), self.channel))

    def send(self, stream: str, message: dict[str, Any]) -> None:
        if not self.is_on:
            return
        if self.queue.full():
            self.queue.get_nowait()
        self.queue.put_nowait((group_of(stream), message | {"stream": stream, "process": self.hub.process}))

    async def close(self) -> None:
        if self.is_on:
            if self.listener is not None:
                self.listener.cancel()
            await self._quietly(get_channel_layer().flush())

    async def _send_all(self) -> None:
        while True:
            group, message = await self.queue.get()
            await self._quietly(get_channel_layer().group_send(group, message))

    async def _run(self) -> None:
        """Subscribe, and again whenever the subscription has died."""
        while True:
            try:
                await asyncio.wait_for(self._subscribe(), 10)
                while self.hub.loop.time() - self.heard_at < 2.5 * PING_SECONDS:
                    await asyncio.sleep(PING_SECONDS)
                    await get_channel_layer().group_send(self.own_group, {"type": "ping"})
            except Exception as error:
                log.info("The live bus has lost Redis: %s", error)
            await self._unsubscribe()
            await asyncio.sleep(1)

    async def _subscribe(self) -> None:
        layer = get_channel_layer()
        self.channel = await layer.new_channel("live.")
        for group in (self.own_group, *(group_of(s) for s in tuple(self.streams))):
            await layer.group_add(group, self.channel)
        self.heard_at = self.hub.loop.time()
        self.listener = self.hub.spawn(self._listen(self.channel))

    async def _unsubscribe(self) -> None:
        self.channel = ""
        if self.listener is not None:
            self.listener.cancel()
            await asyncio.gather(self.listener, return_exceptions=True)
            self.listener = None
        await self._quietly(get_channel_layer().flush())

    async def _listen(self, channel: str) -> None:
        layer = get_channel_layer()
        while True:
            message = await layer.receive(channel)
            self.heard_at = self.hub.loop.time()
            if message["type"] == "hint":
                self.hub.on_head(message["stream"], message["head"])
            elif message["type"] != "ping" and message["process"] != self.hub.process:
                self.hub.on_bus(message["stream"], message)

    async def _quietly(self, work: Any) -> None:
        try:
            await asyncio.wait_for(work, 5)
        except Exception as error:
            log.info("The live bus could not reach Redis: %s", error)
