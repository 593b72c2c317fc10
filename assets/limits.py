"""What is taken in, in one place. Every limit is checked from the header, before a pixel is decoded."""

from __future__ import annotations

from assets.errors import IntakeError

MAX_PICTURE_BYTES = 50 * 1024 * 1024
MAX_PIXELS = 64_000_000
MAX_SIDE = 16_384
MIN_SIDE = 64

SIZES = (160, 320, 640, 1280)
"""Long sides of the thumbnails, in pixels."""

MAX_TEXT_BYTES = 1024 * 1024
"""One text block of a file; longer ones are left out with a note (workflows of a few hundred KB are common)."""
MAX_TEXT_UNPACKED = 16 * 1024 * 1024
"""All compressed text of one file together; a file that holds more is refused."""
MAX_TEXT_BLOCKS = 256
MAX_PROFILE_BYTES = 4 * 1024 * 1024
"""Colour profile; the largest printing profiles in use are about 3 MB."""
MAX_EXIF_BYTES = 1024 * 1024


def check_bytes(size: int) -> None:
    """Refuse a file of `size` bytes outside 1 .. MAX_PICTURE_BYTES. Raises IntakeError (`empty`, `too_large`)."""
    if size <= 0:
        raise IntakeError("empty", "This file is empty.")
    if size > MAX_PICTURE_BYTES:
        raise IntakeError(
            "too_large",
            f"This file is {size / 2**20:,.0f} MB; a picture may be at most {MAX_PICTURE_BYTES // 2**20} MB. "
            "Save it as JPEG or at a smaller size.",
        )


def check_size(width: int, height: int) -> None:
    """Refuse a picture of `width` x `height` pixels outside the limits.

    Raises IntakeError (`too_small`, `side_too_long`, `too_many_pixels`).
    """
    size = f"{width:,} × {height:,} pixels"
    if min(width, height) < MIN_SIDE:
        raise IntakeError(
            "too_small",
            f"This picture is {size}. The shorter side needs at least {MIN_SIDE}; a reference works best from 512 on.",
        )
    if max(width, height) > MAX_SIDE:
        raise IntakeError(
            "side_too_long",
            f"This picture is {size}. A side may be at most {MAX_SIDE:,} pixels: scale it down and upload it again.",
        )
    if width * height > MAX_PIXELS:
        raise IntakeError(
            "too_many_pixels",
            f"This picture is {size}, {width * height / 1e6:,.0f} megapixels. "
            f"At most {MAX_PIXELS // 1_000_000} are taken: scale it down and upload it again.",
        )
