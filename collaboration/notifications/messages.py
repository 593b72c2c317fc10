"""What leaves the studio, in words: an e-mail, and the signed body of a webhook."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.template.loader import render_to_string
from django.urls import reverse

from collaboration.models import Event, Project, Stream
from collaboration.notifications.kinds import KINDS
from collaboration.notifications.models import Delivery
from collaboration.subjects import links

PREFIX = "whsec_"


def absolute(path: str) -> str:
    return settings.SITE_URL.rstrip("/") + path


def sentence(event: Event, words: str = "") -> str:
    """`Rita Okafor approved Mara: Likeness, 1 of 2`."""
    return words or f"{event.actor.display_name if event.actor else 'The studio'} {event.summary}"


def project_of(event: Event) -> Project | None:
    if event.stream.kind != Stream.PROJECT:
        return None
    return Project.objects.filter(pk=event.stream.key).first()


# ----------------------------------------------------------------------------------------------------------- e-mail
def email(deliveries: Sequence[Delivery]) -> EmailMessage:
    """One message to one person about everything that is due to them."""
    person, first = deliveries[0].person, deliveries[0]
    if person is None:
        raise ValueError("An e-mail goes to a person.")
    found = links((d.event.subject_kind, d.event.subject_id) for d in deliveries)
    projects: dict[str, dict[str, Any]] = {}
    for delivery in deliveries:
        project = project_of(delivery.event)
        name = project.name if project else "Persona Studio"
        link = found.get((delivery.event.subject_kind, delivery.event.subject_id))
        lines = projects.setdefault(name, {"name": name, "lines": []})["lines"]
        lines.append(
            {
                "kind": KINDS[delivery.kind].label,
                "words": sentence(delivery.event, delivery.words),
                "url": absolute(link.url) if link else "",
            }
        )
    choices = absolute(reverse("notifications:choices"))
    lines = [line for project in projects.values() for line in project["lines"]]
    subject = lines[0]["words"] if len(lines) == 1 else f"{len(lines)} things happened in {_some(list(projects))}"
    body = render_to_string(
        "notifications/email.txt", {"person": person, "projects": list(projects.values()), "choices_url": choices}
    )
    ids = "".join(sorted(str(d.pk) for d in deliveries))
    key = first.pk.hex if len(deliveries) == 1 else hashlib.sha256(ids.encode()).hexdigest()[:32]
    host = settings.SITE_URL.rpartition("//")[2].partition("/")[0].partition(":")[0] or "localhost"
    return EmailMessage(
        subject=" ".join(subject.split())[:180],
        body=body,
        to=[person.email],
        headers={
            "Message-ID": f"<{key}@{host}>",
            "X-Studio-Delivery": key,
            "List-Unsubscribe": f"<{choices}>",
            "Auto-Submitted": "auto-generated",
        },
    )


def _some(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names)} projects"


# --------------------------------------------------------------------------------------------------------- webhooks
def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def sign(secret: str, id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature` of the Standard Webhooks specification: HMAC-SHA256 over `id.timestamp.body`."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    digest = hmac.new(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def escape(text: str) -> str:
    """For Slack's mrkdwn: its three control characters."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def webhook_body(event: Event | None, kind: str, words: str, *, project: Project) -> bytes:
    """What Slack's incoming webhooks understand; programs read `metadata`."""
    label = KINDS[kind].label if kind in KINDS else "Test"
    said = sentence(event, words) if event else words
    link = None
    if event is not None:
        link = links([(event.subject_kind, event.subject_id)]).get((event.subject_kind, event.subject_id))
    url = absolute(link.url) if link else absolute(project.get_absolute_url())
    where = f"{label} · <{url}|{escape(link.title if link else project.name)}> · {escape(project.name)}"
    document = {
        "text": escape(said),
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": escape(said)}},
            {"type": "context", "elements": [{"type": "mrkdwn", "text": where}]},
        ],
        "metadata": {
            "event_type": kind,
            "event_payload": {
                "project": project.slug,
                "url": url,
                "event": event.kind if event else "test",
                "number": event.seq if event else 0,
                "subject_kind": event.subject_kind if event else "project",
                "subject_id": event.subject_id if event else str(project.pk),
                "actor": event.actor.display_name if event and event.actor else "",
                "at": event.at.isoformat() if event else "",
            },
        },
    }
    return json.dumps(document, ensure_ascii=False).encode()


def webhook_headers(secret: str, id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """`webhook-id` is the same each time one message is sent again: by it a receiver tells a repeat."""
    return {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Persona-Studio-Webhooks/1",
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret, id, timestamp, body),
    }
