"""Start of a production worker: `dramatiq config.messages --processes 1 --threads 1 --queues gpu_standard`."""

from __future__ import annotations

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from gpu_worker import actors  # noqa: E402 - declares the actors

__all__ = ["actors"]
