"""The socket of one open page: `wss://<host>/live/`.

Every message is a JSON object with `type`. From the page:

    hello      {streams: {stream: last number or null}, pages, tab, attention}
               first, and whenever it may have missed something
    pages      {pages}                       what it shows now
    attention  {attention}                   {page, tab, image, editing, url, following, presenting, idle}
    say        {stream, page, name, key, data}   to who shows the same page; never kept
    beat       {count}                       the answer to a beat: durable frames received so far
    confirm    {count}                       the same, in between

To the page: welcome, events, states ([presence | say | swap]), beat (heads of its streams), rights (what the reader
may do has changed), resync (say hello again), reset (load the page anew: too much was missed).

Closed with 1008: it said what no page says, or too much; 1009: too long a message; 1013: it takes nothing in; 4401:
nobody is signed in; 4403: the person may not see this (any more).
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http.request import split_domain_port, validate_host

from collaboration.live import reading
from collaboration.live.fragments import Rendered
from collaboration.live.hub import Hub, Room, TooMany, frame_of
from collaboration.live.outbox import Outbox
from collaboration.models import Event, Stream, User

log = logging.getLogger(__name__)

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

LONGEST_MESSAGE = 64 * 1024
LONGEST_SAYING = 8 * 1024
MOST_STREAMS, MOST_PAGES = 4, 40
PER_SECOND, BURST = 60.0, 300.0
"""Messages a page may send: so many a second, and so many at once."""

_STREAM = re.compile(r"(project:[0-9a-f-]{36}|person:\d{1,18})", re.ASCII)
_PAGE = re.compile(r"[a-z_]+:[0-9A-Za-z:_.-]{1,90}", re.ASCII)
_TAB = re.compile(r"[0-9A-Za-z-]{1,40}", re.ASCII)
_NAME = re.compile(r"[a-z][a-z._-]{0,30}", re.ASCII)
_PATH = re.compile(r"/projects/[0-9A-Za-z/_.~?=&%+-]*", re.ASCII)


class Refused(Exception):
    """The socket is closed with this code."""

    def __init__(self, code: int) -> None:
        self.code = code


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """The ASGI application of one connection."""
    await receive()  # websocket.connect
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    if not is_own_origin(headers):
        await send({"type": "websocket.close", "code": 4403})
        return
    hub = Hub.here()
    try:
        user = await hub.db(reading.person_of, headers.get("cookie", ""))
    except Exception:
        log.exception("Nobody could be signed in to the live hub")
        await send({"type": "websocket.close", "code": 1011})
        return
    await send({"type": "websocket.accept"})
    if user is None:
        await send({"type": "websocket.close", "code": 4401})
        return
    socket = Socket(hub, user, send)
    await socket.run(receive)


def is_own_origin(headers: Mapping[str, str]) -> bool:
    """Whether the page that opens the socket is one of this studio: browsers send cookies along from any page."""
    host, origin = headers.get("host", ""), headers.get("origin", "")
    domain, _ = split_domain_port(host)
    if not domain or not validate_host(domain, settings.ALLOWED_HOSTS):
        return False
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


class Socket:
    def __init__(self, hub: Hub, user: User, send: Send) -> None:
        self.hub = hub
        self.user_id = user.pk
        self.person = {"user": user.pk, "name": user.display_name, "initials": user.initials, "hue": user.hue}
        self.pages: frozenset[str] = frozenset()
        self.rights: dict[str, reading.Rights] = {}
        self.rooms: dict[str, Room] = {}
        self.seqs: dict[str, int] = {}
        """Stream -> number of the last event that was put in the outbox."""
        self.held: dict[str, list[tuple[Sequence[Event], str, Rendered]]] = {}
        """What came while the socket was still catching up."""
        self.member_id = ""
        self.attention: dict[str, Any] = {}
        self.heard_at = self.beaten_at = hub.loop.time()
        self.outbox = Outbox(lambda text: send({"type": "websocket.send", "text": text}))
        self._send = send
        self._ending: asyncio.Future[int] = hub.loop.create_future()
        self._allowance = BURST

    # ------------------------------------------------------------------------------------------------- the course
    async def run(self, receive: Receive) -> None:
        self.hub.sockets.add(self)
        pump = self.hub.spawn(self.outbox.pump())
        hearing = self.hub.spawn(self._hear(receive))
        try:
            await asyncio.wait([hearing, self._ending, pump], return_when=asyncio.FIRST_COMPLETED)
            code = self._ending.result() if self._ending.done() else hearing.result() if hearing.done() else 1011
            if code:
                await self._send({"type": "websocket.close", "code": code})
        finally:
            self.hub.sockets.discard(self)
            for task in (pump, hearing):
                task.cancel()
            self.outbox.close()
            for stream in tuple(self.rooms):
                self.hub.leave(stream, self)

    def end(self, code: int) -> None:
        if not self._ending.done():
            self._ending.set_result(code)

    async def _hear(self, receive: Receive) -> int:
        """Returns the code to close with; 0 when the page has closed."""
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return 0
            try:
                await self._on_text(message.get("text"))
            except Refused as refused:
                return refused.code
            except Exception:
                log.exception("The live hub could not answer a page")
                return 1011

    async def _on_text(self, text: str | None) -> None:
        now = self.hub.loop.time()
        self._allowance = min(BURST, self._allowance + (now - self.heard_at) * PER_SECOND) - 1
        self.heard_at = now
        if self._allowance < 0 or text is None:
            raise Refused(1008)
        if len(text) > LONGEST_MESSAGE:
            raise Refused(1009)
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            raise Refused(1008) from None
        answer = self._ANSWERS.get(str(message.get("type"))) if isinstance(message, dict) else None
        if answer is None:
            raise Refused(1008)
        try:
            await answer(self, message)
        except (KeyError, TypeError, ValueError, AttributeError):
            log.info("A page said what none says: %.200r", text)
            raise Refused(1008) from None

    # ----------------------------------------------------------------------------------------------- what it says
    async def _on_hello(self, message: dict[str, Any]) -> None:
        streams = message["streams"]
        if not isinstance(streams, dict) or len(streams) > MOST_STREAMS:
            raise Refused(1008)
        wanted = {_matching(_STREAM, s): None if seq is None else _whole(seq) for s, seq in streams.items()}
        self.pages = _pages(message["pages"])
        self.member_id = f"{self.user_id}.{_matching(_TAB, message['tab'])}"
        self.attention = attention_of(message.get("attention") or {})
        self.outbox.recover()
        heads = {}
        for stream, seq in wanted.items():
            heads[stream] = await self._join(stream, seq)
        for stream in self.rooms.keys() - wanted.keys():
            self.hub.leave(stream, self)
            del self.rooms[stream]

    async def _join(self, stream: str, seq: int | None) -> int:
        rights = await self.hub.db(reading.rights_of, self.user_id, stream)
        if rights is None:
            raise Refused(4403)
        self.rights[stream] = rights
        self.held[stream] = []
        try:
            room = self.rooms[stream] = await self.hub.enter(stream, self)
            # Once more, now that the room would tell of any change: what was missed goes by the rights of this moment.
            rights = await self.hub.db(reading.rights_of, self.user_id, stream)
            if rights is None:
                raise Refused(4403)
            self.rights[stream] = rights
            self.held[stream] = []
            start = room.head
            self.outbox.control({"type": "welcome", "stream": stream, "head": start, "id": self.member_id})
            await self._catch_up(room, start if seq is None else seq, start)
        finally:
            held = self.held.pop(stream, [])
        for rows, frame, ready in held:
            self._put(stream, rows, frame, ready)
        self._tell_attention(room)
        return start

    async def _catch_up(self, room: Room, seq: int, start: int) -> None:
        self.seqs[room.stream] = seq
        if seq > start:
            # It has seen more than this process: either the process will see it in a moment, or the log is another one.
            head = (await self.hub.db(reading.heads_of, [room.stream]))[room.stream]
            if seq > head:
                self.seqs[room.stream] = head
                self.outbox.control({"type": "reset", "stream": room.stream, "head": head})
            return
        if seq == start:
            return
        try:
            frames = await self.hub.replay(room, seq, start, self)
        except TooMany:
            frames = []
            self.outbox.control({"type": "reset", "stream": room.stream, "head": start})
        for _, frame in frames:
            self.outbox.put(frame)
        self.seqs[room.stream] = start

    async def _on_pages(self, message: dict[str, Any]) -> None:
        self.pages = _pages(message["pages"])

    async def _on_attention(self, message: dict[str, Any]) -> None:
        self.attention = attention_of(message["attention"])
        for room in self.rooms.values():
            self._tell_attention(room)

    async def _on_say(self, message: dict[str, Any]) -> None:
        stream, page = _matching(_STREAM, message["stream"]), _matching(_PAGE, message["page"])
        if stream not in self.rooms:
            raise Refused(4403)
        if page not in self.pages and page != stream:
            raise Refused(1008)
        data = message.get("data")
        if len(json.dumps(data)) > LONGEST_SAYING:
            raise Refused(1009)
        said = {
            "from": {"id": self.member_id, **self.person},
            "stream": stream,
            "page": page,
            "name": _matching(_NAME, message["name"]),
            "key": str(message.get("key", ""))[:80],
            "data": data,
        }
        self.hub.say(self.rooms[stream], said, besides=self, is_local=True)

    async def _on_beat(self, message: dict[str, Any]) -> None:
        self.outbox.confirm(_whole(message["count"]))
        for room in self.rooms.values():
            room.presence.beat(self.member_id, self.heard_at)

    async def _on_confirm(self, message: dict[str, Any]) -> None:
        self.outbox.confirm(_whole(message["count"]))

    _ANSWERS: Mapping[Any, Callable[[Socket, dict[str, Any]], Awaitable[None]]] = {
        "hello": _on_hello,
        "pages": _on_pages,
        "attention": _on_attention,
        "say": _on_say,
        "beat": _on_beat,
        "confirm": _on_confirm,
    }

    # --------------------------------------------------------------------------------------------- what it is told
    def deliver(self, stream: str, rows: Sequence[Event], frame: str, ready: Rendered) -> None:
        """Events of a stream that it follows; `frame` carries all of `rows`, as this socket is to see them."""
        if (held := self.held.get(stream)) is not None:
            held.append((rows, frame, ready))
        else:
            self._put(stream, rows, frame, ready)

    def _put(self, stream: str, rows: Sequence[Event], frame: str, ready: Rendered) -> None:
        seen = self.seqs[stream]
        if rows[-1].seq <= seen:
            return
        if rows[0].seq <= seen:
            frame = frame_of(stream, [row for row in rows if row.seq > seen], ready, self.pages)
        self.outbox.put(frame)
        self.seqs[stream] = rows[-1].seq

    def on_rights(self, stream: str, rights: reading.Rights | None) -> None:
        if rights is None:
            self.end(4403)
            self.hub.leave(stream, self)
            self.rooms.pop(stream, None)
        elif rights != self.rights.get(stream):
            self.rights[stream] = rights
            self.outbox.control({"type": "rights", "stream": stream})

    def beat(self, now: float) -> None:
        self.beaten_at = now
        # A beat overtakes events that wait: it may only speak of those that have gone.
        heads = {} if self.held or self.outbox.is_behind else {s: self.seqs[s] for s in self.rooms}
        self.outbox.control({"type": "beat", "heads": heads, "sent": self.outbox.sent})

    def _tell_attention(self, room: Room) -> None:
        if room.stream.startswith(Stream.PROJECT):
            data = {"id": self.member_id, **self.person, **self.attention}
            self.hub.on_attention(room, data, is_local=True)


def _matching(pattern: re.Pattern[str], text: Any) -> str:
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise ValueError(text)
    return text


def _whole(number: Any) -> int:
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**62:
        raise ValueError(number)
    return number


def _pages(pages: Any) -> frozenset[str]:
    if not isinstance(pages, list) or len(pages) > MOST_PAGES:
        raise ValueError(pages)
    return frozenset(_matching(_PAGE, page) for page in pages)


def attention_of(said: Any) -> dict[str, Any]:
    """Where somebody's attention is, with nothing in it that a page would not say."""
    if not isinstance(said, dict):
        raise TypeError(said)
    found: dict[str, Any] = {}
    for key, longest in (("page", 400), ("tab", 120), ("image", 100), ("editing", 120)):
        value = said.get(key) or ""
        if not isinstance(value, str) or len(value) > longest:
            raise ValueError(value)
        found[key] = value
    url = said.get("url") or ""
    found["url"] = url if isinstance(url, str) and len(url) <= 500 and _PATH.fullmatch(url) else ""
    found["following"] = _whole(said.get("following") or 0)
    found["presenting"], found["idle"] = said.get("presenting") is True, said.get("idle") is True
    return found
