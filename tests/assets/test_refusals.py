"""Files that are not taken in, each with its own sentence."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from PIL import Image

from assets.intake import IntakeError, take_in
from tests.assets import build


def refused(data: bytes) -> IntakeError:
    with pytest.raises(IntakeError) as caught:
        take_in(data, "picture.png")
    assert caught.value.sentence.endswith(".")
    assert "Traceback" not in caught.value.sentence
    return caught.value


def test_a_header_of_50_000_pixels_a_side() -> None:
    error = refused(build.png(build.header(50_000, 50_000), build.chunk(b"IDAT", b""), build.chunk(b"IEND", b"")))
    assert error.code == "side_too_long"
    assert "50,000 × 50,000" in error.sentence
    assert "16,384" in error.sentence


def test_more_than_64_megapixels() -> None:
    error = refused(build.png(build.header(10_000, 10_000), build.chunk(b"IDAT", b""), build.chunk(b"IEND", b"")))
    assert error.code == "too_many_pixels"
    assert "100 megapixels" in error.sentence


@pytest.mark.parametrize(("width", "height"), [(1, 1), (63, 2000), (2000, 1)])
def test_too_small_says_what_is_needed(width: int, height: int) -> None:
    error = refused(build.encode(Image.new("RGB", (width, height)), "PNG"))
    assert error.code == "too_small"
    assert f"{width:,} × {height:,}" in error.sentence
    assert "64" in error.sentence


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF", "TIFF", "HEIF", "AVIF"])
def test_sizes_are_checked_in_every_format(kind: str) -> None:
    assert refused(build.encode(Image.new("RGB", (32, 100)), kind)).code == "too_small"


def webp_header(width: int, height: int) -> bytes:
    body = (
        b"WEBPVP8X"
        + struct.pack("<IB3x", 10, 0)
        + (width - 1).to_bytes(3, "little")
        + (height - 1).to_bytes(3, "little")
    )
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg_header(width: int, height: int) -> bytes:
    frame = struct.pack(">BHHB", 8, height, width, 1) + b"\1\x11\0"
    return b"\xff\xd8\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + b"\xff\xda\0\x08\1\1\0\0\x3f\0\0\xff\xd9"


def tiff_header(width: int, height: int) -> bytes:
    return build.tiff([(256, 4, 1, struct.pack("<I", width)), (257, 4, 1, struct.pack("<I", height))])


@pytest.mark.parametrize(
    "data",
    [
        webp_header(20_000, 20_000),
        jpeg_header(60_000, 60_000),
        b"GIF89a" + struct.pack("<HHBBB", 60_000, 60_000, 0, 0, 0) + b";",
        tiff_header(100_000, 100_000),
    ],
    ids=["webp", "jpeg", "gif", "tiff"],
)
def test_huge_headers_in_every_format(data: bytes) -> None:
    assert refused(data).code == "side_too_long"


def test_an_empty_file() -> None:
    assert refused(b"").code == "empty"


def test_200_mb_are_refused_by_their_size_without_being_read() -> None:
    class Upload(io.BytesIO):
        size = 200 * 2**20

        def read(self, *args: object) -> bytes:
            raise AssertionError("the file was read")

    with pytest.raises(IntakeError) as caught:
        take_in(Upload())
    assert caught.value.code == "too_large"
    assert "200 MB" in caught.value.sentence
    assert "50 MB" in caught.value.sentence


def test_a_stream_without_a_size_is_read_no_further_than_the_limit() -> None:
    class Endless(io.RawIOBase):
        given = 0

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            assert size > 0
            self.given += size
            return b"\0" * size

    endless = Endless()
    with pytest.raises(IntakeError, match="50 MB"):
        take_in(endless)  # type: ignore[arg-type]
    assert endless.given == 50 * 2**20 + 1


# ------------------------------------------------------------------------------------------- what is no picture
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="90" height="90"><script>alert(1)</script></svg>'


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (SVG.encode(), "svg", "Export it as PNG"),
        (f'<?xml version="1.0"?>\n<!-- made by hand -->\n<!DOCTYPE svg>\n{SVG}'.encode(), "svg", "SVG drawing"),
        (("\ufeff" + SVG).encode("utf-16-le"), "svg", "SVG drawing"),
        (b"\xef\xbb\xbf  " + SVG.encode(), "svg", "SVG drawing"),
        (b'<x:svg xmlns:x="http://www.w3.org/2000/svg"/>', "svg", "SVG drawing"),
        (b"<!DOCTYPE html><html><body><svg></svg></body></html>", "html", "web page"),
        (b"<html><script>alert(1)</script></html>", "html", "web page"),
        (b"Dear team,\nhere is the picture.\n", "text", "text file"),
        ("Grüße\n".encode(), "text", "text file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "text", "git lfs pull"),
        (b"%PDF-1.7\n", "pdf", "PDF"),
        (b"PK\x03\x04\x14\0\0\0", "archive", "Unpack"),
        (b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41", "video", "one frame"),
        (b"\x1a\x45\xdf\xa3\x01\0\0\0", "video", "one frame"),
        (b"8BPS\0\1", "unsupported", "Photoshop"),
        (b"\x76\x2f\x31\x01\2\0\0\0", "unsupported", "OpenEXR"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "unsupported", "JPEG XL"),
        (b"FUJIFILMCCD-RAW 0201", "raw", "Develop it"),
        (b"\x7fELF\2\1\1\0" + b"\0" * 100, "not_a_picture", "PNG, JPEG"),
        (bytes(range(256)), "not_a_picture", "PNG, JPEG"),
    ],
)
def test_what_it_is_decides_not_its_name(data: bytes, code: str, words: str) -> None:
    error = refused(data)
    assert (error.code, words in error.sentence) == (code, True), error.sentence


def test_many_comments_before_markup_take_no_time() -> None:
    assert refused(b"<!---->" * 500 + b"x").code == "text"


def test_camera_raw_in_a_tiff() -> None:
    dng = build.tiff(
        [(256, 4, 1, struct.pack("<I", 160)), (257, 4, 1, struct.pack("<I", 120)), (50706, 1, 4, b"\1\4\0\0")]
    )
    assert refused(dng).code == "raw"
    preview = build.tiff(
        [(254, 4, 1, struct.pack("<I", 1)), (256, 4, 1, struct.pack("<I", 160)), (257, 4, 1, struct.pack("<I", 120))]
    )
    assert refused(preview).code == "raw"


# ------------------------------------------------------------------------------------------------ broken pictures
def test_a_wrong_checksum() -> None:
    rows = zlib.compress((b"\0" + b"\x80" * 240) * 80)
    data = build.png(build.header(80, 80), build.chunk(b"IDAT", rows, crc=12345), build.chunk(b"IEND", b""))
    error = refused(data)
    assert error.code == "damaged"
    assert "checksum" in error.sentence


def test_a_wrong_checksum_of_the_header() -> None:
    data = bytearray(build.small_png())
    data[19] ^= 1  # width
    assert "checksum" in refused(bytes(data)).sentence


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "HEIF", "AVIF"])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.9])
def test_truncated(kind: str, part: float) -> None:
    data = build.encode(build.picture(400, 300), kind)
    error = refused(data[: int(len(data) * part)])
    assert error.code == "truncated", (kind, error.sentence)
    assert "missing" in error.sentence


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "HEIF", "AVIF"])
def test_cut_anywhere_it_is_refused_with_a_sentence_or_read(kind: str) -> None:
    data = build.encode(build.picture(), kind)
    for length in range(0, len(data), max(1, len(data) // 60)):
        try:
            take_in(data[:length])
        except IntakeError as error:
            assert error.sentence  # noqa: PT017


@pytest.mark.filterwarnings("ignore:Metadata Warning")  # of the decoder, about the flipped byte
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "HEIF", "AVIF"])
def test_flipped_bytes_never_raise_anything_else(kind: str) -> None:
    data = build.encode(build.picture(), kind)
    for position in range(0, min(len(data), 4000), max(1, min(len(data), 4000) // 150)):
        broken = bytearray(data)
        broken[position] ^= 0xFF
        try:
            take_in(bytes(broken))
        except IntakeError as error:
            assert error.sentence  # noqa: PT017


def test_a_progressive_jpeg_of_a_thousand_passes() -> None:
    data = build.encode(build.picture(), "JPEG", progressive=True)
    scan = b"\xff\xda\0\x08\1\1\0\x01\x01\0\0"
    assert refused(data[:-2] + scan * 1000 + b"\xff\xd9").code == "too_complex"


def test_nothing_but_transparency() -> None:
    error = refused(build.encode(Image.new("RGBA", (80, 80), (255, 0, 0, 0)), "PNG"))
    assert error.code == "transparent"


def test_floating_point_pixels() -> None:
    error = refused(build.encode(Image.new("F", (80, 80), 0.5), "TIFF"))
    assert error.code == "unsupported"
    assert "32-bit" in error.sentence
