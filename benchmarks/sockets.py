"""A page of the studio without its browser: speaks the live protocol over a plain WebSocket, and counts what it hears.

What static/js/live.js does, this does: say hello with the last number, confirm, answer beats, come back with jitter,
and ask again where a number is missing. One process carries hundreds.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import struct
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


class Closed(Exception):
    """The connection has ended, with this code (1006: without one; 403: refused before it began)."""

    def __init__(self, code: int) -> None:
        super().__init__(f"closed with {code}")
        self.code = code


class WebSocket:
    """RFC 6455, as much of it as a text protocol needs."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(
        cls, port: int, *, cookie: str = "", origin: str | None = None, path: str = "/live/"
    ) -> WebSocket:
        """To 127.0.0.1. Raises Closed where the server refuses, OSError where there is none."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**25)
        origin = f"http://127.0.0.1:{port}" if origin is None else origin
        lines = [
            "GET /live/ HTTP/1.1",
            f"Host: 127.0.0.1:{port}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
            *([f"Origin: {origin}"] if origin else []),
            *([f"Cookie: {cookie}"] if cookie else []),
        ]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            raise Closed(1006) from None
        status = int(head.split()[1])
        if status != 101:
            writer.close()
            raise Closed(status)
        return cls(reader, writer)

    def send(self, text: str, *, opcode: int = TEXT) -> None:
        data = text.encode()
        size = len(data)
        if size < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
        elif size < 2**16:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
        # The mask protects proxies from pages; one of zeros leaves the bytes as they are.
        self.writer.write(head + bytes(4) + data)

    async def receive(self) -> str:
        """The next text. Raises Closed."""
        try:
            while True:
                first, second = await self.reader.readexactly(2)
                size = second & 0x7F
                if size == 126:
                    (size,) = struct.unpack("!H", await self.reader.readexactly(2))
                elif size == 127:
                    (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
                data = await self.reader.readexactly(size)
                opcode = first & 0x0F
                if opcode == TEXT:
                    return data.decode()
                if opcode == PING:
                    self.send(data.decode("latin-1"), opcode=PONG)
                if opcode == CLOSE:
                    code = struct.unpack("!H", data[:2])[0] if size >= 2 else 1005
                    self.writer.close()
                    raise Closed(code)
        except (asyncio.IncompleteReadError, OSError):
            self.writer.close()
            raise Closed(1006) from None

    async def said(self, kind: str) -> dict[str, Any]:
        """The next message of a type; others are passed over."""
        while True:
            message: dict[str, Any] = json.loads(await self.receive())
            if message["type"] == kind:
                return message

    def say(self, **message: Any) -> None:
        self.send(json.dumps(message))

    def close(self) -> None:
        self.writer.close()


class Page:
    """One open page that stays open: `events` is everything it was told, once each, in order."""

    def __init__(
        self,
        port: Callable[[], int],
        *,
        cookie: str,
        stream: str,
        pages: Sequence[str] = (),
        tab: str = "",
        on_event: Callable[[dict[str, Any], float], None] | None = None,
    ) -> None:
        self.port, self.cookie, self.stream, self.pages = port, cookie, stream, [*pages, stream]
        self.tab = tab or os.urandom(6).hex()
        self.on_event = on_event
        self.seq: int | None = None
        self.events: list[int] = []
        self.gaps = self.duplicates = self.resets = self.resyncs = self.connections = 0
        self.received = 0
        self.socket: WebSocket | None = None
        self.ready = asyncio.Event()
        self.code = 0

    async def run(self) -> None:
        """Until cancelled, or cut off for good (4401, 4403)."""
        tries = 0
        while True:
            try:
                self.socket = await WebSocket.connect(self.port(), cookie=self.cookie)
                self.connections += 1
                self.received = 0
                self.hello()
                while True:
                    self.take(json.loads(await self.socket.receive()))
                    tries = 0
            except Closed as closed:
                self.code = closed.code
                if closed.code in (4401, 4403):
                    return
            except OSError:
                pass
            finally:
                self.ready.clear()
                if self.socket is not None:
                    self.socket.close()
            await asyncio.sleep(random.random() * min(20, 0.5 * 2**tries))
            tries += 1

    def hello(self) -> None:
        assert self.socket is not None
        self.socket.say(type="hello", streams={self.stream: self.seq}, pages=self.pages, tab=self.tab, attention={})

    def take(self, message: dict[str, Any]) -> None:
        assert self.socket is not None
        match message["type"]:
            case "welcome":
                if self.seq is None:
                    self.seq = message["head"]
                self.ready.set()
            case "events":
                self.received += 1
                if self.received % 32 == 0:
                    self.socket.say(type="confirm", count=self.received)
                self._take_events(message["events"], time.time())
            case "beat":
                self.socket.say(type="beat", count=self.received)
                head = message["heads"].get(self.stream)
                if head is not None and self.seq is not None and head > self.seq:
                    self.gaps += 1
                    self.hello()
            case "resync":
                self.resyncs += 1
                self.hello()
            case "reset":
                self.resets += 1
                self.seq = message["head"]

    def _take_events(self, events: Sequence[dict[str, Any]], now: float) -> None:
        for event in events:
            if self.seq is not None and event["seq"] <= self.seq:
                self.duplicates += 1
                continue
            if self.seq is not None and event["seq"] != self.seq + 1:
                self.gaps += 1
                return self.hello()
            self.seq = event["seq"]
            self.events.append(event["seq"])
            if self.on_event is not None:
                self.on_event(event, now)
        return None


# --------------------------------------------------------------------------------------------- as a process of its own
async def _crowd() -> None:
    """Reads a line of JSON, {port_file, pages: [{cookie, stream, pages}]}, opens them all, and then answers each line:

    status   {ready, lowest}: pages that are connected, and the lowest number that any has seen, by stream
    report   {pages: [{stream, seqs, gaps, duplicates, ...}], heard: [[stream, seq, moments]]}, and ends
    """
    loop = asyncio.get_running_loop()
    plan = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
    heard: dict[tuple[str, int], list[float]] = {}

    def listen(stream: str) -> Callable[[dict[str, Any], float], None]:
        return lambda event, now: heard.setdefault((stream, event["seq"]), []).append(now)

    ports: list[int] = plan["ports"]
    pages = [
        Page(
            lambda k=k: ports[k % len(ports)],  # type: ignore[misc]
            cookie=one["cookie"],
            stream=one["stream"],
            pages=one["pages"],
            on_event=listen(one["stream"]),
        )
        for k, one in enumerate(plan["pages"])
    ]
    tasks = []
    for page in pages:
        tasks.append(asyncio.create_task(page.run()))
        await asyncio.sleep(plan.get("pause", 0.01))
    while command := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        if command == "status":
            lowest: dict[str, int] = {}
            for page in pages:
                lowest[page.stream] = min(lowest.get(page.stream, 2**62), -1 if page.seq is None else page.seq)
            print(json.dumps({"ready": sum(p.ready.is_set() for p in pages), "lowest": lowest}), flush=True)
        if command == "report":
            break
    told = ("stream", "gaps", "duplicates", "resets", "resyncs", "connections", "code")
    answer = {
        "pages": [{name: getattr(page, name) for name in told} | {"seqs": page.events} for page in pages],
        "heard": [[stream, seq, moments] for (stream, seq), moments in heard.items()],
    }
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(_crowd())
