"""WebP (RIFF container): size from the header, metadata chunks, whether it moves."""

from __future__ import annotations

import struct

from assets import limits
from assets.containers.container import Container
from assets.errors import damaged, truncated

_KIND = "WebP"
_MAX_CHUNKS = 100_000


def read(data: bytes) -> Container:
    """Take a WebP apart. Raises IntakeError: `truncated`, `damaged`, and the limits on size."""
    if len(data) < 30:
        raise truncated(_KIND)
    size = _size(data)
    if size is None:
        raise damaged(_KIND)
    limits.check_size(*size)
    if 8 + int.from_bytes(data[4:8], "little") > len(data) + 1:  # some writers forget the last padding byte
        raise truncated(_KIND)
    container = Container(format="WEBP", data=data, size=size, lossless=data[12:16] == b"VP8L")
    position, frames, chunks = 12, 0, 0
    while position + 8 <= len(data) and chunks < _MAX_CHUNKS:
        kind, length = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "little")
        start, chunks = position + 8, chunks + 1
        if kind == b"ANMF":
            frames += 1
        elif kind == b"VP8L":
            container.lossless = True
        elif kind == b"EXIF":
            container.found.add("exif")
            if length <= limits.MAX_EXIF_BYTES:
                container.exif = data[start : start + length].removeprefix(b"Exif\0\0")
        elif kind == b"ICCP":
            container.found.add("icc")
            if length <= limits.MAX_PROFILE_BYTES:
                container.icc = data[start : start + length]
        elif kind == b"XMP ":
            container.found.add("xmp")
        elif kind == b"C2PA":
            container.found.add("c2pa")
        position = start + length + (length & 1)
    container.animated = frames > 1
    return container


def _size(data: bytes) -> tuple[int, int] | None:
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L" and data[20] == 0x2F:
        (bits,) = struct.unpack_from("<I", data, 21)
        return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
    if kind == b"VP8 " and data[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None
