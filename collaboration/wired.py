"""The wiring tables, found by setting: the ground floor calls those above it without importing them."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string


@cache
def entry(table: str, key: str) -> Any | None:
    """Return what the dotted path under `key` in the wiring's `table` names; None when there is no such entry."""
    path = getattr(import_module(settings.WIRING), table).get(key)
    return import_string(path) if path else None


@cache
def entries(table: str, key: str) -> tuple[Any, ...]:
    """Return what the dotted paths under `key` name; none when there is no such entry."""
    return tuple(import_string(path) for path in getattr(import_module(settings.WIRING), table).get(key, ()))
