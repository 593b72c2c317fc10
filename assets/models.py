"""Stored files: one row per file that somebody put somewhere; equal content in one folder is stored once."""

from __future__ import annotations

import hashlib
import uuid
from functools import cache
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.files.storage import storages
from django.db import models
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from assets import colour
from assets.limits import SIZES
from assets.metadata import GenerationSettings


class StoredFileDamaged(Exception):
    """The bytes in storage are not those that were stored. The text names the file."""


@cache
def _addresses() -> str:
    """Address of a file with `{}` in the place of its id. Reversing once is what makes pages of many pictures quick."""
    nobody = uuid.UUID(int=0)
    return reverse("assets:file", args=[nobody]).replace(str(nobody), "{}")


def file_url(asset_id: uuid.UUID, size: int | None = None) -> str:
    """What `Asset.url` answers, by the id alone."""
    if size is None:
        return _addresses().format(asset_id)
    if size not in SIZES:
        raise ValueError(f"Thumbnails have a long side of {', '.join(map(str, SIZES))} pixels, not {size}.")
    return f"{_addresses().format(asset_id)}{size}/"


class StoredObject(models.Model):
    """A stored content. Its row is what storing and erasing equal content lock against each other."""

    key = models.CharField(max_length=400, primary_key=True)

    def __str__(self) -> str:
        return self.key


class AssetQuerySet(models.QuerySet["Asset"]):
    def present(self) -> AssetQuerySet:
        """Those whose bytes were not erased."""
        return self.filter(erased_at=None)


class Asset(models.Model):
    PICTURE, ADAPTER, FILE = "picture", "adapter", "file"
    KINDS = ((PICTURE, "Picture"), (ADAPTER, "Adapter"), (FILE, "File"))

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    project = models.ForeignKey("collaboration.Project", on_delete=models.CASCADE, related_name="assets")
    kind = models.CharField(max_length=10, choices=KINDS)
    original_name = models.CharField(max_length=200)
    """For people; cleaned."""
    sha256 = models.CharField(max_length=64, blank=True)
    """Hex digest of the stored bytes; empty once erased, as all that follows from the content is."""
    mime = models.CharField(max_length=100)
    bytes = models.PositiveBigIntegerField(default=0)
    width = models.PositiveIntegerField(null=True)
    """Pixels, upright; empty for what is no picture."""
    height = models.PositiveIntegerField(null=True)
    key = models.CharField(max_length=400, blank=True, db_index=True)
    """Name in the storage."""
    thumbnails = models.JSONField(default=dict)
    """{"160": key, ...}; only sizes up to the first that holds the whole picture."""
    placeholder = models.TextField(blank=True)
    """A picture of 16 px as `data:image/webp;base64,...`, to show until the real one is there."""
    generation = models.JSONField(null=True)
    """`metadata.GenerationSettings.to_json()` where the file told how it was generated."""
    notes = models.JSONField(default=list)
    """What was changed on the way in, in sentences."""
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    erased_at = models.DateTimeField(null=True, editable=False)

    objects = AssetQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["project", "sha256"], name="asset_content"),
            models.Index(fields=["sha256"], name="asset_same_content"),
        ]

    def __str__(self) -> str:
        return self.original_name

    @property
    def is_picture(self) -> bool:
        return self.kind == self.PICTURE

    @property
    def settings_found(self) -> GenerationSettings | None:
        """How the file says it was generated: the offer to use these settings."""
        return GenerationSettings.from_json(self.generation) if self.generation else None

    # ------------------------------------------------------------------------------------------------- addresses
    def url(self, size: int | None = None) -> str:
        """The application's own address of the file, or of its thumbnail with that long side. It never changes."""
        return file_url(self.pk, size)

    @property
    def url_full(self) -> str:
        return self.url()

    @property
    def url_160(self) -> str:
        return self.url(160)

    @property
    def url_320(self) -> str:
        return self.url(320)

    @property
    def url_640(self) -> str:
        return self.url(640)

    @property
    def url_1280(self) -> str:
        return self.url(1280)

    @property
    def srcset(self) -> str:
        """Thumbnails with their real widths, for `<img srcset>`; empty for what has none."""
        if not self.width or not self.height:
            return ""
        entries: dict[int, str] = {}
        for size in sorted(map(int, self.thumbnails)):
            scale = min(1.0, size / max(self.width, self.height))
            entries.setdefault(max(1, round(self.width * scale)), self.url(size))
        return ", ".join(f"{address} {width}w" for width, address in entries.items())

    def thumbnail_key(self, size: int) -> str:
        """Storage name of the smallest thumbnail that is at least `size`, or of the largest; empty without any."""
        available = sorted(map(int, self.thumbnails))
        chosen = next((s for s in available if s >= size), available[-1] if available else None)
        return "" if chosen is None else self.thumbnails[str(chosen)]

    # --------------------------------------------------------------------------------------------------- content
    def open(self) -> IO[Any]:
        """Open the stored bytes for reading. Raises FileNotFoundError once they are erased."""
        if not self.key:
            raise FileNotFoundError(f"{self.original_name} was erased.")
        return storages["default"].open(self.key, "rb")

    def image(self) -> Image.Image:
        """Decode the picture: mode RGB, sRGB, transparency over neutral grey."""
        with self.open() as file:
            opened = Image.open(file)
            opened.load()
        return colour.flatten(opened)

    def copy_to(self, path: Path) -> Path:
        """Write the stored bytes to `path`, checking their hash. Raises StoredFileDamaged and FileNotFoundError."""
        digest = hashlib.sha256()
        with self.open() as source, path.open("wb") as target:
            while chunk := source.read(1024 * 1024):
                digest.update(chunk)
                target.write(chunk)
        if digest.hexdigest() != self.sha256:
            path.unlink()
            raise StoredFileDamaged(f"The stored file of {self.original_name} was changed. Restore it from a backup.")
        return path
