"""Who is here, on which page and at which picture. Kept in memory and told from process to process: it is no event."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

TTL = 30.0
"""Seconds without a beat after which somebody is gone."""
GRACE = 3.0
"""Seconds in which a page that closed may open again (the next page of the same tab) before anybody hears of it."""
SHOWN = 50
"""People named at most; of the others only how many they are."""


@dataclass(slots=True)
class Member:
    """One tab of one person."""

    data: dict[str, Any]
    """{id, user, name, initials, hue} and their attention (see `socket.attention_of`)."""
    seen: float
    moved: float
    """When their attention last changed: of several tabs of a person the latest counts."""
    leaving: bool = False


class Presence:
    def __init__(self) -> None:
        self.members: dict[str, Member] = {}

    def put(self, data: dict[str, Any], now: float) -> bool:
        """Somebody is here, or looks at something else. Returns whether anything is new."""
        known = self.members.get(data["id"])
        if known is None:
            self.members[data["id"]] = Member(data, now, now)
            return True
        known.seen, known.leaving = now, False
        if known.data == data:
            return False
        known.data, known.moved = data, now
        return True

    def beat(self, id: str, now: float) -> None:
        if id in self.members:
            self.members[id].seen = now

    def leave(self, id: str, now: float) -> None:
        if member := self.members.get(id):
            member.leaving, member.seen = True, now

    def drop(self, id: str) -> bool:
        return self.members.pop(id, None) is not None

    def expire(self, now: float) -> bool:
        """Forget who has gone. Returns whether anybody has."""
        gone = [id for id, m in self.members.items() if now - m.seen > (GRACE if m.leaving else TTL)]
        for id in gone:
            del self.members[id]
        return bool(gone)

    def snapshot(self) -> dict[str, Any]:
        """{type, count, people}: every person once, by their latest tab."""
        latest: dict[int, Member] = {}
        for member in self.members.values():
            known = latest.get(member.data["user"])
            if known is None or (member.moved, member.data["id"]) > (known.moved, known.data["id"]):
                latest[member.data["user"]] = member
        people = sorted(latest.values(), key=lambda m: m.moved, reverse=True)[:SHOWN]
        return {"type": "presence", "count": len(latest), "people": [m.data for m in people]}
