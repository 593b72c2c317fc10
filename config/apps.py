from __future__ import annotations

import dramatiq
from django.apps import AppConfig
from django.conf import settings
from dramatiq.brokers.redis import RedisBroker
from dramatiq.brokers.stub import StubBroker


class StudioConfig(AppConfig):
    name = "config"
    verbose_name = "Studio"

    def ready(self) -> None:
        # Before any actor is declared. Without Redis no message is ever sent: workers poll the job table.
        dramatiq.set_broker(RedisBroker(url=settings.REDIS_URL) if settings.REDIS_URL else StubBroker())
        from config import checks  # noqa: F401 - registers the system checks
