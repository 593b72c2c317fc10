"""TIFF 6.0 and BigTIFF: the first directory, rewritten with only what decoding needs.

A tag may claim any length and many tags may point at the same bytes; a decoder that reads them all can be made to hold
many times the file. So the tags are checked and copied here, and further pages are not handed on.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from assets import limits
from assets.containers.container import Container
from assets.errors import IntakeError, damaged, truncated

_KIND = "TIFF"
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_DECODING = {
    254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325,
    332, 334, 338, 339, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, 34675,
}  # fmt: skip
_FOUND = {34665: "exif", 34853: "gps", 700: "xmp", 33723: "iptc", 34675: "icc", 270: "comment"}
_MAX_VALUES = 16 * 1024 * 1024
_MAX_TILE = 4096 * 4096
"""Pixels. A decoder holds a whole tile, however little of it the picture shows; writers make 64-1024 a side."""
_RAW_MARKS = {50706, 50827, 33421}  # DNGVersion, OriginalRawFileName, CFARepeatPatternDim


@dataclass(slots=True)
class _Layout:
    order: str
    big: bool

    @property
    def entry(self) -> int:
        return 20 if self.big else 12

    def number(self, data: bytes, at: int, kind: str) -> int:
        try:
            return int(struct.unpack_from(self.order + kind, data, at)[0])
        except struct.error:
            raise truncated(_KIND) from None


def read(data: bytes) -> Container:
    """Take a TIFF apart. Raises IntakeError: `truncated`, `damaged`, `raw`, `too_complex`, and the limits on size."""
    layout = _Layout("<" if data[:2] == b"II" else ">", data[2:4] in (b"+\0", b"\0+"))
    big = layout.big
    if data[8:10] == b"CR":
        raise _camera_raw()
    start = layout.number(data, 8 if big else 4, "Q" if big else "I")
    count = layout.number(data, start, "Q" if big else "H")
    if count > 4096:
        raise damaged(_KIND)
    first = start + (8 if big else 2)
    if first + count * layout.entry > len(data):
        raise truncated(_KIND)
    container = Container(format="TIFF", data=b"")
    kept: dict[int, bytes] = {}
    total = 0
    for position in range(first, first + count * layout.entry, layout.entry):
        tag, kind = layout.number(data, position, "H"), layout.number(data, position + 2, "H")
        values = layout.number(data, position + 4, "Q" if big else "I")
        if tag in _RAW_MARKS or (tag == 254 and _inline(layout, data, position, kind) & 1):
            raise _camera_raw()
        if tag in _FOUND:
            container.found.add(_FOUND[tag])
        if tag not in _DECODING or tag in kept or kind not in _TYPE_BYTES:
            continue
        size = values * _TYPE_BYTES[kind]
        if tag == 34675 and size > limits.MAX_PROFILE_BYTES:
            continue
        total += size
        if total > _MAX_VALUES:
            raise damaged(_KIND)
        if size > (8 if big else 4):
            offset = layout.number(data, position + (12 if big else 8), "Q" if big else "I")
            if offset + size > len(data):
                raise truncated(_KIND)
        kept[tag] = data[position : position + layout.entry]
        if tag == 258:
            container.bits = _bits(layout, data, position, kind, values)
    following = first + count * layout.entry
    container.pages = (
        following + (8 if big else 4) <= len(data) and layout.number(data, following, "Q" if big else "I") != 0
    )
    container.size = _size(layout, kept)
    limits.check_size(*container.size)
    _check_tiles(layout, kept, container.size)
    photometric = _first(layout, kept[262]) if 262 in kept else 1
    container.inverted = photometric == 0 and container.bits > 8
    compression = _first(layout, kept[259]) if 259 in kept else 1
    container.lossless = compression not in (6, 7, 34892, 50001, 50002)
    container.data = _rewrite(layout, data, kept)
    return container


def _rewrite(layout: _Layout, data: bytes, kept: dict[int, bytes]) -> bytes:
    """Return the file with its first directory replaced by one, at the end, that holds only `kept` entries."""
    padding = b"\0" * (-len(data) % 16)
    at = len(data) + len(padding)
    count = struct.pack(layout.order + ("Q" if layout.big else "H"), len(kept))
    directory = count + b"".join(kept[tag] for tag in sorted(kept)) + b"\0" * 8
    header = (
        data[:8] + struct.pack(layout.order + "Q", at) if layout.big else data[:4] + struct.pack(layout.order + "I", at)
    )
    return b"".join((header, memoryview(data)[len(header) :], padding, directory))


def _inline(layout: _Layout, data: bytes, position: int, kind: int) -> int:
    """Return the first value of an entry whose values fit into it."""
    at = position + (12 if layout.big else 8)
    code = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(kind)
    return layout.number(data, at, code) if code else 0


def _bits(layout: _Layout, data: bytes, position: int, kind: int, values: int) -> int:
    if kind == 3 and values * 2 > (8 if layout.big else 4):
        offset = layout.number(data, position + (12 if layout.big else 8), "Q" if layout.big else "I")
        return layout.number(data, offset, "H")
    return _inline(layout, data, position, kind)


def _size(layout: _Layout, kept: dict[int, bytes]) -> tuple[int, int]:
    sides = []
    for tag in (256, 257):
        if tag not in kept:
            raise damaged(_KIND)
        sides.append(_first(layout, kept[tag]))
    return sides[0], sides[1]


def _first(layout: _Layout, entry: bytes) -> int:
    """Return the first value of a kept entry, as `_inline` does."""
    return _inline(layout, entry, 0, struct.unpack_from(layout.order + "H", entry, 2)[0])


def _check_tiles(layout: _Layout, kept: dict[int, bytes], size: tuple[int, int]) -> None:
    tile = [_first(layout, kept[tag]) for tag in (322, 323) if tag in kept]
    if len(tile) == 2 and tile[0] * tile[1] > max(_MAX_TILE, 2 * size[0] * size[1]):
        raise IntakeError(
            "too_complex", "This TIFF is divided into tiles much larger than the picture. Export it again as PNG."
        )


def _camera_raw() -> IntakeError:
    return IntakeError("raw", "This is a camera raw file. Develop it and export it as JPEG, PNG or TIFF.")
