"""The drawing styles: how the same shapes are put on paper. Who is shown can be told in each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Manner:
    tones: int = 0
    """Flat tones of a gradient; 0 for smooth ones."""
    contour: float = 0.0
    """Width of the lines around people, in canvas units."""
    saturation: float = 1.0
    contrast: float = 1.0
    paper: float = 0.0
    """How much of the paper shines through, 0-1."""
    softness: float = 0.0
    """Share of a blurred copy, 0-1."""
    bleeding: float = 0.0
    """Strength of wet paint: pigment that gathers at edges and in clouds, outlines that wander."""


MANNERS: dict[str, Manner] = {
    "flat": Manner(),
    "ink": Manner(contour=1.5, saturation=0.6, paper=0.12),
    "cel": Manner(tones=3, contrast=1.06),
    "watercolour": Manner(bleeding=1.0, paper=0.16),
    "pastel": Manner(softness=0.3, paper=0.26, saturation=0.86),
    "comic": Manner(tones=2, contour=2.6, saturation=1.35, contrast=1.14),
}
_PAPER = np.array([252, 247, 236], np.float32)
_GREY = np.array([0.299, 0.587, 0.114], np.float32)


def finish(pixels: Pixels, manner: Manner, seed: int) -> Pixels:
    """The finished picture [H, W, 3] in a manner; the same at every resolution but for its sharpness.

    Everything is measured in shares of the height, so that half the resolution gives the 2x2 mean of the whole.
    """
    if manner == MANNERS["flat"]:
        return pixels
    unit = pixels.shape[0] / 256
    if manner.bleeding:
        pixels = _wandering(pixels, seed, 1.5 * unit)
    if manner.softness:
        blurred = cv2.GaussianBlur(pixels, (0, 0), 3.2 * unit)
        pixels = cv2.addWeighted(pixels, 1 - manner.softness, blurred, manner.softness, 0)  # type: ignore[assignment]
    # Saturation, contrast and paper are one linear map of the three channels: value = matrix @ rgb + shift.
    mixing = np.eye(3, dtype=np.float32) * manner.saturation + np.float32(1 - manner.saturation) * _GREY[None]
    matrix = mixing * np.float32(manner.contrast)
    shift = np.full(3, 128 * (1 - manner.contrast), np.float32)
    matrix, shift = matrix * np.float32(1 - manner.paper), shift * (1 - manner.paper) + _PAPER * manner.paper
    mapped: Any = cv2.transform(pixels, np.hstack([matrix, shift[:, None]]))  # saturates to 0-255
    if manner.bleeding:
        mapped = _pigment(mapped, seed, unit)
    return np.asarray(mapped, np.uint8)


def _clouds(seed: int, salt: int, cells: int, height: int, width: int) -> NDArray[np.float32]:
    """Smooth noise of about unit strength."""
    rng = np.random.default_rng((seed, salt))
    grid = rng.normal(0, 1, (cells, max(2, round(cells * width / height)))).astype(np.float32)
    return np.asarray(cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _wandering(pixels: Pixels, seed: int, reach: float) -> Pixels:
    height, width = pixels.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    x += _clouds(seed, 1, 16, height, width) * np.float32(reach * 0.6)
    y += _clouds(seed, 2, 16, height, width) * np.float32(reach * 0.6)
    return np.asarray(cv2.remap(pixels, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _pigment(pixels: NDArray[np.uint8], seed: int, unit: float) -> Pixels:
    """Clouds of thicker and thinner paint, and the dark rim that a drying wash leaves at its edge."""
    height, width = pixels.shape[:2]
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    rim = cv2.absdiff(grey, cv2.GaussianBlur(grey, (0, 0), 2.4 * unit))
    strength = 1 + 0.07 * _clouds(seed, 3, 9, height, width) - rim.astype(np.float32) * np.float32(0.0035)
    return np.asarray(np.clip(pixels * strength[..., None], 0, 255), np.uint8)
