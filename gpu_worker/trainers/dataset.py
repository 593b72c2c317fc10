"""Training pictures: aspect-ratio buckets, caches of what never changes, and an order that can be taken up anywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image

from gpu_worker.scorers.picture import Pixels

Size = tuple[int, int]
WIDEST = 2.0  # sides of a bucket differ by this factor at most


def buckets(resolution: int, multiple: int) -> list[Size]:
    """Sizes (width, height), sides multiples of `multiple` px, of at most and nearly `resolution`^2 pixels (NovelAI
    2022)."""
    multiple = min(multiple, resolution)
    found = set()
    for width in range(multiple, int(resolution * WIDEST) + 1, multiple):
        height = min(resolution * resolution // width, int(resolution * WIDEST)) // multiple * multiple
        if height and 1 / WIDEST <= width / height <= WIDEST:
            found |= {(width, height), (height, width)}
    side = max(resolution // multiple, 1) * multiple
    return sorted(found | {(side, side)})


def bucket_for(width: int, height: int, choices: Sequence[Size]) -> Size:
    """The size whose shape is nearest to the picture's; of equals, the largest."""
    return min(choices, key=lambda size: (abs(math.log(width / height * size[1] / size[0])), -size[0] * size[1]))


def fit(pixels: Pixels, size: Size) -> torch.Tensor:
    """Scale to cover `size` (width, height), cut its middle: float [3, height, width] in [-1, 1]."""
    picture = Image.fromarray(pixels)
    factor = max(size[0] / picture.width, size[1] / picture.height)
    scaled = (max(round(picture.width * factor), size[0]), max(round(picture.height * factor), size[1]))
    picture = picture.resize(scaled, Image.Resampling.LANCZOS)
    left, top = (scaled[0] - size[0]) // 2, (scaled[1] - size[1]) // 2
    cut = np.array(picture.crop((left, top, left + size[0], top + size[1])))
    return torch.from_numpy(cut).permute(2, 0, 1).float() / 127.5 - 1


@dataclass(frozen=True, slots=True)
class Cached:
    """One training picture, ready for the network."""

    bucket: Size
    latents: torch.Tensor
    """[C, h, w], scaled."""
    flipped: torch.Tensor | None
    """The same of the mirrored picture, where flipping is on."""
    caption: str
    embedding: torch.Tensor | None
    """[512]."""


class Order:
    """Which pictures make up each batch: every bucket goes through its pictures in a new shuffle each time, and is
    drawn as often as its share of the pictures. The whole position is in `state`, so that a run goes on exactly where
    it stood."""

    def __init__(self, items: Sequence[Cached], batch_size: int, seed: int) -> None:
        self._members: dict[Size, list[int]] = {}
        for k, item in enumerate(items):
            self._members.setdefault(item.bucket, []).append(k)
        self._sizes = sorted(self._members)
        self._batch_size = batch_size
        self._queues: dict[Size, list[int]] = {size: [] for size in self._sizes}
        self.rng = np.random.default_rng(seed)

    def draw(self) -> list[int]:
        """Indices of the next batch, all of one bucket."""
        shares = np.array([len(self._members[size]) for size in self._sizes], float)
        size = self._sizes[int(self.rng.choice(len(self._sizes), p=shares / shares.sum()))]
        queue = self._queues[size]
        while len(queue) < self._batch_size:
            queue.extend(int(k) for k in self.rng.permutation(self._members[size]))
        batch, self._queues[size] = queue[: self._batch_size], queue[self._batch_size :]
        return batch

    @property
    def state(self) -> dict[str, Any]:
        """JSON-safe."""
        return {"rng": self.rng.bit_generator.state, "queues": [self._queues[size] for size in self._sizes]}

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.rng.bit_generator.state = state["rng"]
        self._queues = {size: list(queue) for size, queue in zip(self._sizes, state["queues"], strict=True)}
