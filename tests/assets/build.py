"""Files to take in, good and hostile, built from their specifications."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image, ImageCms

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def picture(width: int = 96, height: int = 80, seed: int = 0) -> Image.Image:
    """A smooth, colourful picture whose corners differ, so a turn or a swap of channels shows."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 256, (3, 3, 3)).astype(np.uint8)
    return Image.fromarray(corners).resize((width, height), Image.Resampling.BICUBIC)


def encode(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes, *, crc: int | None = None) -> bytes:
    crc = zlib.crc32(kind + body) if crc is None else crc
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)


def header(width: int, height: int, bits: int = 8, colour: int = 2) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))


def png(*chunks: bytes) -> bytes:
    return SIGNATURE + b"".join(chunks)


def small_png(*extra: bytes, width: int = 80, height: int = 80) -> bytes:
    """A grey RGB PNG with `extra` chunks between header and pixels."""
    rows = (b"\0" + b"\x80" * 3 * width) * height
    return png(header(width, height), *extra, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))


def png16(samples: np.ndarray) -> bytes:
    """A 16-bit PNG from uint16 samples [H, W] or [H, W, 3]."""
    height, width = samples.shape[:2]
    raw = samples.astype(">u2").tobytes()
    stride = len(raw) // height
    rows = b"".join(b"\0" + raw[y * stride : (y + 1) * stride] for y in range(height))
    colour = 2 if samples.ndim == 3 else 0
    return png(header(width, height, 16, colour), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))


def zeros_deflated(size: int) -> bytes:
    """`size` zero bytes, compressed, without ever holding them."""
    packer, pieces = zlib.compressobj(9), []
    block = b"\0" * 2**20
    for _ in range(size // len(block)):
        pieces.append(packer.compress(block))
    return b"".join(pieces) + packer.flush()


def tiff(entries: list[tuple[int, int, int, bytes]], body: bytes = b"") -> bytes:
    """A little-endian TIFF: entries of (tag, type, count, four inline bytes) behind `body`, which starts at 8."""
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHI", *e[:3]) + e[3] for e in entries)
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + directory + b"\0\0\0\0"


def exif(**fields: Any) -> bytes:
    """An Exif block: `orientation`, `comment` (bytes of UserComment), `make`, `latitude`."""
    block = Image.Exif()
    if "orientation" in fields:
        block[0x0112] = fields["orientation"]
    if "make" in fields:
        block[0x010F] = fields["make"]
    if "comment" in fields:
        block.get_ifd(0x8769)[0x9286] = fields["comment"]
    if "latitude" in fields:
        block.get_ifd(0x8825)[2] = fields["latitude"]
    return block.tobytes()


def wide_profile() -> bytes:
    """Adobe RGB's primaries and gamma 2.2."""
    return matrix_profile(
        "Wide test", 2.2, (0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)
    )


def linear_profile(name: str) -> bytes:
    """sRGB's primaries in linear light."""
    return matrix_profile(
        name, 1.0, (0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)
    )


def matrix_profile(name: str, gamma: float, *primaries: tuple[float, float, float]) -> bytes:
    """An RGB matrix profile from the D50-adapted XYZ of its three primaries (ICC.1:2022, monitor class, v2)."""

    def xyz(x: float, y: float, z: float) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">iii", *(round(v * 65536) for v in (x, y, z)))

    text = name.encode()
    description = b"desc\0\0\0\0" + struct.pack(">I", len(text) + 1) + text + b"\0" + b"\0" * 78
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    tags = {
        b"desc": description + b"\0" * (-len(description) % 4),
        b"cprt": b"text\0\0\0\0none\0\0\0\0",
        b"wtpt": xyz(0.9642, 1.0, 0.8249),
        b"rXYZ": xyz(*primaries[0]),
        b"gXYZ": xyz(*primaries[1]),
        b"bXYZ": xyz(*primaries[2]),
        b"rTRC": curve,
        b"gTRC": curve,
        b"bTRC": curve,
    }
    offset = 128 + 4 + 12 * len(tags)
    table, data = b"", b""
    for name, body in tags.items():
        table += name + struct.pack(">II", offset + len(data), len(body))
        data += body
    size = offset + len(data)
    head = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + b"\0" * 28
    head += struct.pack(">iii", round(0.9642 * 65536), 65536, round(0.8249 * 65536))
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
