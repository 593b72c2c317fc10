"""The catalogue: the packs installed here, and what each may be used for."""

from __future__ import annotations

import logging
from functools import lru_cache
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from gpu_worker.packs import Pack, PackError, read_pack

logger = logging.getLogger(__name__)


def installed() -> dict[str, Pack]:
    """Return name -> pack for every readable pack in the MODEL_PACKS folders; one that cannot be read is logged."""
    found: dict[str, Pack] = {}
    for folder in settings.MODEL_PACKS:
        for manifest in sorted(Path(folder).glob("*/pack.json")):
            try:
                pack = _read(manifest.parent, manifest.stat().st_mtime_ns)
            except PackError:
                logger.exception("The pack in %s is left out", manifest.parent)
                continue
            found[pack.name] = pack
    return found


@lru_cache(maxsize=64)
def _read(directory: Path, mtime_ns: int) -> Pack:
    return read_pack(directory)


def default_pack() -> Pack:
    return pack_named(settings.DEFAULT_PACK)


def pack_named(name: str) -> Pack:
    """Raises ImproperlyConfigured when it is not installed."""
    try:
        return installed()[name]
    except KeyError:
        raise ImproperlyConfigured(
            f"The model pack {name!r} is not installed. Put it in one of the MODEL_PACKS folders."
        ) from None
