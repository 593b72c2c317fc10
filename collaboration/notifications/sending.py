"""Sending what is due, again and again with longer waits, until it is there or given up."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Sequence
from datetime import timedelta

from django.utils import timezone

from collaboration.models import Project, Stream
from collaboration.notifications import addresses, messages
from collaboration.notifications.models import Delivery

logger = logging.getLogger(__name__)

LEASE_SECONDS = 180
"""After which a message that somebody took and never came back from is sent by another."""
FIRST_WAIT, LONGEST_WAIT = 30, 6 * 3600
MOST_ATTEMPTS = 10
"""About 14 hours."""
RUN_SECONDS = 10
"""Of one run: other scheduled work waits for it."""
AT_ONCE = 60


def wait_after(attempts: int) -> float:
    """Seconds until the next try: doubled each time, and up to a quarter more, so that not all come at once."""
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (attempts - 1))
    return wait * random.uniform(1, 1.25)  # noqa: S311 - not a secret


def send_due() -> int:
    """Send what is due, for up to ten seconds. Returns how many messages were sent."""
    until, sent = time.monotonic() + RUN_SECONDS, 0
    due = Delivery.objects.filter(state=Delivery.WAITING, not_before__lte=timezone.now()).order_by("not_before")
    groups: dict[object, list[Delivery]] = {}
    for delivery in due.select_related("event__stream", "event__actor", "person", "webhook__project")[:AT_ONCE]:
        # All that is due to one person is one e-mail.
        key = ("mail", delivery.person_id) if delivery.channel == Delivery.EMAIL else delivery.pk
        groups.setdefault(key, []).append(delivery)
    for group in groups.values():
        if time.monotonic() > until:
            break
        if taken := [delivery for delivery in group if _take(delivery)]:
            sent += _send(taken)
    return sent


def _take(delivery: Delivery) -> bool:
    """Compare and set: of two senders one gets it, for as long as the lease lasts."""
    rows = Delivery.objects.filter(pk=delivery.pk, state=Delivery.WAITING, not_before=delivery.not_before)
    lease = timezone.now() + timedelta(seconds=LEASE_SECONDS)
    if not rows.update(not_before=lease, attempts=delivery.attempts + 1):
        return False
    delivery.not_before, delivery.attempts = lease, delivery.attempts + 1
    return True


def _send(group: list[Delivery]) -> int:
    error, give_up = "", False
    try:
        if group[0].channel == Delivery.EMAIL:
            group, left = _of_members(group)
            for delivery in left:
                _settle(delivery, "They have left the project.", give_up=True)
            if group:
                messages.email(group).send()
        else:
            give_up = not _post(group[0])
            error = "The webhook is off." if give_up else ""
    except addresses.Refused as refusal:
        error, give_up = str(refusal), True
    except addresses.Unanswered as failure:
        error = str(failure)
    except Exception as failure:  # a mail server has many ways to fail
        logger.warning("A message could not be sent", exc_info=True)
        error = f"{type(failure).__name__}: {failure}"
    for delivery in group:
        _settle(delivery, error, give_up=give_up)
    return 0 if error else len(group)


def _of_members(group: Sequence[Delivery]) -> tuple[list[Delivery], list[Delivery]]:
    """Return (what the person may still see, what not)."""
    person = group[0].person
    if person is None or not person.is_active:
        return [], list(group)
    seen = {str(pk) for pk in Project.objects.visible_to(person).values_list("pk", flat=True)}
    stays = [d for d in group if d.event.stream.kind != Stream.PROJECT or d.event.stream.key in seen]
    return stays, [d for d in group if d not in stays]


def _post(delivery: Delivery) -> bool:
    hook = delivery.webhook
    if hook is None or not hook.is_active or hook.removed_at is not None:
        return False
    body = messages.webhook_body(delivery.event, delivery.kind, delivery.words, project=hook.project)
    headers = messages.webhook_headers(hook.secret, str(delivery.pk), int(time.time()), body)
    addresses.post(hook.url, body, headers)
    return True


def _settle(delivery: Delivery, error: str, *, give_up: bool) -> None:
    # Only who still holds the lease may say how it ended.
    rows = Delivery.objects.filter(pk=delivery.pk, state=Delivery.WAITING, not_before=delivery.not_before)
    if not error:
        rows.update(state=Delivery.SENT, sent_at=timezone.now(), last_error="")
    elif give_up or delivery.attempts >= MOST_ATTEMPTS:
        rows.update(state=Delivery.DEAD, last_error=error[:300])
    else:
        again = timezone.now() + timedelta(seconds=wait_after(delivery.attempts))
        rows.update(not_before=again, last_error=error[:300])


def forget_old() -> int:
    """Messages that were sent are kept for a month; those given up for three."""
    now = timezone.now()
    old = Delivery.objects.filter(state=Delivery.SENT, sent_at__lt=now - timedelta(days=30))
    given_up = Delivery.objects.filter(state=Delivery.DEAD, created_at__lt=now - timedelta(days=90))
    return old.delete()[0] + given_up.delete()[0]
