"""Take a picture in: bounded in memory and time, judged by content, converted to 8-bit sRGB, upright."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pillow_heif
from PIL import Image, UnidentifiedImageError

from assets import colour, limits
from assets.containers import Container, exif, open_container
from assets.errors import IntakeError, damaged, truncated
from assets.metadata import GenerationSettings, read_generation

__all__ = ["IntakeError", "Picture", "take_in"]

pillow_heif.register_heif_opener(thumbnails=False)

_NAMES = {"HEIF": "HEIC", "WEBP": "WebP"}
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_METADATA_NAMES = {
    "gps": "the place it was taken",
    "exif": "camera data",
    "xmp": "editing data",
    "iptc": "captions",
    "c2pa": "content credentials",
}


@dataclass(slots=True)
class Picture:
    """A picture that was taken in."""

    image: Image.Image
    """Mode RGB, or RGBA where it has transparent pixels; 8-bit sRGB, upright, without metadata."""
    format: str
    """Of the file: PNG, JPEG, WebP, GIF, TIFF, HEIC, AVIF."""
    lossless: bool
    """Whether the file kept every pixel exactly."""
    had_alpha: bool
    animated: bool
    found: tuple[str, ...]
    """Kinds of metadata that the file held, sorted: `c2pa`, `comment`, `exif`, `gps`, `icc`, `iptc`, `text`, `xmp`."""
    generation: GenerationSettings | None
    """How a generator says it made the picture."""
    notes: list[str] = field(default_factory=list)
    """What was changed on the way in, in sentences for the person who uploaded it."""

    @property
    def width(self) -> int:
        return self.image.width

    @property
    def height(self) -> int:
        return self.image.height


def take_in(file: bytes | Path | IO[Any], name: str = "") -> Picture:
    """Read, check and decode one picture.

    `file` is the bytes, a path, or a binary file (an upload). `name` is only for the person; the format comes from the
    content. A 64-megapixel picture needs about 0.6 GB while it is converted. Raises IntakeError, whose sentence says
    what is wrong with the file and what to do.
    """
    container = open_container(_bytes(file))
    image = _decode(container)
    details = exif.read(container.exif) if container.exif else exif.Exif()
    turn = _TURNS.get(_orientation(image, container, details))
    if turn is not None and container.format != "TIFF":  # TIFF pictures are turned by their decoder
        image = image.transpose(turn)
    image, notes = colour.to_srgb(image, container)
    image, had_alpha = _settle_alpha(image)
    if details.has_position:
        container.found.add("gps")
    if container.animated:
        notes.insert(0, "This picture moves; its first frame was kept.")
    if container.pages:
        notes.insert(0, "This file has several pages; the first one was kept.")
    if removed := [words for kind, words in _METADATA_NAMES.items() if kind in container.found]:
        notes.append(f"Removed from the file: {', '.join(removed)}.")
    return Picture(
        image=image,
        format=_NAMES.get(container.format, container.format),
        lossless=container.lossless,
        had_alpha=had_alpha,
        animated=container.animated,
        found=tuple(sorted(container.found)),
        generation=read_generation({**details.texts, **container.texts}),
        notes=[*container.notes, *notes],
    )


def _bytes(file: bytes | Path | IO[Any]) -> bytes:
    """Read the file, never more than one byte past the limit."""
    if isinstance(file, bytes):
        limits.check_bytes(len(file))
        return file
    if isinstance(file, Path):
        limits.check_bytes(file.stat().st_size)
        with file.open("rb") as opened:
            return _bytes(opened)
    size = getattr(file, "size", None)
    if isinstance(size, int):
        limits.check_bytes(size)
    if file.seekable():
        file.seek(0)
    data: bytes = file.read(limits.MAX_PICTURE_BYTES + 1)
    limits.check_bytes(len(data))
    return data


def _decode(container: Container) -> Image.Image:
    kind = _NAMES.get(container.format, container.format)
    try:
        image = Image.open(io.BytesIO(container.data), formats=[container.format])
        if container.format != "TIFF":  # checked by its directory, before orientation
            limits.check_size(*image.size)
        image.load()
    except IntakeError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        limits.check_size(*(container.size or (limits.MAX_SIDE, limits.MAX_SIDE)))
        raise damaged(kind) from None
    except UnidentifiedImageError:
        raise _unreadable(container, kind) from None
    except Exception as error:  # decoders raise whatever a broken file leads them to
        raise truncated(kind) if _cut_short(error, container) else damaged(kind) from None
    if container.icc is None:
        profile = image.info.get("icc_profile")
        if isinstance(profile, bytes) and len(profile) <= limits.MAX_PROFILE_BYTES:
            container.icc = profile
            container.found.add("icc")
    return image


def _unreadable(container: Container, kind: str) -> IntakeError:
    if container.format in ("TIFF", "JPEG"):
        return IntakeError("unsupported", f"This {kind} uses a coding we cannot read. Export it as PNG.")
    return damaged(kind)


def _cut_short(error: Exception, container: Container) -> bool:
    words = str(error).lower()
    if any(word in words for word in ("truncated", "premature", "unexpected end", "not enough")):
        return True
    return container.format == "JPEG" and b"\xff\xd9" not in container.data[-2048:]


def _orientation(image: Image.Image, container: Container, details: exif.Exif) -> int:
    """Return the Exif orientation still to be applied, 1-8.

    HEIC pictures are turned by their decoder. AVIF's own rotation is passed on by its decoder as an Exif field; the
    Exif item of either says nothing (ISO/IEC 23008-12, 6.5.10).
    """
    if container.format == "HEIF":
        return 1
    if container.format == "AVIF":
        return int(image.getexif().get(0x0112, 1))
    return details.orientation


def _settle_alpha(image: Image.Image) -> tuple[Image.Image, bool]:
    """Return the picture without metadata, in mode RGB unless a pixel is transparent."""
    had_alpha = False
    if image.mode == "RGBA":
        lowest, highest = image.getchannel("A").getextrema()
        if highest == 0:
            raise IntakeError(
                "transparent", "Every pixel of this picture is transparent. Export it with its background."
            )
        had_alpha = lowest != 255
        if not had_alpha:
            image = image.convert("RGB")
    elif image.mode != "RGB":
        image = image.convert("RGB")
    if image.info or type(image) is not Image.Image:
        image = image.copy()
        image.info = {}
    return image, had_alpha
