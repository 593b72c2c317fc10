"""What a picture file holds, before decoding."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Container:
    format: str
    """Pillow's name of the decoder: PNG, JPEG, WEBP, GIF, TIFF, HEIF, AVIF."""
    data: bytes
    """The picture alone, safe to hand to the decoder."""
    size: tuple[int, int] | None = None
    """(width, height) in pixels as stored, before orientation; None where only the decoder can say."""
    icc: bytes | None = None
    exif: bytes | None = None
    """TIFF-structured block, without the `Exif\\0\\0` prefix."""
    texts: dict[str, str] = field(default_factory=dict)
    """PNG keyword -> text."""
    gamma: float | None = None
    """PNG gAMA as the file's exponent (0.45455 for sRGB-like pictures); None where a profile or sRGB overrides it."""
    bits: int = 8
    """Per sample, as stored."""
    inverted: bool = False
    """White is zero and the decoder does not know."""
    animated: bool = False
    pages: bool = False
    """Holds further pages (TIFF)."""
    lossless: bool = True
    hdr: bool = False
    """Coded with a PQ or HLG transfer, which an 8-bit sRGB picture can only approximate."""
    found: set[str] = field(default_factory=set)
    """Kinds of metadata present: `exif`, `gps`, `xmp`, `icc`, `text`, `comment`, `iptc`, `c2pa`."""
    notes: list[str] = field(default_factory=list)
