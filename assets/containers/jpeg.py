"""JPEG (ITU-T T.81): segments up to the first scan, the rest as it is.

Application segments are read here and not handed on, except JFIF and Adobe, which tell the decoder the colour model.
"""

from __future__ import annotations

from assets import limits
from assets.containers.container import Container
from assets.errors import IntakeError, damaged, truncated

_KIND = "JPEG"
_MAX_SEGMENTS = 5_000
"""A 50 MB file of 64 KB segments has 800."""
_MAX_SCANS = 64
"""Each scan of a progressive file is a pass over the whole picture; encoders write about ten."""
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_KEPT = _FRAMES | {0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xDE, 0xE0, 0xEE}


def read(data: bytes) -> Container:
    """Take a JPEG apart. Raises IntakeError: `truncated`, `damaged`, `too_complex`, and the limits on size."""
    container = Container(format="JPEG", data=b"", lossless=False)
    view, position = memoryview(data), 2
    kept: list[bytes | memoryview] = [b"\xff\xd8"]
    profile: dict[int, bytes] = {}
    for _ in range(_MAX_SEGMENTS):
        while position < len(data) and data[position] == 0xFF and data[position + 1 : position + 2] == b"\xff":
            position += 1  # fill bytes
        if position + 4 > len(data):
            raise truncated(_KIND)
        if data[position] != 0xFF:
            raise damaged(_KIND)
        marker = data[position + 1]
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # no length
            position += 2
            continue
        if marker in (0x00, 0xD8, 0xD9):
            raise damaged(_KIND)
        length = int.from_bytes(view[position + 2 : position + 4], "big")
        end = position + 2 + length
        if length < 2:
            raise damaged(_KIND)
        if end > len(data):
            raise truncated(_KIND)
        body = view[position + 4 : end]
        if marker == 0xDA:
            break
        if marker in _FRAMES:
            if len(body) < 6:
                raise damaged(_KIND)
            height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
            limits.check_size(width, height)
            container.size, container.bits = (width, height), body[0]
        if marker in _KEPT:
            kept.append(view[position:end])
        else:
            _metadata(marker, bytes(body), container, profile)
        position = end
    else:
        raise damaged(_KIND)
    if container.size is None:
        raise damaged(_KIND)
    # Inside coded data 0xFF is always followed by zero or a restart marker, so this counts scans.
    if data.count(b"\xff\xda", position) > _MAX_SCANS:
        raise IntakeError(
            "too_complex",
            "This JPEG is coded in more passes than any camera or program writes. Export it again as JPEG or PNG.",
        )
    kept.append(view[position:])
    container.data = b"".join(kept)
    if profile and sum(map(len, profile.values())) <= limits.MAX_PROFILE_BYTES:
        container.icc = b"".join(profile[number] for number in sorted(profile))
    return container


def _metadata(marker: int, body: bytes, container: Container, profile: dict[int, bytes]) -> None:
    if marker == 0xE1 and body.startswith(b"Exif\0"):
        container.found.add("exif")
        container.exif = container.exif or body[6:]
    elif marker == 0xE1 and b"ns.adobe.com/x" in body[:64]:
        container.found.add("xmp")
    elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0") and len(body) > 14:
        container.found.add("icc")
        profile.setdefault(body[12], body[14:])
    elif marker == 0xEB and b"JP" in body[:2]:
        container.found.add("c2pa")
    elif marker == 0xED:
        container.found.add("iptc")
    elif marker == 0xFE:
        container.found.add("comment")
