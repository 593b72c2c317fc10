"""Measures of a picture itself, faces aside: sharpness, exposure, near-duplicates, colours, drawn or photographed.

All are deterministic and take an RGB picture as uint8 [H, W, 3].
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from gpu_worker.contracts import RunError

Pixels = NDArray[np.uint8]
Reals = NDArray[Any]  # float32; the stubs of OpenCV promise less

PIXELS_AT_MOST: Final = 64_000_000


def read_picture(path: str | Path) -> Pixels:
    """Decode a picture to RGB [H, W, 3]: orientation applied, transparency on white. Raises RunError."""
    name = Path(path).name
    try:
        with Image.open(path) as picture:
            if picture.width * picture.height > PIXELS_AT_MOST:
                raise RunError(
                    f"The picture {name} has {picture.width} x {picture.height} pixels, which is too many. "
                    "Make it smaller."
                )
            if (plain := _read_plain(picture, Path(path))) is not None:
                return plain
            picture.load()
            upright = ImageOps.exif_transpose(picture)
            if upright.has_transparency_data:
                canvas = Image.new("RGBA", upright.size, "white")
                upright = Image.alpha_composite(canvas, upright.convert("RGBA"))
            return np.array(upright.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise RunError(f"The picture {name} cannot be read: it is missing, damaged or of an unknown format.") from error


def _read_plain(opened: Image.Image, path: Path) -> Pixels | None:
    """The pixels of a JPEG or PNG of 8-bit RGB without transparency or orientation: all that remains is to decode it,
    and OpenCV does that in half the time, to the same pixels. None for every other picture, and for damaged ones."""
    if opened.mode != "RGB" or opened.format not in ("JPEG", "PNG") or opened.has_transparency_data:
        return None
    data = path.read_bytes()
    if opened.format == "PNG" and (data[24] != 8 or b"eXIf" in data or b"Raw profile type" in data):
        return None
    if opened.format == "JPEG" and "exif" in opened.info:
        return None
    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if found is None or found.shape[:2] != (opened.height, opened.width):
        return None
    return np.asarray(found, np.uint8)


def square(pixels: Pixels, side: int) -> Reals:
    """The whole picture as encoders of whole pictures take it: float32 [3, side, side], RGB in [-1, 1], its width and
    height each scaled to `side` pixels (area averages where it shrinks, bilinear where it grows)."""
    shrinks = min(pixels.shape[:2]) >= side
    scaled = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return scaled.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1


def luma(pixels: Pixels) -> Reals:
    """Rec. 601 luma, 0-255 [H, W]."""
    return pixels.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def sharpness(pixels: Pixels, side: int = 512) -> float:
    """Variance of the Laplacian of the grey picture (values 0-255), its long side scaled to `side` pixels."""
    grey = luma(pixels)
    factor = side / max(grey.shape)
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    scaled = cv2.resize(
        grey, (max(round(grey.shape[1] * factor), 1), max(round(grey.shape[0] * factor), 1)), interpolation=method
    )
    return float(cv2.Laplacian(scaled, cv2.CV_32F).var())


def brightness(pixels: Pixels) -> float:
    """Mean luma, 0-1."""
    return float(luma(pixels).mean() / 255)


def clipped(pixels: Pixels) -> float:
    """Share of pixels with luma under 0.02 or over 0.98, 0-1."""
    grey = luma(pixels) / 255
    return float(np.mean((grey < 0.02) | (grey > 0.98)))


def perceptual_hash(pixels: Pixels) -> str:
    """64-bit DCT hash as 16 hex digits (Zauner 2010, "Implementation and Benchmarking of Perceptual Image Hash
    Functions").

    The 8 x 8 lowest frequencies of the grey picture at 32 x 32 pixels, each compared with their median.
    """
    small = Image.fromarray(pixels).convert("L").resize((32, 32), Image.Resampling.LANCZOS)
    low = cv2.dct(np.asarray(small, np.float32))[:8, :8].ravel()
    bits = low > np.median(low)
    return f"{int(''.join('1' if bit else '0' for bit in bits), 2):016x}"


# -------------------------------------------------------------------------------------------------- colours
def colours(pixels: Pixels, at_most: int = 6, side: int = 96) -> tuple[tuple[str, float], ...]:
    """Dominant colours `#rrggbb` with their share (they sum to 1), largest first.

    k-means in CIELAB (D65) on the picture at `side` pixels, started from its most frequent coarse colours, so that the
    result is always the same; colours nearer than a Delta E*76 of 10 are merged, and shares under 1 % join their
    nearest.
    """
    small = Image.fromarray(pixels)
    small.thumbnail((side, side), Image.Resampling.BOX)
    lab = cv2.cvtColor(np.asarray(small, np.float32) / 255, cv2.COLOR_RGB2LAB).reshape(-1, 3)
    centres = _frequent(lab, at_most + 2)
    for _ in range(20):
        nearest = _nearest(lab, centres)
        moved = np.stack([lab[nearest == k].mean(0) if (nearest == k).any() else c for k, c in enumerate(centres)])
        if np.allclose(moved, centres, atol=1e-3):
            break
        centres = moved
    shares = np.bincount(_nearest(lab, centres), minlength=len(centres)) / len(lab)
    while len(centres) > 1:
        gaps = np.linalg.norm(centres[:, None] - centres[None], axis=2) + np.eye(len(centres)) * 1e6
        a, b = np.unravel_index(int(gaps.argmin()), gaps.shape)
        weak = shares.argmin()
        if gaps[a, b] >= 10:
            if shares[weak] >= 0.01 and len(centres) <= at_most:
                break
            a, b = weak, gaps[weak].argmin()
        total = max(shares[a] + shares[b], 1e-12)
        centres[b] = (centres[a] * shares[a] + centres[b] * shares[b]) / total
        shares[b] = shares[a] + shares[b]
        centres, shares = np.delete(centres, a, 0), np.delete(shares, a)
    rgb = cv2.cvtColor(centres[None].astype(np.float32), cv2.COLOR_LAB2RGB)[0].clip(0, 1)
    order = np.argsort(-shares, kind="stable")
    return tuple(
        ("#{:02x}{:02x}{:02x}".format(*np.rint(rgb[k] * 255).astype(int)), round(float(shares[k]), 4)) for k in order
    )


OUTFIT_AT_MOST: Final = 4
OUTFIT_WIDTH: Final = 1.6
"""Width of the figure below a face, in widths of the face: between the shoulders, where little background shows."""
OUTFIT_FROM, OUTFIT_TO = 0.12, 1.4
"""Where it begins and ends below the box of the face, in heights of the face: past the chin, down to the waist."""
OUTFIT_LEAST: Final = 0.15
"""Heights of the face that must be in the picture: less shows hardly more than a neck."""
OUTFIT_WEAK: Final = 0.06
"""Smaller shares are edges, jewellery and background, and are left out."""


def outfit(pixels: Pixels, box: tuple[float, float, float, float]) -> tuple[tuple[str, float], ...]:
    """Dominant colours `#rrggbb` of the figure below a face with their share (they sum to 1), largest first, at most 4.

    `box`: of the face, in pixels. Taken from a rectangle below it (see the constants above); empty where the picture
    holds too little of that.
    """
    height, width = pixels.shape[:2]
    left, top, right, bottom = box
    across, down, middle = right - left, bottom - top, (left + right) / 2
    x0, x1 = middle - OUTFIT_WIDTH / 2 * across, middle + OUTFIT_WIDTH / 2 * across
    y0, y1 = bottom + OUTFIT_FROM * down, min(bottom + OUTFIT_TO * down, float(height))
    seen = min(x1, float(width)) - max(x0, 0.0)
    if y1 - y0 < max(OUTFIT_LEAST * down, 2) or seen < max(0.6 * (x1 - x0), 2):
        return ()
    found = colours(pixels[round(y0) : round(y1), max(round(x0), 0) : round(x1)], OUTFIT_AT_MOST, side=48)
    strong = [(colour, share) for colour, share in found if share >= OUTFIT_WEAK] or list(found[:1])
    total = sum(share for _, share in strong)
    return tuple((colour, round(share / total, 4)) for colour, share in strong)


def _frequent(lab: Reals, count: int) -> Reals:
    """[<= count, 3]: the fullest cells of a coarse grid, each at least a Delta E of 12 from the ones before it."""
    cells = np.floor(lab / 12).astype(np.int64) @ [1 << 16, 1 << 8, 1]  # one number each; -11 to 10 along each axis
    _, inverse, sizes = np.unique(cells, return_inverse=True, return_counts=True)
    means = np.stack([np.bincount(inverse, lab[:, k], len(sizes)) / sizes for k in range(3)], 1)
    chosen: list[Reals] = []
    for k in np.argsort(-sizes, kind="stable"):
        if all(np.linalg.norm(means[k] - c) >= 12 for c in chosen):
            chosen.append(means[k])
        if len(chosen) == count:
            break
    return np.stack(chosen).astype(np.float32)


def _nearest(lab: Reals, centres: Reals) -> NDArray[np.intp]:
    """Index of the nearest centre [N]: |x - c|^2 is least where x c - |c|^2 / 2 is most."""
    return (lab @ centres.T - (centres * centres).sum(1) / 2).argmax(1)


# ------------------------------------------------------------------------------------------- drawn or photographed
BLOCK: Final = 8
FLOOR: Final = (0.45, 1.1)
"""Residual in grey levels: below the first a block counts as clean (rounding alone leaves 0.4), above the second as
grained."""
SMALL: Final = 320
"""Pictures whose long side is shorter show more per pixel, so what counts as smooth is narrower in them."""
EDGE: Final = (6.0, 12.0)
"""Gradient from which on a pixel belongs to a contour, grey levels per pixel: in small pictures, in others."""
SOFT: Final = (1.0, 1.5)
"""Deviation in pixels of the Gaussian that the gradient is taken after: in small pictures, in others."""
WIDEN: Final = 4
"""Pixels by which contours are widened: the ringing of JPEG beside them is not grain."""
SMOOTHEST: Final = 0.1
"""At least this share of the blocks is judged, those farthest from contours."""


def photographic(pixels: Pixels) -> float:
    """0 flat illustration .. 1 photograph: the share of smooth places that are grained.

    A photograph has sensor noise and texture nearly everywhere; a flat drawing has none between its contours. The
    residual of a block of 8 x 8 pixels is what a plane fitted to it leaves, as a robust deviation (the median of the
    absolute values over 0.6745). So neither shading nor a line across the block, nor the steps that JPEG leaves between
    its blocks, count. Blocks at contours are left out. Pictures are looked at with a long side of at most 768 pixels.

    Under about 160 pixels drawings with fine patterns and strongly compressed photographs come near each other.
    """
    grey = _at_most(luma(pixels), 768)
    height, width = (length // BLOCK * BLOCK for length in grey.shape)
    if not height or not width:
        return 0.0
    spread = _residual(_blocks(grey[:height, :width]))
    large = max(grey.shape) >= SMALL
    steepest = _blocks(_steepness(grey, SOFT[large])[:height, :width]).max(axis=1)
    smooth = steepest <= max(EDGE[large], float(np.quantile(steepest, SMOOTHEST)))
    grained = np.clip((spread[smooth] - FLOOR[0]) / (FLOOR[1] - FLOOR[0]), 0, 1)
    return round(float(grained.mean()), 4)


def _at_most(grey: Reals, side: int) -> Reals:
    factor = side / max(grey.shape)
    if factor >= 1:
        return grey
    return cv2.resize(
        grey,
        (max(round(grey.shape[1] * factor), 1), max(round(grey.shape[0] * factor), 1)),
        interpolation=cv2.INTER_AREA,
    )


def _blocks(values: Reals) -> Reals:
    """[H, W] -> [H / 8 * W / 8, 64]."""
    h, w = values.shape
    return values.reshape(h // BLOCK, BLOCK, w // BLOCK, BLOCK).swapaxes(1, 2).reshape(-1, BLOCK * BLOCK)


def _residual(blocks: Reals) -> Reals:
    """[N, 64] -> [N]: robust deviation from each block's least-squares plane."""
    ramp = np.arange(BLOCK, dtype=np.float32) - (BLOCK - 1) / 2
    basis = np.stack([np.ones(BLOCK * BLOCK), np.repeat(ramp, BLOCK), np.tile(ramp, BLOCK)]).astype(np.float32)
    basis /= np.linalg.norm(basis, axis=1, keepdims=True)
    rest = blocks - blocks @ basis.T @ basis
    return np.median(np.abs(rest), axis=1) / 0.6745


def _steepness(grey: Reals, deviation: float) -> Reals:
    """Largest gradient near each pixel, grey levels per pixel, after smoothing."""
    soft = cv2.GaussianBlur(grey, (0, 0), deviation)
    across, down = (cv2.Sobel(soft, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1)))
    return cv2.dilate(np.hypot(across, down), np.ones((2 * WIDEN + 1,) * 2, np.uint8))
