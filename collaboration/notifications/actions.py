"""Reading notifications, choosing what to be told of, and webhooks."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from collaboration import events as log
from collaboration.models import Project, User
from collaboration.names import clean_name
from collaboration.notifications import addresses, events, messages, queries
from collaboration.notifications.kinds import KINDS
from collaboration.notifications.models import Choice, Delivery, Notification, Webhook

MOST_WEBHOOKS = 20


# --------------------------------------------------------------------------------------------------------- reading
def mark_read(*, person: User, topic: str = "", upto: int | None = None) -> int:
    """Mark as read: one topic, or everything; `upto`: none newer than this notification. Returns how many."""
    rows = Notification.objects.filter(person=person, read_at=None)
    if topic:
        rows = rows.filter(topic=topic)
    if upto is not None:
        rows = rows.filter(pk__lte=upto)
    with transaction.atomic():
        count = rows.update(read_at=timezone.now())
        if count:
            log.record(person, events.Read(user_id=person.pk, count=count), actor=person)
    return count


def mark_unread(*, person: User, topic: str) -> None:
    """The latest of a topic stands as new again."""
    with transaction.atomic():
        latest = Notification.objects.filter(person=person, topic=topic).order_by("-pk").first()
        if latest is not None and latest.read_at is not None:
            latest.read_at = None
            latest.save(update_fields=["read_at"])
            log.record(person, events.Read(user_id=person.pk, count=0), actor=person)


# -------------------------------------------------------------------------------------------------------- choosing
def choose(*, person: User, choices: Mapping[str, tuple[str, str]]) -> list[str]:
    """Kind -> (reach, mail). Returns the kinds that changed. Raises ValidationError."""
    for kind, (reach, mail) in choices.items():
        if kind not in KINDS:
            raise ValidationError(f"There is no kind “{kind}”.", code="kind")
        if reach not in dict(Choice.REACHES) or mail not in dict(Choice.MAIL):
            raise ValidationError(f"“{KINDS[kind].label}” cannot be told in this way.", code="choice")
    with transaction.atomic():
        before = queries.choices_of(person)
        changed = [kind for kind, choice in choices.items() if (before[kind].reach, before[kind].mail) != choice]
        for kind in changed:
            reach, mail = choices[kind]
            Choice.objects.update_or_create(person=person, kind=kind, defaults={"reach": reach, "mail": mail})
        if changed:
            log.record(person, events.ChoicesChanged(user_id=person.pk, kinds=changed), actor=person)
    return changed


# -------------------------------------------------------------------------------------------------------- webhooks
def _clean_kinds(kinds: Collection[str]) -> list[str]:
    found = [kind for kind in KINDS if kind in kinds]
    if not found:
        raise ValidationError({"kinds": "Choose at least one thing that the webhook is told of."})
    return found


def _clean_url(url: str) -> str:
    try:
        return addresses.clean_url(url)
    except ValidationError as error:
        raise ValidationError({"url": error.messages[0]}) from None


def _named(hook: Webhook) -> dict[str, str]:
    return {"webhook_id": str(hook.pk), "name": hook.name}


def create_webhook(*, project: Project, name: str, url: str, kinds: Collection[str], actor: User) -> Webhook:
    """With a new secret. Raises ValidationError, by field."""
    name, url, kinds = clean_name(name, limit=80), _clean_url(url), _clean_kinds(kinds)
    with transaction.atomic():
        if Webhook.objects.filter(project=project, removed_at=None).count() >= MOST_WEBHOOKS:
            raise ValidationError(f"A project has at most {MOST_WEBHOOKS} webhooks.", code="most")
        hook = Webhook.objects.create(
            project=project, name=name, url=url, kinds=kinds, secret=messages.new_secret(), created_by=actor
        )
        happening = events.WebhookCreated(**_named(hook), host=urlsplit(url).hostname or "", kinds=kinds)
        log.record(project, happening, actor=actor)
    return hook


def change_webhook(*, hook: Webhook, actor: User, **fields: Any) -> Webhook:
    """Change `name`, `url`, `kinds` or `is_active`. Raises ValidationError, by field."""
    if "name" in fields:
        fields["name"] = clean_name(fields["name"], limit=80)
    if "url" in fields:
        fields["url"] = _clean_url(fields["url"])
    if "kinds" in fields:
        fields["kinds"] = _clean_kinds(fields["kinds"])
    with transaction.atomic():
        changed = [name for name, value in fields.items() if getattr(hook, name) != value]
        for name in changed:
            setattr(hook, name, fields[name])
        if changed:
            hook.save(update_fields=changed)
            words = ["whether it is on" if name == "is_active" else name for name in changed]
            log.record(hook.project, events.WebhookChanged(**_named(hook), fields=words), actor=actor)
    return hook


def renew_secret(*, hook: Webhook, actor: User) -> Webhook:
    """What is sent from now on is signed with a new secret."""
    with transaction.atomic():
        hook.secret = messages.new_secret()
        hook.save(update_fields=["secret"])
        log.record(hook.project, events.WebhookChanged(**_named(hook), fields=["secret"]), actor=actor)
    return hook


def remove_webhook(*, hook: Webhook, actor: User) -> None:
    """What is still on its way to it is given up."""
    with transaction.atomic():
        if Webhook.objects.filter(pk=hook.pk, removed_at=None).update(removed_at=timezone.now(), secret=""):
            waiting = Delivery.objects.filter(webhook=hook, state=Delivery.WAITING)
            waiting.update(state=Delivery.DEAD, last_error="The webhook was removed.")
            log.record(hook.project, events.WebhookRemoved(**_named(hook)), actor=actor)


def try_webhook(*, hook: Webhook) -> str:
    """Send a test now. Returns an empty text, or in a sentence why it did not arrive."""
    body = messages.webhook_body(None, "test", f"Persona Studio can reach {hook.name}.", project=hook.project)
    headers = messages.webhook_headers(hook.secret, str(uuid.uuid4()), int(time.time()), body)
    try:
        addresses.post(hook.url, body, headers)
    except (addresses.Refused, addresses.Unanswered) as error:
        return str(error)
    except ValidationError as error:
        return error.messages[0]
    return ""


def send_again(*, hook: Webhook, actor: User, delivery: uuid.UUID | None = None) -> int:
    """Begin anew with what was given up: one message, or all. Returns how many."""
    rows = Delivery.objects.filter(webhook=hook, state=Delivery.DEAD)
    if delivery is not None:
        rows = rows.filter(pk=delivery)
    with transaction.atomic():
        count = rows.update(state=Delivery.WAITING, attempts=0, not_before=timezone.now())
        if count:
            log.record(hook.project, events.DeliveryResent(**_named(hook), count=count), actor=actor)
    return count


def mail_again(*, person: User) -> int:
    """Begin anew with the person's own e-mails that were given up. Returns how many."""
    rows = Delivery.objects.filter(person=person, channel=Delivery.EMAIL, state=Delivery.DEAD)
    return rows.update(state=Delivery.WAITING, attempts=0, not_before=timezone.now())
