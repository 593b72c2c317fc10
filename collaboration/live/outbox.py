"""What waits to be sent to one open page: bounded, and nothing slow holds up anybody else."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Any

WINDOW = 128
"""Durable frames on their way that the page has not confirmed. It confirms every 32nd, and with each beat."""
LONGEST = 256
LARGEST = 4 * 2**20
"""Frames, and characters, that wait at most."""
STATE_SECONDS = 0.075


class Outbox:
    """Durable frames (events) go in order and are never merged; of states (presence, cursors, progress) the latest of
    each key goes, at most every 75 ms.

    Too much waiting is thrown away, once, and `resync` tells the page to ask for what it missed.
    """

    def __init__(self, send: Callable[[str], Awaitable[None]]) -> None:
        self._send = send
        self._frames: deque[str] = deque()
        self._size = 0
        self._states: dict[Hashable, dict[str, Any]] = {}
        self._wake = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._states_due = False
        self.sent = 0
        self.confirmed = 0
        self.overflowed_at: float | None = None
        self._control: deque[str] = deque()

    @property
    def is_behind(self) -> bool:
        """Whether events wait, or were thrown away."""
        return bool(self._frames) or self.overflowed_at is not None

    def put(self, frame: str) -> None:
        """An event. Dropped after an overflow, until `recover`."""
        if self.overflowed_at is not None:
            return
        if len(self._frames) >= LONGEST or self._size + len(frame) > LARGEST:
            self._frames.clear()
            self._states.clear()
            self._size = 0
            self.overflowed_at = asyncio.get_running_loop().time()
            self.control({"type": "resync"})
            return
        self._frames.append(frame)
        self._size += len(frame)
        self._wake.set()

    def put_state(self, key: Hashable, state: dict[str, Any]) -> None:
        """What replaces an earlier one of the same key that has not gone yet."""
        if self.overflowed_at is not None:
            return
        self._states.pop(key, None)
        self._states[key] = state
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(STATE_SECONDS, self._release)

    def control(self, message: dict[str, Any]) -> None:
        """What goes before everything else: beats, welcome, resync."""
        self._control.append(json.dumps(message, separators=(",", ":")))
        self._wake.set()

    def confirm(self, count: int) -> None:
        """The page has received `count` durable frames in all."""
        self.confirmed = max(self.confirmed, min(count, self.sent))
        self._wake.set()

    def recover(self) -> None:
        """The page has asked for what it missed: all that was on its way has arrived."""
        self.overflowed_at = None
        self.confirmed = self.sent

    def _release(self) -> None:
        self._timer = None
        self._states_due = True
        self._wake.set()

    async def pump(self) -> None:
        """Send what waits, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._control:
                await self._send(self._control.popleft())
            while self._frames and self.sent - self.confirmed < WINDOW:
                frame = self._frames.popleft()
                self._size -= len(frame)
                self.sent += 1
                await self._send(frame)
            if self._states_due and self._states and self.sent - self.confirmed < WINDOW:
                states, self._states, self._states_due = list(self._states.values()), {}, False
                await self._send(json.dumps({"type": "states", "states": states}, separators=(",", ":")))

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
