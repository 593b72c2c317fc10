"""Every kind of picture arrives as upright 8-bit sRGB."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageCms

from assets.colour import flatten
from assets.intake import take_in
from tests.assets import build


def difference(a: Image.Image, b: Image.Image) -> float:
    """Mean absolute difference per channel, 0-255."""
    assert (a.size, a.mode) == (b.size, b.mode)
    return float(np.abs(np.asarray(a, dtype=float) - np.asarray(b, dtype=float)).mean())


@pytest.mark.parametrize(
    ("kind", "name", "tolerance"),
    [
        ("PNG", "PNG", 0),
        ("TIFF", "TIFF", 0),
        ("JPEG", "JPEG", 3),
        ("WEBP", "WebP", 4),
        ("HEIF", "HEIC", 4),
        ("AVIF", "AVIF", 4),
    ],
)
def test_formats_are_known_by_content(kind: str, name: str, tolerance: float) -> None:
    source = build.picture()
    taken = take_in(build.encode(source, kind), "notes.txt")
    assert (taken.format, taken.width, taken.height) == (name, 96, 80)
    assert difference(taken.image, source) <= tolerance
    assert taken.lossless == (kind in ("PNG", "TIFF"))
    assert taken.image.info == {}


def test_files_paths_and_bytes_are_the_same(tmp_path) -> None:  # type: ignore[no-untyped-def]
    data = build.encode(build.picture(), "PNG")
    (tmp_path / "a.jpg").write_bytes(data)
    half_read = io.BytesIO(data)
    half_read.read(10)
    images = [take_in(source).image for source in (data, tmp_path / "a.jpg", half_read)]
    assert images[0] == images[1] == images[2]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(kind: str, orientation: int) -> None:
    upright = build.picture(160, 96)
    back = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = upright.transpose(back) if back is not None else upright
    taken = take_in(build.encode(stored, kind, exif=build.exif(orientation=orientation)))
    assert difference(taken.image, upright) < 5


def test_a_place_is_noticed_and_gone() -> None:
    data = build.encode(build.picture(), "JPEG", exif=build.exif(latitude=(52.0, 30.0, 0.0)))
    taken = take_in(data)
    assert "gps" in taken.found
    assert any("the place it was taken" in note for note in taken.notes)


def test_wide_colours_are_converted() -> None:
    """Adobe RGB's green lies outside sRGB: 0, 255, 0 stays; a mid tone must move as ImageCms says."""
    source = Image.new("RGB", (80, 80), (60, 160, 90))
    profile = build.wide_profile()
    expected = ImageCms.profileToProfile(
        source, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    )
    assert difference(source, expected) > 10
    for kind in ("PNG", "TIFF", "WEBP"):
        options = {"lossless": True} if kind == "WEBP" else {}
        taken = take_in(build.encode(source, kind, icc_profile=profile, **options))
        assert difference(taken.image, expected) <= 1
        assert "Converted from Wide test to sRGB." in taken.notes
    for kind in ("JPEG", "HEIF", "AVIF"):
        taken = take_in(build.encode(source, kind, icc_profile=profile, quality=95))
        assert difference(taken.image, expected) <= 3, kind


def test_transparency_survives_a_colour_profile() -> None:
    source = Image.new("RGBA", (80, 80), (60, 160, 90, 255))
    source.paste((200, 30, 30, 77), (0, 0, 40, 80))
    taken = take_in(build.encode(source, "PNG", icc_profile=build.wide_profile()))
    assert taken.had_alpha
    assert taken.image.getchannel("A") == source.getchannel("A")
    assert taken.image.getpixel((60, 40))[:3] != (60, 160, 90)


def test_srgb_is_left_exactly_alone() -> None:
    source = build.picture()
    taken = take_in(build.encode(source, "PNG", icc_profile=build.srgb_profile()))
    assert taken.image == source
    assert taken.notes == []


def test_a_profile_that_only_calls_itself_srgb_is_honoured() -> None:
    """Linear light under the name of sRGB: middle grey of 55 levels is 128 in sRGB (IEC 61966-2-1)."""
    source = Image.new("RGB", (80, 80), (55, 55, 55))
    taken = take_in(build.encode(source, "PNG", icc_profile=build.linear_profile("sRGB, in linear light")))
    assert difference(taken.image, Image.new("RGB", (80, 80), (128, 128, 128))) <= 2
    assert "Converted from sRGB, in linear light to sRGB." in taken.notes


def test_a_broken_profile_is_reported() -> None:
    source = build.picture()
    taken = take_in(build.encode(source, "PNG", icc_profile=b"not a profile" * 20))
    assert taken.image == source
    assert any("profile could not be read" in note for note in taken.notes)


def test_a_damaged_profile_never_stops_a_picture() -> None:
    profile, source = build.wide_profile(), build.picture()
    for position in range(0, len(profile), 2):
        broken = bytearray(profile)
        broken[position] ^= 0xFF
        assert take_in(build.encode(source, "PNG", icc_profile=bytes(broken))).image.size == source.size


def test_a_profile_of_another_colour_space_is_reported() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    source = build.picture()
    taken = take_in(build.encode(source, "PNG", icc_profile=lab))
    assert taken.image == source
    assert any("not for this kind of picture" in note for note in taken.notes)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk(kind: str) -> None:
    ink = Image.merge("CMYK", [Image.new("L", (80, 80), v) for v in (0, 255, 255, 0)])  # magenta and yellow: red
    taken = take_in(build.encode(ink, kind))
    red, green, blue = taken.image.getpixel((40, 40))
    assert red > 200
    assert green < 80
    assert blue < 80
    assert any("CMYK" in note and "approximate" in note for note in taken.notes)


def test_lab() -> None:
    lab = ImageCms.applyTransform(
        Image.new("RGB", (80, 80), (180, 60, 40)),
        ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"),
    )
    taken = take_in(build.encode(lab, "TIFF"))
    assert difference(taken.image, Image.new("RGB", (80, 80), (180, 60, 40))) < 3


def test_16_bit_grey_keeps_its_tones() -> None:
    samples = np.tile(np.linspace(0, 65535, 256).round().astype(np.uint16), (80, 1))
    taken = take_in(build.png16(samples))
    assert np.array_equal(np.asarray(taken.image)[0, :, 0], np.arange(256))
    assert "Converted from 16 bits per channel." in taken.notes


def test_16_bit_grey_tiff_and_white_is_zero() -> None:
    samples = np.tile(np.linspace(0, 65535, 256).round().astype(np.uint16), (80, 1))
    data = build.encode(Image.fromarray(samples), "TIFF")
    assert np.array_equal(np.asarray(take_in(data).image)[0, :, 0], np.arange(256))
    entry = struct.pack("<HHI", 262, 3, 1)
    at = data.index(entry)
    inverted = data[: at + 8] + b"\0\0\0\0" + data[at + 12 :]
    assert np.array_equal(np.asarray(take_in(inverted).image)[0, :, 0], np.arange(256)[::-1])


def test_16_bit_colour() -> None:
    levels = np.arange(256, dtype=np.uint32) * 257
    samples = np.zeros((80, 256, 3), np.uint16)
    samples[..., 0], samples[..., 1], samples[..., 2] = levels, levels[::-1], 257 * 100
    image = np.asarray(take_in(build.png16(samples)).image)
    assert np.array_equal(image[0, :, 0], np.arange(256))
    assert np.array_equal(image[0, :, 1], np.arange(256)[::-1])
    assert (image[..., 2] == 100).all()


def test_palettes_and_bitmaps() -> None:
    source = build.picture().quantize(16)
    assert take_in(build.encode(source, "PNG")).image == source.convert("RGB")
    bits = build.picture().convert("1")
    assert take_in(build.encode(bits, "PNG")).image == bits.convert("RGB")


def test_a_transparent_palette_colour() -> None:
    source = Image.new("P", (80, 80), 1)
    source.putpalette([255, 0, 0, 0, 0, 255])
    source.paste(0, (0, 0, 40, 80))
    taken = take_in(build.encode(source, "PNG", transparency=0))
    assert taken.had_alpha
    assert taken.image.getpixel((10, 10))[3] == 0
    assert taken.image.getpixel((60, 10)) == (0, 0, 255, 255)


def test_a_transparent_colour_key() -> None:
    source = Image.new("RGB", (80, 80), (10, 20, 30))
    source.paste((255, 0, 0), (0, 0, 40, 80))
    taken = take_in(build.encode(source, "PNG", transparency=(255, 0, 0)))
    assert taken.image.getpixel((10, 10))[3] == 0
    assert taken.image.getpixel((60, 10)) == (10, 20, 30, 255)


def test_opaque_alpha_is_dropped_and_real_alpha_is_kept() -> None:
    opaque = build.picture().convert("RGBA")
    taken = take_in(build.encode(opaque, "PNG"))
    assert (taken.image.mode, taken.had_alpha) == ("RGB", False)
    opaque.putpixel((3, 3), (1, 2, 3, 128))
    taken = take_in(build.encode(opaque, "PNG"))
    assert (taken.image.mode, taken.had_alpha) == ("RGBA", True)
    assert flatten(taken.image).mode == "RGB"
    assert ImageChops.difference(flatten(taken.image), opaque.convert("RGB")).getbbox() == (3, 3, 4, 4)


def test_transparency_is_flattened_over_neutral_grey() -> None:
    half = Image.new("RGBA", (64, 64), (255, 255, 255, 0))
    assert flatten(half).getpixel((0, 0)) == (119, 119, 119)


def test_linear_gamma_is_honoured() -> None:
    """gAMA 1.0 with 50 % light: 186 in gamma 2.2, as browsers show it."""
    data = build.small_png(build.chunk(b"gAMA", struct.pack(">I", 100_000)))
    assert take_in(data).image.getpixel((0, 0)) == (186, 186, 186)
    nominal = build.small_png(build.chunk(b"gAMA", struct.pack(">I", 45_455)))
    assert take_in(nominal).image.getpixel((0, 0)) == (128, 128, 128)
    overruled = build.small_png(build.chunk(b"sRGB", b"\0"), build.chunk(b"gAMA", struct.pack(">I", 100_000)))
    assert take_in(overruled).image.getpixel((0, 0)) == (128, 128, 128)


@pytest.mark.parametrize("kind", ["WEBP", "GIF", "PNG"])
def test_the_first_frame_of_what_moves(kind: str) -> None:
    frames = [Image.new("RGB", (80, 80), colour) for colour in ("red", "blue", "green")]
    data = build.encode(frames[0], kind, save_all=True, append_images=frames[1:], duration=40)
    taken = take_in(data)
    assert taken.animated
    assert taken.notes[0] == "This picture moves; its first frame was kept."
    red, green, blue = taken.image.getpixel((40, 40))
    assert red > 240
    assert max(green, blue) < 20


def test_still_pictures_do_not_move() -> None:
    for kind in ("WEBP", "GIF", "PNG", "HEIF", "AVIF"):
        assert not take_in(build.encode(build.picture(), kind)).animated


def test_the_first_page_of_a_tiff() -> None:
    pages = [Image.new("RGB", (80, 80), colour) for colour in ("red", "blue")]
    taken = take_in(build.encode(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    assert taken.image.getpixel((0, 0)) == (255, 0, 0)
    assert "pages" in taken.notes[0]


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"])
def test_tiff_compressions(compression: str | None) -> None:
    source = build.picture(200, 150)
    taken = take_in(build.encode(source, "TIFF", compression=compression))
    assert difference(taken.image, source) < 3
    assert taken.lossless == (compression != "jpeg")


def test_big_tiff() -> None:
    source = build.picture()
    assert take_in(build.encode(source, "TIFF", big_tiff=True)).image == source


def test_lossless_webp_is_known() -> None:
    source = build.picture()
    assert take_in(build.encode(source, "WEBP", lossless=True)).lossless
    assert not take_in(build.encode(source, "WEBP")).lossless


def test_text_longer_than_1_mb_is_left_out_with_a_note() -> None:
    long = build.chunk(b"zTXt", b"workflow\0\0" + zlib.compress(b"x" * (2 * 2**20)))
    short = build.chunk(b"tEXt", b"parameters\0a cat\nSteps: 20, Sampler: Euler a, Seed: 5")
    taken = take_in(build.small_png(long, short))
    assert taken.generation is not None
    assert taken.generation.seed == 5
    assert any("longer than 1 MB" in note for note in taken.notes)


def test_pixels_behind_the_end_are_ignored() -> None:
    source = build.picture()
    assert take_in(build.encode(source, "PNG") + b"PK\x03\x04 a hidden archive").image == source
