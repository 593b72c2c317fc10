"""PNG (W3C PNG specification, third edition): chunks, checksums, bounded text.

The picture's own chunks are copied into a clean file; everything else is read here or dropped. Compressed text and
profiles are unpacked with a hard limit, so 200 KB that would unpack to 200 MB cost nothing.
"""

from __future__ import annotations

import struct
import zlib

from assets import limits
from assets.containers.container import Container
from assets.errors import IntakeError, damaged, truncated, wrong_checksum

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KIND = "PNG"
_KEPT = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}
_MAX_CHUNKS = 100_000
"""A 64-megapixel picture written in 8 KB pieces has about 30,000."""
_PIECE = 64 * 1024
"""Bytes of text packed or unpacked at a time."""


def read(data: bytes) -> Container:
    """Take a PNG apart. Raises IntakeError: `truncated`, `damaged`, `text_bomb`, and the limits on size."""
    if len(data) < 33:
        raise truncated(_KIND)
    if data[12:16] != b"IHDR" or data[8:12] != b"\0\0\0\x0d":
        raise damaged(_KIND)
    width, height, bits = struct.unpack(">IIB", data[16:25])
    limits.check_size(width, height)
    container = Container(format="PNG", data=b"", size=(width, height), bits=bits)
    budget = _TextBudget(container)
    view, position = memoryview(data), 8
    kept: list[bytes | memoryview] = [SIGNATURE]
    has_pixels = has_srgb = False
    gamma: float | None = None
    for _ in range(_MAX_CHUNKS):
        if position + 12 > len(data):
            raise truncated(_KIND)
        (length,), kind = struct.unpack_from(">I", data, position), bytes(view[position + 4 : position + 8])
        end = position + 12 + length
        if length > 0x7FFFFFFF:
            raise damaged(_KIND)
        if end > len(data):
            raise truncated(_KIND)
        body = view[position + 8 : end - 4]
        if zlib.crc32(view[position + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            raise wrong_checksum(_KIND)
        if kind in _KEPT:
            kept.append(view[position:end])
            has_pixels |= kind == b"IDAT"
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            budget.take(kind, body)
        elif kind == b"iCCP":
            container.icc = _profile(body, container)
        elif kind == b"eXIf":
            container.found.add("exif")
            if length <= limits.MAX_EXIF_BYTES:
                container.exif = bytes(body)
        elif kind == b"sRGB":
            has_srgb = True
        elif kind == b"gAMA" and length == 4:
            gamma = int.from_bytes(body, "big") / 100_000
        elif kind == b"cICP" and length == 4:
            container.hdr = body[1] in (16, 18)
        elif kind == b"acTL" and length == 8:
            container.animated = int.from_bytes(body[:4], "big") > 1
        elif kind == b"caBX":
            container.found.add("c2pa")
        if kind == b"IEND":
            break
        position = end
    else:
        raise damaged(_KIND)
    if not has_pixels:
        raise damaged(_KIND)
    if not has_srgb and container.icc is None and gamma is not None and 0.05 <= gamma <= 5:
        container.gamma = gamma
    container.data = b"".join(kept)
    return container


class _TextBudget:
    """Collects text chunks; remembers how much was unpacked for the file as a whole."""

    def __init__(self, container: Container) -> None:
        self.container = container
        self.unpacked = 0
        self.blocks = 0
        self.kept = 0

    def take(self, kind: bytes, body: memoryview) -> None:
        self.blocks += 1
        self.container.found.add("text")
        head = bytes(body[:80])
        name, separator, _ = head.partition(b"\0")
        if not separator or not 1 <= len(name) <= 79 or self.blocks > limits.MAX_TEXT_BLOCKS:
            return
        keyword = name.decode("latin-1")
        if keyword == "XML:com.adobe.xmp":
            self.container.found.add("xmp")
            return
        rest, compressed, encoding = body[len(name) + 1 :], kind == b"zTXt", "latin-1"
        if kind == b"zTXt":
            rest = rest[1:]
        elif kind == b"iTXt":
            compressed, encoding = bytes(rest[:1]) == b"\1", "utf-8"
            header = bytes(rest[2:1024])  # language tag and translated keyword, each closed by a zero
            language, second = header.find(b"\0"), -1
            if language >= 0:
                second = header.find(b"\0", language + 1)
            if second < 0:
                return
            rest = rest[2 + second + 1 :]
        value = self._unpack(rest) if compressed else (bytes(rest) if len(rest) <= limits.MAX_TEXT_BYTES else None)
        if value is None or self.kept + len(value) > 4 * limits.MAX_TEXT_BYTES:
            self._note()
        elif keyword not in self.container.texts:
            self.kept += len(value)
            self.container.texts[keyword] = value.decode(encoding, "replace")

    def _unpack(self, packed: memoryview) -> bytes | None:
        """Return the text, or None when it is broken or longer than one block may be."""
        inflater, pieces, size = zlib.decompressobj(), [], 0
        for start in range(0, len(packed), _PIECE):
            # In pieces, for what zlib leaves over of its input is copied at every step.
            rest: bytes | memoryview = packed[start : start + _PIECE]
            while rest and not inflater.eof:
                try:
                    piece = inflater.decompress(rest, _PIECE)
                except zlib.error:
                    return None
                rest = inflater.unconsumed_tail
                size += len(piece)
                self.unpacked += len(piece)
                if self.unpacked > limits.MAX_TEXT_UNPACKED:
                    raise IntakeError(
                        "text_bomb",
                        f"The text inside this PNG unpacks to more than {limits.MAX_TEXT_UNPACKED // 2**20} MB, "
                        "which no picture needs. Save the picture again without metadata.",
                    )
                if size <= limits.MAX_TEXT_BYTES:
                    pieces.append(piece)
                else:
                    pieces.clear()
            if inflater.eof:
                break
        return b"".join(pieces) if size <= limits.MAX_TEXT_BYTES else None

    def _note(self) -> None:
        note = f"A text block longer than {limits.MAX_TEXT_BYTES // 2**20} MB inside the file was left out."
        if note not in self.container.notes:
            self.container.notes.append(note)


def _profile(body: memoryview, container: Container) -> bytes | None:
    container.found.add("icc")
    name_end = bytes(body[:80]).find(b"\0")
    if name_end < 1:
        return None
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(body[name_end + 2 :], limits.MAX_PROFILE_BYTES + 1)
    except zlib.error:
        return None
    if len(profile) > limits.MAX_PROFILE_BYTES:
        container.notes.append("The colour profile inside the file is too large to be one; colours were taken as sRGB.")
        return None
    return profile or None
