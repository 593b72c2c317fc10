"""A small classifier that reads a picture's attributes, to measure whether generated pictures follow their prompts.

It is trained on the generator's renders and is no part of the pack.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from . import parallel, splits
from .codec import to_tensor
from .data import Pixels, scenes_of
from .encoders import Block
from .renderer import Identity, Scene, identity
from .renderer.identity import HAIR
from .renderer.scene import BACKGROUNDS, COLOURS, EXPRESSIONS, LIGHTS, OUTFITS

OPTIONS: dict[str, tuple[str, ...]] = {
    "expression": EXPRESSIONS,
    "outfit": OUTFITS,
    "colour": tuple(COLOURS),
    "background": BACKGROUNDS,
    "light": LIGHTS,
    "hair": tuple(HAIR),
}
_FACE = (slice(36, 100), slice(32, 96))
"""Rows and columns of a 128 px portrait that show the face."""
Log = Callable[[str], None]


def labels_of(person: Identity, scene: Scene) -> dict[str, str]:
    return {
        "expression": scene.expression,
        "outfit": scene.outfit,
        "colour": scene.colour,
        "background": scene.background,
        "light": scene.light,
        "hair": person.hair_name,
    }


class Attributes(nn.Module):
    """Portraits [N, 3, 128, 128] in [-1, 1] -> logits per attribute: expression from the face, the rest from the
    picture at half size."""

    def __init__(self) -> None:
        super().__init__()

        def trunk() -> nn.Sequential:
            widths = (24, 48, 96, 128)
            blocks = [Block(a, b, 2 if k else 1) for k, (a, b) in enumerate(zip((24, *widths), widths, strict=False))]
            stem = [nn.Conv2d(3, 24, 5, 2, 2), nn.BatchNorm2d(24), nn.ReLU()]
            return nn.Sequential(*stem, *blocks, nn.Flatten(), nn.Linear(widths[-1] * 16, 128), nn.ReLU())

        self.face, self.whole = trunk(), trunk()
        self.heads = nn.ModuleDict({name: nn.Linear(128, len(options)) for name, options in OPTIONS.items()})

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        face, whole = self.face(x[:, :, _FACE[0], _FACE[1]]), self.whole(F.avg_pool2d(x, 2))
        return {name: head(face if name == "expression" else whole) for name, head in self.heads.items()}


def train(work: Path, *, minutes: float, batch: int = 48, rate: float = 2e-3, log: Log = print) -> None:
    """Learn the classifier; writes `attributes.pt`."""
    if (work / "attributes.pt").exists():
        return
    torch.manual_seed(51)
    rng, net = np.random.default_rng(51), Attributes()
    images = np.load(work / f"{splits.GENERATOR.name}.npy", mmap_mode="r")
    labels = [
        labels_of(person, scene)
        for seed in splits.GENERATOR.seeds()
        for person in [identity(seed)]
        for scene in scenes_of(seed, splits.GENERATOR.pictures)
    ]
    truth = {name: torch.tensor([options.index(label[name]) for label in labels]) for name, options in OPTIONS.items()}
    optimiser, started, step = torch.optim.AdamW(net.parameters(), lr=rate, fused=True), time.monotonic(), 0
    while (done := (time.monotonic() - started) / (60 * minutes)) < 1:
        index = np.sort(rng.integers(0, len(images), batch))
        x = to_tensor(images[index])
        x = x + torch.randn_like(x) * 0.1 * rng.random()
        if rng.random() < 0.4:  # as soft as a generated picture
            x = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2, mode="bilinear")
        shift = tuple(int(v) for v in rng.integers(-4, 5, 2))
        with parallel.autocast():
            out = net.train()(torch.roll(x, shift, (2, 3)).contiguous(memory_format=torch.channels_last))
        loss = sum((F.cross_entropy(out[name].float(), truth[name][index]) for name in OPTIONS), torch.zeros(()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        step += 1
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, step / 50) * (0.5 * (1 + math.cos(math.pi * done)) + 0.01)
    torch.save({"model": net.state_dict(), "step": step}, work / "attributes.pt")
    log(f"attributes: finished after {step} steps of {batch}")


def load(work: Path) -> Attributes:
    net = Attributes()
    net.load_state_dict(torch.load(work / "attributes.pt", weights_only=True)["model"])
    return net.eval()


@torch.no_grad()
def read(net: Attributes, pictures: Pixels) -> list[dict[str, str]]:
    """Attribute words of uint8 portraits [N, 128, 128, 3]."""
    out = {name: logits.argmax(1).tolist() for name, logits in net(to_tensor(pictures)).items()}
    return [{name: OPTIONS[name][out[name][k]] for name in OPTIONS} for k in range(len(pictures))]
