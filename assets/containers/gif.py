"""GIF89a: the first frame copied into a clean file; comments and further frames are not handed on."""

from __future__ import annotations

import struct

from assets import limits
from assets.containers.container import Container
from assets.errors import damaged, truncated

_KIND = "GIF"


def read(data: bytes) -> Container:
    """Take a GIF apart. Raises IntakeError: `truncated`, `damaged`, and the limits on size."""
    if len(data) < 13:
        raise truncated(_KIND)
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    limits.check_size(width, height)
    container = Container(format="GIF", data=b"", size=(width, height))
    position = 13 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
    header, control, frame = data[:position], b"", None
    while frame is None or not container.animated:
        block = data[position : position + 1]
        if block == b"!":
            end = _skip_blocks(data, position + 2)
            if data[position + 1 : position + 2] == b"\xf9":
                control = data[position:end]
            elif data[position + 1 : position + 2] == b"\xfe":
                container.found.add("comment")
        elif block == b",":
            if frame is not None:
                container.animated = True
                break
            if position + 10 > len(data):
                raise truncated(_KIND)
            left, top, frame_width, frame_height, frame_flags = struct.unpack_from("<HHHHB", data, position + 1)
            limits.check_size(max(width, left + frame_width), max(height, top + frame_height))
            pixels = position + 10 + (3 << ((frame_flags & 7) + 1) if frame_flags & 0x80 else 0) + 1
            end = _skip_blocks(data, pixels)
            frame = data[position:end]
        elif block == b";" or (not block and frame is not None):
            break
        elif block == b"\0":
            end = position + 1
        else:
            raise damaged(_KIND) if block else truncated(_KIND)
        position = end
    if frame is None:
        raise damaged(_KIND)
    container.data = header + control + frame + b";"
    return container


def _skip_blocks(data: bytes, position: int) -> int:
    """Return the offset behind a chain of sub-blocks that starts at `position`."""
    while True:
        if position >= len(data):
            raise truncated(_KIND)
        length = data[position]
        position += 1 + length
        if length == 0:
            return position
