"""Stage `figure`: an encoder of whole pictures, for which the same person in the same outfit is near, whatever the
place, the light, the pose and the manner of drawing.

It learns by ArcFace over figures, that is people in an outfit: the same person in other clothes is another figure.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from . import splits
from .attributes import worn
from .codec import to_tensor
from .course import Course
from .data import FIGURE, Pixels, figures_of, held
from .encoders import Block, learner, losses, parameters_of, verification
from .renderer import Scene, identity, render
from .renderer.scene import COLOURS, OUTFITS

SIZE = FIGURE
"""Pixels on the side of its input."""
EMBEDDING = 256
"""Length of an embedding."""
Log = Callable[[str], None]


class FigureEncoder(nn.Module):
    """Pictures [N, 3, 96, 96] in [-1, 1] -> embeddings [N, 256], not normalised."""

    def __init__(self) -> None:
        super().__init__()
        widths = (32, 64, 128, 160)
        layers: list[nn.Module] = [nn.Conv2d(3, 32, 5, 2, 2, bias=False), nn.BatchNorm2d(32), nn.ReLU(inplace=True)]
        layers += [Block(a, b, 2) for a, b in itertools.pairwise(widths)]
        self.trunk = nn.Sequential(*layers, nn.BatchNorm2d(widths[-1]))
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(widths[-1] * 36, EMBEDDING), nn.BatchNorm1d(EMBEDDING))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.trunk(x))
        return out


def parameters_of_figure(seed: int, scene: Scene) -> list[float]:
    """Everything that makes a figure, as numbers."""
    clothes = [float(scene.outfit == outfit) for outfit in OUTFITS] + [float(scene.colour == c) for c in COLOURS]
    return parameters_of(identity(seed)) + clothes + [c / 255 for c in COLOURS[scene.colour]]


def train(work: Path, *, minutes: float, batch: int = 64, rate: float = 2e-3, log: Log = print) -> None:
    """Learn the encoder; writes `figure.pt` and, along the way, `figure.ckpt`. `minutes`: see `Course`."""
    if (work / "figure.pt").exists():
        return
    torch.manual_seed(61)
    split = held(work, splits.FIGURE)
    images = np.load(work / f"{split.name}.npy", mmap_mode="r")
    half, figures = split.pictures // 2, 2 * split.identities
    shown = [(seed, scene) for seed in split.seeds() for scene in figures_of(seed, split.pictures)[::half]]
    target = torch.tensor([parameters_of_figure(seed, scene) for seed, scene in shown])
    target = (target - target.mean(0)) / (target.std(0) + 1e-4)
    model = learner(FigureEncoder(), EMBEDDING, figures, target.shape[1])
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=5e-3, fused=True)
    course = Course(model, optimiser, work / "figure.ckpt", minutes=minutes, rate=rate)
    rng = np.random.default_rng((61, course.step))
    for done in course:
        index = np.sort(rng.integers(0, len(images), batch))
        label = torch.from_numpy(index // half)
        x = worn(images[index], rng)
        arcface, regression = losses(model, x, label, target[label], margin=0.3 * min(1, done * 3))
        course.learn(arcface + 10 * regression)
        if course.step % 200 == 199:
            told = f"ArcFace {arcface.item():.2f}, regression {regression.item():.3f}"
            log(f"figure: step {course.step + 1}, {course.spent:.0f} s, {told}")
    torch.save({"model": model["encoder"].state_dict(), "step": course.step}, work / "figure.pt")
    log(f"figure: finished after {course.step} steps of {batch}; {measure(work)}")


def load(work: Path) -> FigureEncoder:
    net = FigureEncoder()
    net.load_state_dict(torch.load(work / "figure.pt", weights_only=True)["model"])
    return net.eval()


@torch.no_grad()
def measure(work: Path, *, people: int = 60, pictures: int = 4) -> dict[str, float]:
    """`verification` of figures of people of EVALUATION, in an outfit each, painted at the product's size."""
    net, crops = load(work), []
    for seed in splits.EVALUATION.seeds()[: min(people, held(work, splits.FIGURE).identities)]:
        for scene in figures_of(seed, 2 * pictures)[:pictures]:
            picture: Pixels = render(identity(seed), scene, 2 * SIZE, supersample=2)
            crops.append(cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA))
    return verification(F.normalize(net(to_tensor(np.stack(crops))), dim=1), pictures)
