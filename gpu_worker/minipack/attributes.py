"""Stage `attributes`: a classifier that reads what a picture shows, to measure whether prompts are followed and traits
kept.

It learns from the generator's renders, worn as generated pictures are, and is measured on people whom it never saw.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from . import parallel, splits
from .codec import to_tensor
from .course import Course
from .data import Pixels, held, scene_of, scenes_of
from .encoders import Block
from .renderer import Identity, Scene, identity
from .renderer.identity import BEARDS, EYES, GLASSES, HAIR, STYLES
from .renderer.scene import BACKGROUNDS, COLOURS, DRAWINGS, EXPRESSIONS, LIGHTS, OUTFITS, POSES, SHOTS
from .splits import Split

SIZE = 128
"""Pixels on the side of its input."""
OPTIONS: dict[str, tuple[str, ...]] = {
    "expression": EXPRESSIONS,
    "outfit": OUTFITS,
    "colour": tuple(COLOURS),
    "background": BACKGROUNDS,
    "light": LIGHTS,
    "pose": POSES,
    "shot": SHOTS,
    "drawing": DRAWINGS,
    "hair": tuple(HAIR),
    "hair_style": STYLES,
    "eyes": tuple(EYES),
    "glasses": GLASSES,
    "beard": BEARDS,
}
_FACE = (slice(4, 100), slice(16, 112))
"""Rows and columns in which a face is, at every shot."""
_UNSEEN = -100
"""Label of what a picture does not show, as `cross_entropy` passes over it."""
Log = Callable[[str], None]


def labels_of(person: Identity, scene: Scene) -> dict[str, str]:
    """What a picture of a person shows, in the words of `OPTIONS`; without the pose between two poses."""
    pose = {"pose": scene.pose} if scene.pose else {}
    return {
        "expression": scene.expression,
        "outfit": scene.outfit,
        "colour": scene.colour,
        "background": scene.background,
        "light": scene.light,
        **pose,
        "shot": scene.shot,
        "drawing": scene.drawing,
        "hair": person.hair_name,
        "hair_style": person.hair_style,
        "eyes": person.eye_name,
        "glasses": person.glasses,
        "beard": person.beard,
    }


class Attributes(nn.Module):
    """Pictures [N, 3, 128, 128] in [-1, 1] -> logits per attribute, from the whole at half size and the part that holds
    the face at full size."""

    def __init__(self) -> None:
        super().__init__()

        def trunk(cells: int) -> nn.Sequential:
            widths = (24, 48, 96, 128)
            blocks = [Block(a, b, 2) for a, b in itertools.pairwise(widths)]
            stem = [nn.Conv2d(3, 24, 5, 2, 2, bias=False), nn.BatchNorm2d(24), nn.ReLU(inplace=True)]
            end = [nn.BatchNorm2d(128), nn.Flatten(), nn.Linear(128 * cells * cells, 160), nn.ReLU()]
            return nn.Sequential(*stem, *blocks, *end)

        self.face, self.whole = trunk(6), trunk(4)
        self.heads = nn.ModuleDict({name: nn.Linear(320, len(options)) for name, options in OPTIONS.items()})

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        seen = torch.cat([self.face(x[:, :, _FACE[0], _FACE[1]]), self.whole(F.avg_pool2d(x, 2))], 1)
        return {name: head(seen) for name, head in self.heads.items()}


def train(work: Path, *, minutes: float, batch: int = 64, rate: float = 2e-3, log: Log = print) -> None:
    """Learn the classifier; writes `attributes.pt` and, along the way, `attributes.ckpt`. `minutes`: see `Course`."""
    if (work / "attributes.pt").exists():
        return
    torch.manual_seed(51)
    split = held(work, splits.GENERATOR)
    images = np.load(work / f"{split.name}.npy", mmap_mode="r")
    truth = _truth(
        [
            (person, scene)
            for seed in split.seeds()
            for person in [identity(seed)]
            for scene in scenes_of(seed, split.pictures)
        ]
    )
    net = Attributes().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-2, fused=True)
    course = Course(net, optimiser, work / "attributes.ckpt", minutes=minutes, rate=rate)
    rng = np.random.default_rng((51, course.step))
    for _ in course:
        index = np.sort(rng.integers(0, len(images), batch))
        x = worn(images[index], rng)
        with parallel.autocast():
            out = net.train()(x)
        losses = {
            name: F.cross_entropy(out[name].float(), truth[name][index], label_smoothing=0.02) for name in OPTIONS
        }
        course.learn(torch.stack([loss for loss in losses.values() if loss.isfinite()]).sum())
        if course.step % 200 == 199:
            told = ", ".join(f"{name} {loss.item():.2f}" for name, loss in losses.items())
            log(f"attributes: step {course.step + 1}, {course.spent:.0f} s, {told}")
    torch.save({"model": net.state_dict(), "step": course.step}, work / "attributes.pt")
    log(f"attributes: finished after {course.step} steps of {batch}")
    for shots in (SHOTS[:1], SHOTS):
        log(f"attributes: right on {' and '.join(shots)}s: {measure(work, shots)}")


def _truth(shown: Sequence[tuple[Identity, Scene]]) -> dict[str, torch.Tensor]:
    """Place of the label among the options, per attribute [N]."""
    labels = [labels_of(person, scene) for person, scene in shown]
    for label in labels:
        if label["hair_style"] == "bald":
            del label["hair"]
    return {
        name: torch.tensor([options.index(label[name]) if name in label else _UNSEEN for label in labels])
        for name, options in OPTIONS.items()
    }


def worn(pictures: Pixels, rng: np.random.Generator) -> torch.Tensor:
    """uint8 [N, H, W, 3], as soft, shifted and noisy as generated pictures may be -> float [N, 3, H, W] in [-1, 1]."""
    side = pictures.shape[1]
    out = np.empty_like(pictures)
    for k, picture in enumerate(pictures):
        x: Any = picture
        if rng.random() < 0.7:
            zoom = rng.uniform(0.97, 1.03)
            matrix = np.array([[zoom, 0, 0], [0, zoom, 0]]) + [[0, 0, 1]] * rng.uniform(-3, 3, (2, 1))
            x = cv2.warpAffine(x, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
        kind = rng.random()
        if kind < 0.25:  # details that a decoder could not draw
            small = int(side * rng.uniform(0.45, 0.8))
            x = cv2.resize(cv2.resize(x, (small, small), interpolation=cv2.INTER_AREA), (side, side))
        elif kind < 0.45:
            x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.4, 1.1))
        out[k] = x
    x = to_tensor(out)
    if rng.random() < 0.5:
        x = x + torch.randn_like(x) * 0.08 * rng.random()
    if rng.random() < 0.4:
        x = x * (torch.rand(len(x), 1, 1, 1) * 0.16 + 0.92) + (torch.rand(len(x), 1, 1, 1) - 0.5) * 0.08
    return x


def load(work: Path) -> Attributes:
    net = Attributes()
    net.load_state_dict(torch.load(work / "attributes.pt", weights_only=True)["model"])
    return net.eval()


@torch.no_grad()
def measure(work: Path, shots: Sequence[str] = SHOTS, *, every: int = 3) -> dict[str, float]:
    """Share of pictures of these shots that the finished classifier reads rightly, per attribute, on every third
    picture of EVALUATION."""
    split: Split = held(work, splits.EVALUATION)
    images, net = np.load(work / f"{split.name}.npy", mmap_mode="r"), load(work)
    shown = {k: scene_of(split, k) for k in range(0, len(images), every)}
    chosen = [k for k, (_, scene) in shown.items() if scene.shot in shots]
    if not chosen:
        return {}
    small = [cv2.resize(images[k], (SIZE, SIZE), interpolation=cv2.INTER_AREA) for k in chosen]
    parts = [net(to_tensor(np.stack(small[k : k + 100]))) for k in range(0, len(small), 100)]
    truth, right = _truth([shown[k] for k in chosen]), {}
    for name, wanted in truth.items():
        said = torch.cat([part[name] for part in parts]).argmax(1)
        seen = wanted != _UNSEEN
        right[name] = round(float((said == wanted)[seen].float().mean()), 3)
    return right
