"""HEIC and AVIF (ISO/IEC 23008-12, ISO base media files): which of the two, and their metadata items switched off.

Orientation and size come from the container's own properties through the decoder. Exif and XMP items are renamed, so
no decoder parses them; generation settings in an Exif item are looked for by its header.
"""

from __future__ import annotations

from assets import limits
from assets.containers.container import Container
from assets.errors import damaged, truncated

_AVIF = {b"avif", b"avis"}
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_SEQUENCES = {b"avis", b"hevc", b"hevx", b"hevm", b"hevs", b"msf1"}


def is_picture(data: bytes) -> bool:
    return data[4:8] == b"ftyp" and bool(set(_brands(data)) & (_AVIF | _HEIC))


def read(data: bytes) -> Container:
    """Take a HEIC or AVIF apart. Raises IntakeError: `truncated`, `damaged`, and the limits on size."""
    brands = _brands(data)
    kind = "AVIF" if set(brands) & _AVIF else "HEIF"
    name = "AVIF" if kind == "AVIF" else "HEIC"
    container = Container(format=kind, data=b"", lossless=False, animated=brands[0] in _SEQUENCES)
    position, clean = 0, data
    for _ in range(1000):
        if position + 8 > len(data):
            break
        length, box = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        header = 8
        if length == 1:
            length, header = int.from_bytes(data[position + 8 : position + 16], "big"), 16
        elif length == 0:
            length = len(data) - position
        if length < header:
            raise damaged(name)
        end = position + length
        if end > len(data):
            raise truncated(name)
        if box == b"meta":
            meta = data[position:end]
            _check_extents(meta)
            for item, found in ((b"Exif", "exif"), (b"mime", "xmp")):
                if item in meta:
                    container.found.add(found)
                    meta = meta.replace(item, b"none")
            at = meta.find(b"colrnclx")
            if at >= 0 and len(meta) >= at + 12:
                container.hdr = int.from_bytes(meta[at + 10 : at + 12], "big") in (16, 18)
            clean = b"".join((clean[:position], meta, clean[end:]))
        position = end
    container.data = clean
    if "exif" in container.found:
        # Every writer puts its first directory right behind the header.
        at = max(data.find(b"II*\0\x08\0\0\0"), data.find(b"MM\0*\0\0\0\x08"))
        if at >= 0:
            container.exif = data[at : at + limits.MAX_EXIF_BYTES]
    return container


def _brands(data: bytes) -> list[bytes]:
    length = min(int.from_bytes(data[:4], "big"), 256, len(data))
    return [data[8:12], *(data[at : at + 4] for at in range(16, length - 3, 4))]


def _check_extents(meta: bytes) -> None:
    """Check the largest picture the file declares (`ispe`: version and flags, width, height)."""
    at, largest = meta.find(b"ispe"), (0, 0)
    while at >= 0 and at + 16 <= len(meta):
        width, height = int.from_bytes(meta[at + 8 : at + 12], "big"), int.from_bytes(meta[at + 12 : at + 16], "big")
        largest = max(largest, (width, height), key=lambda size: size[0] * size[1])
        at = meta.find(b"ispe", at + 4)
    if largest != (0, 0):
        limits.check_size(*largest)
