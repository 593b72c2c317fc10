"""Periodic work: one table, run by whichever worker takes a due entry first."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable
from importlib import import_module

from django.conf import settings
from django.db import connections
from django.db.models.functions import Now
from django.utils.module_loading import import_string

from gpu_worker import claims
from gpu_worker.models import Schedule

logger = logging.getLogger(__name__)


def run_due() -> int:
    """Run what is due. Taking an entry moves its due time on, so no other worker takes it too."""
    ran = 0
    for name, (path, every_seconds) in import_module(settings.WIRING).SCHEDULES.items():
        # Both moments in one form: SQLite compares them as text, and `Now()` alone is shorter there.
        Schedule.objects.get_or_create(name=name, defaults={"due_at": claims.after(0)})
        due = Schedule.objects.filter(name=name, due_at__lte=claims.after(0)).first()
        if due is None:
            continue
        taken = Schedule.objects.filter(name=name, due_at=due.due_at)
        if not taken.update(due_at=claims.after(every_seconds), last_run_at=Now()):
            continue
        error = ""
        try:
            import_string(path)()
        except Exception:
            error = traceback.format_exc()
            logger.exception("Scheduled work %s failed", name)
        Schedule.objects.filter(name=name).exclude(last_error=error).update(last_error=error)
        ran += 1
    return ran


class Ticker(threading.Thread):
    """Looks for due work every few seconds, on a database connection of its own."""

    def __init__(self, every_seconds: float = 2.0, then: Callable[[], None] | None = None) -> None:
        super().__init__(name="ticker", daemon=True)
        self.every_seconds, self.then = every_seconds, then
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(self.every_seconds):
            try:
                run_due()
                if self.then:
                    self.then()
            except Exception:
                logger.exception("Could not look for scheduled work")
            finally:
                connections.close_all()
