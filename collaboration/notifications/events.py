"""What happens to notifications and to webhooks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from collaboration.events import Happening


@dataclass(frozen=True, slots=True, kw_only=True)
class Told(Happening):
    """A person has news. In their own stream: it is what makes the bell of their open pages ask for itself."""

    kind: ClassVar[str] = "notification.told"
    topic: ClassVar[str] = "Notifications"
    user_id: int
    count: int

    def subject(self) -> tuple[str, object]:
        return "person", self.user_id

    def summary(self) -> str:
        return f"told of {self.count}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Happening):
    """A person read some, here or in another window."""

    kind: ClassVar[str] = "notification.read"
    topic: ClassVar[str] = "Notifications"
    user_id: int
    count: int

    def subject(self) -> tuple[str, object]:
        return "person", self.user_id

    def summary(self) -> str:
        return f"read {self.count}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoicesChanged(Happening):
    kind: ClassVar[str] = "notification.choices_changed"
    topic: ClassVar[str] = "Notifications"
    user_id: int
    kinds: list[str]

    def subject(self) -> tuple[str, object]:
        return "person", self.user_id

    def summary(self) -> str:
        return "changed what they want to be told of"


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfWebhook(Happening):
    topic: ClassVar[str] = "Webhooks"
    webhook_id: str
    name: str

    def subject(self) -> tuple[str, object]:
        return "webhook", self.webhook_id


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookCreated(_OfWebhook):
    kind: ClassVar[str] = "webhook.created"
    host: str
    kinds: list[str]

    def summary(self) -> str:
        return f"made the webhook {self.name} to {self.host}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookChanged(_OfWebhook):
    kind: ClassVar[str] = "webhook.changed"
    fields: list[str]

    def summary(self) -> str:
        return f"changed the webhook {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookRemoved(_OfWebhook):
    kind: ClassVar[str] = "webhook.removed"

    def summary(self) -> str:
        return f"removed the webhook {self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryResent(_OfWebhook):
    kind: ClassVar[str] = "webhook.resent"
    count: int

    def summary(self) -> str:
        return f"sent what had been given up to the webhook {self.name} again"
