"""Files in the storage: written once under a name that carries their hash, deleted when no row needs them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.core.files.base import ContentFile, File
from django.core.files.storage import Storage, storages
from django.db import transaction
from django.utils import timezone

from assets.limits import SIZES
from assets.models import Asset, StoredObject

log = logging.getLogger(__name__)

_NAME = re.compile(r"([0-9a-f]{64})\.[a-z0-9]{1,11}")
_THUMBNAIL = re.compile(r"([0-9a-f]{64})_\d{2,4}\.webp")
_THUMBNAILS = "thumbnails"
_MAX_DEPTH = 12
_BATCH = 500
_TRIES = 10


def storage() -> Storage:
    return storages["default"]


def key_for(folder: str, sha256: str, extension: str) -> str:
    return f"{folder}/{sha256}.{extension}"


def thumbnail_key(key: str, size: int) -> str:
    folder, _, name = key.rpartition("/")
    return f"{folder}/{_THUMBNAILS}/{name.partition('.')[0]}_{size}.webp"


def put(key: str, content: bytes | File) -> None:
    """Store `content` under exactly `key`, which names it by its hash. Repeating it is harmless.

    A file of another length can only be the rest of an interrupted write and is replaced.
    """
    file = ContentFile(content) if isinstance(content, bytes) else content
    for _ in range(_TRIES):
        try:
            if storage().exists(key):
                if storage().size(key) == file.size:
                    return
                storage().delete(key)
            file.seek(0)
            saved = storage().save(key, file, max_length=None)
        except FileNotFoundError:
            continue  # equal content was erased between two of these steps
        if saved != key:  # somebody stored the same content meanwhile, and it stands under its name
            storage().delete(saved)
        return
    raise RuntimeError(f"{key} is being stored and erased over and over.")


def lock(key: str) -> None:
    """Hold the right to write or delete `key` until the transaction ends."""
    for _ in range(_TRIES):
        StoredObject.objects.get_or_create(key=key)
        # Whoever held the lock may have deleted the row with its file.
        if StoredObject.objects.select_for_update().filter(key=key).first():
            return
    raise RuntimeError(f"{key} is being stored and erased over and over.")


def release(key: str) -> bool:
    """Delete the file and its thumbnails unless a row still needs them. Returns whether they were deleted."""
    with transaction.atomic():
        lock(key)
        if Asset.objects.filter(key=key).exists():
            return False
        for name in (*(thumbnail_key(key, size) for size in SIZES), key):
            storage().delete(name)
        StoredObject.objects.filter(key=key).delete()
    return True


def sweep_orphans(*, older_than: timedelta = timedelta(hours=1)) -> int:
    """Delete stored files that no row needs: of transactions that were rolled back, and of deleted projects.

    Only names of our own making are looked at, and only after `older_than`, for a file is written before its row is
    committed. Returns how many contents were deleted.
    """
    deleted, before = 0, timezone.now() - older_than
    for folder, names in _walk("", _MAX_DEPTH):
        keys: dict[str, str] = {}
        for name in names:
            if _NAME.fullmatch(name):
                keys[f"{folder}/{name}"] = f"{folder}/{name}"
        if folder.rpartition("/")[2] == _THUMBNAILS:
            keys |= _thumbnails_alone(folder, names)
        wanted = sorted(keys)
        for start in range(0, len(wanted), _BATCH):
            batch = wanted[start : start + _BATCH]
            needed = set(Asset.objects.filter(key__in=batch).values_list("key", flat=True))
            for key in batch:
                if key not in needed and _modified_before(keys[key], before) and release(key):
                    deleted += 1
    if deleted:
        log.info("Deleted %d stored files that nothing refers to.", deleted)
    return deleted


def _thumbnails_alone(folder: str, names: list[str]) -> dict[str, str]:
    """Return key -> a thumbnail, for thumbnails whose picture is not in the storage (its write never came)."""
    parent = folder.rpartition("/")[0]
    present = {name.partition(".")[0] for name in storage().listdir(parent)[1]}
    alone = {match[1]: name for name in names if (match := _THUMBNAIL.fullmatch(name)) and match[1] not in present}
    for sha256 in list(alone):
        if Asset.objects.filter(key__in=[f"{parent}/{sha256}.{extension}" for extension in ("png", "jpg")]).exists():
            del alone[sha256]  # the picture itself is missing: a damage, not a leftover
    return {f"{parent}/{sha256}.png": f"{folder}/{name}" for sha256, name in alone.items()}


def _modified_before(name: str, moment: datetime) -> bool:
    try:
        return storage().get_modified_time(name) < moment
    except FileNotFoundError:
        return False


def _walk(folder: str, depth: int) -> Iterator[tuple[str, list[str]]]:
    try:
        folders, names = storage().listdir(folder)
    except FileNotFoundError:
        return
    if folder:
        yield folder, names
    if depth:
        for name in folders:
            if name:
                yield from _walk(f"{folder}/{name}" if folder else name, depth - 1)
