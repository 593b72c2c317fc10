"""How often one person may ask."""

from __future__ import annotations

import time

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest
from ninja.throttling import BaseThrottle

WINDOW = 60
"""Seconds."""


class PerPerson(BaseThrottle):
    """`API_REQUESTS_PER_MINUTE` in each minute of the clock, for each person (each process counts on its own without
    Redis); 0 for no limit."""

    def allow_request(self, request: HttpRequest) -> bool:
        most = settings.API_REQUESTS_PER_MINUTE
        if not most:
            return True
        key = f"api:{request.user.pk}:{int(time.time()) // WINDOW}"
        if cache.add(key, 1, timeout=2 * WINDOW):
            return True
        try:
            return cache.incr(key) <= most
        except ValueError:  # forgotten between the two
            return True

    def wait(self) -> float:
        return WINDOW - time.time() % WINDOW
