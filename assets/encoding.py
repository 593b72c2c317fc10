"""How pictures are kept: the stored file, its thumbnails, its placeholder."""

from __future__ import annotations

import base64
import io

from PIL import Image

from assets.limits import SIZES
from assets.metadata import provenance_png

_JPEG_QUALITY = 95
_THUMBNAIL_QUALITY = 80
_PLACEHOLDER_SIDE = 16


def stored_form(image: Image.Image, *, lossless: bool) -> tuple[bytes, str, str]:
    """Encode a picture for keeping. Returns (bytes, MIME type, extension).

    PNG where the source was exact or has transparency. Otherwise JPEG at quality 95 without chroma subsampling: the
    source was lossy already, the difference is below what face encoders notice, every tool reads it, and 12 megapixels
    take 0.1 s where WebP of like quality takes 0.5-1 s. Equal pixels always give equal bytes.
    """
    if lossless or image.mode == "RGBA":
        return provenance_png(image, parameters="", provenance={}), "image/png", "png"
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue(), "image/jpeg", "jpg"


def thumbnails(image: Image.Image) -> dict[int, bytes]:
    """Return long side -> WebP, each made from the next larger one.

    Sizes beyond the first that holds the whole picture are left out; nothing is enlarged.
    """
    longest = max(image.size)
    wanted = [size for size in SIZES if size < longest] + [size for size in SIZES if size >= longest][:1]
    made: dict[int, bytes] = {}
    for size in reversed(wanted):
        image = _shrunk(image, size)
        made[size] = _webp(image, _THUMBNAIL_QUALITY)
    return made


def placeholder(image: Image.Image) -> str:
    """Return a 16 px picture as a data address of about 200 characters."""
    return f"data:image/webp;base64,{base64.b64encode(_webp(_shrunk(image, _PLACEHOLDER_SIDE), 30)).decode()}"


def _shrunk(image: Image.Image, longest: int) -> Image.Image:
    scale = longest / max(image.size)
    if scale >= 1:
        return image
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _webp(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=4)
    return buffer.getvalue()
