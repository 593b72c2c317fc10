"""Storing and erasing files.

A file is stored in two steps, so that no transaction waits for decoding: `prepare_*` decodes, encodes and writes the
files; `record` makes the row, in the caller's transaction. `store_*` does both. Files whose row never came are deleted
by `sweep_orphans`.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from django.core.files.base import File
from django.db import transaction
from django.utils import timezone
from PIL import Image

from assets import encoding, safetensors, storing
from assets.errors import IntakeError
from assets.events import AssetErased
from assets.folders import check_folder
from assets.intake import take_in
from assets.metadata import GenerationSettings, a1111_parameters, provenance_png
from assets.models import Asset
from assets.names import clean_name
from assets.storing import sweep_orphans
from collaboration import events
from collaboration.models import Project, User
from collaboration.wired import entries

__all__ = [
    "Prepared",
    "erase",
    "prepare_file",
    "prepare_generated",
    "prepare_picture",
    "record",
    "store_file",
    "store_generated",
    "store_picture",
    "sweep_orphans",
]

_SLOTS = threading.BoundedSemaphore(2)
"""Pictures of 64 megapixels take most of a gigabyte while they are converted: at most two at once in a process."""

_EXTENSIONS = {"safetensors", "json", "cube", "txt", "csv", "npy", "onnx", "pdf", "zip"}
_MAX_FILE_BYTES = 20 * 1024**3


@dataclass(slots=True, kw_only=True)
class Prepared:
    """A file that stands in the storage and has no row yet."""

    project: Project
    kind: str
    name: str
    sha256: str
    mime: str
    size: int
    """Bytes."""
    key: str
    width: int | None = None
    height: int | None = None
    thumbnails: dict[int, str] = field(default_factory=dict)
    placeholder: str = ""
    generation: GenerationSettings | None = None
    notes: list[str] = field(default_factory=list)
    contents: dict[str, bytes] = field(default_factory=dict, repr=False)
    """key -> bytes, to write them again should an erasure of equal content have come between."""


# ------------------------------------------------------------------------------------------------------- pictures
def store_picture(
    *, project: Project, file: bytes | Path | IO[Any], name: str, folder: str, actor: User | None
) -> Asset:
    """Take a picture in and store it: checked, converted to sRGB, stripped, with thumbnails.

    `folder` is relative to the project (`folders.character_folder(...)`). What the file told about its generation is in
    `asset.generation`, what was changed in `asset.notes`. Raises IntakeError.
    """
    return record(prepare_picture(project=project, file=file, name=name, folder=folder), actor=actor)


def prepare_picture(*, project: Project, file: bytes | Path | IO[Any], name: str, folder: str) -> Prepared:
    """Decode, encode and write a picture, without its row: see `store_picture`. Use outside transactions."""
    with _SLOTS:
        picture = take_in(file, name)
        data, mime, extension = encoding.stored_form(picture.image, lossless=picture.lossless)
        return _prepared(
            project=project,
            image=picture.image,
            data=data,
            mime=mime,
            extension=extension,
            name=name,
            folder=folder,
            generation=picture.generation,
            notes=picture.notes,
        )


def store_generated(
    *,
    project: Project,
    image: Image.Image | Path,
    settings: GenerationSettings,
    provenance: Mapping[str, Any],
    name: str,
    folder: str,
    actor: User | None,
) -> Asset:
    """Store a picture that we made, as PNG with its provenance inside: see `prepare_generated`."""
    prepared = prepare_generated(
        project=project, image=image, settings=settings, provenance=provenance, name=name, folder=folder
    )
    return record(prepared, actor=actor)


def prepare_generated(
    *,
    project: Project,
    image: Image.Image | Path,
    settings: GenerationSettings,
    provenance: Mapping[str, Any],
    name: str,
    folder: str,
) -> Prepared:
    """Encode and write a picture that we made, without its row. Use outside transactions.

    The PNG carries A1111's `parameters` and, under `persona`, `settings` together with `provenance` (JSON-safe: model
    and revision, adapter hash, references, worker, time, why the model was chosen). A path is decoded as an upload is.
    """
    with _SLOTS:
        picture = take_in(image).image if isinstance(image, Path) else image
        own = {**settings.to_json(), **provenance, "version": 1}
        own.pop("raw", None)
        data = provenance_png(picture, parameters=a1111_parameters(settings), provenance=own)
        return _prepared(
            project=project,
            image=picture,
            data=data,
            mime="image/png",
            extension="png",
            name=name,
            folder=folder,
            generation=settings,
            notes=[],
        )


def _prepared(
    *,
    project: Project,
    image: Image.Image,
    data: bytes,
    mime: str,
    extension: str,
    name: str,
    folder: str,
    generation: GenerationSettings | None,
    notes: list[str],
) -> Prepared:
    sha256 = hashlib.sha256(data).hexdigest()
    key = storing.key_for(f"{project.slug}/{check_folder(folder)}", sha256, extension)
    small = {size: (storing.thumbnail_key(key, size), webp) for size, webp in encoding.thumbnails(image).items()}
    contents = {**dict(small.values()), key: data}  # the picture last: it completes the set
    for stored, content in contents.items():
        storing.put(stored, content)
    return Prepared(
        project=project,
        kind=Asset.PICTURE,
        name=clean_name(name),
        sha256=sha256,
        mime=mime,
        size=len(data),
        key=key,
        width=image.width,
        height=image.height,
        thumbnails={size: stored for size, (stored, _) in small.items()},
        placeholder=encoding.placeholder(image),
        generation=generation,
        notes=notes,
        contents=contents,
    )


# ---------------------------------------------------------------------------------------------------- other files
def store_file(
    *,
    project: Project,
    file: Path | File,
    name: str,
    folder: str,
    actor: User | None,
    kind: str = Asset.FILE,
    extension: str = "json",
) -> Asset:
    """Store a file that is no picture, as it is. An adapter must be safetensors. Raises IntakeError."""
    if kind == Asset.ADAPTER:
        extension = "safetensors"
    return record(
        prepare_file(project=project, file=file, name=name, folder=folder, kind=kind, extension=extension),
        actor=actor,
        again=file,
    )


def prepare_file(
    *, project: Project, file: Path | File, name: str, folder: str, kind: str = Asset.FILE, extension: str = "json"
) -> Prepared:
    """Write a file that is no picture, without its row: see `store_file`. Use outside transactions."""
    if extension not in _EXTENSIONS:
        raise ValueError(f"Files of type {extension!r} are not stored.")
    if isinstance(file, Path):
        with file.open("rb") as opened:
            return prepare_file(
                project=project, file=File(opened), name=name, folder=folder, kind=kind, extension=extension
            )
    size = file.size
    if not 0 < size <= _MAX_FILE_BYTES:
        raise (
            IntakeError("empty", "This file is empty.")
            if size == 0
            else IntakeError(
                "too_large", f"This file is {size / 2**30:.1f} GB; at most {_MAX_FILE_BYTES // 2**30} GB are taken."
            )
        )
    if extension == "safetensors":
        safetensors.check(file, size)
    digest = hashlib.sha256()
    file.seek(0)
    for chunk in file.chunks(1024 * 1024):
        digest.update(chunk)
    sha256 = digest.hexdigest()
    key = storing.key_for(f"{project.slug}/{check_folder(folder)}", sha256, extension)
    storing.put(key, file)
    return Prepared(
        project=project,
        kind=kind,
        name=clean_name(name, fallback="file"),
        sha256=sha256,
        mime="application/octet-stream",
        size=size,
        key=key,
    )


# ----------------------------------------------------------------------------------------------------------- rows
def record(prepared: Prepared, *, actor: User | None, again: Path | File | None = None) -> Asset:
    """Make the row of a prepared file, in the caller's transaction where there is one.

    `again` is where a file that is no picture is read from should an erasure of equal content have come between;
    without it, that case raises FileNotFoundError.
    """
    with transaction.atomic():
        storing.lock(prepared.key)
        _complete(prepared, again)
        return Asset.objects.create(
            project=prepared.project,
            kind=prepared.kind,
            original_name=prepared.name,
            sha256=prepared.sha256,
            mime=prepared.mime,
            bytes=prepared.size,
            width=prepared.width,
            height=prepared.height,
            key=prepared.key,
            thumbnails={str(size): key for size, key in prepared.thumbnails.items()},
            placeholder=prepared.placeholder,
            generation=prepared.generation.to_json() if prepared.generation else None,
            notes=prepared.notes,
            created_by=actor,
        )


def _complete(prepared: Prepared, again: Path | File | None) -> None:
    """Write again what an erasure of equal content has taken away since the file was prepared."""
    if prepared.contents:
        for key, content in prepared.contents.items():
            if not storing.storage().exists(key):
                storing.put(key, content)
    elif not storing.storage().exists(prepared.key):
        if again is None:
            raise FileNotFoundError(f"The stored file of {prepared.name} was erased before it could be recorded.")
        if isinstance(again, Path):
            with again.open("rb") as opened:
                storing.put(prepared.key, File(opened))
        else:
            storing.put(prepared.key, again)


def erase(*, asset: Asset, actor: User | None) -> None:
    """Erase a file for good and leave a tombstone: the row, without name, hash, placeholder, settings and bytes.

    The bytes go as soon as the transaction commits, unless another row holds the same content in the same folder. The
    apps above erase what they know of the content through the slot `asset.erased`: callables (asset). Repeating it is
    harmless.
    """
    with transaction.atomic():
        row = Asset.objects.select_for_update().get(pk=asset.pk)
        for forget in entries("SLOTS", "asset.erased"):
            forget(asset=row)
        if row.erased_at is None:
            key = row.key
            row.erased_at = timezone.now()
            row.original_name, row.sha256, row.key, row.placeholder, row.bytes = "Erased", "", "", "", 0
            row.thumbnails, row.generation, row.notes = {}, None, []
            row.save()
            events.record(row.project, AssetErased(asset_id=row.pk, asset_kind=row.kind), actor=actor)
            # Should the storage fail now, the sweep deletes what nothing refers to.
            transaction.on_commit(lambda: storing.release(key), robust=True)
    asset.refresh_from_db()
