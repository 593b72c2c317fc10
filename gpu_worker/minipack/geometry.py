"""Where the faces of rendered portraits are, and how much each place of a picture counts while a model learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from . import data
from .renderer import face_geometry, identity
from .splits import Split

Shares = NDArray[np.float32]
"""Places in a picture as shares of its height, from its upper left corner."""


def faces(work: Path, split: Split) -> tuple[Shares, Shares]:
    """Boxes [N, 4] and keypoints [N, 5, 2] of the portraits that `work` holds of a split; kept on disk."""
    path = work / f"{split.name}_faces.npz"
    if not path.exists():
        found = [
            face_geometry(person, scene, 1)
            for seed in data.held(work, split).seeds()
            for person in [identity(seed)]
            for scene in data.scenes_of(seed, split.pictures)
        ]
        boxes = np.array([face.box for face in found], np.float32)
        part = path.with_suffix(".part.npz")
        np.savez(part, boxes=boxes, keypoints=np.array([face.keypoints for face in found], np.float32))
        part.rename(path)
    with np.load(path) as kept:
        return kept["boxes"], kept["keypoints"]


def weights(boxes: torch.Tensor, height: int, width: int, *, face: float, features: float) -> torch.Tensor:
    """[N, 1, height, width], each with mean 1: heavier in the faces, heaviest at eyes and mouths.

    `boxes` [N, people, 4], shares of the height. `face` and `features` say how much heavier than what lies around.
    """
    y, x = torch.arange(height) + 0.5, torch.arange(width) + 0.5
    left, top, right, bottom = (boxes[..., k, None, None] * height for k in range(4))
    across, down = right - left, bottom - top

    def blob(lower: float, half_width: float, half_height: float) -> torch.Tensor:
        """Around a point that lies this share of the face below its middle."""
        rx, ry = (half_width * across).clamp(min=0.6), (half_height * down).clamp(min=0.6)  # hits at least one cell
        dx, dy = (x - (left + right) / 2) / rx, (y[:, None] - (top + bottom) / 2 - lower * down) / ry
        return torch.exp(-((dx**2 + dy**2) ** 2))

    heavier = face * blob(0, 0.53, 0.57) + features * (blob(-0.1, 0.43, 0.2) + blob(0.25, 0.3, 0.18))
    out = 0.7 + heavier.sum(1, keepdim=True)
    return out / out.mean((2, 3), keepdim=True)
