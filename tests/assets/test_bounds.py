"""Hostile files cost little memory: measured as the peak resident size of a process of its own."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

from assets.intake import IntakeError, take_in
from tests.assets import build

_PROGRAM = """
import json, resource, sys
from pathlib import Path
from assets.intake import IntakeError, take_in
from tests.assets import build
take_in(build.small_png())  # imports and tables are not what is measured
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    take_in(Path(sys.argv[1]))
    answer = "taken"
except IntakeError as error:
    answer = error.code
print(json.dumps([answer, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024]))
"""


def cost(path: Path) -> tuple[str, float]:
    """Return (answer, MB of memory) of taking a file in, in a new process."""
    root = Path(__file__).parents[2]
    run = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(path)], capture_output=True, text=True, check=True, cwd=root, timeout=120
    )
    answer, megabytes = json.loads(run.stdout)
    return answer, megabytes


def test_200_mb_of_compressed_text(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(build.small_png(build.chunk(b"zTXt", b"parameters\0\0" + build.zeros_deflated(200 * 2**20))))
    assert path.stat().st_size < 2**20
    answer, megabytes = cost(path)
    assert answer == "text_bomb"
    assert megabytes < 20


def test_200_mb_of_text_in_many_small_pieces(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    piece = build.chunk(b"zTXt", b"k\0\0" + zlib.compress(b"\0" * 2**20, 9))
    path.write_bytes(build.small_png(*[piece] * 200))
    answer, megabytes = cost(path)
    assert answer == "text_bomb"
    assert megabytes < 30


def test_a_text_chunk_of_200_mb_is_too_large_a_file(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    with path.open("wb") as file:
        file.write(build.SIGNATURE + build.header(80, 80) + struct.pack(">I", 200 * 2**20) + b"zTXt")
        file.truncate(200 * 2**20)
    answer, megabytes = cost(path)
    assert answer == "too_large"
    assert megabytes < 10


def test_a_colour_profile_that_unpacks_to_200_mb(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(build.small_png(build.chunk(b"iCCP", b"p\0\0" + build.zeros_deflated(200 * 2**20))))
    answer, megabytes = cost(path)
    assert answer == "taken"
    assert megabytes < 40


def test_pixels_that_unpack_to_more_than_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    pixels = build.chunk(b"IDAT", build.zeros_deflated(500 * 2**20))
    path.write_bytes(build.png(build.header(80, 80), pixels, build.chunk(b"IEND", b"")))
    _, megabytes = cost(path)
    assert megabytes < 20


def test_48_mb_of_incompressible_text_take_no_time() -> None:
    text = build.chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(48 * 2**20), 0))
    began = time.process_time()
    with pytest.raises(IntakeError, match="unpacks to more than 16 MB"):
        take_in(build.small_png(text))
    assert time.process_time() - began < 2


def test_a_tiff_tile_of_24_000_pixels_a_side(tmp_path: Path) -> None:
    """The picture is small, and the decoder would hold 1.7 GB for its only tile."""
    path = tmp_path / "bomb.tiff"
    tile = build.zeros_deflated(24_000 * 24_000 * 3)
    values = {256: 100, 257: 100, 259: 8, 262: 2, 277: 3, 322: 24_000, 323: 24_000, 324: 8, 325: len(tile)}
    entries = [(tag, 4, 1, struct.pack("<I", value)) for tag, value in values.items()]
    entries.append((258, 3, 1, struct.pack("<HH", 8, 0)))
    path.write_bytes(build.tiff(sorted(entries), tile))
    answer, megabytes = cost(path)
    assert answer == "too_complex"
    assert megabytes < 20


def test_a_thousand_tags_that_share_their_bytes(tmp_path: Path) -> None:
    """A decoder that reads every tag would hold 1,000 x 20 MB."""
    path = tmp_path / "bomb.tiff"
    body = b"\0" * 20 * 2**20
    shared = struct.pack("<I", 8)
    entries = [(256, 4, 1, struct.pack("<I", 80)), (257, 4, 1, struct.pack("<I", 80))]
    entries += [(tag, 1, len(body), shared) for tag in range(40_000, 41_000)]
    path.write_bytes(build.tiff(entries, body))
    _, megabytes = cost(path)
    assert megabytes < 100


@pytest.mark.filterwarnings("ignore:Tag data larger")  # of the encoder, which reads what it is given
@pytest.mark.parametrize("kind", ["WEBP", "AVIF", "HEIF", "PNG", "JPEG"])
def test_an_exif_block_whose_tags_share_their_bytes(tmp_path: Path, kind: str) -> None:
    """The same trick inside a picture: 4,000 tags of up to 40 MB."""
    size = 15_000 if kind == "JPEG" else 40 * 2**20
    count = 4000
    directory = struct.pack("<H", count) + b"".join(struct.pack("<HHII", 20_000 + k, 1, size, 8) for k in range(count))
    block = b"II*\0" + struct.pack("<I", 8 + size) + b"\0" * size + directory + b"\0" * 4
    if kind == "JPEG":
        block = block[:60_000]
    path = tmp_path / "bomb"
    if kind == "PNG":
        path.write_bytes(build.small_png(build.chunk(b"eXIf", block)))
    else:
        path.write_bytes(build.encode(build.picture(), kind, exif=b"Exif\0\0" + block))
    answer, megabytes = cost(path)
    assert answer == "taken"
    assert megabytes < 260


def test_a_gif_of_comments(tmp_path: Path) -> None:
    path = tmp_path / "comments.gif"
    data = build.encode(build.picture(), "GIF")
    start = 13 + (3 << ((data[10] & 7) + 1))  # behind the palette
    comment = b"!\xfe" + (b"\xff" + b"x" * 255) * 100_000 + b"\0"
    path.write_bytes(data[:start] + comment + data[start:])
    answer, megabytes = cost(path)
    assert answer == "taken"
    assert megabytes < 100
