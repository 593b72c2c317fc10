"""The hub: one for each process, with a room for each stream that somebody shows.

A room wakes on a hint, or when the head of its stream is looked at, reads the new events once, renders each fragment
once for each audience, and hands the frames to its sockets. The event table is the truth: whatever is lost on the way,
the next look at the head finds it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import Callable, Collection, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import close_old_connections

from collaboration.live import fragments, hints, reading
from collaboration.live.bus import Bus
from collaboration.live.presence import Presence
from collaboration.models import Event, Stream
from collaboration.wired import entries

if TYPE_CHECKING:
    from collaboration.live.socket import Socket

log = logging.getLogger(__name__)
T = TypeVar("T")

READ_AT_ONCE = 200
REPLAYED = 2_000
"""Events a page may have missed at most; one that missed more is loaded anew."""
STATE_SECONDS = 0.5
RECHECK_SECONDS = 15.0
BEAT_SECONDS = 8.0
SILENT_SECONDS = 75.0
"""A page that has said nothing for so long, though every beat asks it to, is cut off."""
STALLED_SECONDS = 20.0
_CHANGES_RIGHTS = frozenset({"member.left", "member.role_changed", "member.joined"})


class Room:
    """One stream, and the sockets that follow it."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.sockets: set[Socket] = set()
        self.head = 0
        """Number of the last event that was handed to the sockets."""
        self.wake = asyncio.Event()
        self.opening: asyncio.Task[None] | None = None
        self.task: asyncio.Task[None] | None = None
        self.presence = Presence()
        self.presence_timer: asyncio.TimerHandle | None = None
        self.states: dict[tuple[str, str, str], object] | None = None

    @property
    def shown(self) -> dict[frozenset[str], set[str]]:
        """Audience -> the pages that its sockets show."""
        found: dict[frozenset[str], set[str]] = {}
        for socket in self.sockets:
            found.setdefault(socket.rights[self.stream], set()).update(socket.pages)
        return found


class Hub:
    """Use `Hub.here()`: the one of the running event loop."""

    _hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.process = secrets.token_hex(4)
        self.rooms: dict[str, Room] = {}
        self.sockets: set[Socket] = set()
        # Two threads, so two connections to the database, however many sockets there are.
        self.pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="live")
        self.bus = Bus(self)
        self.tasks: set[asyncio.Task[Any]] = set()
        self.beats = 0
        hints.listeners.add(self.on_hint)
        for work in (self._watch_heads, self._watch_states, self._watch_sockets, self._watch_rights):
            self.spawn(self._forever(work))

    @classmethod
    def here(cls) -> Hub:
        loop = asyncio.get_running_loop()
        if loop not in cls._hubs:
            cls._hubs[loop] = cls()
        return cls._hubs[loop]

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def db(self, call: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Run what blocks on a thread of the hub, with a connection that is alive."""

        def run() -> T:
            close_old_connections()
            try:
                return call(*args, **kwargs)
            finally:
                close_old_connections()

        return await self.loop.run_in_executor(self.pool, run)

    async def close(self) -> None:
        """For tests, whose loops end."""
        hints.listeners.discard(self.on_hint)
        await self.bus.close()
        for task in tuple(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

        def disconnect() -> None:
            from django.db import connections

            connections.close_all()

        for _ in range(2):
            await self.loop.run_in_executor(self.pool, disconnect)
        self.pool.shutdown(wait=True)
        self._hubs.pop(self.loop, None)

    async def _forever(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            try:
                await work()
            except Exception:
                # The database may be away for a while.
                log.exception("The live hub could not %s", work.__name__.strip("_"))
                await asyncio.sleep(1)

    # ------------------------------------------------------------------------------------------------------ rooms
    async def enter(self, stream: str, socket: Socket) -> Room:
        """The room of the stream, open, with the socket in it."""
        room = self.rooms.get(stream)
        if room is None:
            room = self.rooms[stream] = Room(stream)
            room.opening = self.spawn(self._open(room))
        # In the room before anything is awaited, so that nobody closes it meanwhile.
        room.sockets.add(socket)
        if room.opening is not None:
            await asyncio.shield(room.opening)
        return room

    async def _open(self, room: Room) -> None:
        try:
            await self.bus.join(room.stream)
            room.head = (await self.db(reading.heads_of, [room.stream]))[room.stream]
        except BaseException:
            self.rooms.pop(room.stream, None)
            raise
        room.opening = None
        if not room.sockets:
            # Whoever opened it has gone again meanwhile.
            del self.rooms[room.stream]
            await self.bus.part(room.stream)
            return
        room.task = self.spawn(self._follow(room))
        self.bus.send(room.stream, {"type": "ask"})

    def leave(self, stream: str, socket: Socket) -> None:
        room = self.rooms.get(stream)
        if room is None:
            return
        room.sockets.discard(socket)
        if socket.member_id and room.presence.members.get(socket.member_id):
            room.presence.leave(socket.member_id, self.loop.time())
        if not room.sockets and room.opening is None:
            # Others hear at once that nobody of this process is here any more.
            self._tell_departures(room, at_once=True)
            del self.rooms[stream]
            if room.task:
                room.task.cancel()
            self.spawn(self.bus.part(stream))

    def on_hint(self, stream: str, head: int) -> None:
        """From any thread."""
        try:
            self.loop.call_soon_threadsafe(self.on_head, stream, head)
        except RuntimeError:
            hints.listeners.discard(self.on_hint)  # the loop has been closed

    def on_head(self, stream: str, head: int) -> None:
        room = self.rooms.get(stream)
        if room is not None and head > room.head:
            room.wake.set()

    async def _watch_heads(self) -> None:
        await asyncio.sleep(settings.LIVE_POLL_SECONDS)
        if not self.rooms:
            return
        for stream, head in (await self.db(reading.heads_of, list(self.rooms))).items():
            self.on_head(stream, head)

    # ----------------------------------------------------------------------------------------------------- events
    async def _follow(self, room: Room) -> None:
        while True:
            await room.wake.wait()
            room.wake.clear()
            try:
                while await self._advance(room):
                    pass
            except Exception:
                log.exception("The live hub could not read %s", room.stream)
                await asyncio.sleep(0.5)
                room.wake.set()

    async def _advance(self, room: Room) -> bool:
        """Hand over the next events. Returns whether there may be more."""
        rows = await self.db(reading.events_of, room.stream, room.head, limit=READ_AT_ONCE)
        if not rows:
            return False
        if any(row.kind in _CHANGES_RIGHTS for row in rows):
            # Before anything is sent: who has been removed does not get even the event that says so.
            await self.recheck(room)
        rendered: dict[frozenset[str], fragments.Rendered] = {}
        while missing := _missing(room, rendered):
            for audience, pages in missing.items():
                new = await self.db(fragments.render, rows, audience, pages)
                known = rendered.setdefault(audience, {})
                known |= {page: new.get(page, []) for page in pages}
        frames: dict[tuple[frozenset[str], frozenset[str]], str] = {}
        for socket in tuple(room.sockets):
            audience = socket.rights[room.stream]
            ready = rendered[audience]
            touched = frozenset(page for page in socket.pages if ready.get(page))
            frame = frames.get((audience, touched))
            if frame is None:
                frame = frames[audience, touched] = frame_of(room.stream, rows, ready, touched)
            socket.deliver(room.stream, rows, frame, ready)
        room.head = rows[-1].seq
        return len(rows) == READ_AT_ONCE

    async def replay(self, room: Room, after: int, until: int, socket: Socket) -> list[tuple[Sequence[Event], str]]:
        """Frames with the events `after < number <= until`, rendered as things are now. Raises TooMany."""
        if until - after > REPLAYED:
            raise TooMany
        rows = await self.db(reading.events_of, room.stream, after, until=until, limit=REPLAYED)
        audience = socket.rights[room.stream]
        rendered = await self.db(fragments.render, rows, audience, set(socket.pages))
        chunks = [rows[k : k + READ_AT_ONCE] for k in range(0, len(rows), READ_AT_ONCE)]
        return [(chunk, frame_of(room.stream, chunk, rendered, socket.pages)) for chunk in chunks]

    # ----------------------------------------------------------------------------------------------------- rights
    async def recheck(self, room: Room) -> None:
        """Ask again what everybody in the room may do: who may not see it any more is cut off."""
        people = {socket.user_id for socket in room.sockets}
        rights = await self.db(reading.rights_in, room.stream, people)
        for socket in tuple(room.sockets):
            socket.on_rights(room.stream, rights.get(socket.user_id))

    async def _watch_rights(self) -> None:
        await asyncio.sleep(RECHECK_SECONDS)
        for room in tuple(self.rooms.values()):
            if room.sockets and room.opening is None:
                await self.recheck(room)

    # ----------------------------------------------------------------------------------------------------- states
    async def _watch_states(self) -> None:
        """What changes without an event, such as the progress of a job, is looked at twice a second."""
        await asyncio.sleep(STATE_SECONDS)
        sources = entries("LIVE_STATES", "progress")
        rooms = {
            reading.parts(r.stream)[1]: r for r in self.rooms.values() if r.stream.startswith("project:") and r.sockets
        }
        if not sources or not rooms:
            return
        found = await self.db(reading.states_of, list(rooms), sources)
        for project_id, room in rooms.items():
            now, before = found.get(project_id, {}), room.states
            room.states = now
            if before is None:
                continue
            changed = [key for key in now.keys() | before.keys() if now.get(key) != before.get(key)]
            if changed:
                await self._tell_states(room, changed)

    async def _tell_states(self, room: Room, changed: Collection[tuple[str, str, str]]) -> None:
        kind, key = reading.parts(room.stream)
        stream = Stream(kind=kind, key=key)
        events = [
            Event(stream=stream, seq=0, kind=what, subject_kind=subject_kind, subject_id=subject_id)
            for what, subject_kind, subject_id in sorted(changed)
        ]
        for audience, pages in room.shown.items():
            rendered = await self.db(fragments.render, events, audience, pages)
            for socket in tuple(room.sockets):
                if socket.rights[room.stream] != audience:
                    continue
                for page in socket.pages & rendered.keys():
                    for _, swap in rendered[page]:
                        socket.outbox.put_state(("swap", swap["target"]), {"type": "swap", "swap": swap})

    # --------------------------------------------------------------------------------------------------- presence
    def tell_presence(self, room: Room) -> None:
        """Soon, all at once: a large room hears of comings and goings less often."""
        if room.presence_timer is None:
            wait = max(0.15, len(room.sockets) / 250)
            room.presence_timer = self.loop.call_later(wait, self._send_presence, room)

    def _send_presence(self, room: Room) -> None:
        room.presence_timer = None
        state = {**room.presence.snapshot(), "stream": room.stream}
        for socket in room.sockets:
            socket.outbox.put_state("presence", state)

    def on_attention(self, room: Room, data: dict[str, Any], *, is_local: bool) -> None:
        is_new = room.presence.put(data, self.loop.time())
        if is_new:
            self.tell_presence(room)
        if is_local and is_new:
            self.bus.send(room.stream, {"type": "here", "members": [data]})

    def _tell_departures(self, room: Room, *, at_once: bool = False) -> None:
        mine = {socket.member_id for socket in room.sockets}
        gone = [id for id, m in room.presence.members.items() if m.leaving and id not in mine]
        if gone and at_once:
            self.bus.send(room.stream, {"type": "left", "ids": gone})

    def say(self, room: Room, message: dict[str, Any], *, besides: Socket | None, is_local: bool) -> None:
        """Relay something fleeting (a cursor, a drag under way) to who shows the same page."""
        key = ("say", message["from"]["id"], message["name"], message["key"])
        state = {"type": "say", **message}
        for socket in room.sockets:
            if socket is not besides and message["page"] in socket.pages:
                socket.outbox.put_state(key, state)
        if is_local:
            self.bus.send(room.stream, {"type": "say", "message": message})

    def on_bus(self, stream: str, message: dict[str, Any]) -> None:
        """From another process."""
        room = self.rooms.get(stream)
        if room is None:
            return
        match message["type"]:
            case "here":
                for data in message["members"]:
                    self.on_attention(room, data, is_local=False)
            case "left":
                for id in message["ids"]:
                    room.presence.leave(id, self.loop.time())
            case "ask":
                self._tell_members(room)
            case "say":
                self.say(room, message["message"], besides=None, is_local=False)

    def _tell_members(self, room: Room) -> None:
        mine = [s.member_id for s in room.sockets if s.member_id in room.presence.members]
        if mine:
            members = [room.presence.members[id].data for id in mine]
            self.bus.send(room.stream, {"type": "here", "members": members})

    # ---------------------------------------------------------------------------------------------------- sockets
    async def _watch_sockets(self) -> None:
        await asyncio.sleep(1)
        now = self.loop.time()
        for socket in tuple(self.sockets):
            overflowed = socket.outbox.overflowed_at
            if now - socket.heard_at > SILENT_SECONDS or (overflowed and now - overflowed > STALLED_SECONDS):
                socket.end(1013)
            elif now - socket.beaten_at > BEAT_SECONDS:
                socket.beat(now)
        for room in tuple(self.rooms.values()):
            if room.presence.expire(now):
                self.tell_presence(room)
        self.beats += 1
        if self.beats % 10 == 0:
            for room in tuple(self.rooms.values()):
                self._tell_members(room)


class TooMany(Exception):
    """More was missed than is replayed."""


def _missing(room: Room, rendered: dict[frozenset[str], fragments.Rendered]) -> dict[frozenset[str], set[str]]:
    """What somebody shows and nobody has rendered: people come and turn pages while others are served."""
    found = {}
    for audience, pages in room.shown.items():
        known = rendered.get(audience)
        if known is None:
            found[audience] = pages
        elif more := pages - known.keys():
            found[audience] = more
    return found


def frame_of(stream: str, rows: Sequence[Event], rendered: fragments.Rendered, pages: Collection[str]) -> str:
    events = fragments.as_messages(rows, rendered, pages)
    return json.dumps({"type": "events", "stream": stream, "events": events}, separators=(",", ":"))
