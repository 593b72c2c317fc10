"""Notifications as a person reads them: grouped by what they are about."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Count, Q, QuerySet

from collaboration.models import Project, User
from collaboration.notifications.kinds import KINDS, Kind
from collaboration.notifications.messages import sentence
from collaboration.notifications.models import Choice, Delivery, Notification, Webhook
from collaboration.notifications.telling import default_choice
from collaboration.subjects import Link, links

LOOKED_AT = 200
"""Notifications that one page is made of."""


@dataclass(slots=True)
class Group:
    """Notifications of one kind about one thing, the newest first."""

    topic: str
    kind: Kind
    rows: list[Notification] = field(default_factory=list)
    link: Link | None = None

    @property
    def latest(self) -> Notification:
        return self.rows[0]

    @property
    def words(self) -> str:
        return sentence(self.latest.event, self.latest.words)

    @property
    def at(self) -> datetime:
        return self.latest.at

    @property
    def unread(self) -> int:
        return sum(row.read_at is None for row in self.rows)

    @property
    def earlier(self) -> list[str]:
        """What else there was, in words, up to five."""
        return [sentence(row.event, row.words) for row in self.rows[1:6]]

    @property
    def more(self) -> int:
        return max(0, len(self.rows) - 1)


def visible(person: User) -> QuerySet[Notification]:
    """Those of projects that the person can still see."""
    return Notification.objects.filter(person=person, project__in=Project.objects.visible_to(person))


def unread_count(person: User) -> int:
    """How many groups are unread; at most 100 are counted."""
    rows = visible(person).filter(read_at=None).order_by().values("topic").distinct()
    return rows[:100].count()


def groups_of(person: User, *, unread: bool = False, before: int | None = None) -> tuple[list[Group], int | None]:
    """Return (groups in the order of their newest, id before which the next page ends or None)."""
    rows = visible(person).select_related("event__actor", "event__stream", "project").order_by("-pk")
    if unread:
        rows = rows.filter(read_at=None)
    if before is not None:
        rows = rows.filter(pk__lt=before)
    page = list(rows[: LOOKED_AT + 1])
    after = page[LOOKED_AT - 1].pk if len(page) > LOOKED_AT else None
    groups: dict[tuple[str, bool], Group] = {}
    for row in page[:LOOKED_AT]:
        # What was read before stands apart from what is new about the same thing.
        key = (row.topic, row.read_at is None)
        kind = KINDS.get(row.kind)
        if kind is not None:
            groups.setdefault(key, Group(row.topic, kind)).rows.append(row)
    found = links((g.latest.event.subject_kind, g.latest.event.subject_id) for g in groups.values())
    for group in groups.values():
        group.link = found.get((group.latest.event.subject_kind, group.latest.event.subject_id))
    return list(groups.values()), after


def choices_of(person: User) -> dict[str, Choice]:
    """Kind -> how the person wants to hear of it, for every kind."""
    chosen = {choice.kind: choice for choice in Choice.objects.filter(person=person)}
    return {kind: chosen.get(kind) or default_choice(kind) for kind in KINDS}


def webhooks_of(project: Project) -> QuerySet[Webhook]:
    """With `waiting`, `given_up` and `sent` (how many)."""
    rows = Webhook.objects.filter(project=project, removed_at=None).select_related("created_by", "project")
    counts = {
        name: Count("deliveries", filter=Q(deliveries__state=state))
        for name, state in (("waiting", Delivery.WAITING), ("given_up", Delivery.DEAD), ("sent", Delivery.SENT))
    }
    return rows.annotate(**counts)
