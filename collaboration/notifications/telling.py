"""From the log to people: every event is read once, in order, and becomes notifications and messages to be sent.

The cursor of a stream moves in the transaction that writes what its events mean: nothing is lost, and nothing is
written twice, whoever dies when.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from collaboration import events as log
from collaboration.models import Event, Membership, Project, Stream, User
from collaboration.notifications.events import Told
from collaboration.notifications.kinds import KINDS, Builder, Notice
from collaboration.notifications.models import Choice, Cursor, Delivery, Notification, Webhook
from collaboration.wired import entries

logger = logging.getLogger(__name__)

AT_ONCE = 200
"""Events of one transaction."""


def tell() -> int:
    """Read what is new in every project. Returns how many events were read."""
    behind = Stream.objects.filter(kind=Stream.PROJECT, head__gt=0).filter(Q(told=None) | Q(head__gt=F("told__seq")))
    return sum(tell_stream(stream) for stream in behind.order_by("pk"))


def tell_stream(stream: Stream) -> int:
    read = 0
    while batch := _tell_batch(stream):
        read += batch
    return read


def _tell_batch(stream: Stream) -> int:
    with transaction.atomic():
        Cursor.objects.get_or_create(stream=stream)
        cursor = Cursor.objects.select_for_update().get(stream=stream)
        events = list(
            Event.objects.filter(stream=stream, seq__gt=cursor.seq)
            .select_related("stream", "actor")
            .order_by("seq")[:AT_ONCE]
        )
        if not events:
            return 0
        said = [(event, notice) for event in events for notice in _notices(event)]
        project = Project.objects.filter(pk=stream.key).first() if said else None
        if project is not None:
            _write(project, said)
        cursor.seq = events[-1].seq
        cursor.save(update_fields=["seq"])
    return len(events)


def _notices(event: Event) -> list[Notice]:
    """One that cannot be understood is logged and passed over: it must not hold up all that follow."""
    found: list[Notice] = []
    builders: tuple[Builder, ...] = entries("NOTICES", event.kind)
    for build in builders:
        try:
            with transaction.atomic():
                found += build(event)
        except Exception:
            logger.exception("Event %s could not be told of", event.pk)
    return found


def _write(project: Project, said: list[tuple[Event, Notice]]) -> None:
    members = list(Membership.objects.filter(project=project, user__is_active=True).select_related("user"))
    people = {m.user_id: m.user for m in members}
    choices = {(c.person_id, c.kind): c for c in Choice.objects.filter(person__in=people)}
    hooks = list(Webhook.objects.filter(project=project, is_active=True, removed_at=None))
    before = set(
        Notification.objects.filter(event__in={event.pk for event, _ in said}).values_list("person", "event", "kind")
    )
    notifications: dict[tuple[int, int, str], Notification] = {}
    deliveries: dict[tuple[object, ...], Delivery] = {}
    for event, notice in said:
        for pk, person in people.items():
            choice = choices.get((pk, notice.kind)) or default_choice(notice.kind)
            is_for_me = pk in notice.people
            if pk == event.actor_id and not notice.tells_actor:
                continue
            if choice.reach == Choice.NONE or (choice.reach == Choice.MINE and not is_for_me):
                continue
            key = (pk, event.pk, notice.kind)
            notifications.setdefault(key, _notification(project, event, notice, person, is_for_me=is_for_me))
            if choice.mail != Choice.OFF and person.email:
                deliveries.setdefault(("mail", *key), _mail(event, notice, person, choice))
        for hook in hooks:
            if notice.kind in hook.kinds:
                deliveries.setdefault(
                    (hook.pk, event.pk, notice.kind),
                    Delivery(channel=Delivery.WEBHOOK, event=event, kind=notice.kind, webhook=hook, words=notice.words),
                )
    Notification.objects.bulk_create(
        [row for key, row in notifications.items() if key not in before], ignore_conflicts=True
    )
    Delivery.objects.bulk_create(deliveries.values(), ignore_conflicts=True)
    _ring(notifications.values())


def _notification(project: Project, event: Event, notice: Notice, person: User, *, is_for_me: bool) -> Notification:
    return Notification(
        person=person,
        event=event,
        project=project,
        kind=notice.kind,
        topic=f"{notice.kind}:{event.subject_kind}:{event.subject_id}",
        words=notice.words[:300],
        is_for_me=is_for_me,
        at=event.at,
    )


def _mail(event: Event, notice: Notice, person: User, choice: Choice) -> Delivery:
    is_digest = choice.mail == Choice.DIGEST
    return Delivery(
        channel=Delivery.EMAIL,
        event=event,
        kind=notice.kind,
        person=person,
        words=notice.words[:300],
        is_digest=is_digest,
        not_before=next_digest() if is_digest else timezone.now(),
    )


def _ring(notifications: Iterable[Notification]) -> None:
    """In the streams of those who are told; in one order, so that two of these never wait for each other."""
    counts: dict[int, int] = {}
    people: dict[int, User] = {}
    for row in notifications:
        counts[row.person_id] = counts.get(row.person_id, 0) + 1
        people[row.person_id] = row.person
    for pk in sorted(people):
        log.record(people[pk], Told(user_id=pk, count=counts[pk]), actor=None)


def default_choice(kind: str) -> Choice:
    return Choice(kind=kind, reach=KINDS[kind].reach, mail=KINDS[kind].mail)


def next_digest() -> datetime:
    """The next full hour at which digests leave, UTC."""
    now = timezone.now()
    at = now.replace(hour=settings.DIGEST_HOUR, minute=0, second=0, microsecond=0)
    return at if at > now else at + timedelta(days=1)
