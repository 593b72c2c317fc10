"""The few Exif fields that matter here, read with bounds.

Only these: the orientation, whether there is a position, and the texts in which image generators keep their settings
(UserComment by A1111 and SwarmUI; Make, Model and ImageDescription by ComfyUI).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from assets import limits

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 9: 4, 10: 8}
_MAX_ENTRIES = 512
_TEXTS = {0x010E: "ImageDescription", 0x010F: "Make", 0x0110: "Model"}


@dataclass(slots=True)
class Exif:
    orientation: int = 1
    """1-8 as in the TIFF tag."""
    has_position: bool = False
    texts: dict[str, str] = field(default_factory=dict)


def read(block: bytes) -> Exif:
    """Read a TIFF-structured Exif block; what is broken in it is left out."""
    exif = Exif()
    block = block.removeprefix(b"Exif\0\0")[: limits.MAX_EXIF_BYTES]
    if block[:2] not in (b"II", b"MM"):
        return exif
    order = "<" if block[:2] == b"II" else ">"
    try:
        first = _entries(block, order, struct.unpack_from(order + "I", block, 4)[0])
        for tag, value in first.items():
            if tag in _TEXTS:
                exif.texts[_TEXTS[tag]] = value.rstrip(b"\0").decode("utf-8", "replace")
        if len(value := first.get(0x0112, b"")) >= 2:
            exif.orientation = struct.unpack_from(order + "H", value)[0]
        exif.has_position = 0x8825 in first
        if len(pointer := first.get(0x8769, b"")) >= 4:
            second = _entries(block, order, struct.unpack_from(order + "I", pointer)[0])
            if comment := _user_comment(second.get(0x9286, b""), order):
                exif.texts["UserComment"] = comment
    except struct.error:
        pass
    if exif.orientation not in range(1, 9):
        exif.orientation = 1
    return exif


def _entries(block: bytes, order: str, at: int) -> dict[int, bytes]:
    """Return tag -> value bytes for the tags read here, from the directory at offset `at`."""
    wanted = {0x0112, 0x8769, 0x8825, 0x9286, *_TEXTS}
    (count,) = struct.unpack_from(order + "H", block, at)
    found: dict[int, bytes] = {}
    for position in range(at + 2, at + 2 + 12 * min(count, _MAX_ENTRIES), 12):
        if position + 12 > len(block):
            break
        tag, kind, values = struct.unpack_from(order + "HHI", block, position)
        if tag not in wanted or kind not in _TYPE_BYTES or tag in found:
            continue
        size = values * _TYPE_BYTES[kind]
        start = position + 8 if size <= 4 else struct.unpack_from(order + "I", block, position + 8)[0]
        if start + size <= len(block):
            found[tag] = block[start : start + size]
    return found


def _user_comment(value: bytes, order: str) -> str:
    """Decode UserComment: eight bytes name the character set (Exif 2.32, 4.6.5)."""
    charset, text = value[:8], value[8:]
    if charset == b"UNICODE\0":
        # Writers disagree on the byte order; in Latin text the zero bytes tell.
        big, little = text[0:4096:2].count(0), text[1:4096:2].count(0)
        encoding = (
            ("utf-16-be" if big > little else "utf-16-le")
            if big != little
            else ("utf-16-le" if order == "<" else "utf-16-be")
        )
        return text.decode(encoding, "replace").strip("\0\ufeff ")
    if charset in (b"ASCII\0\0\0", b"\0" * 8):
        return text.decode("utf-8", "replace").strip("\0 ")
    return value.decode("utf-8", "replace").strip("\0 ")
