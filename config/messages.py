"""Start of a production worker: `dramatiq config.messages --processes 1 --threads 1 --queues gpu_standard`."""

from __future__ import annotations

import os

import django
from django.core.exceptions import ImproperlyConfigured

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from django.conf import settings  # noqa: E402

if not settings.REDIS_URL:
    raise ImproperlyConfigured(
        "Set REDIS_URL: messages come through Redis. Without it, `manage.py worker` looks for jobs in the database."
    )

from gpu_worker import actors  # noqa: E402 - declares the actors

__all__ = ["actors"]
