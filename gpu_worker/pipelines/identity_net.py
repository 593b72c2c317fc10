"""The identity ControlNet of InstantID (Wang et al. 2024, arXiv 2401.07519, section 3.3): a ControlNet that sees five
facial keypoints, and whose cross-attention reads the tokens of the image prompt instead of the text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from diffusers import ControlNetModel
from PIL import Image

COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255))
"""Of the left eye, the right eye, the nose, the left and the right corner of the mouth; as published."""
LIMBS = ((0, 2), (1, 2), (3, 2), (4, 2))
LIMB_SHADE = 0.6


class IdentityNet(ControlNetModel):
    """Set `tokens` [B, n, d] before a run; whatever text the pipeline passes is not looked at."""

    tokens: torch.Tensor | None = None

    def forward(  # type: ignore[override]
        self, sample: torch.Tensor, timestep: Any, encoder_hidden_states: torch.Tensor, *args: Any, **options: Any
    ) -> Any:
        if self.tokens is not None:
            encoder_hidden_states = self.tokens.to(sample.dtype)
        return super().forward(sample, timestep, encoder_hidden_states, *args, **options)  # type: ignore[misc]


def keypoint_image(points: Sequence[Sequence[float]], width: int, height: int) -> Image.Image:
    """Five keypoints (x, y) in pixels on black, joined to the nose; RGB. Black alone where there are none.

    As published for pictures of about 1024 px: points of radius 10 and limbs 4 wide; smaller pictures have them
    smaller, yet not so small that they vanish.
    """
    canvas = np.zeros((height, width, 3), np.uint8)
    unit = max(min(width, height) / 1024, 0.35)
    if len(points):
        at = np.asarray(points, np.float64)
        for first, second in LIMBS:
            (x0, y0), (x1, y1) = at[first], at[second]
            middle, length = ((x0 + x1) / 2, (y0 + y1) / 2), math.hypot(x0 - x1, y0 - y1)
            angle = math.degrees(math.atan2(y1 - y0, x1 - x0))
            axes = (max(1, round(length / 2)), max(1, round(4 * unit)))
            limb = cv2.ellipse2Poly((round(middle[0]), round(middle[1])), axes, round(angle), 0, 360, 1)
            cv2.fillConvexPoly(canvas, np.array(limb), COLOURS[first])
        canvas = (canvas * LIMB_SHADE).astype(np.uint8)
        for (x, y), colour in zip(at, COLOURS, strict=True):
            cv2.circle(canvas, (round(x), round(y)), max(1, round(10 * unit)), colour, -1)
    return Image.fromarray(canvas)
