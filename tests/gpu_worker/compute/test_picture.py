from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from gpu_worker.contracts import RunError
from gpu_worker.scorers import picture

Pixels = NDArray[np.uint8]


def drawing(side: int = 512, seed: int = 0) -> Pixels:
    """Flat shapes with outlines on a shaded ground."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(90, 200, side)
    ground = np.stack([np.tile(ramp[:, None], side), np.tile(ramp, (side, 1)), np.full((side, side), 150.0)], 2)
    image = Image.fromarray(ground.astype(np.uint8))
    pen = ImageDraw.Draw(image)
    for _ in range(12):
        x, y, r = rng.integers(0, side), rng.integers(0, side), rng.integers(side // 12, side // 5)
        pen.ellipse(
            (x - r, y - r, x + r, y + r), fill=tuple(rng.integers(0, 255, 3)), outline=(0, 0, 0), width=side // 100
        )
    return np.array(image)


def photograph(side: int = 512, noise: float = 3.0, seed: int = 0) -> Pixels:
    """The same shapes without outlines, out of focus, with a sensor's noise."""
    import cv2

    soft = cv2.GaussianBlur(drawing(side, seed).astype(np.float32), (0, 0), side / 60)
    rng = np.random.default_rng(seed)
    return (soft + rng.normal(0, noise, soft.shape)).clip(0, 255).astype(np.uint8)


def textured(side: int = 512, seed: int = 0) -> Pixels:
    """Fine structure everywhere, as of hair, cloth or leaves."""
    import cv2

    rng = np.random.default_rng(seed)
    fine = sum(cv2.GaussianBlur(rng.normal(0, 1, (side, side, 3)), (0, 0), s) * s * 25 for s in (1, 2, 4))
    return (128 + fine).clip(0, 255).astype(np.uint8)


def compressed(pixels: Pixels, form: str, quality: int) -> Pixels:
    body = io.BytesIO()
    Image.fromarray(pixels).save(body, form, quality=quality)
    return np.array(Image.open(body).convert("RGB"))


# ------------------------------------------------------------------------------------- drawn or photographed
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("side", [128, 256, 512, 1024])
@pytest.mark.parametrize("how", ["whole", "JPEG 60", "JPEG 90", "WEBP 80"])
def test_a_flat_drawing_is_no_photograph(side: int, how: str, seed: int) -> None:
    pixels = drawing(side, seed)
    if how != "whole":
        form, quality = how.split()
        pixels = compressed(pixels, form, int(quality))
    assert picture.photographic(pixels) < 0.3


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("side", [128, 256, 512, 1024])
@pytest.mark.parametrize("how", ["noise", "texture", "noise JPEG", "texture JPEG"])
def test_noise_and_texture_everywhere_are_a_photograph(side: int, how: str, seed: int) -> None:
    pixels = photograph(side, seed=seed) if "noise" in how else textured(side, seed)
    if "JPEG" in how:
        pixels = compressed(pixels, "JPEG", 92)
    assert picture.photographic(pixels) > 0.7


def test_one_colour_and_tiny_pictures_are_no_photographs() -> None:
    assert picture.photographic(np.full((300, 300, 3), 77, np.uint8)) == 0
    assert picture.photographic(np.zeros((1, 1, 3), np.uint8)) == 0
    assert picture.photographic(np.zeros((3000, 2, 3), np.uint8)) == 0


def test_a_picture_scaled_after_compression_keeps_its_kind() -> None:
    def scaled(pixels: Pixels) -> Pixels:
        return np.array(Image.fromarray(compressed(pixels, "JPEG", 75)).resize((363, 363), Image.Resampling.LANCZOS))

    assert picture.photographic(scaled(drawing(512))) < 0.3
    assert picture.photographic(scaled(textured(512))) > 0.7


# --------------------------------------------------------------------------------------------- other measures
def test_sharpness_falls_with_blur_and_not_with_size() -> None:
    import cv2

    sharp = drawing(512)
    blurred = cv2.GaussianBlur(sharp, (0, 0), 3)
    assert picture.sharpness(blurred) < 0.2 * picture.sharpness(sharp)
    twice = sharp.repeat(2, axis=0).repeat(2, axis=1)
    assert picture.sharpness(twice) == pytest.approx(picture.sharpness(sharp), rel=0.01)
    assert picture.sharpness(np.zeros((9, 2000, 3), np.uint8)) == 0


def test_brightness_and_clipping() -> None:
    pixels = np.zeros((10, 10, 3), np.uint8)
    pixels[:5] = 255
    assert picture.brightness(pixels) == pytest.approx(0.5)
    assert picture.clipped(pixels) == 1
    pixels[5:] = 128
    assert picture.clipped(pixels) == 0.5


def test_near_duplicates_have_near_hashes() -> None:
    def distance(a: Pixels, b: Pixels) -> int:
        return (int(picture.perceptual_hash(a), 16) ^ int(picture.perceptual_hash(b), 16)).bit_count()

    one = drawing(512, seed=1)
    assert len(picture.perceptual_hash(one)) == 16
    assert distance(one, compressed(one, "JPEG", 60)) <= 6
    assert distance(one, np.array(Image.fromarray(one).resize((200, 200)))) <= 6
    assert distance(one, (one * 0.9).astype(np.uint8)) <= 6
    assert distance(one, drawing(512, seed=2)) > 12


def test_colours_are_those_of_the_picture_with_their_shares() -> None:
    pixels = np.zeros((90, 100, 3), np.uint8)
    pixels[:45], pixels[45:72], pixels[72:] = (200, 30, 40), (20, 60, 160), (240, 240, 235)
    found = picture.colours(pixels)
    assert [colour for colour, _ in found] == ["#c81e28", "#143ca0", "#f0f0eb"]
    assert [share for _, share in found] == pytest.approx([0.5, 0.3, 0.2], abs=0.01)


def test_colours_are_few_sum_to_one_and_never_vary() -> None:
    for pixels in (photograph(), textured(), np.full((5, 5, 3), 9, np.uint8), np.zeros((1, 1, 3), np.uint8)):
        found = picture.colours(pixels)
        assert 1 <= len(found) <= 6
        assert sum(share for _, share in found) == pytest.approx(1, abs=1e-3)
        assert found == picture.colours(pixels)
        assert [s for _, s in found] == sorted((s for _, s in found), reverse=True)


# ---------------------------------------------------------------------------------------------------- reading
def test_the_outfit_is_what_lies_below_the_face() -> None:
    pixels = np.full((200, 200, 3), (20, 160, 60), np.uint8)  # the place
    pixels[30:110, 70:130] = (230, 180, 150)  # the face
    pixels[110:, 40:160] = (170, 30, 40)  # a red coat
    assert picture.outfit(pixels, (70, 30, 130, 110)) == (("#aa1e28", 1.0),)


@pytest.mark.parametrize("box", [(40.0, 20.0, 160.0, 190.0), (0.0, 20.0, 90.0, 100.0), (70.0, 130.0, 130.0, 200.0)])
def test_a_picture_that_ends_at_the_chin_or_beside_the_shoulders_shows_no_outfit(box: tuple[float, ...]) -> None:
    pixels = np.full((200, 50 if box[0] == 0 else 200, 3), 90, np.uint8)
    assert picture.outfit(pixels, box) == ()


def test_reading_applies_orientation_and_puts_transparency_on_white(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to stand upright
    image = Image.new("RGB", (20, 10), "red")
    image.paste("blue", (0, 0, 10, 10))
    image.save(tmp_path / "turned.png", exif=exif)
    upright = picture.read_picture(tmp_path / "turned.png")
    assert upright.shape == (20, 10, 3)
    assert tuple(upright[2, 5]) == (0, 0, 255)
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert picture.read_picture(tmp_path / "clear.png").min() == 255
    Image.new("L", (4, 4), 7).save(tmp_path / "grey.png")
    assert picture.read_picture(tmp_path / "grey.png").shape == (4, 4, 3)


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.fromarray(textured(64)).save(whole, "JPEG")
    for name, body in (("empty.png", b""), ("text.png", b"hello"), ("cut.jpg", whole.getvalue()[:600])):
        (tmp_path / name).write_bytes(body)
        with pytest.raises(RunError, match=f"The picture {name} cannot be read"):
            picture.read_picture(tmp_path / name)
    with pytest.raises(RunError, match=r"gone\.png cannot be read"):
        picture.read_picture(tmp_path / "gone.png")


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    Image.new("1", (9_000, 8_000)).save(tmp_path / "huge.png")
    with pytest.raises(RunError, match="9000 x 8000 pixels, which is too many"):
        picture.read_picture(tmp_path / "huge.png")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.jpg", {"quality": 90}),
        ("a.jpg", {"quality": 60, "subsampling": 2, "progressive": True}),
        ("a.jpg", {"quality": 95, "subsampling": 0}),
        ("a.png", {}),
        ("a.webp", {"quality": 80}),
    ],
)
def test_a_picture_is_read_to_the_same_pixels_however_it_is_decoded(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    soft = Image.fromarray(noise).resize((331, 217), Image.Resampling.BICUBIC)
    soft.save(tmp_path / name, **options)
    with Image.open(tmp_path / name) as plain:
        assert (picture.read_picture(tmp_path / name) == np.array(plain.convert("RGB"))).all()


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_orientation_is_applied(tmp_path: Path, name: str) -> None:
    lying = Image.new("RGB", (40, 20), "white")
    lying.paste("red", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # the row 0 of the file is the right side
    lying.save(tmp_path / name, exif=exif)
    pixels = picture.read_picture(tmp_path / name)
    assert pixels.shape == (40, 20, 3)
    assert pixels[5, 10, 1] < 60
    assert pixels[35, 10, 1] > 200


def test_a_jpeg_that_ends_early_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunError, match=r"a\.jpg cannot be read"):
        picture.read_picture(tmp_path / "a.jpg")


def test_a_png_that_ends_early_is_refused(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RunError, match=r"a\.png cannot be read"):
        picture.read_picture(tmp_path / "a.png")
