"""System checks: every dotted path of the wiring can be imported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import Error, register
from django.utils.module_loading import import_string

from config import wiring


def _paths() -> Iterator[tuple[str, str]]:
    for table, entries in vars(wiring).items():
        if table.isupper() and isinstance(entries, dict):
            for key, value in entries.items():
                paths = value if isinstance(value, list | tuple) else [value]
                yield from ((f"{table}[{key!r}]", p) for p in paths if isinstance(p, str))


@register()
def check_wiring(**kwargs: Any) -> list[Error]:
    errors = []
    for place, path in _paths():
        try:
            import_string(path)
        except ImportError as error:
            errors.append(Error(f"config.wiring.{place} cannot be imported: {error}", id="studio.E001"))
    return errors
